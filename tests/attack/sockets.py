"""Attacks on the running server over sockets: what no WSGI application ever sees of HTTP.

Each attempt sends bytes, reads what comes back until the server is done or silent, and looks at the answers. In between
an honest request must be answered at once, and at the end the server must stop when it is told to.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import socket
import time
from collections.abc import Callable

from tests.attack import hostile
from tests.attack.corpus import hook_requests
from tests.attack.hostile import CANARY
from tests.attack.mutate import change_bytes
from tests.attack.run import Figures, Found
from tests.attack.server import running
from tests.attack.target import REFUSALS, Fault
from tests.web.fakes import hook_request

HOOK = b"/cds-services/leg-cramp-patient-view"
_ALLOWED = REFUSALS | {100, 200, 204, 206, 301, 302, 304, 308, 403, 501, 505}
"""501 is HTTP's own word for a transfer coding, 505 for a version, that a server does not know."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_PATIENCE_SECONDS = 15.0
_SILENCE_SECONDS = 0.15
_EVERY = 100
_EVERY_READING = 10


def attack_server(seed: int, attempts: int) -> Figures:
    """So many attempts on a server of its own."""
    figures = Figures("sockets", "raw HTTP to a real server")
    began = time.monotonic()
    with running() as server:
        ask_honestly(server.port)
        workers = server.workers()
        resident: list[int] = []
        for number in range(attempts):
            if number % _EVERY_READING == 0:
                resident.append(server.resident_kb())
            chance = random.Random(f"{seed}.sockets.{number}")
            started = time.perf_counter()
            try:
                outcome = attempt(server.port, chance)
                if number % _EVERY == _EVERY - 1:
                    ask_honestly(server.port)
                figures.outcomes[outcome] += 1
            except (Fault, OSError) as error:
                figures.outcomes["FAULT"] += 1
                figures.faults.append(Found("sockets", number, f"{type(error).__name__}: {error}"))
            figures.slowest_ms = max(figures.slowest_ms, (time.perf_counter() - started) * 1e3)
        ask_honestly(server.port)
        figures.growth_kb = lasting_growth([*resident, server.resident_kb()])
        if server.workers() != workers:
            figures.faults.append(Found("sockets", -1, "a worker died"))
        if server.stop() != 0:
            figures.faults.append(Found("sockets", -1, "the server did not end well"))
        logged = server.log.read_bytes()
        for word in (CANARY.encode(), b"Traceback", b'"level":"error"'):
            if word in logged:
                figures.faults.append(Found("sockets", -1, f"{word!r} stands in the log"))
    figures.attempts, figures.seconds = attempts, time.monotonic() - began
    return figures


