"""MedicationDispenses: signs that an order is still being filled, and supplies that may still be in the house."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from cds_service.facts import wire
from cds_service.facts.instants import Dates
from cds_service.facts.model import Span

_NOT_HANDED_OVER = frozenset({"cancelled", "declined", "entered-in-error", "stopped"})
_RULED_OUT = frozenset({"stopped", "cancelled", "entered-in-error"})
LONGEST_UNSTATED_SUPPLY = timedelta(days=90)
"""How long a supply of unstated size may last: pharmacies hand over at most three months at a time."""


class Handed(msgspec.Struct, frozen=True):
    """A dispense that took place, or may have."""

    dispense: wire.MedicationDispense
    reference: str
    at: Span | None
    """When it was handed over, else prepared; None when the record does not say."""

    @property
    def order_ids(self) -> list[str]:
        return [(order.reference or "").rsplit("/", 1)[-1] for order in self.dispense.authorizingPrescription]


class Dispenses:
    """The dispenses of one request."""

    def __init__(self, dates: Dates) -> None:
        self._dates = dates
        self._handed: dict[str, Handed] = {}
        self._last_by_order: dict[str, datetime] = {}
        self._on_record: set[str] = set()
        self._ruled_out: set[str] = set()

    def take(self, dispense: wire.MedicationDispense, reference: str) -> None:
        if dispense.status in _NOT_HANDED_OVER:
            return
        handed = Handed(dispense, reference, self._dates.span(dispense.whenHandedOver or dispense.whenPrepared))
        self._handed[reference] = handed
        if handed.at is not None:
            for id_ in handed.order_ids:
                self._last_by_order[id_] = max(handed.at.latest, self._last_by_order.get(id_, handed.at.latest))

    def order_on_record(self, order: wire.MedicationRequest) -> None:
        """What was handed over on an order that was stopped since, or that forbids the drug, is no longer taken."""
        if not order.id:
            return
        self._on_record.add(order.id)
        if order.status in _RULED_OUT or order.doNotPerform is True:
            self._ruled_out.add(order.id)

    def last(self, order_id: str | None) -> datetime | None:
        """When an order was last filled."""
        return self._last_by_order.get(order_id or "")

    def naming_no_order(self) -> Iterator[Handed]:
        return (one for one in self._handed.values() if not one.dispense.authorizingPrescription)

    def names_order_on_record(self, handed: Handed) -> bool:
        return not self._on_record.isdisjoint(handed.order_ids)

    def standing(self) -> Iterator[Handed]:
        """Those whose order nothing on record rules out, in an order of their own, the latest first."""
        newest = sorted(self._handed.values(), key=_when_and_which, reverse=True)
        return (one for one in newest if self._ruled_out.isdisjoint(one.order_ids))


def _when_and_which(one: Handed) -> tuple[float, str]:
    return (one.at.latest.timestamp() if one.at is not None else float("inf"), one.reference)
