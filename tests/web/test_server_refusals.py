"""What gunicorn refuses before the application sees it: an OperationOutcome, and no byte of it in answer or log."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.cds_hooks import check_outcome

ROOT = Path(__file__).resolve().parents[2]
SECRET = "Zaphod-zq-4711"
START = (
    "from tests.web.fakes import make_app; from cds_service.web.server import run; import sys;"
    "run(make_app(log=sys.stdout.buffer), '127.0.0.1', 0, 1, 4)"
)
CASES: dict[str, tuple[bytes, int]] = {
    "no request line": (f"{SECRET}\r\n\r\n".encode(), 400),
    "a method that is none": (f"{SECRET}! / HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 400),
    "another version": (f"GET /{SECRET} HTTP/9.9\r\nHost: x\r\n\r\n".encode(), 400),
    "a version that is none": (f"GET / {SECRET}\r\nHost: x\r\n\r\n".encode(), 400),
    "a long request line": (f"GET /{SECRET}{'x' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 414),
    "a large header": (f"GET / HTTP/1.1\r\nHost: x\r\nX-A: {SECRET}{'x' * 9000}\r\n\r\n".encode(), 431),
    "many headers": (
        b"GET / HTTP/1.1\r\nHost: x\r\n" + f"X-A: {SECRET}\r\n".encode() * 200 + b"\r\n",
        431,
    ),
    "a header name that is none": (f"GET / HTTP/1.1\r\nHost: x\r\n{SECRET}[]: 1\r\n\r\n".encode(), 400),
    "a header without a colon": (f"GET / HTTP/1.1\r\nHost: x\r\n{SECRET}\r\n\r\n".encode(), 400),
    "a folded header": (f"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n {SECRET}\r\n\r\n".encode(), 400),
    "a transfer coding that is none": (
        f"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {SECRET}\r\n\r\n".encode(),
        501,
    ),
    "an odd length": (f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {SECRET}\r\n\r\n".encode(), 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET.encode() + b"\r\n\r\n", 400),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, list[str]]]:
    """Its port, and the cases that were sent to it: not all of them where several processes share the tests."""
    cases: list[str] = []
    log = tmp_path_factory.mktemp("log") / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", START], cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=False
        )
    assert process.stdout is not None
    with process.stdout:
        listening = json.loads(process.stdout.readline())
        yield int(listening["addresses"][0].rpartition(":")[2]), cases
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(30) == 0
    written = rest + log.read_bytes()
    assert written.count(b'"refused-by-server"') == len(cases)
    assert SECRET.encode() not in written
    assert b"Traceback" not in written


def sent(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(data)
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    return answer


@pytest.mark.parametrize("case", CASES)
def test_a_refusal_says_what_is_wrong_and_repeats_nothing(server: tuple[int, list[str]], case: str) -> None:
    data, status = CASES[case]
    server[1].append(case)
    head, _, body = sent(server[0], data).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode(), head
    assert b"Content-Type: application/json" in head
    assert b"Connection: close" in head
    assert f"Content-Length: {len(body)}".encode() in head
    check_outcome(body)
    assert SECRET.encode() not in head + body
    assert b"<" not in body


def test_the_server_goes_on(server: tuple[int, list[str]]) -> None:
    answer = sent(server[0], b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
