"""The composition: gathered resources in, an Assessment out. Pure; the only way to a Finding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from cds_service.cards.compose import Composer
from cds_service.cards.hold_back import CardBasis, HeldBack, History
from cds_service.cards.model import Card
from cds_service.engine.context import Context
from cds_service.engine.evaluate import evaluate_findings
from cds_service.engine.model import Decision, Finding, TierResult
from cds_service.engine.safety import patient_gate
from cds_service.facts.decode import build_facts
from cds_service.facts.gathered import Gathered
from cds_service.facts.model import DataGap, Facts
from cds_service.ruleset import Ruleset
from cds_service.settings import Settings


class Assessment(msgspec.Struct, frozen=True):
    """What the rules say about one patient at one instant. `cards` have no identifiers yet (`cards.response`)."""

    cards: tuple[Card, ...]
    findings: tuple[Finding, ...]
    data_gaps: tuple[DataGap, ...]
    mode: Literal["full", "quiet"]
    knowledge: str
    ruleset: str
    tier: TierResult | None = None
    decisions: dict[str, Decision] = {}
    """What each gate that was asked decided, by its id."""
    gate: str = ""
    """The patient gate that kept every card back, such as `gate-age`."""
    bases: tuple[CardBasis, ...] = ()
    """What each of `cards` rests on, in their order."""
    silent: tuple[CardBasis, ...] = ()
    """What rules found that this client runs silently."""
    held_back: tuple[HeldBack, ...] = ()
    """What would have a card, had one not been overridden for a lasting reason."""


def assess(
    gathered: Gathered,
    ruleset: Ruleset,
    settings: Settings,
    now: datetime,
    history: History | None = None,
    go_on: Callable[[], None] | None = None,
) -> Assessment:
    """Assess one patient for one hook.

    `now` is an aware instant. `history` is what was shown and overridden before; None where nothing is remembered.
    Never raises for what the resources hold: what cannot be read is a data gap. `go_on` is called between the rules;
    what it raises ends the assessment, of which nothing is left then.
    """
    facts = build_facts(gathered, ruleset.terminology, settings, now)
    return assess_facts(facts, ruleset, settings, history, go_on)


def assess_facts(
    facts: Facts,
    ruleset: Ruleset,
    settings: Settings,
    history: History | None = None,
    go_on: Callable[[], None] | None = None,
) -> Assessment:
    """The same from Facts on: the part whose cost depends on the rules and not on the request."""
    knowledge = ruleset.knowledge
    context = Context(facts, settings)
    gates = patient_gate(context, knowledge.patient_gates)
    silenced = gates.get("no-cards", "")
    cards: tuple[Card, ...] = ()
    in_si = ruleset.terminology.units.analytes if settings.shows_si else None
    composer = Composer(context, knowledge, ruleset.analyte_names, ruleset.digest, gates, history, in_si)
    if not silenced:
        evaluate_findings(context, knowledge, ruleset.analyte_names, go_on)
        cards = composer.cards()
    return Assessment(
        cards=cards,
        findings=tuple(context.findings.values()),
        data_gaps=facts.gaps,
        mode="quiet" if context.quiet else "full",
        knowledge=knowledge.version,
        ruleset=ruleset.digest,
        tier=context.tier,
        decisions=context.decisions | composer.decisions,
        gate=silenced,
        bases=tuple(composer.bases),
        silent=tuple(composer.silent),
        held_back=tuple(composer.held_back),
    )
