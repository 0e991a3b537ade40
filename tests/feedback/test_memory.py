"""What was shown is noted, what was told is kept once, and a patient's history comes of both: on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from cds_service.cards.hold_back import CardBasis, Part
from cds_service.clients.model import Client
from cds_service.feedback.breaker import Breaker
from cds_service.feedback.database import Database
from cds_service.feedback.decode import Told
from cds_service.feedback.memory import Memory, Occasion, Shown
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.feedback.receive import Receiver
from cds_service.feedback.replay import SharedReplayStore
from cds_service.feedback.retention import purge
from cds_service.feedback.tables import FEEDBACK, REPLAY, SHOWN
from tests.feedback.conftest import Noted
from tests.scenarios.shared import runner

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
KNOWLEDGE = runner().ruleset.knowledge
CLIENT = Client(id="north", issuer="https://north.example.org", group="wards")
BASIS = CardBasis("lab-hypokalemia", "labhypokalemia", "warning", {"lab-hypokalemia": Part("warning", "mild", 2)})
OCCASION = Occasion("north", "wards", "leg-cramp-patient-view", "patient-view", str(uuid4()), "pat-4711")
VERSIONS = ("f00d", "1.0")


@pytest.fixture
def memory(database: Database, noted: Noted) -> Memory:
    return Memory(database, Pseudonyms(b"a key of the site"), KNOWLEDGE.lasting_reasons, noted)


@pytest.fixture
def receiver(database: Database, memory: Memory) -> Receiver:
    return Receiver(database, memory.breaker, memory.pseudonyms, KNOWLEDGE)


def shown(memory: Memory, occasion: Occasion = OCCASION, **members: Any) -> str:
    uuid = str(uuid4())
    memory.note_shown(occasion, [Shown(BASIS, uuid, **members)], VERSIONS, NOW)
    return uuid


def override(card: str, code: str = "OR-managed", at: datetime = NOW, **members: Any) -> Told:
    return Told(card, "overridden", at, (), KNOWLEDGE.override_system, code, **members)


def count(database: Database, table: Any) -> int:
    with database.quick.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_shown_card_is_noted_with_everything_but_the_patient(memory: Memory, database: Database) -> None:
    uuid = shown(memory, offers=2)
    with database.quick.connect() as connection:
        row = connection.execute(select(SHOWN)).one()._asdict()
    assert row.pop("id") > 0
    assert len(row.pop("patient")) == 64
    assert row == {
        "card": uuid, "shown_at": NOW, "client": "north", "clinician_group": "wards",
        "service": "leg-cramp-patient-view", "hook": "patient-view", "hook_instance": OCCASION.hook_instance,
        "rule": "lab-hypokalemia", "topic": "labhypokalemia", "indicator": "warning", "offers": 2, "silent": False,
        "parts": '{"lab-hypokalemia":{"indicator":"warning","band":"mild","points":2,"drugs":{}}}',
        "ruleset": "f00d", "knowledge": "1.0",
    }  # fmt: skip


def test_the_hash_of_a_patient_needs_the_key_and_the_client() -> None:
    hashes = {
        Pseudonyms(key).patient(client, "pat-4711")
        for key in (b"a key of the site", b"a key of another")
        for client in ("north", "south")
    }
    assert len(hashes) == 4
    assert Pseudonyms(b"k").patient("a", "bc") != Pseudonyms(b"k").patient("ab", "c")


def test_an_override_is_found_again_for_this_patient_and_group(memory: Memory, receiver: Receiver) -> None:
    uuid = shown(memory)
    receiver.keep(CLIENT, OCCASION.service, [override(uuid)], NOW)
    found = memory.history(OCCASION, NOW)
    assert found is not None
    (one,) = found.overrides
    assert (one.rule, one.reason, one.overridden_at, one.parts) == ("lab-hypokalemia", "OR-managed", NOW, BASIS.parts)


@pytest.mark.parametrize(
    "other", [{"patient_id": "pat-4712"}, {"group": "clinic"}, {"client": "south"}], ids=["patient", "group", "client"]
)
def test_an_override_says_nothing_of_anyone_else(memory: Memory, receiver: Receiver, other: dict[str, str]) -> None:
    receiver.keep(CLIENT, OCCASION.service, [override(shown(memory))], NOW)
    names = ("client", "group", "service", "hook", "hook_instance", "patient_id")
    someone = Occasion(**({name: getattr(OCCASION, name) for name in names} | other))
    found = memory.history(someone, NOW)
    assert found is not None
    assert found.overrides == ()


def test_a_client_cannot_override_the_card_of_another(memory: Memory, receiver: Receiver) -> None:
    receiver.keep(Client(id="south", issuer="https://s.example.org"), OCCASION.service, [override(shown(memory))], NOW)
    found = memory.history(OCCASION, NOW)
    assert found is not None
    assert found.overrides == ()


def test_feedback_that_comes_before_the_card_is_noted_counts_all_the_same(memory: Memory, receiver: Receiver) -> None:
    uuid = str(uuid4())
    receiver.keep(CLIENT, OCCASION.service, [override(uuid)], NOW)
    memory.note_shown(OCCASION, [Shown(BASIS, uuid)], VERSIONS, NOW)
    found = memory.history(OCCASION, NOW)
    assert found is not None
    assert len(found.overrides) == 1


def test_the_last_word_on_a_card_counts(memory: Memory, receiver: Receiver) -> None:
    uuid = shown(memory)
    later = NOW + timedelta(minutes=1)
    receiver.keep(CLIENT, OCCASION.service, [override(uuid), Told(uuid, "accepted", later, ("s1",))], later)
    found = memory.history(OCCASION, later)
    assert found is not None
    assert found.overrides == ()


def test_a_clock_that_runs_ahead_does_not_lengthen_the_period(memory: Memory, receiver: Receiver) -> None:
    uuid = shown(memory)
    receiver.keep(CLIENT, OCCASION.service, [override(uuid, at=NOW + timedelta(days=400))], NOW)
    found = memory.history(OCCASION, NOW)
    assert found is not None
    assert found.overrides[0].overridden_at == NOW


def test_the_same_again_changes_nothing_in_a_batch_or_later(receiver: Receiver, database: Database) -> None:
    told = [override(str(uuid4())) for _ in range(3)]
    receiver.keep(CLIENT, OCCASION.service, [*told, told[0]], NOW)
    receiver.keep(CLIENT, OCCASION.service, told, NOW + timedelta(days=1))
    assert count(database, FEEDBACK) == 3
    receiver.keep(CLIENT, OCCASION.service, [override(told[0].card, "OR-declined")], NOW)
    assert count(database, FEEDBACK) == 4, "something else about the same card is something new"


def rows(database: Database) -> list[Any]:
    with database.quick.connect() as connection:
        return list(connection.execute(select(FEEDBACK).order_by(FEEDBACK.c.id)))


def test_an_unknown_card_is_kept_and_a_name_in_its_place_is_hashed(receiver: Receiver, database: Database) -> None:
    uuid = str(uuid4())
    receiver.keep(CLIENT, OCCASION.service, [override(uuid.upper()), override("Zaphod Beeblebrox")], NOW)
    first, second = rows(database)
    assert first.card == uuid
    assert len(second.card) == 64
    assert "Zaphod" not in str(second)


@pytest.mark.parametrize(
    ("system", "code", "stored"),
    [
        (KNOWLEDGE.override_system, "OR-managed", "OR-managed"),
        ("", "OR-managed", "OR-managed"),
        ("urn:site", "OR-managed", "OR-managed"),
        ("urn:elsewhere", "OR-managed", "other"),
        ("http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes", "patient-refuses", "patient-refuses"),
        ("", "patient-refuses", "patient-refuses"),
        ("", "Zaphod", "other"),
        ("", "", ""),
    ],
)
def test_only_listed_reasons_are_stored(
    receiver: Receiver, database: Database, system: str, code: str, stored: str
) -> None:
    profile = CLIENT.profile.__class__(code_systems={KNOWLEDGE.override_system: "urn:site"})
    client = Client(id="north", issuer="https://north.example.org", profile=profile)
    receiver.keep(client, OCCASION.service, [Told("c", "overridden", NOW, (), system, code)], NOW)
    assert [row.reason for row in rows(database)] == [stored]


def test_a_comment_is_dropped_unless_the_site_keeps_comments(
    memory: Memory, receiver: Receiver, database: Database
) -> None:
    told = override("c", comment="Zaphod has\x00two heads")
    receiver.keep(CLIENT, OCCASION.service, [told], NOW)
    keeping = Receiver(database, memory.breaker, memory.pseudonyms, KNOWLEDGE, keeps_comments=True)
    keeping.keep(CLIENT, OCCASION.service, [override("d", comment=told.comment)], NOW)
    assert [row.comment for row in rows(database)] == [None, "Zaphod hastwo heads"]


def test_a_used_token_is_known_to_every_worker(database: Database, noted: Noted) -> None:
    one, other = (SharedReplayStore(database, Breaker(noted), noted) for _ in range(2))
    until = datetime.now(UTC) + timedelta(minutes=5)
    assert not one.seen("north", "jti-1", until)
    assert one.seen("north", "jti-1", until)
    assert other.seen("north", "jti-1", until)
    assert not other.seen("south", "jti-1", until)
    assert not other.seen("north", "jti-2", until)
    assert not noted
    with database.quick.connect() as connection:
        assert "jti-1" not in str(connection.execute(select(REPLAY)).all())


def test_purging_removes_what_is_older_and_nothing_else(
    memory: Memory, receiver: Receiver, database: Database, noted: Noted
) -> None:
    receiver.keep(CLIENT, OCCASION.service, [override(shown(memory))], NOW)
    tokens = SharedReplayStore(database, memory.breaker, noted)
    tokens.seen("north", "old", NOW)
    tokens.seen("north", "new", NOW + timedelta(days=2))
    keep = timedelta(days=1)
    assert purge(database, NOW + keep, keep).shown == 0, "what is exactly as old as that is kept"
    later = NOW + keep + timedelta(seconds=1)
    would = purge(database, later, keep, dry_run=True)
    assert (would.shown, would.feedback) == (1, 1)
    assert count(database, SHOWN) == 1
    assert purge(database, later, keep) == would
    assert [count(database, table) for table in (SHOWN, FEEDBACK, REPLAY)] == [0, 0, 1]


def test_many_rows_are_purged_in_small_transactions(
    memory: Memory, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds_service.feedback.retention._AT_ONCE", 2)
    for _ in range(5):
        shown(memory)
    assert purge(database, NOW + timedelta(days=9), timedelta(days=1)).shown == 5


def test_nothing_of_a_patient_is_in_the_database(memory: Memory, receiver: Receiver, database: Database) -> None:
    odd = Occasion("north", "wards", "leg-cramp-patient-view", "patient-view", "Zaphod Beeblebrox", "pat-4711")
    uuid = shown(memory, odd)
    receiver.keep(CLIENT, odd.service, [override(uuid, "Zaphod", comment="pat-4711"), override("pat-4711")], NOW)
    dump = ""
    with database.quick.connect() as connection:
        for table in ("shown_card", "feedback", "used_token"):
            dump += str(connection.execute(text(f"SELECT * FROM {table}")).all())
    assert uuid in dump
    assert "Zaphod" not in dump
    assert "4711" not in dump
