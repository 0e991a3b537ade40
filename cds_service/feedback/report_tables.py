"""The report as CSV and as plain data. Nothing in it is text of a client: rule ids, words of the rules, numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any, Literal

from cds_service.feedback.report import Line, Report

Kind = Literal["rules", "topics", "time"]
KINDS: tuple[Kind, ...] = ("rules", "topics", "time")
_NAMES = {"rules": "rule", "topics": "topic", "time": "from"}


def as_csv(report: Report, kind: Kind) -> str:
    """One table, its lines ended as RFC 4180 has it; a column for each reason that was given."""
    out = io.StringIO()
    writer = csv.writer(out)
    of_rules = kind == "rules"
    reasons = list(report.reasons)
    writer.writerow([
        _NAMES[kind], *(("number", "title", "topic") if of_rules else ()), "shown", "unsent", "critical", "offering",
        "accepted", "overridden", "no_answer", "accepted_percent", "overridden_percent",
        *(("review",) if of_rules else ()), *(f"reason {code or 'none given'}" for code in reasons),
    ])  # fmt: skip
    for line in _lines(report, kind):
        writer.writerow([
            line.name, *((line.number, line.title, line.topic) if of_rules else ()), line.shown, line.unsent,
            line.critical, line.offering, line.accepted, line.overridden, line.unanswered,
            percent(line.accepted_percent), percent(line.overridden_percent),
            *(("; ".join(line.review),) if of_rules else ()), *(line.reasons.get(code, 0) for code in reasons),
        ])  # fmt: skip
    return out.getvalue()


def as_data(report: Report) -> dict[str, Any]:
    """The whole report as plain data, for JSON."""
    return {
        "since": report.since.isoformat(),
        "until": report.until.isoformat(),
        "client": report.client or None,
        "step": report.step,
        "total": _line(report.total),
        "rules": [_line(line) for line in report.rules],
        "topics": [_line(line) for line in report.topics],
        "periods": [_line(line) for line in report.periods],
        "reasons": report.reasons,
        "feedback_on_unknown_cards": report.unknown,
        "limits": report.limits,
    }


def percent(value: float | None) -> str:
    """One decimal; empty where there is nothing to take a share of."""
    return "" if value is None else f"{value:.1f}"


def _lines(report: Report, kind: Kind) -> Iterable[Line]:
    return {"rules": report.rules, "topics": report.topics, "time": report.periods}[kind]


def _line(line: Line) -> dict[str, Any]:
    members = ("name", "title", "number", "topic", "shown", "unsent", "critical", "offering", "accepted", "overridden")
    return {name: getattr(line, name) for name in members} | {
        "no_answer": line.unanswered,
        "accepted_percent": line.accepted_percent,
        "overridden_percent": line.overridden_percent,
        "reasons": line.reasons,
        "review": list(line.review),
    }
