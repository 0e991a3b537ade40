"""Three instances behind HAProxy with one PostgreSQL act as one, and one of them may go at any time."""

from __future__ import annotations

import csv
import io
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.signing import ISSUER, key_set, public_jwk, token
from tests.faults.service import FEEDBACK, ROOT, SERVICE, Service, invocation, until
from tests.feedback import postgresql

HAPROXY = shutil.which("haproxy")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(HAPROXY is None, reason="haproxy is missing; `make deployment` installs it"),
    pytest.mark.skipif(postgresql.PROGRAMS is None, reason="PostgreSQL is missing; `make postgresql` installs it"),
]
BASE = "https://cds.example.org"
REASONS = "https://legcramp.example.org/CodeSystem/override-reasons"


class Together:
    """The instances, and whoever calls them: through the proxy, or one of them by itself."""

    def __init__(self, instances: list[Service], proxy: int) -> None:
        self.instances, self.proxy = instances, proxy

    def bearer(self, path: str) -> str:
        now = int(time.time())
        return token(
            {"iss": ISSUER, "aud": f"{BASE}{path}", "iat": now - 5, "exp": now + 295, "jti": str(uuid4())}, kid="k1"
        )

    def ask(self, path: str, document: Any, bearer: str = "", port: int = 0) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {bearer or self.bearer(path)}"}
        status, body = self.instances[0].ask("POST", path, document, headers, port or self.proxy)
        return status, json.loads(body)

    def topics(self, port: int = 0) -> dict[str, dict[str, Any]]:
        """The cards of a patient with a low potassium, by topic."""
        status, answer = self.ask(SERVICE, invocation(), port=port)
        assert status == 200, answer
        return {card["source"]["topic"]["code"]: card for card in answer["cards"]}


@contextmanager
def haproxy(folder: Path, ports: list[int]) -> Iterator[int]:
    """deploy/haproxy.cfg as it is, with these instances. Its own port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        own = int(probe.getsockname()[1])
    named = {f"CDS_{name}": f"127.0.0.1:{port}" for name, port in zip(("ONE", "TWO", "THREE"), ports, strict=True)}
    assert HAPROXY is not None
    command = [HAPROXY, "-db", "-f", str(ROOT / "deploy" / "haproxy.cfg")]
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            command, env={"CDS_LISTEN": f"127.0.0.1:{own}"} | named, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: process.poll() is not None or _listens(own))
        yield own
    finally:
        process.terminate()
        process.wait(60)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    folder = tmp_path_factory.mktemp("growth")
    (folder / "keys.json").write_bytes(key_set(public_jwk("k1")))
    (folder / "clients.toml").write_text(f'[[client]]\nid = "ehr"\nissuer = "{ISSUER}"\nkey_file = "keys.json"\n')
    with ExitStack() as stack:
        url = stack.enter_context(postgresql.running()).url("growth")
        settings = {"DATABASE": url, "CLIENTS": str(folder / "clients.toml"), "PUBLIC_BASE_URL": BASE}
        upgrade_database(url)
        instances = [stack.enter_context(Service(folder, workers=1, **settings)) for _ in range(3)]
        proxy = stack.enter_context(haproxy(folder, [one.port for one in instances]))
        yield Together(instances, proxy)


def upgrade_database(url: str) -> None:
    Service.command("database", "upgrade", DATABASE=url)


def test_a_token_counts_once_whichever_instance_sees_it(together: Together) -> None:
    bearer = together.bearer(SERVICE)
    assert together.ask(SERVICE, invocation(), bearer)[0] == 200
    again = {together.ask(SERVICE, invocation(), bearer, one.port)[0] for one in together.instances}
    assert again == {401}


def test_what_was_overridden_at_one_is_held_back_at_all_and_reported_by_all(together: Together) -> None:
    card = next(card for card in together.topics().values() if card["indicator"] != "critical")
    topic = card["source"]["topic"]["code"]
    told = {
        "card": card["uuid"],
        "outcome": "overridden",
        "outcomeTimestamp": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
        "overrideReason": {"reason": {"system": REASONS, "code": "OR-managed"}},
    }
    assert together.ask(FEEDBACK, {"feedback": [told]})[0] == 200
    for one in together.instances:
        assert topic not in together.topics(one.port)
    reports = [one.ask("GET", "/report/rules.csv")[1].decode("utf-8-sig") for one in together.instances]
    assert reports[0] == reports[1] == reports[2]
    overridden = {row["rule"].replace("-", ""): row["overridden"] for row in csv.DictReader(io.StringIO(reports[0]))}
    assert overridden[topic] == "1"


def test_an_instance_may_go_while_charts_are_opened(together: Together) -> None:
    """The last test: one instance is gone after it."""
    for count in range(30):
        if count == 10:
            together.instances[2].stop()
        together.topics()
