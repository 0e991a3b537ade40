"""A database that is locked, full, read-only, stopped or silent keeps no card back, and is left alone for a while."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, select

from cds_service.cards.hold_back import CardBasis, Part
from cds_service.clients.model import Client
from cds_service.feedback import memory as module
from cds_service.feedback.breaker import Breaker, Unavailable
from cds_service.feedback.database import BadDatabase, Database, open_database
from cds_service.feedback.decode import Told
from cds_service.feedback.events import EVENTS, Events
from cds_service.feedback.memory import Memory, Occasion, Shown
from cds_service.feedback.migrate import status, upgrade
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.feedback.receive import Receiver
from cds_service.feedback.replay import SharedReplayStore
from cds_service.feedback.store import open_store
from cds_service.feedback.tables import SHOWN
from tests.feedback import postgresql
from tests.feedback.conftest import PATIENCE_SECONDS, Noted
from tests.scenarios.shared import runner

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
KNOWLEDGE = runner().ruleset.knowledge
OCCASION = Occasion("north", "wards", "leg-cramp-patient-view", "patient-view", str(uuid4()), "pat-4711")
BASIS = CardBasis("lab-hypokalemia", "labhypokalemia", "warning", {"lab-hypokalemia": Part("warning", "mild", 2)})
CLIENT = Client(id="north", issuer="https://north.example.org")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Parts:
    """The memory over one database, with a clock that only the test moves."""

    def __init__(self, database: Database, noted: Noted) -> None:
        self.database, self.noted, self.clock = database, noted, Clock()
        self.breaker = Breaker(noted, self.clock)
        pseudonyms = Pseudonyms(b"a key of the site")
        self.memory = Memory(database, pseudonyms, KNOWLEDGE.lasting_reasons, noted, self.breaker)
        self.receiver = Receiver(database, self.breaker, pseudonyms, KNOWLEDGE)
        self.replay = SharedReplayStore(database, self.breaker, noted)

    def show(self) -> None:
        self.memory.note_shown(OCCASION, [Shown(BASIS, str(uuid4()))], ("f00d", "1"), NOW)

    def tell(self) -> None:
        self.receiver.keep(CLIENT, OCCASION.service, [Told(str(uuid4()), "overridden", NOW)], NOW)

    def tell_until_refused(self) -> None:
        for _ in range(200):  # into pages that are there already, a little may still fit
            self.tell()

    def stored(self) -> int:
        with self.database.durable.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(SHOWN)).scalar_one())


@pytest.fixture
def parts(tmp_path: Path, noted: Noted) -> Iterator[Parts]:
    database = open_database(f"sqlite:///{tmp_path}/memory.sqlite3", 0.2, 0.2)
    upgrade(database)
    yield Parts(database, noted)
    database.close()


@contextlib.contextmanager
def locked(parts: Parts) -> Iterator[None]:
    connection = sqlite3.connect(str(parts.database.url.database), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextlib.contextmanager
def pragma(parts: Parts, statement: str) -> Iterator[None]:
    """Every connection made in the meantime begins with the statement."""

    def begin(connection: Any, _record: Any) -> None:
        connection.execute(statement).close()

    engines = (parts.database.quick, parts.database.durable)
    parts.database.close()
    for engine in engines:
        event.listen(engine, "connect", begin)
    try:
        yield
    finally:
        for engine in engines:
            event.remove(engine, "connect", begin)
        parts.database.close()


def full(parts: Parts) -> Any:
    return pragma(parts, "PRAGMA max_page_count=1")  # it never shrinks below what is there: nothing more fits


def read_only(parts: Parts) -> Any:
    return pragma(parts, "PRAGMA query_only=ON")


@pytest.mark.parametrize("trouble", [locked, full, read_only])
def test_a_database_in_trouble_refuses_feedback_and_keeps_what_was_shown(parts: Parts, trouble: Any) -> None:
    with trouble(parts):
        with pytest.raises(Unavailable) as caught:
            parts.tell_until_refused()
        assert caught.value.retry_after > 0
        before = parts.memory.waiting
        parts.show()
        assert parts.memory.waiting == before + 1
        assert parts.noted["database-down"] == 1
        assert parts.noted["shown-postponed"] == 1
    stored = parts.stored()
    parts.clock.now += 60
    parts.show()
    assert parts.memory.waiting == 0
    assert parts.stored() == stored + 2, "what waited is written with the next"
    assert parts.noted["database-up"] == 1
    assert parts.noted["shown-lost"] == 0
    parts.tell()


def test_a_locked_database_is_waited_for_once(parts: Parts) -> None:
    tries = 0

    def count(*_: Any) -> None:
        nonlocal tries
        tries += 1

    parts.show()
    with locked(parts):
        event.listen(parts.database.quick, "before_cursor_execute", count)
        for _ in range(50):
            parts.show()
        event.remove(parts.database.quick, "before_cursor_execute", count)
    assert tries == 1
    assert parts.memory.waiting == 50


def test_the_pause_grows_and_one_caller_tries_when_it_is_over(noted: Noted) -> None:
    clock = Clock()
    breaker = Breaker(noted, clock)
    engine = open_database("sqlite:////proc/no/such/folder.sqlite3", 0.1, 0.1).quick
    asked: list[float] = []

    def work(_connection: Any) -> None:
        raise OSError

    def attempt() -> float:
        with pytest.raises(Unavailable) as caught:
            breaker.attempt(engine, work, 1.0)
        asked.append(caught.value.retry_after)
        return float(caught.value.retry_after)

    pauses = []
    for _ in range(7):
        pauses.append(attempt())
        clock.now += pauses[-1] / 2
        assert attempt() == pytest.approx(pauses[-1] / 2), "in the middle of a pause nothing is tried"
        clock.now += pauses[-1] / 2
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_what_does_not_fit_is_counted_as_lost(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 3)
    with locked(parts):
        for _ in range(5):
            parts.show()
    assert parts.memory.waiting == 3
    assert parts.noted["shown-lost"] == 2


def test_without_its_tables_nothing_is_known_and_nothing_fails(tmp_path: Path, noted: Noted) -> None:
    parts = Parts(open_database(f"sqlite:///{tmp_path}/empty.sqlite3"), noted)
    assert parts.memory.history(OCCASION, NOW) is None
    parts.show()
    assert noted["history-unavailable"] == 1
    assert noted["shown-postponed"] == 1


def test_used_tokens_fall_back_to_the_workers_own_memory(parts: Parts) -> None:
    until = datetime.now(UTC) + timedelta(minutes=5)
    with locked(parts):
        assert not parts.replay.seen("north", "jti", until)
        assert parts.replay.seen("north", "jti", until)
        assert parts.noted["replay-fallback"] == 1
    assert parts.replay.seen("north", "jti", until)


def test_a_stopped_postgresql_and_its_return(noted: Noted) -> None:
    if postgresql.PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed; `make postgresql` installs it")
    with postgresql.running() as server:
        database = open_database(server.url("memory"), PATIENCE_SECONDS, PATIENCE_SECONDS)
        upgrade(database)
        parts = Parts(database, noted)
        parts.show()
        parts.tell()
        server.stop()
        with pytest.raises(Unavailable):
            parts.tell()
        parts.show()
        assert parts.memory.history(OCCASION, NOW) is None
        assert (parts.memory.waiting, noted["database-down"]) == (1, 1)
        server.start()
        parts.clock.now += 60
        parts.tell()
        parts.show()
        assert (parts.memory.waiting, parts.stored()) == (0, 3)
        assert noted["database-up"] == 1
        database.close()


def test_a_postgresql_that_goes_silent_is_waited_for_once(noted: Noted) -> None:
    if postgresql.PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed; `make postgresql` installs it")
    with postgresql.running() as server:
        address = server.url("memory")
        upgrade(open_database(address))
        parts = Parts(open_database(address, PATIENCE_SECONDS, PATIENCE_SECONDS), noted)
        parts.show()
        impatient = Parts(open_database(address, 0.3, 0.3), noted)
        server.pause()
        try:
            before = threading.active_count()
            started = time.monotonic()
            for _ in range(20):
                impatient.show()
            took = time.monotonic() - started
            assert threading.active_count() == before + 1, "one thread hangs, and no more are made"
            # twenty waits would be 6 s; one is 0.3 s on any machine that runs at all
            assert took < 5
            with pytest.raises(Unavailable):
                impatient.tell()
        finally:
            server.resume()
        patient = Parts(open_database(address, PATIENCE_SECONDS, PATIENCE_SECONDS), noted)
        patient.show()
        assert patient.memory.waiting == 0
        for one in (parts, impatient, patient):
            one.database.close()


def test_a_start_migrates_a_development_sqlite_and_says_what_to_run_otherwise(address: str) -> None:
    events = Events()
    with pytest.raises(BadDatabase, match="legcramp database upgrade"):
        open_store(address, b"key", KNOWLEDGE, events, keeps_comments=False, migrates=False)
    if address.startswith("sqlite"):
        store = open_store(address, b"key", KNOWLEDGE, events, keeps_comments=False, migrates=True)
        assert status(store.database).state == "current"
        store.database.close()
    else:
        with pytest.raises(BadDatabase, match="legcramp database upgrade"):
            open_store(address, b"key", KNOWLEDGE, events, keeps_comments=False, migrates=True)


def test_a_start_with_a_database_that_does_not_answer_is_a_start() -> None:
    events = Events()
    address = "postgresql://nobody@127.0.0.1:1/none"
    store = open_store(address, b"key", KNOWLEDGE, events, keeps_comments=False, migrates=False)
    assert events.counts["database-down"] == 1
    assert store.memory.history(OCCASION, NOW) is None


def test_events_are_counted_each_time_and_said_once_a_minute() -> None:
    clock, said, heard = Clock(), [], Noted()
    events = Events(said.append, clock)
    events.listen(heard)
    for _ in range(3):
        events(EVENTS[0])
    clock.now = 61
    events(EVENTS[0], 2)
    assert events.counts[EVENTS[0]] == 5
    assert heard[EVENTS[0]] == 5
    assert said == [EVENTS[0]] * 2
