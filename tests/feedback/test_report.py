"""The report counts what was shown and what came of it, on both databases, and marks the rules to be reviewed."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from cds_service.cards.hold_back import CardBasis, Part
from cds_service.clients.model import Client
from cds_service.feedback.counts import Counts, read_counts
from cds_service.feedback.database import Database
from cds_service.feedback.decode import Told
from cds_service.feedback.memory import Memory, Occasion, Shown
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.feedback.receive import Receiver
from cds_service.feedback.report import Report, make_report
from cds_service.feedback.report_charts import CHARTS, Chart, draw, told
from cds_service.feedback.report_tables import KINDS, as_csv, as_data
from tests.feedback.conftest import Noted
from tests.scenarios.shared import runner

KNOWLEDGE = runner().ruleset.knowledge
SINCE, UNTIL = date(2026, 3, 1), date(2026, 3, 31)
AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
Show = Callable[..., None]


@pytest.fixture
def show(database: Database, noted: Noted) -> Show:
    """Notes `times` cards of a rule, and what came of each."""
    memory = Memory(database, Pseudonyms(b"key"), KNOWLEDGE.lasting_reasons, noted)
    receiver = Receiver(database, memory.breaker, memory.pseudonyms, KNOWLEDGE)

    def _show(rule: str = "lab-hypokalemia", times: int = 1, outcome: str = "", reason: str = "OR-managed",
              client: str = "north", at: datetime = AT, indicator: Any = "warning", offers: int = 1,
              silent: bool = False) -> None:  # fmt: skip
        occasion = Occasion(client, "wards", "s", "patient-view", str(uuid4()), "p")
        basis = CardBasis(rule, rule.replace("-", ""), indicator, {rule: Part(indicator, "b", 1)})
        uuids = [str(uuid4()) for _ in range(times)]
        memory.note_shown(occasion, [Shown(basis, uuid, offers, silent) for uuid in uuids], ("d", "1"), at)
        if outcome:
            accepted = ("s",) if outcome == "accepted" else ()
            code = reason if outcome == "overridden" else ""
            items = [Told(uuid, outcome, at, accepted, "", code) for uuid in uuids]  # type: ignore[arg-type]
            receiver.keep(Client(id=client), "s", items, at)

    return _show


def report(database: Database, since: date = SINCE, until: date = UNTIL, client: str = "") -> Report:
    return make_report(read_counts(database, since, until, client), KNOWLEDGE, since, until, client)


def test_cards_are_counted_by_rule_topic_outcome_and_reason(show: Show, database: Database) -> None:
    show(times=3, outcome="accepted")
    show(times=2, outcome="overridden")
    show(times=1, outcome="overridden", reason="OR-monitor")
    show(times=4)
    show("cramp-documented", times=2, indicator="info", offers=0)
    show(times=5, silent=True)
    made = report(database)
    low, summary = made.rules
    assert (low.name, low.number, low.topic) == ("lab-hypokalemia", "R01", "laboratory")
    assert (low.shown, low.unsent, low.accepted, low.overridden, low.unanswered) == (10, 5, 3, 3, 4)
    assert low.reasons == {"OR-managed": 2, "OR-monitor": 1}
    assert low.accepted_percent == 30
    assert low.overridden_percent == 50
    assert (summary.shown, summary.offering, summary.accepted_percent, summary.overridden_percent) == (2, 0, None, None)
    assert [(topic.title, topic.shown) for topic in made.topics] == [("Laboratory", 10), ("Summary", 2)]
    assert (made.total.shown, made.total.unsent) == (12, 5)
    assert list(made.reasons.items()) == [("OR-managed", "Already being managed"), ("OR-monitor", "Will monitor")]


def test_the_last_word_on_a_card_is_counted_once(show: Show, database: Database, noted: Noted) -> None:
    memory = Memory(database, Pseudonyms(b"key"), {}, noted)
    receiver = Receiver(database, memory.breaker, memory.pseudonyms, KNOWLEDGE)
    uuid = str(uuid4())
    occasion = Occasion("north", "wards", "s", "patient-view", "i", "p")
    basis = CardBasis("lab-hypokalemia", "t", "warning", {})
    memory.note_shown(occasion, [Shown(basis, uuid)], ("d", "1"), AT)
    first = Told(uuid, "overridden", AT, (), "", "OR-managed")
    receiver.keep(Client(id="north"), "s", [Told(uuid, "accepted", AT + timedelta(hours=1), ("s",)), first], AT)
    (line,) = report(database).rules
    assert (line.shown, line.accepted, line.overridden) == (1, 1, 0)


def test_days_are_counted_from_the_first_to_the_last_both_included(show: Show, database: Database) -> None:
    for at in ("2026-02-28T23:59:59", "2026-03-01T00:00:00", "2026-03-31T23:59:59", "2026-04-01T00:00:00"):
        show(at=datetime.fromisoformat(at + "+00:00"))
    made = report(database)
    assert made.total.shown == 2
    assert [line.shown for line in made.periods] == [1, *[0] * 29, 1]


@pytest.mark.parametrize(
    ("until", "step", "periods", "first"),
    [
        (date(2026, 3, 31), "day", 31, "2026-03-01"),
        (date(2026, 4, 1), "week", 6, "2026-02-23"),
        (date(2027, 2, 28), "month", 12, "2026-03-01"),
    ],
)
def test_longer_times_have_longer_steps_and_no_gaps(until: date, step: str, periods: int, first: str) -> None:
    made = make_report(Counts((), (), 0), KNOWLEDGE, SINCE, until)
    assert (made.step, len(made.periods), made.periods[0].name) == (step, periods, first)


def test_one_client_is_counted_apart(show: Show, database: Database) -> None:
    show(times=2)
    show(client="south", outcome="overridden")
    made = report(database, client="south")
    assert (made.total.shown, made.total.overridden) == (1, 1)
    assert made.clients == ("north", "south")


def test_feedback_on_unknown_cards_is_counted(database: Database, noted: Noted) -> None:
    memory = Memory(database, Pseudonyms(b"key"), {}, noted)
    receiver = Receiver(database, memory.breaker, memory.pseudonyms, KNOWLEDGE)
    receiver.keep(Client(id="north"), "s", [Told("c", "overridden", AT), Told("d", "overridden", AT)], AT)
    assert report(database).unknown == 2
    assert report(database, client="south").unknown == 0


@pytest.mark.parametrize(
    ("accepted", "overridden", "silence", "marks"),
    [
        (4, 16, 0, []),  # exactly 80% overridden
        (3, 17, 0, ["overridden more than 80%"]),
        (3, 16, 0, []),  # 84%, of 19 cards
        (1, 0, 19, []),  # exactly 5% accepted
        (1, 0, 20, ["accepted less than 5%"]),
        (0, 0, 19, []),
        (0, 20, 0, ["overridden more than 80%", "accepted less than 5%"]),
    ],
)
def test_rules_beyond_the_limits_of_section_8_are_marked(
    show: Show, database: Database, accepted: int, overridden: int, silence: int, marks: list[str]
) -> None:
    for times, outcome in ((accepted, "accepted"), (overridden, "overridden"), (silence, "")):
        if times:
            show(times=times, outcome=outcome)
    made = report(database)
    assert list(made.rules[0].review) == marks
    assert list(made.to_review) == ([made.rules[0]] if marks else [])


def test_a_rule_without_offers_cannot_be_accepted_too_seldom(show: Show, database: Database) -> None:
    show(times=30, offers=0)
    assert report(database).rules[0].review == ()


def test_a_critical_rule_is_never_changed_for_its_override_rate_alone(show: Show, database: Database) -> None:
    show(times=20, outcome="overridden", indicator="critical")
    assert report(database).rules[0].review[-1] == "critical cards are never changed for this alone"


def test_a_rule_that_is_no_longer_there_is_counted_under_its_id(show: Show, database: Database) -> None:
    show("gone-long-ago")
    (line,) = report(database).rules
    assert (line.title, line.topic) == ("gone-long-ago", "no longer there")


def test_tables_as_csv(show: Show, database: Database) -> None:
    show(times=20, outcome="overridden")
    show(times=1, outcome="overridden", reason="")
    rows = list(csv.DictReader(io.StringIO(as_csv(report(database), "rules"))))
    assert rows == [
        {
            "rule": "lab-hypokalemia", "number": "R01", "title": "Low potassium", "topic": "laboratory", "shown": "21",
            "unsent": "0", "critical": "0", "offering": "21", "accepted": "0", "overridden": "21", "no_answer": "0",
            "accepted_percent": "0.0", "overridden_percent": "100.0",
            "review": "overridden more than 80%; accepted less than 5%",
            "reason OR-managed": "20", "reason none given": "1",
        }
    ]  # fmt: skip
    for kind in KINDS:
        (head, *lines) = csv.reader(io.StringIO(as_csv(report(database), kind)))
        assert all(len(line) == len(head) for line in lines)
    assert len(list(csv.reader(io.StringIO(as_csv(report(database), "time"))))) == 32


def test_the_whole_as_data(show: Show, database: Database) -> None:
    show(outcome="accepted")
    data = as_data(report(database))
    assert data["total"]["accepted"] == 1
    assert data["rules"][0]["no_answer"] == 0
    assert data["since"] == "2026-03-01"


@pytest.mark.parametrize("chart", CHARTS)
def test_charts_are_the_same_each_time_and_told_in_words(show: Show, database: Database, chart: Chart) -> None:
    show(times=3, outcome="accepted")
    show("cramp-documented", times=9)
    made = report(database)
    drawn = draw(made, chart)
    assert drawn == draw(made, chart)
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    assert {"rules": ": 9, of them", "time": ": 12."}[chart] in told(made, chart)


def test_bars_are_told_apart_by_hatching(show: Show, database: Database) -> None:
    show(times=3, outcome="accepted")
    show(times=3, outcome="overridden")
    show(times=3)
    assert draw(report(database), "rules").count(b"<pattern ") == 2


@pytest.mark.parametrize("chart", CHARTS)
def test_nothing_shown_makes_a_chart_that_says_so(chart: Chart) -> None:
    empty = make_report(Counts((), (), 0), KNOWLEDGE, SINCE, UNTIL)
    assert draw(empty, chart).startswith(b"<?xml")
    assert told(empty, chart) == "No card was shown in this time."
