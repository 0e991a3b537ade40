"""How much a worker process takes on at once, and what becomes of the rest.

gunicorn hands a connection to a thread as soon as it is there, and every thread that waits for a slow sender is one
less. Here one loop collects what arrives, and a thread gets a request when all of it has come: who sends slowly, or
nothing, or half of it, costs some memory and no thread. Of whole requests so many may wait as `backlog` says; one
more is refused at once with 503 and Retry-After. Nothing piles up, and whoever asks again elsewhere loses no time.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any

import msgspec
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from cds_service.telemetry.log import make_log
from cds_service.web.arriving import Arriving
from cds_service.web.config import WebConfig

ARRIVAL_SECONDS = 30.0
"""The longest that a request may take to arrive, from its first byte to its last."""
_CLOSING_SECONDS = 2.0
_LEAVE = b"HTTP/1.1 100 Continue\r\n\r\n"
_READ_BYTES = 256 * 1024
_MOST_HELD = 8
"""Bodies of the largest size that may be held while they arrive; whatever comes beyond that is refused."""
_WAKE_SECONDS = 0.25
_BUSY = (503, "Service Unavailable", "transient", "Too many requests at once; send it again.")
_LATE = (408, "Request Timeout", "timeout", "The request did not arrive in time; send it again.")
_NO_END = (431, "Request Header Fields Too Large", "invalid", "Too many headers, or too large ones.")
_CUT_OFF = (400, "Bad Request", "invalid", "The request ends before it is whole.")
_CRUMBS = (400, "Bad Request", "invalid", "The body comes in too many chunks; send larger ones.")
_NOTED = threading.local()


def waited_seconds() -> float:
    """How long the request of this thread has been here, from its last byte on; 0.0 under any other server."""
    arrived_at = getattr(_NOTED, "arrived_at", None)
    return 0.0 if arrived_at is None else time.monotonic() - arrived_at


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's worker with threads, between the sockets and the threads."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # each ordered by its instants, the soonest first
        self._idle: dict[Any, float] = {}
        """Connections of which nothing has come yet, or nothing since their last answer."""
        self._arriving: dict[Any, float] = {}
        self._closing: dict[Any, float] = {}
        self._given = 0
        self._held_bytes = 0
        self._idle_until = float("inf")
        self._most_body = self._backlog = 0
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="operations")
        """Answers whether the service is well, also when every other thread is at work."""

    def run(self) -> None:
        config = self.wsgi.extensions.get("config") or WebConfig()
        # up to twice the limit a body that is refused is read all the same, so that the connection can go on
        self._most_body = 2 * config.max_body_bytes
        self._backlog = self.cfg.threads + config.backlog
        super().run()

    # -- what gunicorn calls, in its main loop

    def accept(self, listener: Any) -> None:
        if self.nr_conns >= self.worker_connections - 1:
            self._make_room()
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        connection = TConn(self.cfg, client, address, listener.getsockname())
        connection.arriving = Arriving(self._most_body)
        connection.init()
        client.setblocking(False)
        self._wait(connection)

    def set_accept_enabled(self, enabled: bool) -> None:
        stops = not enabled and not self.alive and self._accepting
        super().set_accept_enabled(enabled)
        if stops:
            # what the system has accepted in our name is ours to answer; then nothing more gets in
            for listener in self.sockets:
                before = -1
                while before != self.nr_conns:
                    before = self.nr_conns
                    self.accept(listener)
                listener.close()

    def finish_request(self, conn: Any, fs: Any) -> None:
        self._given -= 1
        try:
            kept = not fs.cancelled() and fs.result()
        except Exception:
            kept = False
        if not kept:
            self._half_close(conn)
            return
        conn.sock.setblocking(False)
        self._wait(conn)
        ahead = conn.parser.unreader.take_buffered()
        if ahead:
            self._add(conn, ahead)

    def murder_keepalived(self, force: bool = False) -> None:
        now = time.monotonic()
        for connection in _due(self._idle, now, force):
            self._close(connection)
        for connection in _due(self._closing, now, force):
            self._close(connection)
        for connection in _due(self._arriving, now, force):
            self._refuse(connection, _LATE)

    def murder_pending(self) -> None:
        """gunicorn's own list of waiting connections stays empty."""

    def _cap_keepalive(self, deadline: float) -> None:
        self._idle_until = deadline
        self._idle = {connection: min(until, deadline) for connection, until in self._idle.items()}

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(timeout if self.alive else min(timeout, _WAKE_SECONDS))

    # -- in a thread

    def handle(self, conn: Any) -> Any:
        _NOTED.arrived_at = conn.arrived_at
        return super().handle(conn)

    # -- from the first byte to a thread

    def _wait(self, connection: Any) -> None:
        self._idle[connection] = min(time.monotonic() + self.cfg.keepalive, self._idle_until)
        self.poller.register(connection.sock, EVENT_READ, partial(self._receive, connection))

    def _receive(self, connection: Any, _socket: Any) -> None:
        try:
            data = connection.sock.recv(_READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if connection in self._closing:
            if not data:
                self._close(connection)
        elif data:
            self._add(connection, data)
        elif connection.arriving.data:
            self._refuse(connection, _CUT_OFF)
        else:
            self._close(connection)

    def _add(self, connection: Any, data: bytes) -> None:
        before = len(connection.arriving.data)
        state = connection.arriving.take(data)
        self._held_bytes += len(connection.arriving.data) - before
        if connection.arriving.wants_leave and state == "waiting":
            connection.arriving.wants_leave = False
            self._send(connection, _LEAVE)
        if state == "whole":
            self._admit(connection)
        elif state != "waiting":
            self._refuse(connection, _NO_END if state == "no-end" else _CRUMBS)
        elif self._held_bytes > _MOST_HELD * self._most_body:
            self._refuse(connection, _BUSY)
        elif self._idle.pop(connection, None) is not None:
            self._arriving[connection] = time.monotonic() + ARRIVAL_SECONDS

    def _admit(self, connection: Any) -> None:
        if self._given >= self._backlog and not connection.arriving.is_of_operations:
            self._refuse(connection, _BUSY)
        else:
            self._hand_over(connection)

    def _hand_over(self, connection: Any) -> None:
        self._leave_alone(connection)
        self._given += 1
        pool = self._aside if connection.arriving.is_of_operations else self.tpool
        connection.parser.unreader.unread(self._empty(connection))
        connection.arrived_at = time.monotonic()
        done = pool.submit(self.handle, connection)
        done.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, connection, done))

    # -- and what does not get there

    def _refuse(self, connection: Any, why: tuple[int, str, str, str]) -> None:
        """Answers and ends the connection: whoever is refused does well to go elsewhere."""
        self.note_refusal(why[0])
        if self._send(connection, refusal(*why)):
            self._half_close(connection)
        else:
            self._close(connection)

    def note_refusal(self, status: int, fault: str = "") -> None:
        """Logs and counts an answer that the application never saw."""
        log, told = make_log(), {"fault": fault} if fault else {}
        (log.error if status == 500 else log.info)("refused-by-server", status=status, **told)
        wiring = self.wsgi.extensions.get("wiring")
        if wiring is not None and wiring.metrics is not None:
            wiring.metrics.answered("server", "", status, 0.0)

    def _send(self, connection: Any, answer: bytes) -> bool:
        """A few bytes, which fit into any buffer of the system's; False where nobody takes them."""
        try:
            return bool(connection.sock.send(answer) == len(answer))
        except OSError:
            return False

    def _half_close(self, connection: Any) -> None:
        """Lets the sender read the answer before the connection is gone, which unread bytes would end at once."""
        self._leave_alone(connection)
        self._empty(connection)
        try:
            connection.sock.setblocking(False)
            connection.sock.shutdown(socket.SHUT_WR)
            self.poller.register(connection.sock, EVENT_READ, partial(self._receive, connection))
        except OSError:
            self._close(connection)
            return
        self._closing[connection] = time.monotonic() + _CLOSING_SECONDS

    def _make_room(self) -> None:
        """Closes the connection that waited longest for nothing; one that is at work never."""
        for waiting in (self._closing, self._arriving, self._idle):
            for connection in list(waiting)[:1]:
                self._close(connection)
                return

    def _close(self, connection: Any) -> None:
        self._leave_alone(connection)
        self._empty(connection)
        self.nr_conns -= 1
        connection.close()

    def _leave_alone(self, connection: Any) -> None:
        """Takes it from the loop."""
        for waiting in (self._idle, self._arriving, self._closing):
            waiting.pop(connection, None)
        try:
            self.poller.unregister(connection.sock)
        except (KeyError, ValueError):
            return

    def _empty(self, connection: Any) -> bytes:
        """All that came and was not answered."""
        given: bytes = connection.arriving.give()
        self._held_bytes -= len(given)
        return given


def _due(waiting: dict[Any, float], now: float, force: bool) -> Iterator[Any]:
    for connection, until in list(waiting.items()):
        if until > now and not force:
            return
        yield connection


def refusal(status: int, reason: str, code: str, text: str) -> bytes:
    """An answer of the server's own, after which it closes: an OperationOutcome like any other."""
    issue = {"severity": "fatal" if status >= 500 else "error", "code": code, "diagnostics": text}
    body = msgspec.json.encode({"resourceType": "OperationOutcome", "issue": [issue]})
    retry = "Retry-After: 1\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {reason}\r\n"
        "Connection: close\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{retry}"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "\r\n"
    )
    return head.encode("ascii") + body