def lasting_growth(readings: list[int]) -> int:
    """The least of the last quarter above the most of the second one.

    A worker's memory rises by a step when the largest bodies first meet in it, and falls when they go; what a leak
    takes stays in every later reading.
    """
    quarter = max(1, len(readings) // 4)
    return min(readings[-quarter:]) - max(readings[quarter : 2 * quarter] or readings[:1])


def ask_honestly(port: int) -> None:
    """A sound request on a connection of its own. Raises `Fault` when it is not answered with 200."""
    body = json.dumps(hook_request("patient-view")).encode()
    answer = send(port, request(body, b"Connection: close\r\n"))
    if not answer.startswith(b"HTTP/1.1 200"):
        raise Fault(f"an honest request gets {answer[:200]!r}")


def attempt(port: int, chance: random.Random) -> str:
    game = chance.choice(_GAMES)
    return check(send(port, *game(chance)))


def check(answer: bytes) -> str:
    """The statuses of all answers on one connection. Raises `Fault`."""
    statuses = [int(status) for status in _STATUS.findall(answer)]
    if answer and not answer.startswith(b"HTTP/1."):
        raise Fault(f"no HTTP: {answer[:200]!r}")
    wrong = [status for status in statuses if status not in _ALLOWED]
    if wrong:
        raise Fault(f"answered {wrong[0]}: {answer[-400:]!r}")
    if CANARY.encode() in answer and b"HTTP/1.1 2" not in answer:
        raise Fault(f"the answer repeats the request: {answer[:400]!r}")
    return " ".join(str(status) for status in statuses[:2]) or "closed"


def send(port: int, *pieces: bytes) -> bytes:
    """Sends the pieces, then reads until the server closes, or says nothing more for a while after an answer."""
    received = b""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                raw.sendall(piece)
            raw.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server had read enough; its answer may still be there
        while time.monotonic() < deadline:
            raw.settimeout(_SILENCE_SECONDS if received else _PATIENCE_SECONDS)
            try:
                chunk = raw.recv(1 << 16)
            except TimeoutError:
                if received:
                    return received
                break
            except ConnectionResetError:
                return received
            if not chunk:
                return received
            received += chunk
    if received:
        return received  # a long row of answers, one after the other
    raise Fault("no answer and no end in time")


def request(
    body: bytes, *headers: bytes, line: bytes = b"POST " + HOOK + b" HTTP/1.1", length: bytes | None = None
) -> bytes:
    size = str(len(body)).encode() if length is None else length
    said = b"".join(headers)
    head = b"%b\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n%bContent-Length: %b\r\n\r\n"
    return head % (line, said, size) + body


# -- games: each gives the pieces to send

Game = Callable[[random.Random], tuple[bytes, ...]]


def _honest(chance: random.Random) -> tuple[bytes, ...]:
    """Several on one connection, whole or piece by piece."""
    sent = b"".join(request(chance.choice(hook_requests())) for _ in range(chance.randrange(1, 4)))
    at = chance.randrange(len(sent))
    return (sent,) if chance.random() < 0.5 else (sent[:at], sent[at:])


def _mutated(chance: random.Random) -> tuple[bytes, ...]:
    return (request(change_bytes(chance.choice(hook_requests()), chance.choice(hook_requests()), chance)),)


def _broken_head(chance: random.Random) -> tuple[bytes, ...]:
    whole = request(b"{}")
    return (change_bytes(whole, whole, chance)[:60_000],)


def _other_line(chance: random.Random) -> tuple[bytes, ...]:
    method = chance.choice(
        (b"GET", b"get", b"PUT", b"TRACE", b"CONNECT", b"PRI", b"G\x00T", b"A" * 300, CANARY.encode())
    )
    target = chance.choice((
        b"/", b"*", b"//evil.example/", b"http://evil.example/x", b"/%00", b"/%2e%2e/%2e%2e/etc/passwd",
        b"/../../etc/passwd",
        b"/static/../web/app.py", b"/static/%2e%2e/app.py", b"/static/..%5c..%5capp.py", b"/" + b"a" * 5000,
        b"/?" + b"q=" * 2000, b"/\xff\xfe",
        b"/cds-services/%C0%AE%C0%AE", b"/rules/" + CANARY.encode(), b"/#x", b"", b"\\", b"/;a=b",
        b"/report?client=%00",
    ))  # fmt: skip
    version = chance.choice(
        (b"HTTP/1.1",) * 5 + (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.10", b"http/1.1", b"")
    )
    return (b"%b %b %b\r\nHost: x\r\n\r\n" % (method, target, version),)


def _lengths(chance: random.Random) -> tuple[bytes, ...]:
    """Lengths that lie: the next request may never start in the middle of this one."""
    length = chance.choice((
        b"-1", b"+5", b"0x5", b"5, 5", b"5,6", b"1e3", b" ", b"", b"9" * 30, b"5_0", "٣".encode(), b"0", b"3",
        b"100000",
    ))  # fmt: skip
    extra = chance.choice(
        (b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n")
    )
    return (request(hook_requests()[0], extra, length=length), request(b"{}"))


def _chunks(chance: random.Random) -> tuple[bytes, ...]:
    """Chunked bodies: whole, tiny, torn, with sizes that are none, with trailers and extensions."""
    body = chance.choice(hook_requests())
    step = chance.choice((1, 7, 500, len(body)))
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + step]), body[at : at + step]) for at in range(0, len(body), step)
    )
    end = chance.choice(
        (b"0\r\n\r\n",) * 4
        + (b"0\r\nX-Trailer: x\r\n\r\n", b"", b"0\r\n", b"000\r\n\r\n", b"-1\r\n\r\n", b"0;x=y\r\n\r\n")
    )
    if chance.random() < 0.5:
        wrong = (
            b"zz\r\n", b"ffffffffffffffffff\r\n", b"5\r\nab\r\n", b"5;" + b"e" * 9000 + b"\r\n", b"0x5\r\nhello\r\n",
            b"+5\r\nhello\r\n", b"\r\n\r\n",
        )  # fmt: skip
        chunks = chance.choice(wrong) + chunks
    coding = chance.choice(
        (b"chunked",) * 5
        + (b"gzip, chunked", b"chunked, chunked", b"chunked, identity", b"Chunked", b"\x0bchunked", b"x")
    )
    return (
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: %b\r\n\r\n"
        % (HOOK, coding),
        chunks + end,
        request(b"{}") if chance.random() < 0.3 else b"",
    )


