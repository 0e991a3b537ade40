"""The real server: a kept-alive connection survives every early answer, and the process stops when told to."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cds_service.web.config import WebConfig
from cds_service.web.server import options, serve
from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import body, hook_request

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300_000
SERVICE = "/cds-services/leg-cramp-patient-view"
JSON = {"Content-Type": "application/json"}
START = (
    "from tests.web.fakes import make_app; from cds_service.web.server import run; import sys;"
    f"run(make_app(max_body_bytes={LIMIT}, log=sys.stdout.buffer), '127.0.0.1', 0, 1, 4)"
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", START], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        listening = json.loads(process.stdout.readline())
        yield int(listening["addresses"][0].rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.fixture
def connection(port: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    yield connection
    connection.close()


def send(connection: http.client.HTTPConnection, path: str, data: Any, **headers: str) -> tuple[int, bytes]:
    chunked = not isinstance(data, bytes)
    connection.request("POST", path, data, JSON | headers, encode_chunked=chunked)
    response = connection.getresponse()
    return response.status, response.read()


def chunks(size: int) -> Iterator[bytes]:
    yield from (b" " * 10_000 for _ in range(size // 10_000))


def test_an_answer(connection: http.client.HTTPConnection) -> None:
    status, answer = send(connection, SERVICE, body(hook_request()))
    assert status == 200
    check_cards(answer)


def test_a_chunked_request(connection: http.client.HTTPConnection) -> None:
    status, _ = send(connection, SERVICE, iter([body(hook_request()), b" " * 1000]), **{"Transfer-Encoding": "chunked"})
    assert status == 200


@pytest.mark.parametrize(
    ("path", "headers", "size", "expected"),
    [
        ("/cds-services/none", {}, 200_000, 404),
        ("/nowhere", {}, 200_000, 404),
        ("/cds-services", {}, 200_000, 405),
        (SERVICE, {"Content-Type": "text/xml"}, 200_000, 415),
        (SERVICE, {"Content-Encoding": "gzip"}, 200_000, 415),
        (SERVICE, {}, LIMIT + 1, 413),
        (SERVICE, {}, 2 * LIMIT, 413),
        (SERVICE, {}, 200_000, 400),
    ],
)
def test_the_next_request_on_the_connection_is_answered(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str], size: int, expected: int
) -> None:
    for _ in range(3):
        status, answer = send(connection, path, b" " * size, **headers)
        assert status == expected
        check_outcome(answer)
        kept = connection.sock
        status, _ = send(connection, SERVICE, body(hook_request()))
        assert status == 200
        assert connection.sock is kept, "the same connection"


@pytest.mark.parametrize(("path", "expected"), [("/cds-services/none", 404), (SERVICE, 413)])
def test_the_same_with_chunked_bodies(connection: http.client.HTTPConnection, path: str, expected: int) -> None:
    for _ in range(3):
        status, answer = send(connection, path, chunks(LIMIT + 50_000), **{"Transfer-Encoding": "chunked"})
        assert status == expected
        check_outcome(answer)
        assert send(connection, SERVICE, body(hook_request()))[0] == 200


def test_a_body_beyond_reason_ends_the_connection_after_its_answer(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(f"POST {SERVICE} HTTP/1.1\r\nHost: x\r\nContent-Length: {10**9}\r\n\r\n".encode() + b" " * 1000)
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    assert b" 413 " in answer.split(b"\r\n", 1)[0]
    assert answer.count(b"HTTP/1.1") == 1


def test_options() -> None:
    found = options("::1", 8080, 0, 8)
    assert found["bind"] == "[::1]:8080"
    assert found["workers"] >= 1
    assert found["preload_app"]


def test_broken_rules_stop_the_start_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "cramp.yaml").write_text("id: [", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        serve(config=WebConfig(rules=tmp_path, metrics=False))
    assert str(stopped.value).startswith("Not started.")
    assert "yaml" in str(stopped.value)


def test_a_wrong_setting_stops_the_start_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGCRAMP_ZONE", "Nowhere")
    with pytest.raises(SystemExit, match="LEGCRAMP_ZONE"):
        serve()
