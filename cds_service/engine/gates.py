"""First-match decision tables: may a treatment be offered, and at which dose (section 2.0)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cds_service.engine.context import Context, once
from cds_service.engine.model import Decision, Gate, ThenRow
from cds_service.engine.verdicts import NO, UNKNOWN, YES


def decide(context: Context, gate: Gate) -> Decision:
    """The first row that is not a known no decides; unknown forbids what the row would have allowed (invariant 2)."""
    for row in gate.rows:
        context.begin()
        verdict = YES if row.test is None else row.test(context)
        if verdict == NO:
            continue
        bound, evidence = context.bound, once(context.evidence)
        unknown = verdict == UNKNOWN
        if row.allow is None:
            return Decision(
                gate.id, row.id, row.forbid, offers=row.offers, unknown=unknown, bound=bound, evidence=evidence
            )
        if unknown:
            return Decision(gate.id, row.id, "What this dose depends on is not known", unknown=True, bound=bound)
        draft: dict[str, Any] = dict(row.allow)
        for name, rows in gate.then.items():
            chosen = _first(context, rows)
            if chosen is not None:
                draft |= {"order": chosen["order"]} if name == "form" else {name: chosen}
        advice = tuple(str(value["text"]) for value in _all(context, gate.advice))
        return Decision(gate.id, row.id, draft=draft, advice=advice, bound=bound, evidence=evidence)
    return Decision(gate.id, "none", "No row of the table allows it")


def _first(context: Context, rows: Iterable[ThenRow]) -> dict[str, Any] | None:
    for row in rows:
        context.begin()
        if row.test is None or row.test(context) != NO:
            return row.value
    return None


def _all(context: Context, rows: Iterable[ThenRow]) -> list[dict[str, Any]]:
    chosen = []
    for row in rows:
        context.begin()
        if row.test is None or row.test(context) == YES:
            chosen.append(row.value)
    return chosen
