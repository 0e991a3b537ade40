"""Amounts of a medicine as ordered: per dose and per day. What is not stated plainly is unknown, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from cds_service.facts.model import Dose
from cds_service.facts.quantities import fold
from cds_service.facts.units import DoseWords

_STRENGTH = re.compile(
    r"(?<![\w.])(\d+(?:[.,]\d+)*)\s*([a-zA-Z\u00b5\u03bc]+)(?:\s*(?:/|per)\s*(\d+(?:\.\d+)?)?\s*([a-zA-Z]+))?(?![\w])"
)


class Strength(msgspec.Struct, frozen=True):
    """How much drug one piece (tablet) or one mL holds."""

    amount: Decimal
    unit: str
    per_ml: bool = False


class OneDosage(msgspec.Struct, frozen=True):
    """One dosage instruction: `value` with `unit` as written, `a_day` times a day; each None when not stated."""

    value: Decimal | None
    unit: str
    a_day: Decimal | None


def strength_of(text: str, words: DoseWords) -> Strength | None:
    """The strength that a product's name states, when it states exactly one that is an amount of drug."""
    found: set[Strength] = set()
    for match in _STRENGTH.finditer(text[:400]):
        number, unit, per, per_unit = match.groups()
        amount = words.amounts.get(fold(unit))
        if amount is None:
            continue
        volume = words.volumes.get(fold(per_unit)) if per_unit else None
        value = Decimal(number.replace(",", ""))
        if per_unit and volume is None:
            if fold(per_unit) not in words.pieces:
                return None
            volume = None
        if volume is not None:
            value /= (Decimal(per) if per else Decimal(1)) * words.volume_in_ml[volume]
        found.add(Strength(value, amount, volume is not None))
    return found.pop() if len(found) == 1 else None


def times_a_day(
    frequency: Decimal | None, period: Decimal | None, period_unit: str | None, code: str | None, words: DoseWords
) -> Decimal | None:
    """How often in 24 hours, from ``repeat`` or from a timing code; None when neither says so."""
    if frequency is not None and period is not None and period > 0 and period_unit in words.period_units:
        return frequency / period * words.period_units[period_unit]
    return words.timing_codes.get(code.upper()) if code else None


def dose_of(dosages: Sequence[OneDosage], strength: Strength | None, words: DoseWords) -> Dose | None:
    """The dose of an order. Several instructions add up for the day; the largest counts as the single dose."""
    each: list[Decimal | None] = []
    daily: list[Decimal | None] = []
    unit: str | None = None
    for dosage in dosages:
        amount = _amount(dosage, strength, words)
        if amount is not None:
            if unit is not None and unit != amount[1]:
                return None
            unit = amount[1]
        each.append(amount[0] if amount else None)
        daily.append(amount[0] * dosage.a_day if amount and dosage.a_day is not None else None)
    if unit is None:
        return None
    known = [value for value in each if value is not None]
    known_daily = [value for value in daily if value is not None]
    return Dose(
        unit,
        max(known) if len(known) == len(each) else None,
        sum(known_daily, Decimal(0)) if len(known_daily) == len(daily) else None,
    )


def _amount(dosage: OneDosage, strength: Strength | None, words: DoseWords) -> tuple[Decimal, str] | None:
    if dosage.value is None:
        return None
    spelling = fold(dosage.unit)
    if spelling in words.amounts:
        return dosage.value, words.amounts[spelling]
    if strength is None:
        return None
    if spelling in words.volumes:
        return (
            (dosage.value * words.volume_in_ml[words.volumes[spelling]] * strength.amount, strength.unit)
            if strength.per_ml
            else None
        )
    if spelling in words.pieces and not strength.per_ml:
        return dosage.value * strength.amount, strength.unit
    return None
