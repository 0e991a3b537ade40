"""Everything the rules folder says, compiled: what the loader fills and everything else reads."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cds_service.engine.criteria import Vocabulary
from cds_service.engine.derived import DerivedMeasurement
from cds_service.engine.handout import Handout
from cds_service.engine.model import Gate, Reference, ReviewLimits, Rule
from cds_service.engine.safety import Freeze, PatientGate, SweepRow
from cds_service.engine.tier import Tier


class Knowledge:
    """Everything the rules folder says, compiled. Built once at start; immutable afterwards."""

    def __init__(self) -> None:
        self.version = ""
        self.title = ""
        self.canonical = ""
        self.status = ""
        self.rules: tuple[Rule, ...] = ()
        self.gates: dict[str, Gate] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.references: dict[str, Reference] = {}
        self.override_system = ""
        self.override_reasons: dict[str, str] = {}
        self.lasting_reasons: dict[str, timedelta] = {}
        """How long a card stays back after an override with this reason; any other reason holds nothing back."""
        self.foreign_reasons: dict[str, dict[str, str]] = {}
        """Code system to code to words, of reasons that are counted but are none of ours."""
        self.review_limits: ReviewLimits | None = None
        self.derived: tuple[DerivedMeasurement, ...] = ()
        self.patient_gates: tuple[PatientGate, ...] = ()
        self.sweep: tuple[SweepRow, ...] = ()
        self.freeze: Freeze = Freeze(())
        self.tier: Tier | None = None
        self.output: dict[str, Any] = {}
        self.handout: Handout | None = None
        self.vocabulary = Vocabulary(frozenset(), {})
        self.sources: dict[str, Any] = {}
        """File name to its plain data, for the digest."""

    @property
    def active_rules(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.status == "active")
