"""A FHIR server on a loopback socket that can be slow, dead, lying and broken in every way that a test asks for."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fhir.ehr_record import EhrRecord

Fault = Callable[["Handler"], None]


class EhrServer(ThreadingHTTPServer):
    """Serves `record`; `faults` replaces the answer to any path (below the base) that begins with its key.

    A context manager. Whatever a fault is waiting for ends when the server stops.
    """

    daemon_threads = True
    # the many connections of one request arrive at once
    request_queue_size = 128

    def __init__(self, record: EhrRecord, faults: dict[str, Fault] | None = None, tls: ssl.SSLContext | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}/r4"
        self.record = EhrRecord(record.resources, self.base, record.page_size)
        self.faults = faults or {}
        self.seen: list[tuple[str, dict[str, str], int]] = []
        """Path, headers and port of the sender of each request."""
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> EhrServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EhrServer

    def do_GET(self) -> None:
        path = self.path.removeprefix("/r4").strip("/")
        self.server.seen.append((path, dict(self.headers), self.client_address[1]))
        for start, fault in self.server.faults.items():
            if path.startswith(start):
                fault(self)
                return
        self.answer()

    def answer(self) -> None:
        """What the record says."""
        status, body = self.server.record.answer(self.server.base + self.path.removeprefix("/r4"))
        self.send(status, json.dumps(body).encode())

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        told = {"Content-Type": "application/fhir+json", "Content-Length": str(len(body) if length is None else length)}
        for name, value in (told | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def body(self) -> bytes:
        return json.dumps(self.server.record.answer(self.server.base + self.path.removeprefix("/r4"))[1]).encode()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def dead(handler: Handler) -> None:
    """Takes the request and never answers."""
    handler.server.stopping.wait(120)


def drip_body(handler: Handler) -> None:
    """A sound answer, a byte at a time: it would take minutes."""
    body = handler.body()
    handler.send(200, b"", length=len(body))
    for byte in body:
        handler.wfile.write(bytes([byte]))
        if handler.server.stopping.wait(0.2):
            break


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.stopping.wait(0.2):
        handler.wfile.write(b"x")


def truncating(handler: Handler) -> None:
    """Says a length, sends half of it and hangs up."""
    body = handler.body()
    handler.send(200, body[: len(body) // 2], length=len(body))
    handler.hang_up()


def cut_chunks(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"10\r\n" + handler.body()[:16] + b"\r\n")
    handler.hang_up()


def cut_json(handler: Handler) -> None:
    """An answer whose length is right and whose JSON is not."""
    handler.send(200, handler.body()[:-20])


def html(handler: Handler) -> None:
    handler.send(200, b"<html><body>Please sign in</body></html>", {"Content-Type": "text/html"})


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"\x00\x01SSH-2.0-OpenSSH\r\n" * 50)
    handler.hang_up()


def hangs_up(handler: Handler) -> None:
    handler.hang_up()


def endless(handler: Handler) -> None:
    """A body without end, as fast as it goes."""
    handler.send(200, b'{"resourceType":"Bundle","entry":[', length=10**12)
    while not handler.server.stopping.is_set():
        handler.wfile.write(b" " * 65536)


def endless_error(handler: Handler) -> None:
    handler.send(500, b"<html>", length=10**12)
    while not handler.server.stopping.is_set():
        handler.wfile.write(b" " * 65536)


def bomb(handler: Handler) -> None:
    """A small gzip body that unpacks to 200 MB."""
    handler.send(200, gzip.compress(b" " * 200_000_000, 9), {"Content-Encoding": "gzip"})


def zipped(handler: Handler) -> None:
    handler.send(200, gzip.compress(handler.body()), {"Content-Encoding": "gzip"})


def many_headers(handler: Handler) -> None:
    handler.send(200, handler.body(), {f"X-Header-{at}": "x" for at in range(500)})


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    return lambda handler: handler.send(code, body, {name.replace("_", "-"): value for name, value in headers.items()})


def first(times: int, fault: Fault) -> Fault:
    """The fault so many times, then sound answers."""
    left = [times]

    def one(handler: Handler) -> None:
        left[0] -= 1
        if left[0] >= 0:
            fault(handler)
        else:
            handler.answer()

    return one


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
