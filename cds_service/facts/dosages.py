"""A FHIR Dosage read: dose, unit and times a day, and what is left open in it."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from cds_service.facts import wire
from cds_service.facts.doses import OneDosage, times_a_day
from cds_service.facts.quantities import number
from cds_service.facts.units import DoseWords


def read_dosage(dosage: wire.Dosage, words: DoseWords) -> OneDosage:
    """The dose and how often a day; of a range the upper end, of what is not stated nothing."""
    quantity = _dose_quantity(dosage)
    repeat = dosage.timing.repeat if dosage.timing else None
    code: str | None = None
    if dosage.timing is not None and dosage.timing.code is not None:
        code = next((coding.code for coding in dosage.timing.code.coding if coding.code), dosage.timing.code.text)
    frequency: Decimal | None = None
    if repeat is not None:
        frequency = number_of(repeat.frequencyMax) or number_of(repeat.frequency)
        if frequency is None and bytes(repeat.period):
            frequency = Decimal(len(repeat.timeOfDay) or len(repeat.when) or 1)
    return OneDosage(
        number_of(quantity.value) if quantity else None,
        unit_of(quantity, words) if quantity else "",
        times_a_day(
            frequency,
            number_of(repeat.period) if repeat else None,
            repeat.periodUnit if repeat else None,
            code,
            words,
        ),
    )


def is_open(dosage: wire.Dosage) -> bool:
    """Whether a dose or how often it is taken is a range: then a quantity lasts nobody knows how long."""
    repeat = dosage.timing.repeat if dosage.timing else None
    return any(rate.doseRange is not None for rate in dosage.doseAndRate) or (
        repeat is not None and bool(bytes(repeat.frequencyMax))
    )


def is_as_needed(dosage: wire.Dosage) -> bool:
    return dosage.asNeededBoolean is True or dosage.asNeededCodeableConcept is not None


def dose_is_zero(dosages: tuple[wire.Dosage, ...]) -> bool:
    """Whether every instruction states a dose, and each is zero."""
    if not dosages:
        return False
    for dosage in dosages:
        quantity = _dose_quantity(dosage)
        if quantity is None or number_of(quantity.value) != 0:
            return False
    return True


def _dose_quantity(dosage: wire.Dosage) -> wire.Quantity | None:
    """The dose, of a range its upper end."""
    for rate in dosage.doseAndRate:
        if rate.doseQuantity is not None:
            return rate.doseQuantity
        if rate.doseRange is not None and rate.doseRange.high is not None:
            return rate.doseRange.high
    return dosage.doseQuantity


def unit_of(quantity: wire.Quantity, words: DoseWords) -> str:
    """The unit of a dose: its code where that is known, else its text."""
    code, text = quantity.code or "", quantity.unit or ""
    return code if code and (words.knows(code) or not text) else text


def number_of(raw: msgspec.Raw) -> Decimal | None:
    return number(bytes(raw).decode("utf-8", "replace"))
