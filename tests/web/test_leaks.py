"""A whole run over every fixture patient leaves nothing of any of them where it does not belong.

The application is the one of production: clients with keys, a memory, an audit trail, counts. Only the EHR's server is
a fake, at the transport seam. Whatever an EHR may send is salted, so that each patient has every kind of secret.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import requests
from click.testing import CliRunner

from cds_service.cli import main
from cds_service.feedback.database import open_database
from cds_service.feedback.migrate import upgrade
from cds_service.feedback.tables import FEEDBACK, METADATA, SHOWN
from cds_service.fhir.access import Policy
from cds_service.fhir.complete import FhirAccess
from cds_service.settings import Settings
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import wire
from tests.clients.signing import BASE, ISSUER, key_set, public_jwk, token
from tests.fhir.ehr_record import BASE as EHR
from tests.fhir.ehr_record import EhrRecord, outcome, record_of
from tests.fhir.fake_ehr import AUTHORIZATION, Answer, FakeEhr

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = sorted((ROOT / "fixtures" / "patients").glob("*.json"))
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
KEY = "a key of nobody but this site"
PAGES = "open the pages please"
VIEW, SELECT = "/cds-services/leg-cramp-patient-view", "/cds-services/leg-cramp-order-select"
MOST_BYTES = 200_000


class Patient:
    """A fixture patient with every kind of secret, and how an EHR tells of it."""

    def __init__(self, path: Path) -> None:
        salt = path.stem.replace("-", "")
        found = record_of(json.loads(path.read_text(encoding="utf-8")))
        self.id, name = found.patient["id"], found.patient["name"][0]
        self.family, self.given = name["family"], name["given"][0]
        self.note, self.comment = f"told{salt} of nights awake", f"neighbor{salt} will drive"
        self.user, self.encounter, self.instance = f"Practitioner/nurse{salt}", f"ward{salt}", str(uuid4())
        self.access_token = f"t0ken.{salt}"
        told = {
            "telecom": [{"system": "phone", "value": f"+00 555 {salt}"}],
            "address": [{"line": [f"{salt} Lane 7"], "city": f"{salt}ville"}],
            "text": {"status": "generated", "div": f"<div>born in {salt}burg</div>"},
        }
        noted = {"note": [{"text": self.note}]}
        self.record = EhrRecord(
            [one | (told if one["resourceType"] == "Patient" else noted) for one in found.resources], EHR
        )
        self.secrets = {
            self.id, self.family, self.given, found.patient["identifier"][0]["value"], found.patient["birthDate"],
            self.note, self.comment, self.user.partition("/")[2], self.encounter, self.access_token,
            *(f"{one}{salt}{other}" for one, other in (("555 ", ""), ("", " Lane"), ("", "ville"), ("", "burg"))),
        }  # fmt: skip

    def request(self, prefetched: tuple[str, ...] | None = (), **members: Any) -> dict[str, Any]:
        """A request with these keys prefetched, all of them for None, and access to the rest."""
        return {
            "hook": "patient-view",
            "hookInstance": self.instance,
            "fhirServer": EHR,
            "fhirAuthorization": AUTHORIZATION | {"access_token": self.access_token, "patient": self.id},
            "context": {"userId": self.user, "patientId": self.id, "encounterId": self.encounter},
            "prefetch": self.record.prefetch(prefetched),
        } | members

    def selecting(self) -> dict[str, Any]:
        draft = {
            "resourceType": "MedicationRequest", "id": "d1", "status": "draft", "intent": "order",
            "subject": {"reference": f"Patient/{self.id}", "display": f"{self.given} {self.family}"},
            "medicationCodeableConcept": {"text": "Furosemide 20 MG Oral Tablet"}, "note": [{"text": self.note}],
        }  # fmt: skip
        drafts = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": draft}]}
        request = self.request(None, hook="order-select")
        request["context"] |= {"selections": ["MedicationRequest/d1"], "draftOrders": drafts}
        return request

    def instead(self, url: str) -> Answer | None:
        """Some questions end badly, each in words that tell of the patient."""
        if "Procedure" in url:
            told = outcome("error")
            told["issue"][0]["diagnostics"] = f"{self.given} {self.family} keeps procedures to herself"
            return 403, told
        if "AllergyIntolerance" in url:
            return requests.ConnectionError(f"{url} of {self.family} cannot be reached")
        if "MedicationStatement" in url:
            return 200, f"<html>{self.family}</html>".encode()
        return None


class Run:
    """The site, what it answered when it refused, and everything it left behind."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.folder, self.log = folder, io.BytesIO()
        self.statuses: set[int] = set()
        self.refusals: list[str] = []
        self.secrets: set[str] = set()
        self.ehr = FakeEhr(EhrRecord([], EHR))
        (folder / "keys.json").write_bytes(key_set(public_jwk("k1")))
        clients = folder / "clients.toml"
        clients.write_text(
            f'[[client]]\nid = "ehr"\nissuer = "{ISSUER}"\nkey_file = "keys.json"\nfhir_servers = ["{EHR}"]\n'
        )
        self.database = folder / "memory.sqlite3"
        with contextlib.closing(open_database(f"sqlite:///{self.database}")) as empty:
            upgrade(empty)
        self.config = WebConfig(
            settings=Settings(public_base_url=BASE), clients=clients, database=f"sqlite:///{self.database}",
            patient_hash_key=KEY, pages_token=PAGES, audit_file=folder / "audit.ndjson", max_body_bytes=MOST_BYTES,
            preview=True, **config,
        )  # fmt: skip
        wiring = wire(self.config)
        self._real, self._fails_with = wiring.assess, ""
        access = FhirAccess(Policy(), 30, self.ehr)
        self.wiring = msgspec.structs.replace(wiring, fetch=access.complete, assess=self._assess, now=lambda: NOW)
        self.app = create_app(self.config, self.wiring, make_log(self.log))
        assert self.wiring.store is not None
        self.store = self.wiring.store

    def _assess(self, *given: Any) -> Any:
        if self._fails_with:
            raise ValueError(self._fails_with, given[0])
        return self._real(*given)

    def bearer(self, path: str, user: str = "", **changed: Any) -> str:
        at = int(time.time())
        claims = {"iss": ISSUER, "aud": BASE + path, "iat": at, "exp": at + 300, "jti": str(uuid4()), "sub": user}
        made = token(payload=claims | changed)
        self.secrets |= set(made.split(".")[1:]) | {claims["jti"]}
        return f"Bearer {made}"

    def post(self, path: str, body: Any, authorization: str | None = None, kind: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Authorization": authorization or self.bearer(path)}
        return self.keep(self.app.test_client().post(path, data=data, headers=headers, content_type=kind))

    def page(self, path: str, method: str = "GET", **options: Any) -> Any:
        opens = {"Authorization": "Basic " + base64.b64encode(f"any:{PAGES}".encode()).decode()}
        return self.keep(self.app.test_client().open(path, method=method, headers=opens, **options))

    def keep(self, answer: Any) -> Any:
        self.statuses.add(answer.status_code)
        if answer.status_code != 200:
            self.refusals.append(f"{answer.headers}{answer.text}")
        return answer

    def of(self, patient: Patient) -> None:
        """Everything that an EHR may ask and tell of a patient, and much that it may not."""
        self.secrets |= patient.secrets
        self.ehr.record, self.ehr.instead = patient.record, patient.instead
        self._cards_and_feedback(patient)
        self._refused_requests(patient)
        self._refused_callers(patient)
        self._fails_with = f"{patient.family} {patient.note}"
        self.post(VIEW, patient.request(None))
        self._fails_with = ""
        self.page("/preview.json", "POST", json=patient.request(None))
        self.page(f"/preview.json?hook={patient.family}", "POST", json=patient.request(None))
        self.page(f"/rules/{patient.family}")

    def _cards_and_feedback(self, patient: Patient) -> None:
        for prefetched in (None, (), ("patient", "medications")):
            answer = self.post(VIEW, patient.request(prefetched), self.bearer(VIEW, patient.user))
            told = [item(card["uuid"], patient) for card in answer.json["cards"]]
            self.post(f"{VIEW}/feedback", {"feedback": [*told, item(f"{patient.family}'s card", patient)]})
        self.post(SELECT, patient.selecting())
        epic = {"extension": {"com.epic.cdshooks.feedback.overrideReason.display": patient.comment}}
        odd = {name: value for name, value in item("a card", patient).items() if name != "overrideReason"}
        self.post(f"{VIEW}/feedback", {"feedback": [odd | {"overrideReasons": epic}]})

    def _refused_requests(self, patient: Patient) -> None:
        sound, name = patient.request(None), patient.family
        whole = json.dumps(sound).encode()
        self.post(VIEW, whole[:-20])
        self.post(VIEW, whole.replace(b'"hookInstance"', b'\xff"hookInstance"'))
        self.post(VIEW, sound | {"hook": name})
        self.post(VIEW, sound | {"context": sound["context"] | {"patientId": f"{name}/../{patient.id}"}})
        self.post(VIEW, sound | {"context": {"userId": name, "patientId": patient.id}})
        self.post(VIEW, sound | {"prefetch": name})
        self.post(VIEW, patient.request((), fhirServer=f"https://{patient.id}.example.org/{name}"))
        self.post(VIEW, sound | {"extension": {"org.example.padding": patient.note * (MOST_BYTES // 10)}})
        self.post(VIEW, whole, kind=f"text/{name}")
        self.post(f"/cds-services/{name}", sound)
        self.post(f"{VIEW}/feedback", {"feedback": [item(name, patient) | {"outcome": patient.comment}]})
        self.post(f"{VIEW}/feedback", {"feedback": patient.comment})
        self.keep(self.app.test_client().get(f"{VIEW}?patient={patient.id}&name={name}"))

    def _refused_callers(self, patient: Patient) -> None:
        sound, used = patient.request(None), self.bearer(VIEW, patient.user)
        for authorization in (
            used, used, "Bearer", f"Basic {patient.access_token}", f"Bearer {patient.access_token}", used[:-8],
            self.bearer(VIEW, aud=patient.id), self.bearer(VIEW, iss=f"https://{patient.id}.example.org"),
        ):  # fmt: skip
            self.post(VIEW, sound, authorization)

    def left_behind(self, console: str) -> dict[str, str]:
        """All texts in which nothing of a patient may stand, by where they lie."""
        shown = [self.page(path).text for path in ("/report", "/report/rules.csv", "/report/topics.csv", "/readyz")]
        environ = {"LEGCRAMP_DEVELOPMENT": "1", "LEGCRAMP_PUBLIC_BASE_URL": BASE}
        exported = CliRunner().invoke(main, ["audit", "export", str(self.config.audit_file)], env=environ)
        assert exported.exit_code == 0, exported.output
        with self.store.database.quick.connect() as connection:
            rows = [str(row) for table in METADATA.sorted_tables for row in connection.execute(table.select())]
        files = [one.read_bytes().decode("latin-1") for one in self.folder.glob("memory.sqlite3*")]
        return {
            "the log": self.log.getvalue().decode(),
            "standard output and error": console,
            "error bodies and headers": "\n".join(self.refusals),
            "the metrics": self.page("/metrics").text,
            "the report": "\n".join(shown),
            "the audit file": (self.folder / "audit.ndjson").read_text(encoding="utf-8"),
            "the exported audit trail": exported.stdout,
            "the dump of the database": "\n".join(rows),
            "the files of the database": "\n".join(files),
        }


def item(card: str, patient: Patient) -> dict[str, Any]:
    reason = {"reason": {"code": "OR-managed"}, "userComment": f"{patient.comment}; {patient.note}"}
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": NOW.isoformat(), "overrideReason": reason}


def leaks(places: dict[str, str], secrets: set[str]) -> set[tuple[str, str]]:
    """Where which secret stands, as a word of its own."""
    return {
        (place, secret)
        for place, text in places.items()
        for secret in secrets
        if secret in text and re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text)
    }


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    made = Run(tmp_path)
    yield made
    made.store.database.close()


def test_nothing_of_a_patient_is_left_behind(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    for path in PATIENTS:
        run.of(Patient(path))
    with contextlib.closing(sqlite3.connect(run.database, isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        run.post(f"{VIEW}/feedback", {"feedback": [item("a card", Patient(PATIENTS[0]))]})
    places = run.left_behind("".join(capfd.readouterr()))
    assert leaks(places, run.secrets) == set()

    # and it was a whole run
    assert run.statuses == {200, 400, 401, 404, 405, 412, 413, 415, 500, 503}
    for outcome_ in ("ok", "broken", "refused", "unreadable"):
        assert f'outcome="{outcome_}"' in places["the metrics"]
    assert "lab-hypokalemia" in places["the report"]
    for place, text in places.items():
        assert text or place == "standard output and error", place
    with run.store.database.quick.connect() as connection:
        for table in (SHOWN, FEEDBACK):
            assert len(list(connection.execute(table.select()))) >= len(PATIENTS)


def test_what_a_site_lets_in_is_found_where_it_lies(tmp_path: Path) -> None:
    """The search can fail: a comment that is kept on purpose stands in the database, and nowhere else."""
    run = Run(tmp_path, feedback_comments=True)
    patient = Patient(PATIENTS[0])
    run.of(patient)
    found = leaks(run.left_behind(""), run.secrets)
    run.store.database.close()
    in_database = {"the dump of the database", "the files of the database"}
    assert {place for place, _ in found} == in_database
    assert {secret for _, secret in found} == {patient.comment, patient.note}
