"""What the soak sends: charts, feedback on the cards that came, pages, mistakes, and callers who hang up."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from collections import Counter
from datetime import UTC, datetime

from tests.benchmarks.hook_requests import make_hook_request

_SERVICE = "/cds-services/leg-cramp-patient-view"
_PAGES = (
    "/healthz",
    "/cds-services",
    "/rules?q=potassium",
    "/rules/lab-hypokalemia",
    "/handout",
    "/report",
    "/metrics",
)
_SIZES = (20, 20, 20, 20, 20, 20, 20, 20, 200, 1000)
_CHARTS = 300
_PATIENCE_SECONDS = 60.0
_CARD = re.compile(rb'"uuid":"([0-9a-f-]{36})"')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")
_EXPECTED = frozenset({200, 400, 404, 412, 415, 503})
"""503 is the honest answer of a service whose disk or places are taken; how many there may be, `judge` knows."""
_REST_SECONDS = 0.5


def make_charts() -> list[bytes]:
    """Hook requests, each of a patient of its own."""
    now = datetime.now(UTC)
    return [make_hook_request(_SIZES[seed % len(_SIZES)], now, seed) for seed in range(_CHARTS)]


class Traffic:
    """So many callers at once, each with one connection, until `requests` are answered or `end` is past."""

    def __init__(self, port: int, requests: int, end: float, seed: int) -> None:
        self.port, self.requests, self.end = port, requests, end
        self.answered: Counter[int] = Counter()
        self.slowest = 0.0
        self.failures: list[str] = []
        self._charts = make_charts()
        self._seed = seed
        self._lock = threading.Lock()

    def run(self, callers: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._call, args=(at,), daemon=True) for at in range(callers)]
        for thread in threads:
            thread.start()
        return threads

    @property
    def total(self) -> int:
        return sum(self.answered.values())

    def _call(self, at: int) -> None:
        chance = random.Random(f"{self._seed}.{at}")
        cards: list[str] = []
        connection = self._connect()
        while self.total < self.requests and time.monotonic() < self.end and not self.failures:
            try:
                if chance.random() < 0.01:  # hangs up, now and then in the middle of a request
                    connection.sendall(self._next(chance, cards)[: chance.choice((0, 100, 5000))])
                    connection.close()
                    connection = self._connect()
                began = time.perf_counter()
                connection.sendall(self._next(chance, cards))
                status, body = _receive(connection)
            except OSError as error:
                self._fail(f"{type(error).__name__}: {error}")
                return
            self._note(status, time.perf_counter() - began, body)
            if status == 503:
                time.sleep(_REST_SECONDS)
            cards += [found.decode() for found in _CARD.findall(body)[:3]]
            del cards[:-20]
        connection.close()

    def _next(self, chance: random.Random, cards: list[str]) -> bytes:
        kind = chance.random()
        if kind < 0.80:
            return _post(_SERVICE, chance.choice(self._charts))
        if kind < 0.90 and cards:
            told = {"card": cards.pop(), "outcome": "overridden", "outcomeTimestamp": datetime.now(UTC).isoformat()}
            return _post(f"{_SERVICE}/feedback", json.dumps({"feedback": [told]}).encode())
        if kind < 0.93:
            return f"GET {chance.choice(_PAGES)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
        chart = chance.choice(self._charts)
        return _post(_SERVICE, chance.choice((chart[: len(chart) // 2], b"{}", b"[" * 5000, b'{"prefetch":{}}')))

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_SECONDS)

    def _note(self, status: int, seconds: float, body: bytes) -> None:
        with self._lock:
            self.answered[status] += 1
            self.slowest = max(self.slowest, seconds)
        if status not in _EXPECTED:
            self._fail(f"answered {status}: {body[:200]!r}")

    def _fail(self, what: str) -> None:
        self.failures.append(what)


def _post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _receive(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer. Raises `OSError` where the connection ends first."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + b"\r\n")
    if found is None:
        raise OSError(f"an answer without a length: {head[:200]!r}")
    while len(body) < int(found[1]):
        body += _more(connection)
    return int(head.split()[1]), body


def _more(connection: socket.socket) -> bytes:
    chunk = connection.recv(1 << 18)
    if not chunk:
        raise OSError("the server closed the connection")
    return chunk
