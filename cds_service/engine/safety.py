"""What stands above the rules: patient gates (0.2), the critical freeze (P2) and the final sweep (4.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from cds_service.engine.context import Context
from cds_service.engine.model import Finding, Test
from cds_service.engine.verdicts import NO, YES


class PatientGate(msgspec.Struct, frozen=True):
    """`then` is no-cards, only-critical or no-doses."""

    id: str
    test: Test
    then: str
    cites: str = ""


class SweepRow(msgspec.Struct, frozen=True):
    """A patient fact under which the named treatments are forbidden, whatever rule offered them."""

    id: str
    test: Test
    forbid: tuple[str, ...]
    why: str


class FreezeException(msgspec.Struct, frozen=True):
    gate: str
    on: frozenset[str]
    """The cards on which the treatment may stay."""
    tolerated: frozenset[str]
    """It stays only while every critical finding is one of these rules."""


class Freeze(msgspec.Struct, frozen=True):
    """Any critical finding, shown or not, freezes every medication start (P2)."""

    exceptions: tuple[FreezeException, ...]

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Freeze:
        return cls(
            tuple(
                FreezeException(row["gate"], frozenset(row["on"]), frozenset(row["when_critical_only"]))
                for row in data["except"]
            )
        )

    def holds(self, gate: str, rule_id: str, findings: Iterable[Finding]) -> bool:
        """Whether a treatment of `gate` on the card of `rule_id` is frozen."""
        critical = {finding.rule.id for finding in findings if finding.fired and finding.indicator == "critical"}
        if not critical:
            return False
        return not any(row.gate == gate and rule_id in row.on and critical <= row.tolerated for row in self.exceptions)


def patient_gate(context: Context, gates: Iterable[PatientGate]) -> dict[str, str]:
    """The consequences that apply to this patient, each with the id of the gate that caused it."""
    consequences: dict[str, str] = {}
    for gate in gates:
        context.begin()
        if gate.test(context) == YES:
            consequences.setdefault(gate.then, gate.id)
    return consequences


def swept(context: Context, rows: Iterable[SweepRow], treats: str) -> SweepRow | None:
    """The first row of the matrix that forbids the treatment; an unknown row forbids as a yes does."""
    for row in rows:
        if treats in row.forbid:
            context.begin()
            if row.test(context) != NO:
                return row
    return None
