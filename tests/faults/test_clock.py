"""The machine's clock jumps: tokens are refused while it is wrong, none counts twice, and nothing is to be repaired."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cds_service.clients.replay import InMemoryReplayStore
from cds_service.feedback.breaker import Breaker
from cds_service.feedback.database import open_database
from cds_service.feedback.migrate import upgrade
from cds_service.feedback.replay import SharedReplayStore
from cds_service.fhir.deadline import Deadline
from tests.clients.signing import NOW, claims, token
from tests.web.trusted import Site


@pytest.mark.parametrize(("jump", "said"), [(timedelta(days=1), "expired"), (timedelta(days=-1), "not-yet")])
def test_tokens_are_refused_while_the_clock_is_wrong_and_taken_again_after(jump: timedelta, said: str) -> None:
    site = Site()
    assert site.bearer(token()).status_code == 200
    site.now = NOW + jump
    assert site.bearer(token()).status_code == 401
    assert site.last_line["denied"] == said
    site.now = NOW
    assert site.bearer(token()).status_code == 200


def test_a_token_that_was_refused_for_the_clock_is_not_used_up() -> None:
    site, made = Site(), token(payload=claims())
    site.now = NOW + timedelta(days=1)
    assert site.bearer(made).status_code == 401
    site.now = NOW
    assert site.bearer(made).status_code == 200


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def test_a_used_token_stays_used_after_a_jump_there_and_back(tmp_path: Path) -> None:
    clock, expires_at = Clock(), NOW + timedelta(minutes=5)
    database = open_database(f"sqlite:///{tmp_path}/memory.sqlite3")
    upgrade(database)
    store = SharedReplayStore(database, Breaker(lambda *_: None), lambda *_: None, InMemoryReplayStore(now=clock))
    assert not store.seen("ehr", "one", expires_at)
    clock.now = NOW + timedelta(days=1)
    assert not store.seen("ehr", "two", clock.now + timedelta(minutes=5)), "the worker's own memory forgets the first"
    clock.now = NOW
    assert store.seen("ehr", "one", expires_at)
    database.close()


def test_deadlines_and_pauses_do_not_follow_the_clock_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    deadline, breaker = Deadline(60), Breaker(lambda *_: None)
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert 0 < deadline.left() <= 60
    assert not breaker.is_open
