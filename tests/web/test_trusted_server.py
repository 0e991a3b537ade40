"""The real command with a real file of clients and a real key server: who is answered, and what is said at start."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.signing import ISSUER, SERVICE, KeyServer, public_jwk, token
from tests.web.cds_hooks import check_cards
from tests.web.fakes import bundle, hook_request

ROOT = Path(__file__).resolve().parents[2]
BASE = "http://cds.test"
CALL = f"/cds-services/{SERVICE}"
LEGCRAMP = (sys.executable, "-c", "from cds_service.cli import main; main()")
PREFETCH = {key: bundle() for key in ("medications", "conditions", "observations")}


def environment(**settings: str) -> dict[str, str]:
    """Ours, with these settings of the service and no others. What was shown is not remembered."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LEGCRAMP_")}
    return environ | {f"LEGCRAMP_{name}": value for name, value in ({"DATABASE": "none"} | settings).items()}


@contextmanager
def serving(**settings: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`legcramp serve` with one worker on a free port."""
    command = [*LEGCRAMP, "serve", "--port", "0", "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(**settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        try:
            first = process.stdout.readline()
            assert first, process.stderr.read().decode()
            yield int(json.loads(first)["addresses"][0].rpartition(":")[2]), process
        finally:
            process.send_signal(signal.SIGTERM)
            process.stdout.read()
            process.wait(30)


def post(port: int, authorization: list[str], **members: Any) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps(hook_request(**members)).encode()
    connection.putrequest("POST", CALL)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    for value in authorization:
        connection.putheader("Authorization", value)
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


def fresh(**changed: Any) -> str:
    """A token of this very moment, for a server with a real clock."""
    now = int(time.time())
    payload = {"iss": ISSUER, "aud": f"{BASE}{CALL}", "iat": now, "exp": now + 300, "jti": str(uuid4())}
    return token(payload=payload | changed)


def test_from_the_file_of_clients_to_cards(tmp_path: Path) -> None:
    with KeyServer().running() as keys:
        keys.serve(public_jwk("k1"))
        file = tmp_path / "clients.toml"
        file.write_text(f'[[client]]\nid = "ehr"\nissuer = "{ISSUER}"\njku = ["{keys.url}"]\n')
        settings = {"DEVELOPMENT": "1", "CLIENTS": str(file), "PUBLIC_BASE_URL": BASE}
        with serving(**settings) as (port, _):
            members: dict[str, Any] = {"prefetch": hook_request()["prefetch"] | PREFETCH}
            made = fresh()
            status, answer = post(port, [f"Bearer {made}"], **members)
            assert status == 200, answer
            check_cards(answer)
            refused = {
                post(port, value, **members)
                for value in (
                    (),
                    [f"Bearer {made}"],  # again
                    [f"Bearer {fresh()}", f"Bearer {fresh()}"],  # two headers
                    [f"Bearer {fresh(aud='http://127.0.0.1')}"],
                    [f"Bearer {fresh(exp=int(time.time()) - 61, iat=int(time.time()) - 600)}"],
                )
            }
            assert len(refused) == 1
            assert refused.pop()[0] == 401
        assert keys.asked == 1


def test_development_without_clients_says_so_loudly() -> None:
    with serving(DEVELOPMENT="1") as (port, process):
        assert process.stdout is not None
        warning = json.loads(process.stdout.readline())
        assert warning["level"] == "warning"
        assert "DEVELOPMENT PROFILE: no token is asked for" in warning["event"]
        assert post(port, [])[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/")
        assert b"no token is asked for" in connection.getresponse().read()
        connection.close()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["Not started", "LEGCRAMP_CLIENTS", "deploy/clients.example.toml", "LEGCRAMP_DEVELOPMENT=1"]),
        ({"CLIENTS": "none.toml"}, ["Not started", "none.toml:1"]),
    ],
)
def test_outside_development_it_does_not_start_without_clients(settings: dict[str, str], words: list[str]) -> None:
    command = [*LEGCRAMP, "serve", "--port", "0"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(**settings), capture_output=True, timeout=120, check=False
    )
    assert ended.returncode != 0
    for word in words:
        assert word in ended.stderr.decode()
    assert ended.stdout == b""
