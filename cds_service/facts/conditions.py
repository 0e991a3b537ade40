"""Whether a Condition is present, possible or over (section 0.3), and whether an Observation says cramps (0.6)."""

from __future__ import annotations

from typing import Literal

from cds_service.facts import wire
from cds_service.facts.instants import Dates
from cds_service.facts.model import Span

ACTIVE = frozenset({"active", "recurrence", "relapse"})
OVER = frozenset({"inactive", "remission", "resolved"})
VOID = frozenset({"refuted", "entered-in-error"})
_POSSIBLE = frozenset({"unconfirmed", "provisional", "differential"})
_FINAL = frozenset({"final", "amended", "corrected"})


def status_code(status: wire.Concept | str | None) -> str | None:
    """The code of a status: a CodeableConcept, or STU3's plain string. None when there is none."""
    if status is None or isinstance(status, str):
        return status
    for coding in status.coding:
        if coding.code:
            return coding.code
    return None


def condition_state(
    condition: wire.Condition, doubted: bool, dates: Dates
) -> Literal["present", "possible", "history"] | None:
    """The row of section 0.3; `doubted` as a patient's own word is. None: ignored, for gates too."""
    verification, clinical = status_code(condition.verificationStatus), status_code(condition.clinicalStatus)
    if verification in VOID:
        return None
    unsure = doubted or (verification is not None and verification != "confirmed")
    if clinical in OVER:
        return None if unsure and verification in _POSSIBLE else "history"
    ended = _ended(condition, dates)
    if ended == "over" or (ended == "undated" and clinical is None):
        return "history" if not unsure else None
    if unsure or ended is not None or (clinical is not None and clinical not in ACTIVE):
        return "possible"
    return "present"


def _ended(condition: wire.Condition, dates: Dates) -> Literal["over", "undated", "unsure"] | None:
    """Whether an abatement says the condition is over; None when it says nothing, or is still to come."""
    period = condition.abatementPeriod
    text = condition.abatementDateTime or (period.end if period else None)
    if text is not None:
        when = dates.span(text)
        if when is None:
            return "undated"
        if when.earliest > dates.now:
            return None
        # a bare day or month that is not over yet may still be to come
        return "over" if when.latest <= dates.now or when.earliest == when.latest else "unsure"
    if condition.abatementBoolean is True:
        return "undated"
    for raw in (condition.abatementString, condition.abatementAge, condition.abatementRange):
        if bytes(raw) not in (b"", b"null"):
            return "undated"
    return None


def symptom_state(
    observation: wire.Observation, by_code: bool, answered: bool
) -> Literal["present", "possible"] | None:
    """A final observation of leg cramps is the symptom as a condition of it would be (section 0.6).

    `by_code`: its code is a cramp's. `answered`: its answer is. None: it is no symptom.
    """
    answer = observation.valueCodeableConcept
    if observation.status not in _FINAL or not (by_code or answered):
        return None
    if answered:
        return "present"
    if observation.valueBoolean is False:
        return None
    plain = answer is None and not bytes(observation.valueString) and observation.valueQuantity is None
    return "present" if plain else "possible"


def time_of(day: str | None, period: wire.Period | None, dates: Dates) -> Span | None:
    """When something was or began: a date, else the start of a period."""
    if day is not None or period is None:
        return dates.span(day)
    return dates.span(period.start or period.end)