def _compressed(chance: random.Random) -> tuple[bytes, ...]:
    """A compressed bomb, said to be one or not."""
    bomb = gzip.compress(b"[" * chance.choice((1000, 20_000_000)), 1)
    coding = chance.choice((b"gzip", b"deflate", b"br", b"zstd", b"identity", b"gzip, gzip", b"GZIP", b"x" * 4000))
    return (request(bomb, b"Content-Encoding: %b\r\n" % coding),)


def _heads(chance: random.Random) -> tuple[bytes, ...]:
    """Headers: many, large, folded, without a name, with what no header may hold."""
    name = chance.choice((
        b"X-A", b"Host", b"Authorization", b"Cookie", b"X_A", b"Content_Length", b"", b" X", b"X ", b"\xc3\xa9",
        b"A" * 9000,
    ))  # fmt: skip
    value = chance.choice((
        b"", b"x", b"x" * 9000, b"a\x00b", b"a\rb", b"a\nb", b"\r\n b", b"\xff", CANARY.encode(),
        b"a\r\n\r\nGET /healthz HTTP/1.1",
    ))  # fmt: skip
    said = b"%b: %b\r\n" % (name, value)
    return (request(hook_requests()[0], said * chance.choice((1, 1, 2, 99, 101, 3000))),)


def _expects(chance: random.Random) -> tuple[bytes, ...]:
    said = chance.choice((b"100-continue", b"200-ok", b"100-continue, x", b""))
    return (request(chance.choice(hook_requests()), b"Expect: %b\r\n" % said, b"Connection: close\r\n"),)


def _too_large(chance: random.Random) -> tuple[bytes, ...]:
    """More than the limit; an honest request follows on the same connection."""
    size = chance.choice((10, 11, 19)) * 1024 * 1024
    return (request(b" " * size), request(b"{}", line=b"GET /healthz HTTP/1.1", length=b"2"))


def _half(chance: random.Random) -> tuple[bytes, ...]:
    """A request that ends in the middle, by a closed side."""
    whole = request(chance.choice(hook_requests()))
    return (whole[: chance.randrange(1, len(whole))],)


def _binary(chance: random.Random) -> tuple[bytes, ...]:
    return (chance.choice((
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200), chance.randbytes(chance.randrange(1,
        3000)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + request(b"{}"),
        b"\r\n" * 500 + request(b"{}"),
        b"\x00" * 5000, chance.choice(hostile.STRINGS).encode("utf-8", "replace")[:5000] + b"\r\n\r\n",
    )),)  # fmt: skip


_OFTEN: tuple[Game, ...] = (
    _honest, _mutated, _broken_head, _broken_head, _other_line, _other_line, _lengths, _lengths, _chunks, _chunks,
    _chunks, _compressed, _heads, _heads, _heads, _expects, _half, _binary,
)  # fmt: skip
_GAMES = _OFTEN * 6 + (_too_large,)
