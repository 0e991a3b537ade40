"""The feedback endpoint and what it changes: the next request of the same group for the same patient."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from flask import Flask
from sqlalchemy import select

from cds_service.clients.model import Client
from cds_service.feedback.database import open_database
from cds_service.feedback.migrate import upgrade
from cds_service.feedback.store import Store
from cds_service.feedback.tables import FEEDBACK, SHOWN
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import BadConfiguration, WebConfig
from cds_service.web.remembering import store_of
from cds_service.web.wiring import Wiring, wire
from tests.feedback.conftest import address, server
from tests.scenarios.shared import runner
from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import body, hook_request, make_app
from tests.web.test_real_rules import NOW, PREFETCH, RESULTS, bundle, result

__all__ = ["address", "server"]

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "/cds-services/leg-cramp-patient-view"
FEEDBACK_AT = f"{SERVICE}/feedback"
SYSTEM = runner().ruleset.knowledge.override_system
KEY = "a key of nobody but this site"


@functools.cache
def plain() -> Wiring:
    return wire(WebConfig(development=True))


class Site:
    """The service with a memory of its own and a clock that the test moves."""

    def __init__(self, folder: Path, clients: tuple[Client, ...] = (), log: Any = None, **config: Any) -> None:
        config = {"development": True, "database": f"sqlite:///{folder}/memory.sqlite3", **config}
        self.now = NOW
        store = store_of(WebConfig(**config), runner().ruleset.knowledge, lambda *_: None)
        assert store is not None
        self.store: Store = store
        wiring = msgspec.structs.replace(plain(), store=store, memory=store.memory, now=lambda: self.now)
        if clients:
            wiring = msgspec.structs.replace(wiring, **clients_of(clients))
        self.app: Flask = create_app(WebConfig(**config), wiring, make_log(log or io.BytesIO()))

    def cards(self, potassium: float | None = None, patient: str = "pt-4711") -> list[dict[str, Any]]:
        prefetch = PREFETCH
        if potassium is not None:
            prefetch = PREFETCH | {"observations": bundle(result("k", "2823-3", potassium, "mmol/L"), *RESULTS[1:])}
        prefetch = json.loads(json.dumps(prefetch).replace("pt-4711", patient))
        request = hook_request(context={"userId": "Practitioner/1", "patientId": patient}, prefetch=prefetch)
        response = self.app.test_client().post(SERVICE, data=body(request), content_type="application/json")
        assert response.status_code == 200, response.text
        found: list[dict[str, Any]] = check_cards(response.data, request)["cards"]
        return found

    def tell(self, *items: Any, service: str = SERVICE) -> Any:
        return self.app.test_client().post(f"{service}/feedback", json={"feedback": list(items)})

    def override(self, card: dict[str, Any], code: str = "OR-managed") -> None:
        answer = self.tell(overridden(card["uuid"], code, self.now))
        assert (answer.status_code, answer.data) == (200, b"{}")

    def rows_shown(self) -> list[Any]:
        return self.rows(SHOWN)

    def rows(self, table: Any) -> list[Any]:
        with self.store.database.quick.connect() as connection:
            return list(connection.execute(select(table).order_by(table.c.id)))


def clients_of(clients: tuple[Client, ...]) -> dict[str, Any]:
    """A verifier that takes the first client for whoever calls."""

    class Trusting:
        def verify(self, *_: Any, **__: Any) -> Client:
            return clients[0]

    return {"clients": clients, "verifier": Trusting()}


def overridden(card: str, code: str = "OR-managed", at: datetime = NOW) -> dict[str, Any]:
    reason = {"reason": {"system": SYSTEM, "code": code}, "userComment": "Zaphod Beeblebrox"}
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": at.isoformat(), "overrideReason": reason}


def topics(cards: list[dict[str, Any]]) -> list[str]:
    return [card["source"]["topic"]["code"] for card in cards]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.database.close()


def test_an_overridden_card_stays_back_for_this_patient_until_its_period_is_over(site: Site) -> None:
    (low, *_) = site.cards()
    assert low["source"]["topic"]["code"] == "labhypokalemia"
    site.override(low)
    assert "labhypokalemia" not in topics(site.cards())
    assert "labhypokalemia" in topics(site.cards(patient="pt-4712"))
    site.now = NOW + timedelta(days=90)
    fresh = {"effectiveDateTime": (site.now - timedelta(days=2)).isoformat()}
    later = PREFETCH | {"observations": bundle(*(one | fresh for one in RESULTS))}
    request = hook_request(context={"userId": "Practitioner/1", "patientId": "pt-4711"}, prefetch=later)
    answer = site.app.test_client().post(SERVICE, data=body(request), content_type="application/json").json
    assert "labhypokalemia" in topics(answer["cards"])


def test_a_worse_value_brings_it_back(site: Site) -> None:
    site.override(site.cards()[0])
    assert "labhypokalemia" not in topics(site.cards())
    assert "labhypokalemia" in topics(site.cards(potassium=2.7))


def test_a_critical_card_is_shown_however_often_it_is_overridden(site: Site) -> None:
    (card, *_) = site.cards(potassium=2.2)
    assert card["indicator"] == "critical"
    site.override(card)
    assert topics(site.cards(potassium=2.2))[0] == "labhypokalemia"


def test_a_reason_that_does_not_last_holds_nothing_back(site: Site) -> None:
    site.override(site.cards()[0], "OR-monitor")
    assert "labhypokalemia" in topics(site.cards())


def test_every_card_is_noted_under_its_uuid(site: Site) -> None:
    cards = site.cards()
    noted = site.rows(SHOWN)
    assert [row.card for row in noted] == [card["uuid"] for card in cards]
    assert {row.ruleset for row in noted} == {runner().ruleset.digest}
    assert "4711" not in str(noted)


def test_a_site_can_switch_holding_back_off(tmp_path: Path) -> None:
    settings = msgspec.structs.replace(WebConfig().settings, hold_back_at_most=timedelta())
    site = Site(tmp_path, settings=settings)
    site.override(site.cards()[0])
    assert "labhypokalemia" in topics(site.cards())


def test_a_silent_client_gets_no_cards_and_its_findings_are_recorded(tmp_path: Path) -> None:
    site = Site(tmp_path, (Client(id="trial", issuer="https://t.example.org", silent=True),))
    assert site.cards() == []
    assert "lab-hypokalemia" in [row.rule for row in site.rows(SHOWN)]
    assert all(row.silent for row in site.rows(SHOWN))


def test_without_a_memory_a_silent_client_gets_no_cards_either() -> None:
    clients = (Client(id="trial", issuer="https://t.example.org", silent=True),)
    app = create_app(WebConfig(development=True), msgspec.structs.replace(plain(), **clients_of(clients)))
    request = hook_request(context={"userId": "Practitioner/1", "patientId": "pt-4711"}, prefetch=PREFETCH)
    assert app.test_client().post(SERVICE, json=request).json == {"cards": []}


def test_the_log_counts_what_stays_back_and_names_nobody(tmp_path: Path) -> None:
    stream = io.BytesIO()
    site = Site(tmp_path, log=stream)
    site.override(site.cards()[0])
    site.cards()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[1]["feedback"] == 1
    assert lines[2]["held_back"] == 1
    assert b"Zaphod" not in stream.getvalue()
    assert b"4711" not in stream.getvalue()


def test_feedback_may_be_about_any_card_and_come_again(site: Site) -> None:
    items = [overridden(str(uuid4())), overridden("any string at all")]
    for _ in range(2):
        assert site.tell(*items).json == {}
    assert len(site.rows(FEEDBACK)) == 2
    assert [row.comment for row in site.rows(FEEDBACK)] == [None, None]


def test_a_comment_is_kept_where_the_site_says_so(tmp_path: Path) -> None:
    site = Site(tmp_path, feedback_comments=True)
    site.tell(overridden("c"))
    assert [row.comment for row in site.rows(FEEDBACK)] == ["Zaphod Beeblebrox"]


def test_one_wrong_item_is_named_and_nothing_is_kept(site: Site) -> None:
    wrong = overridden("Zaphod") | {"outcome": "ignored"}
    answer = site.tell(overridden("c"), wrong)
    assert answer.status_code == 400
    assert check_outcome(answer.data)["issue"][0]["diagnostics"].startswith("feedback[1].outcome: must be")
    assert "Zaphod" not in answer.text
    assert site.rows(FEEDBACK) == []


def test_every_service_has_the_endpoint_and_no_other(site: Site) -> None:
    for one in site.app.test_client().get("/cds-services").json["services"]:
        assert site.tell(service=f"/cds-services/{one['id']}").status_code == 200
    assert site.tell(service="/cds-services/none").status_code == 404
    wrong = site.app.test_client().get(FEEDBACK_AT)
    assert (wrong.status_code, "POST" in wrong.headers["Allow"]) == (405, True)


def test_a_large_or_foreign_body_is_refused(tmp_path: Path) -> None:
    site = Site(tmp_path, max_body_bytes=1000)
    assert site.tell(*(overridden(str(uuid4())) for _ in range(20))).status_code == 413
    client = site.app.test_client()
    assert client.post(FEEDBACK_AT, data=b"<x/>", content_type="text/xml").status_code == 415


def test_a_preflight_needs_no_token(site: Site) -> None:
    headers = {"Origin": "https://ehr.example.org", "Access-Control-Request-Method": "POST"}
    answer = site.app.test_client().options(FEEDBACK_AT, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "https://ehr.example.org"


def test_while_the_database_is_locked_feedback_gets_a_503_and_cards_come(tmp_path: Path) -> None:
    site = Site(tmp_path)
    lock = sqlite3.connect(tmp_path / "memory.sqlite3", isolation_level=None)
    with contextlib.closing(lock):
        lock.execute("BEGIN EXCLUSIVE")
        assert "labhypokalemia" in topics(site.cards())
        answer = site.tell(overridden("c"))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert check_outcome(answer.data)["issue"][0]["code"] == "transient"
    assert site.store.events.counts["feedback-refused"] == 1
    assert site.store.events.counts["shown-postponed"] == 2, "both cards of that request"


def test_a_site_without_a_memory_says_so() -> None:
    answer = make_app().test_client().post(FEEDBACK_AT, json={"feedback": []})
    assert answer.status_code == 404
    assert "LEGCRAMP_DATABASE" in check_outcome(answer.data)["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "LEGCRAMP_DATABASE: is not set"),
        ({"database": "sqlite:///m.sqlite3"}, "LEGCRAMP_PATIENT_HASH_KEY: is not set"),
        ({"database": "mysql://who:Zaphod@host/m", "patient_hash_key": KEY}, "LEGCRAMP_DATABASE: must begin with"),
        ({"database": "sqlite:///{}/m.sqlite3", "patient_hash_key": KEY}, "run: legcramp database upgrade"),
    ],
)
def test_outside_development_a_start_says_what_is_missing(config: dict[str, str], said: str, tmp_path: Path) -> None:
    config = {name: value.replace("{}", str(tmp_path)) for name, value in config.items()}
    with pytest.raises(BadConfiguration, match=said) as caught:
        store_of(WebConfig(**config), runner().ruleset.knowledge, lambda *_: None)
    assert "Zaphod" not in str(caught.value)


def test_a_site_may_want_no_memory() -> None:
    assert store_of(WebConfig(database="none"), runner().ruleset.knowledge, lambda *_: None) is None
    assert store_of(WebConfig(development=True), runner().ruleset.knowledge, lambda *_: None) is None


# -- the real server -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started(database: str) -> Iterator[Callable[[str, Any], tuple[int, Any]]]:
    """`legcramp serve` in a session of its own; killed with SIGKILL, all of it, at the end."""
    environment = os.environ | {"LEGCRAMP_DEVELOPMENT": "1", "LEGCRAMP_DATABASE": database}
    command = [sys.executable, "-m", "cds_service.cli", "serve", "--port", "0", "--workers", "2"]
    command[1:3] = ["-c", "from cds_service.cli import main; main()"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        with process.stdout:
            port = 0
            while not port:
                line = json.loads(process.stdout.readline())
                port = int(line["addresses"][0].rpartition(":")[2]) if line["event"] == "listening" else 0

            def post(path: str, document: Any) -> tuple[int, Any]:
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                    connection.request("POST", path, json.dumps(document), {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    return response.status, json.loads(response.read())

            yield post
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def test_what_was_answered_200_survives_a_kill_at_once(address: str) -> None:
    if not address.startswith("sqlite"):
        upgrade(open_database(address))
    request = hook_request(context={"userId": "Practitioner/1", "patientId": "pt-4711"}, prefetch=current())
    with started(address) as post:
        _, answer = post(SERVICE, request)
        card = answer["cards"][0]
        assert card["source"]["topic"]["code"] == "labhypokalemia"
        status, told = post(FEEDBACK_AT, {"feedback": [overridden(card["uuid"], at=datetime.now(UTC))]})
        assert (status, told) == (200, {})
    with started(address) as post:
        status, answer = post(SERVICE, request)
        assert status == 200
        assert "labhypokalemia" not in topics(answer["cards"])


def current() -> dict[str, Any]:
    """The prefetch of the other tests, with results of yesterday."""
    dated = {"effectiveDateTime": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    return PREFETCH | {"observations": bundle(*(one | dated for one in RESULTS))}
