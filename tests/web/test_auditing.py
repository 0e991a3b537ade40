"""What a request leaves in the audit trail, and that a trail that cannot be written stops nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from cds_service.clients.model import Client
from cds_service.clients.tokens import Denied
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.fhir.complete import Completion
from cds_service.fhir.outcomes import Fetched
from cds_service.telemetry.audit import AskedFor, Entry, read_entries
from cds_service.telemetry.audit_events import as_audit_event
from cds_service.telemetry.log import make_log
from cds_service.telemetry.metrics import Metrics
from cds_service.web.app import create_app
from cds_service.web.config import BadConfiguration, WebConfig, config_from
from tests.web.fakes import INSTANCE, hook_request, make_app
from tests.web.test_feedback import FEEDBACK_AT, KEY, ROOT, SERVICE, Site, overridden
from tests.web.test_real_rules import NOW, PREFETCH

CONTEXT = {"userId": "Practitioner/zaphod", "patientId": "Patient/pt-4711"}
NAMES = ("pt-4711", "zaphod", "Zaphod", "Beeblebrox", INSTANCE)
NORTH = Client(id="north", issuer="https://north.example.org")


class Audited(Site):
    """The service with a memory and a trail; nothing in it calls the network."""

    def __init__(self, folder: Path, clients: tuple[Client, ...] = (), **config: Any) -> None:
        self.path, self.log = folder / "audit.ndjson", io.BytesIO()
        self.metrics = Metrics("1", "2", "3")
        super().__init__(folder, clients, self.log, patient_hash_key=KEY, **config)
        self.wire(metrics=self.metrics)

    def wire(self, **parts: Any) -> None:
        """The application again, with other parts."""
        wiring = msgspec.structs.replace(self.app.extensions["wiring"], **parts)
        config = msgspec.structs.replace(self.app.extensions["config"], audit_file=self.path)
        self.app = create_app(config, wiring, make_log(self.log))

    def ask(self, **members: Any) -> Any:
        request = hook_request(context=CONTEXT, prefetch=PREFETCH) | members
        return self.app.test_client().post(SERVICE, json=request)

    def entries(self) -> list[Entry]:
        return list(read_entries(self.path))

    def last(self) -> Entry:
        return self.entries()[-1]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Audited]:
    made = Audited(tmp_path)
    yield made
    made.store.database.close()


def test_an_invocation_says_who_asked_about_whom_and_which_rules_fired(tmp_path: Path) -> None:
    site = Audited(tmp_path, (NORTH,))
    answer = site.ask()
    entry = site.last()
    hashes = Pseudonyms(KEY.encode())
    assert (entry.at, entry.request_id) == (NOW, answer.headers["X-Request-Id"])
    assert (entry.action, entry.status, entry.service) == ("invocation", 200, "leg-cramp-patient-view")
    assert (entry.hook, entry.client) == ("patient-view", "north")
    assert entry.patient == hashes.patient("north", "pt-4711"), "the same hash as in the memory"
    assert entry.user == hashes.named("user", "north", "Practitioner/zaphod")
    assert entry.instance
    fired = {one.rule: one.indicator for one in entry.rules}
    assert fired["lab-hypokalemia"] == "warning"
    assert entry.cards == len(answer.json["cards"]) > 0
    assert entry.ruleset == site.app.extensions["wiring"].ruleset.digest
    AuditEvent.model_validate_json(msgspec.json.encode(as_audit_event(entry, "https://cds.example.org")))
    site.store.database.close()


def test_a_silent_client_gets_no_cards_and_the_rules_are_in_the_trail(tmp_path: Path) -> None:
    site = Audited(tmp_path, (msgspec.structs.replace(NORTH, silent=True),))
    assert site.ask().json == {"cards": []}
    assert site.last().cards == 0
    assert "lab-hypokalemia" in {one.rule for one in site.last().rules}
    site.store.database.close()


def test_what_was_asked_of_the_ehr(site: Audited) -> None:
    questions = (Fetched(key="medications", outcome="ok", resources=3), Fetched(key="procedures", outcome="timeout"))
    site.wire(fetch=lambda *_: Completion(fetched=questions))
    assert site.ask(fhirServer="https://ehr.example.org/r4").status_code == 200
    assert site.last().fetched == (AskedFor("medications", "ok", 3), AskedFor("procedures", "timeout"))


def test_feedback_is_in_the_trail(site: Audited) -> None:
    card = site.cards()[0]
    assert site.tell(overridden(card["uuid"])).status_code == 200
    assert (site.last().action, site.last().status, site.last().service) == ("feedback", 200, "leg-cramp-patient-view")


def test_a_request_without_a_token_that_counts(tmp_path: Path) -> None:
    site = Audited(tmp_path, (NORTH,))

    class Denying:
        def verify(self, *_: Any, **__: Any) -> Client:
            raise Denied("expired")

    site.wire(verifier=Denying())
    assert site.ask().status_code == 401
    entry = site.last()
    assert (entry.status, entry.denied, entry.client, entry.patient) == (401, "expired", "", "")
    site.store.database.close()


@pytest.mark.parametrize(
    ("request_body", "status"),
    [(b"{", 400), (b'{"hook":"patient-view"}', 400), (json.dumps(hook_request(hook="zaphod")).encode(), 400)],
)
def test_a_request_that_cannot_be_read(site: Audited, request_body: bytes, status: int) -> None:
    answer = site.app.test_client().post(SERVICE, data=request_body, content_type="application/json")
    assert (answer.status_code, site.last().status, site.last().rules) == (status, status, ())


def test_a_fault_of_ours(site: Audited) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("Zaphod")

    site.wire(assess=fail)
    assert site.ask().status_code == 500
    assert (site.last().status, bool(site.last().patient)) == (500, True)


def test_pages_discovery_and_probes_are_not_in_the_trail(site: Audited) -> None:
    client = site.app.test_client()
    for path in ("/healthz", "/cds-services", "/rules", "/report", "/nowhere", "/metrics"):
        client.get(path)
    client.options(SERVICE)
    assert site.entries() == []


def test_nothing_of_a_patient_or_user_is_in_the_trail(site: Audited) -> None:
    site.ask()
    site.ask(hookInstance="Zaphod")
    site.tell(overridden(site.cards()[0]["uuid"]))
    text = site.path.read_text(encoding="utf-8")
    for name in NAMES:
        assert name not in text


# -- when it cannot be written


def test_a_trail_that_cannot_be_written_stops_nothing_and_is_counted(site: Audited) -> None:
    before = site.ask()
    site.path.unlink()
    site.path.mkdir()
    for _ in range(3):
        assert len(site.ask().json["cards"]) == len(before.json["cards"])
    assert "legcramp_audit_lost_total 3.0" in site.metrics.text().decode()
    lines = [json.loads(line) for line in site.log.getvalue().splitlines()]
    assert [line["event"] for line in lines].count("audit-lost") == 1, "told once a minute"


def test_an_entry_that_cannot_even_be_made_stops_nothing(site: Audited) -> None:
    clock = iter([NOW])  # the assessment takes it, and the trail finds no time any more
    site.wire(now=lambda: next(clock), memory=None)
    assert site.ask().status_code == 200
    assert "legcramp_audit_lost_total 1.0" in site.metrics.text().decode()
    assert site.entries() == []


# -- at start


def test_a_start_fails_where_the_trail_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="LEGCRAMP_AUDIT_FILE") as raised:
        make_app(development=True, audit_file=tmp_path)
    assert "directory" in str(raised.value)


def test_outside_development_a_key_is_needed(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="PATIENT_HASH_KEY"):
        make_app(audit_file=tmp_path / "audit")
    make_app(audit_file=tmp_path / "audit", patient_hash_key=KEY)
    make_app(audit_file=tmp_path / "audit", development=True)


def test_without_a_file_there_is_no_trail() -> None:
    assert config_from({"LEGCRAMP_DEVELOPMENT": "1"}).audit_file is None
    assert WebConfig().audit_file is None
    assert make_app(development=True).test_client().post(FEEDBACK_AT, json={"feedback": []}).status_code in (400, 404)


def test_the_guide_tells_how_to_find_a_patient() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    recipe = next(block for block in guide.split("```") if "import hashlib" in block)
    told: list[str] = []
    exec(recipe, {"key": KEY.encode(), "print": told.append})
    assert told == [Pseudonyms(KEY.encode()).patient("north", "4711")]
