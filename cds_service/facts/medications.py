"""Orders, statements and dispenses into Medications: what is in them, and whether they count (0.4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import msgspec

from cds_service.facts import wire
from cds_service.facts.contents import Contents, ContentsReader, Find, Prescription, dosages_of
from cds_service.facts.currency import NOT_CURRENT, Currency, Order, order_currency, statement_currency, supplied_until
from cds_service.facts.dispenses import LONGEST_UNSTATED_SUPPLY, Dispenses, Handed
from cds_service.facts.dosages import dose_is_zero, is_as_needed, is_open, number_of, read_dosage, unit_of
from cds_service.facts.doses import dose_of
from cds_service.facts.instants import Dates, months_before
from cds_service.facts.model import NO_SETS, DataGap, Medication, Span
from cds_service.facts.quantities import fold
from cds_service.facts.terminology import Terminology

_OVER = frozenset({"stopped", "cancelled", "entered-in-error", "not-taken", "ended", "revoked"})
_LONGEST_SUPPLY_MONTHS = 15
_MOST_DAYS = 40_000
_NOT_TAKEN = frozenset({"n", "na"})  # MedicationStatement.taken of STU3


class Read(msgspec.Struct, frozen=True):
    """A medication with what only its siblings can complete: the continuous start."""

    medication: Medication
    started: Span | None
    until: datetime | None


class MedicationReader:
    """Reads the medications of one request. Short-lived: its dates are those of the request."""

    def __init__(self, terminology: Terminology, dates: Dates, find: Find) -> None:
        self.terminology = terminology
        self.words = terminology.units.doses
        self.dates, self.now = dates, dates.now
        self.contents = ContentsReader(terminology, find)
        self.read: list[Read] = []
        self.gaps: list[DataGap] = []
        self.incomplete = False
        self.not_understood: list[str] = []
        """References of medicines told only in words that are not known."""
        self.dispenses = Dispenses(dates)

    def take(
        self, one: Prescription, reference: str, draft: bool = False, selected: bool = False, standing: bool = False
    ) -> None:
        """Reads one prescription; what cannot count in any sense is left out, unless it tells a continuous start."""
        concept = one.medicationCodeableConcept
        if concept is not None and self.contents.told(concept) == "nothing":
            return
        started, ended, until = self._times(one)
        currency = NOT_CURRENT if draft else self._currency(one, started, ended, until)
        past = not draft and not currency.safety
        if past and until is None:
            return
        contents = self.contents.contents(one)
        if not past:
            self._name_doubts(contents, reference)
        ingredients = contents.ingredients
        if not ingredients:
            return
        medication = Medication(reference=reference, ingredients=ingredients, sets=NO_SETS)
        if not past:
            medication = self._medication(one, reference, contents, currency, draft, selected)
            if standing:
                medication = msgspec.structs.replace(medication, standing=True)
        self.read.append(Read(medication, None if draft else started, until if past else None))

    def _medication(
        self, one: Prescription, reference: str, contents: Contents, currency: Currency, draft: bool, selected: bool
    ) -> Medication:
        dosages = dosages_of(one)
        written = self.dates.span(one.authoredOn if isinstance(one, wire.MedicationRequest) else one.dateAsserted)
        return Medication(
            reference=reference,
            ingredients=contents.ingredients,
            sets=contents.sets,
            contributor=currency.contributor and not contents.doubtful,
            safety=currency.safety,
            draft=draft,
            selected=selected,
            patient_reported=_is_reported(one),
            out_of_date=currency.out_of_date,
            as_needed_only=bool(dosages) and all(map(is_as_needed, dosages)),
            authored_at=written.latest if written else None,
            dose=dose_of([read_dosage(dosage, self.words) for dosage in dosages], contents.strength, self.words),
            form=contents.form,
            indications=self._indications(one),
        )

    def _name_doubts(self, contents: Contents, reference: str) -> None:
        if not contents.identified:
            self._gap("unidentified-medication", "A medication could not be identified.", reference)
            self.incomplete = True
        if contents.conflict:
            self._gap("conflict", "Code and text of a medication name different drugs; the code was used.", reference)
            self.incomplete = True
        if contents.told == "unknown":
            self.not_understood.append(reference)
        elif contents.told == "suspicious":
            text = "A medicine given as text was not recognized; its name resembles one that bears on treatment."
            self._gap("not-understood", text, reference)
            self.incomplete = True

    def medications(self) -> tuple[Medication, ...]:
        """All that count, with continuous starts, sorted by reference."""
        self._add_dispensed()
        if self.not_understood:
            others = f" ({len(self.not_understood) - 1} more like it)" if len(self.not_understood) > 1 else ""
            text = f"A medicine given only as text was not recognized{others}."
            self._gap("not-understood", text, min(self.not_understood))
        starts = self._starts()
        finished = []
        for read in self.read:
            one = read.medication
            if one.draft:
                finished.append(one)
            elif one.safety:
                known = [starts[ingredient.id, one.reference] for ingredient in one.ingredients if read.started]
                start = min(known, key=_span_order, default=None)
                if start is not None:
                    one = msgspec.structs.replace(one, started_earliest=start.earliest, started_latest=start.latest)
                finished.append(one)
        return tuple(sorted(finished, key=_sort_key))

    def _add_dispensed(self) -> None:
        """Supplies that may last to this day and that no order or statement accounts for: for the gates only."""
        accounted = {
            ingredient.id for read in self.read if read.medication.safety for ingredient in read.medication.ingredients
        }
        for handed in self.dispenses.standing():
            if handed.at is not None and self._lasts_until(handed.dispense, handed.at) < self.now:
                continue
            contents = self.contents.contents(handed.dispense)
            if not self.dispenses.names_order_on_record(handed):
                self._name_doubts(contents, handed.reference)
            new = {ingredient.id for ingredient in contents.ingredients} - accounted
            if new:
                accounted |= new
                self.read.append(Read(_supply(handed, contents), None, None))

    def _lasts_until(self, dispense: wire.MedicationDispense, handed_over: Span) -> datetime:
        days = self._stated_days(dispense.daysSupply)
        if days is None and dispense.quantity is not None:
            days = self._days_of_quantity(dispense, dispense.quantity)
        if days is None or not 0 <= days < _MOST_DAYS:
            return handed_over.latest + LONGEST_UNSTATED_SUPPLY
        return handed_over.latest + timedelta(days=float(days))

    def _starts(self) -> dict[tuple[str, str], Span]:
        """Where the unbroken run of orders of an ingredient begins that an order belongs to.

        An order that counts is open to its end; a finished one reaches as far as its supply. No gap is bridged.
        """
        by_ingredient: dict[str, list[tuple[Span, Read]]] = {}
        for read in self.read:
            if read.started is not None:
                for ingredient in read.medication.ingredients:
                    by_ingredient.setdefault(ingredient.id, []).append((read.started, read))
        starts: dict[tuple[str, str], Span] = {}
        for id_, rows in by_ingredient.items():
            rows.sort(key=_row_order)
            run: Span | None = None
            until: datetime | None = None
            for started, read in rows:
                if run is None or (until is not None and until < started.earliest):
                    run, until = started, read.until
                elif until is not None:
                    until = None if read.until is None else max(until, read.until)
                starts[id_, read.medication.reference] = run
        return starts

    def _currency(
        self, one: Prescription, started: Span | None, ended: Span | None, until: datetime | None
    ) -> Currency:
        zero = dose_is_zero(dosages_of(one))
        if isinstance(one, wire.MedicationStatement):
            return statement_currency(one.status, one.taken in _NOT_TAKEN, started, ended, zero, self.now)
        return order_currency(
            Order(
                one.status,
                one.intent,
                one.doNotPerform is True,
                _is_reported(one),
                started,
                until,
                self._last_dispensed(one),
                zero,
            ),
            self.now,
        )

    def _last_dispensed(self, order: wire.MedicationRequest) -> datetime | None:
        """When the order was last filled; a dispense that names no order fills every order of what it holds."""
        last = self.dispenses.last(order.id)
        for handed in self.dispenses.naming_no_order():
            if handed.at is not None and (last is None or handed.at.latest > last):
                held = {ingredient.id for ingredient in self.contents.contents(handed.dispense).ingredients}
                if any(ingredient.id in held for ingredient in self.contents.contents(order).ingredients):
                    last = handed.at.latest
        return last

    def _times(self, one: Prescription) -> tuple[Span | None, Span | None, datetime | None]:
        """Start, stated end, and the instant until which the supply lasts."""
        span = self.dates.span
        if isinstance(one, wire.MedicationStatement):
            period = one.effectivePeriod
            started = span(period.start if period else one.effectiveDateTime)
            ended = span(period.end) if period else None
            return started, ended, ended.latest if ended else None
        started = span(one.authoredOn)
        request = one.dispenseRequest
        if request is None:
            return started, None, None
        valid = span(request.validityPeriod.end) if request.validityPeriod else None
        repeats = number_of(request.numberOfRepeatsAllowed)
        days = self._supply_days(one, request)
        until = supplied_until(started, days, repeats, valid)
        if (until is None or until < self.now) and _may_last(request, started, days, repeats, valid, self.now):
            until = self.now
        return started, None, until

    def _supply_days(self, one: wire.MedicationRequest, request: wire.DispenseRequest) -> Decimal | None:
        """How long one dispense lasts, as stated, else by its quantity and the doses; None when that cannot be read."""
        supply = request.expectedSupplyDuration
        if supply is None:
            return self._days_of_quantity(one, request.quantity) if request.quantity is not None else None
        return self._stated_days(supply)

    def _stated_days(self, supply: wire.Quantity | None) -> Decimal | None:
        value = number_of(supply.value) if supply is not None else None
        if supply is None or value is None:
            return None
        known = self.words.supply_days
        factors = [known[unit] for unit in (fold(supply.code or ""), fold(supply.unit or "")) if unit in known]
        return value * max(factors) if factors else None

    def _days_of_quantity(
        self, one: wire.MedicationRequest | wire.MedicationDispense, quantity: wire.Quantity
    ) -> Decimal | None:
        """How many days a quantity lasts at the doses ordered; the least of several. None for doses left open."""
        value, words = number_of(quantity.value), self.words
        unit = fold(unit_of(quantity, words))
        each_day: list[Decimal] = []
        for dosage in one.dosageInstruction:
            read = read_dosage(dosage, words)
            amount = read.value
            if amount is None or not read.a_day or is_as_needed(dosage) or is_open(dosage):
                return None
            dose_unit = fold(read.unit)
            if dose_unit in words.amounts and unit in words.pieces:
                strength = self.contents.contents(one).strength
                if strength is None or strength.per_ml or strength.unit != words.amounts[dose_unit]:
                    return None
                amount /= strength.amount
            elif not (dose_unit in words.pieces and unit in words.pieces) and (
                dose_unit not in words.volumes or words.volumes[dose_unit] != words.volumes.get(unit)
            ):
                return None
            each_day.append(amount * read.a_day)
        least = min(each_day, default=Decimal(0))
        return value / least if value is not None and least > 0 else None

    def _indications(self, one: Prescription) -> frozenset[str]:
        if not one.reasonCode:
            return NO_SETS
        sets = self.terminology.sets
        return NO_SETS.union(*(sets(coding.system, coding.code) for why in one.reasonCode for coding in why.coding))

    def _gap(self, kind: str, text: str, reference: str) -> None:
        self.gaps.append(DataGap(kind, "medications", text, reference))


def _supply(handed: Handed, contents: Contents) -> Medication:
    return Medication(
        reference=handed.reference,
        ingredients=contents.ingredients,
        sets=contents.sets,
        safety=True,
        dispensed_at=handed.at.latest if handed.at is not None else None,
        supply_only=True,
        form=contents.form,
    )


def _sort_key(one: Medication) -> tuple[str, bool]:
    return (one.reference, one.draft)


def _row_order(row: tuple[Span, Read]) -> tuple[datetime, datetime, str]:
    return (row[0].earliest, row[0].latest, row[1].medication.reference)


def _span_order(one: Span) -> tuple[datetime, datetime]:
    return (one.earliest, one.latest)


def is_over(one: Prescription) -> bool:
    """Whether a prescription cannot count in any sense, nor tell since when a drug is taken: nothing else is read."""
    if one.status in _OVER:
        return True
    return isinstance(one, wire.MedicationRequest) and (
        one.doNotPerform is True or (one.status == "completed" and one.dispenseRequest is None)
    )


def _may_last(
    request: wire.DispenseRequest,
    started: Span | None,
    days: Decimal | None,
    repeats: Decimal | None,
    valid: Span | None,
    now: datetime,
) -> bool:
    """Whether a supply that cannot be read may reach today: nobody knows when it began, how much it was, or both.

    A prescription is filled for at most a year, the last time for three months: one written longer ago is over.
    """
    if started is not None and started.latest < months_before(now, _LONGEST_SUPPLY_MONTHS):
        return False
    if request.expectedSupplyDuration is not None:
        unread = days is None or not 0 <= days < _MOST_DAYS or started is None
    elif request.validityPeriod is not None and request.validityPeriod.end:
        unread = valid is None
    elif request.quantity is not None:
        unread = days is None or not 0 <= days < _MOST_DAYS or started is None
    else:
        return bool(bytes(request.numberOfRepeatsAllowed))
    return unread or (repeats is None and bool(bytes(request.numberOfRepeatsAllowed)))


def _is_reported(one: Prescription) -> bool:
    if isinstance(one, wire.MedicationStatement):
        return True
    return one.reportedBoolean is True or one.reported is True or one.reportedReference is not None
