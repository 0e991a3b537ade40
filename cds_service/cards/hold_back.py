"""A card that was overridden for a lasting reason stays back for a while, unless the facts got worse.

Pure data in, pure data out: what was overridden comes as a `History`; what stays back is named in the Assessment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from cds_service.engine.model import INDICATORS, Finding, Indicator, TierResult
from cds_service.facts.model import Dose, Ingredient, Medication

UNSTATED = ""


class Part(msgspec.Struct, frozen=True):
    """One finding on a card, as far as it matters for whether it got worse."""

    indicator: Indicator | None
    band: str
    points: int
    drugs: dict[str, str] = {}
    """Ingredient id to its amount a day, such as ``40 mg``; `UNSTATED` where the order states none."""


class CardBasis(msgspec.Struct, frozen=True):
    """What a card rests on. `rule` is what it is about; `parts` holds that rule and all others that it names."""

    rule: str
    topic: str
    indicator: Indicator
    parts: dict[str, Part]


class Override(msgspec.Struct, frozen=True):
    """A card of this patient that this clinician group overrode; `parts` as they were then."""

    rule: str
    reason: str
    overridden_at: datetime
    parts: dict[str, Part]


class History(msgspec.Struct, frozen=True):
    """What one group of clinicians overrode for one patient."""

    overrides: tuple[Override, ...] = ()


class HeldBack(msgspec.Struct, frozen=True):
    """A finding without the card it would have had."""

    rule: str
    indicator: Indicator
    reason: str
    overridden_at: datetime
    until: datetime


class HoldBack:
    """Decides for one assessment which findings stay back.

    `lasting` tells how long each reason lasts; `at_most` shortens that for a site, and zero switches it off.
    """

    def __init__(
        self, history: History | None, lasting: Mapping[str, timedelta], now: datetime, at_most: timedelta | None = None
    ) -> None:
        self._now = now
        self._overrides: list[tuple[Override, datetime]] = []
        for override in history.overrides if history is not None else ():
            period = lasting.get(override.reason, timedelta())
            until = override.overridden_at + (period if at_most is None else min(period, at_most))
            if now < until:
                self._overrides.append((override, until))

    def of(self, finding: Finding, others: Iterable[Finding] = (), tier: TierResult | None = None) -> HeldBack | None:
        """Why the card about `finding` stays back, None where it is shown.

        `others` are the findings that a summary card would name; `tier` is given for a summary card alone.
        """
        if not self._overrides or finding.indicator is None or finding.indicator == "critical":
            return None
        now = parts_of(finding, others, tier)
        held = [
            HeldBack(finding.rule.id, finding.indicator, override.reason, override.overridden_at, until)
            for override, until in self._overrides
            # a reason that this very band does not take, such as "benefit outweighs risk", counts for nothing
            if override.rule == finding.rule.id and override.reason in finding.override_reasons
            if all(rule in override.parts and not _worse(part, override.parts[rule]) for rule, part in now.items())
        ]
        return max(held, key=lambda one: one.until, default=None)


def parts_of(finding: Finding, others: Iterable[Finding] = (), tier: TierResult | None = None) -> dict[str, Part]:
    """The parts of a card. A summary rule has no points of its own: those of the tier stand for it."""
    parts = {one.rule.id: _part(one) for one in others}
    own = _part(finding)
    parts[finding.rule.id] = own if tier is None else msgspec.structs.replace(own, points=tier.points)
    return parts


def _part(finding: Finding) -> Part:
    drugs: dict[str, str] = {}
    for bound in finding.bound.values():
        for pair in bound if isinstance(bound, tuple) else ():
            match pair:
                case (Medication() as medication, Ingredient() as ingredient):
                    drugs[ingredient.id] = _greater(drugs.get(ingredient.id), _a_day(medication.dose))
    return Part(finding.indicator, finding.band, finding.points, drugs)


def _a_day(dose: Dose | None) -> str:
    return UNSTATED if dose is None or dose.a_day is None else f"{dose.a_day.normalize():f} {dose.unit}"


def _greater(one: str | None, other: str) -> str:
    """Of two orders for one drug the one that gives more; without a common unit, that nothing is known."""
    if one is None or one == other:
        return other
    if not _comparable(one, other):
        return UNSTATED
    return max(one, other, key=_number)


def _worse(now: Part, then: Part) -> bool:
    """Whether a clinician who knew `then` should hear of `now`.

    Any other band counts: bands are not ordered in every rule. A drug that was not named then counts, and a dose that
    is higher or cannot be compared.
    """
    if now.band != then.band or now.points > then.points or _rank(now.indicator) > _rank(then.indicator):
        return True
    return any(
        drug not in then.drugs or (amount != then.drugs[drug] and not _at_most(amount, then.drugs[drug]))
        for drug, amount in now.drugs.items()
    )


def _rank(indicator: Indicator | None) -> int:
    return -1 if indicator is None else INDICATORS.index(indicator)


def _at_most(now: str, then: str) -> bool:
    return _comparable(now, then) and _number(now) <= _number(then)


def _comparable(one: str, other: str) -> bool:
    return UNSTATED not in (one, other) and one.partition(" ")[2] == other.partition(" ")[2]


def _number(amount: str) -> Decimal:
    return Decimal(amount.partition(" ")[0])
