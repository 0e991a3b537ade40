"""One line for each fact a card rests on: what, value, unit, date, and what makes it less certain."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from decimal import Context
from typing import Any

from cds_service.cards.wording import day, join, number, unit_text, value_text
from cds_service.facts.model import Allergy, Condition, Measurement, Medication, Procedure
from cds_service.facts.quantities import Analyte

_THREE_DIGITS = Context(prec=3)


def describe(fact: Any, names: Mapping[str, str], zone: tzinfo, in_si: Mapping[str, Analyte] | None = None) -> str:
    """The line of one fact. `names` maps analytes to display names; no text of the record is repeated.

    With `in_si`, the analytes by their ids, a result of another unit is told in SI too.
    """
    match fact:
        case Measurement():
            return _measurement(fact, names, zone) + ("" if in_si is None else _in_si(fact, in_si))
        case Medication():
            return _medication(fact, zone)
        case Condition():
            noted = fact.onset or fact.recorded
            dated = f", {'since' if fact.onset else 'recorded'} {day(noted.latest, zone)}" if noted else ""
            possible = " (possible, not confirmed)" if fact.state == "possible" else ""
            return f"{fact.name}{possible}{dated}"
        case Procedure():
            return f"Procedure on {day(fact.performed.latest, zone)}" if fact.performed else "Procedure, undated"
        case Allergy():
            return "Allergy or intolerance on record"
    return ""


def _measurement(result: Measurement, names: Mapping[str, str], zone: tzinfo) -> str:
    parts = [f"{names.get(result.analyte, result.analyte)} {value_text(result)}", day(result.at, zone)]
    if result.preliminary:
        parts.append("preliminary")
    if result.hemolyzed:
        parts.append("hemolyzed sample")
    if result.problem is not None:
        parts.append("cannot be read safely")
    if result.estimated:
        parts.append(f"computed ({result.estimated})")
    elif result.usable and result.value is not None and result.unit != result.family:
        parts.append(f"reported as {result.comparator}{number(result.value)} {unit_text(result.unit)}")
    return ", ".join(parts)


def _in_si(result: Measurement, analytes: Mapping[str, Analyte]) -> str:
    """What an exact result is in SI, to three digits."""
    analyte = analytes.get(result.analyte)
    if analyte is None or result.low is None or result.low != result.high or result.family == analyte.si:
        return ""
    value = analyte.to_si(result.low, result.family)
    return f", {number(_THREE_DIGITS.create_decimal(value))} {unit_text(analyte.si)}"


def _medication(medication: Medication, zone: tzinfo) -> str:
    parts = [join(list(dict.fromkeys(ingredient.name for ingredient in medication.ingredients)))]
    if medication.draft:
        parts.append("to be refilled" if medication.standing else "draft order")
    elif medication.contributor:
        parts.append("current")
    elif medication.supply_only:
        at = medication.dispensed_at
        parts.append(f"dispensed{f' {day(at, zone)}' if at is not None else ''} without an order on record")
    else:
        parts.append("on hold, still supplied or not certain to be taken")
    if medication.patient_reported:
        parts.append("patient-reported")
    if medication.out_of_date:
        parts.append("may be out of date - verify")
    if any(ingredient.matched_by == "text" for ingredient in medication.ingredients):
        parts.append("recognized by name only")
    if medication.authored_at is not None and not medication.draft:
        parts.append(f"ordered {day(medication.authored_at, zone)}")
    return ", ".join(parts)
