"""Real processes that are killed, stopped, reloaded and held up: nothing that was answered 200 is lost."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import sqlite3
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from tests.faults.service import ROOT, Service, until

pytestmark = pytest.mark.heavy


def rows(folder: Path, query: str) -> set[str]:
    with contextlib.closing(sqlite3.connect(folder / "memory.sqlite3", timeout=30)) as database:
        return {row[0] for row in database.execute(query)}


class Telling:
    """Feedback from several senders at once, until it ends; `taken` are the cards whose feedback got a 200."""

    def __init__(self, service: Service, senders: int = 4) -> None:
        self._service, self._over = service, threading.Event()
        self.taken: set[str] = set()
        self._threads = [threading.Thread(target=self._tell) for _ in range(senders)]

    def _tell(self) -> None:
        while not self._over.is_set():
            card = str(uuid4())
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._service.tell(card) == 200:
                    self.taken.add(card)

    def __enter__(self) -> Telling:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, count: int = 20) -> None:
        """Waits until so much more was taken."""
        before = len(self.taken)
        until(lambda: len(self.taken) >= before + count)


def test_feedback_that_was_taken_survives_the_kill_of_workers_and_master(tmp_path: Path) -> None:
    with Service(tmp_path) as service, Telling(service) as telling:
        telling.go_on()
        for _ in range(2):
            victim = service.workers[0]
            os.kill(victim, signal.SIGKILL)
            telling.go_on()
            until(lambda gone=victim: gone not in service.workers and len(service.workers) == 2)
        os.killpg(service.process.pid, signal.SIGKILL)
        taken = set(telling.taken)
    assert len(taken) >= 60
    assert taken <= rows(tmp_path, "select card from feedback")
    with Service(tmp_path) as service:
        assert service.cards()


def test_broken_rules_at_reload_leave_the_old_ones_at_work_and_are_told(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", rules)
    broken = next((rules / "laboratory").glob("*.yaml"))
    sound = broken.read_bytes()
    with Service(tmp_path, RULES=str(rules)) as service:
        before = service.ready()
        broken.write_text("id: [")
        service.process.send_signal(signal.SIGHUP)
        until(lambda: "reload" in service.ready())
        assert service.ready()["ruleset"] == before["ruleset"]
        assert service.cards()
        assert broken.name in service.log.read_text()
        assert b'legcramp_reloads_total{outcome="failed"} 1.0' in service.ask("GET", "/metrics")[1]
        broken.write_bytes(sound)
        service.process.send_signal(signal.SIGHUP)
        until(lambda: service.ready() == before)
        assert b'legcramp_reloads_total{outcome="done"} 1.0' in service.ask("GET", "/metrics")[1]


def test_what_waits_for_a_locked_database_is_written_at_the_stop(tmp_path: Path) -> None:
    with Service(tmp_path, workers=1) as service:
        service.cards()
        with contextlib.closing(sqlite3.connect(tmp_path / "memory.sqlite3")) as lock:
            lock.execute("begin immediate")
            shown = {card["uuid"] for card in service.cards()}
            assert service.tell(str(uuid4())) == 503
        assert shown
        assert not shown & rows(tmp_path, "select card from shown_card")
        service.stop()
    assert shown <= rows(tmp_path, "select card from shown_card")


def test_two_versions_share_a_database_during_a_rolling_update(tmp_path: Path) -> None:
    newer = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", newer)
    ruleset = newer / "ruleset.yaml"
    ruleset.write_text(ruleset.read_text().replace("knowledge_version: 0.1.0", "knowledge_version: 0.1.1", 1))
    with Service(tmp_path, workers=1) as old, Service(tmp_path, workers=1, RULES=str(newer)) as new:
        assert old.ready()["knowledge"] != new.ready()["knowledge"]
        of_old, of_new = ({card["uuid"] for card in one.cards()} for one in (old, new))
        assert {new.tell(card) for card in of_old} == {old.tell(card) for card in of_new} == {200}
        old.stop()
        assert new.cards()
    for table in ("shown_card", "feedback"):
        assert of_old | of_new <= rows(tmp_path, f"select card from {table}")


def test_any_worker_tells_the_counts_of_all_and_of_those_that_are_gone(tmp_path: Path) -> None:
    with Service(tmp_path, workers=3) as service:
        for _ in range(20):
            service.cards()
        os.kill(service.workers[0], signal.SIGKILL)
        until(lambda: len(service.workers) == 3)
        counted = (
            b'legcramp_requests_total{endpoint="invocation.invoke",service="leg-cramp-patient-view",status="200"} 20.0'
        )
        assert all(counted in service.ask("GET", "/metrics")[1] for _ in range(10))
