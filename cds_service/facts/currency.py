"""Whether a medication counts, in both senses of "current" (section 0.4): contributor, and safety gate."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from cds_service.facts.instants import months_before
from cds_service.facts.model import Span

_ORDER_LIKE = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})
_NEVER = frozenset({"stopped", "cancelled", "entered-in-error", "not-taken", "ended", "revoked"})
_UNSURE_STATEMENT = frozenset({"on-hold", "intended", "unknown"})
_OUT_OF_DATE_AFTER_MONTHS = 24


class Currency(msgspec.Struct, frozen=True):
    """The two columns of the table in section 0.4, and the label of its row."""

    contributor: bool
    safety: bool
    out_of_date: bool = False


NOT_CURRENT = Currency(False, False)
SAFETY_ONLY = Currency(False, True)
CURRENT = Currency(True, True)


class Order(msgspec.Struct, frozen=True):
    """What decides whether a MedicationRequest counts."""

    status: str | None
    intent: str | None
    do_not_perform: bool
    patient_reported: bool
    authored: Span | None
    supplied_until: datetime | None
    """When the supply ends, counted as generously as the record allows; None when it says nothing."""
    dispensed_at: datetime | None
    dose_is_zero: bool


def order_currency(order: Order, now: datetime) -> Currency:
    """The row of section 0.4 for a MedicationRequest that is no draft of this request."""
    if order.do_not_perform or order.status in _NEVER or order.status == "draft":
        return NOT_CURRENT
    if not order.patient_reported and order.intent is not None and order.intent not in _ORDER_LIKE:
        return NOT_CURRENT
    if order.status == "completed":
        lasts = order.supplied_until is not None and order.supplied_until >= now
        return SAFETY_ONLY if lasts else NOT_CURRENT
    if order.status != "active":
        return SAFETY_ONLY
    if _is_out_of_date(order, now):
        return Currency(False, True, out_of_date=True)
    return SAFETY_ONLY if order.dose_is_zero else CURRENT


def _is_out_of_date(order: Order, now: datetime) -> bool:
    cutoff = months_before(now, _OUT_OF_DATE_AFTER_MONTHS)
    if order.authored is None or order.authored.latest >= cutoff:
        return False
    if order.supplied_until is not None and order.supplied_until >= now:
        return False
    return order.dispensed_at is None or order.dispensed_at < cutoff


def statement_currency(
    status: str | None, not_taken: bool, started: Span | None, ended: Span | None, dose_is_zero: bool, now: datetime
) -> Currency:
    """The row of section 0.4 for a MedicationStatement."""
    if not_taken or status in _NEVER or status in ("completed", "draft"):
        return NOT_CURRENT
    if ended is not None and ended.latest < now:
        return NOT_CURRENT
    if status not in ("active", "recorded") or (started is not None and started.earliest > now) or dose_is_zero:
        return SAFETY_ONLY
    return CURRENT


def supplied_until(
    authored: Span | None, supply_days: Decimal | None, repeats: Decimal | None, valid_until: Span | None
) -> datetime | None:
    """The end of the supply: authoredOn + supply x (repeats + 1), or the end of validity, whichever is later."""
    ends: list[datetime] = []
    if authored is not None and supply_days is not None:
        days = supply_days * (1 + (repeats or 0))
        if 0 < days < 40_000:
            ends.append(authored.latest + timedelta(days=float(days)))
    if valid_until is not None:
        ends.append(valid_until.latest)
    return max(ends, default=None)
