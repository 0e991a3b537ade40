"""A worker with two threads and two places to wait: full, beset by slow senders, and told to stop."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import body, hook_request

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "/cds-services/leg-cramp-patient-view"
# every assessment waits until a file is there
START = """
import os, sys, time
from cds_service.web.server import run
from tests.web.fakes import Assessor, make_app
answer = Assessor()
def assess(*given):
    until = time.monotonic() + 60
    while not os.path.exists(sys.argv[1]) and time.monotonic() < until:
        time.sleep(0.02)
    return answer(*given)
run(make_app(assess=assess, backlog=2, request_deadline_ms=90_000, log=sys.stdout.buffer), "127.0.0.1", 0, 1, 2)
"""
PLACES = 4
"""Two threads and two places to wait."""


class Served:
    def __init__(self, go: Path) -> None:
        self.go = go
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(go)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self.process.stdout is not None
        self.port = int(json.loads(self.process.stdout.readline())["addresses"][0].rpartition(":")[2])

    def ask(self, method: str = "POST", path: str = SERVICE) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body(hook_request()), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, dict(response.headers), response.read()
        finally:
            connection.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path / "go")
    yield one
    one.go.touch()
    one.process.send_signal(signal.SIGTERM)
    assert one.process.stdout is not None
    with one.process.stdout:
        one.process.stdout.read()
        assert one.process.wait(30) == 0


def fill(
    served: Served, pool: ThreadPoolExecutor, refused: int
) -> tuple[set[Future[tuple[int, dict[str, str], bytes]]], ...]:
    """Asks until all places are taken and `refused` more were sent away. Returns those refused and those still in."""
    inside = {pool.submit(served.ask) for _ in range(PLACES + refused)}
    outside = set()
    while len(outside) < refused:
        done, inside = wait(inside, timeout=60, return_when=FIRST_COMPLETED)
        assert done, "nobody was refused"
        outside |= done
    return outside, inside


def test_past_capacity_there_is_a_503_at_once_and_operations_go_on(served: Served) -> None:
    with ThreadPoolExecutor(12) as pool:
        outside, inside = fill(served, pool, refused=8)
        for one in outside:
            status, headers, answer = one.result()
            assert status == 503
            assert headers["Retry-After"] == "1"
            check_outcome(answer)
        for path in ("/healthz", "/readyz"):
            assert served.ask("GET", path)[0] == 200, "nobody is at rest, and it answers"
        assert len(inside) == PLACES
        served.go.touch()
        for one in inside:
            status, _, answer = one.result()
            assert status == 200
            check_cards(answer)
    assert served.ask()[0] == 200


def test_a_stop_loses_no_request_that_was_accepted(served: Served) -> None:
    with ThreadPoolExecutor(8) as pool:
        _, inside = fill(served, pool, refused=1)
        served.process.send_signal(signal.SIGTERM)
        served.go.touch()
        assert [one.result()[0] for one in inside] == [200] * PLACES


def half(raw: socket.socket) -> None:
    raw.sendall(f"POST {SERVICE} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode() + b" " * 500)


def half_closed(raw: socket.socket) -> None:
    half(raw)
    raw.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    "begin",
    [
        lambda raw: None,
        lambda raw: raw.sendall(b"POST"),
        lambda raw: raw.sendall(f"POST {SERVICE} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{{".encode()),
        half,
        half_closed,
    ],
    ids=["nothing", "a word", "half a chunk", "half a body", "half a body, then half-closed"],
)
def test_slow_senders_cost_no_thread(served: Served, begin: Callable[[socket.socket], None]) -> None:
    served.go.touch()
    senders = [socket.create_connection(("127.0.0.1", served.port), timeout=20) for _ in range(40)]
    try:
        for raw in senders:
            begin(raw)
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=8)
        connection.request("POST", SERVICE, body(hook_request()), {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200, "sooner than any sender times out"
        connection.close()
    finally:
        for raw in senders:
            raw.close()


def test_a_request_in_two_parts_is_one_request(served: Served) -> None:
    served.go.touch()
    data = body(hook_request())
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as raw:
        head = (
            f"POST {SERVICE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n".encode()
        )
        for part in (head[:20], head[20:] + data[:50], data[50:]):
            raw.sendall(part)
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
