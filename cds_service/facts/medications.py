"""MedicationRequests and MedicationStatements into Medications: what is in them, and whether they count (0.4)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

from cds_service.facts import wire
from cds_service.facts.contents import Contents, ContentsReader, Find, Prescription, dosages_of
from cds_service.facts.currency import NOT_CURRENT, Currency, Order, order_currency, statement_currency, supplied_until
from cds_service.facts.doses import OneDosage, dose_of, times_a_day
from cds_service.facts.instants import Dates
from cds_service.facts.model import NO_SETS, DataGap, Medication, Span
from cds_service.facts.quantities import fold, number
from cds_service.facts.terminology import Terminology
from cds_service.facts.units import DoseWords

_OVER = frozenset({"stopped", "cancelled", "entered-in-error", "not-taken", "ended", "revoked"})
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
        self.dispensed: dict[str, datetime] = {}

    def dispense(self, dispense: wire.MedicationDispense) -> None:
        """Notes when a prescription was last handed over."""
        at = self.dates.span(dispense.whenHandedOver or dispense.whenPrepared)
        if at is None or dispense.status in ("cancelled", "declined", "entered-in-error", "stopped"):
            return
        for prescription in dispense.authorizingPrescription:
            key = (prescription.reference or "").rsplit("/", 1)[-1]
            self.dispensed[key] = max(at.latest, self.dispensed.get(key, at.latest))

    def take(self, one: Prescription, reference: str, draft: bool = False, selected: bool = False) -> None:
        """Reads one prescription; what cannot count in any sense is left out, unless it tells a continuous start."""
        concept = one.medicationCodeableConcept
        if concept is not None and not self.contents.is_of_interest(concept):
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
            as_needed_only=bool(dosages) and all(map(_is_as_needed, dosages)),
            authored_at=written.latest if written else None,
            dose=dose_of([self._dosage(dosage) for dosage in dosages], contents.strength, self.words),
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

    def medications(self) -> tuple[Medication, ...]:
        """All that count, with continuous starts, sorted by reference."""
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
        zero = _dose_is_zero(dosages_of(one))
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
                self.dispensed.get(one.id or ""),
                zero,
            ),
            self.now,
        )

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
        days = self._supply_days(request.expectedSupplyDuration)
        valid = span(request.validityPeriod.end) if request.validityPeriod else None
        until = supplied_until(started, days, _number(request.numberOfRepeatsAllowed), valid)
        if started is None and days is not None and until is None:
            until = self.now  # handed out nobody knows when: it may last until today
        return started, None, until

    def _supply_days(self, supply: wire.Quantity | None) -> Decimal | None:
        value = _number(supply.value) if supply is not None else None
        if supply is None or value is None:
            return None
        known = self.words.supply_days
        factor = known.get(fold(supply.code or "")) or known.get(fold(supply.unit or ""))
        return None if factor is None else value * factor

    def _dosage(self, dosage: wire.Dosage) -> OneDosage:
        quantity = _dose_quantity(dosage)
        repeat = dosage.timing.repeat if dosage.timing else None
        code: str | None = None
        if dosage.timing is not None and dosage.timing.code is not None:
            code = next((coding.code for coding in dosage.timing.code.coding if coding.code), dosage.timing.code.text)
        frequency: Decimal | None = None
        if repeat is not None:
            frequency = _number(repeat.frequencyMax) or _number(repeat.frequency)
            if frequency is None and bytes(repeat.period):
                frequency = Decimal(len(repeat.timeOfDay) or len(repeat.when) or 1)
        return OneDosage(
            _number(quantity.value) if quantity else None,
            _unit(quantity, self.words) if quantity else "",
            times_a_day(
                frequency,
                _number(repeat.period) if repeat else None,
                repeat.periodUnit if repeat else None,
                code,
                self.words,
            ),
        )

    def _indications(self, one: Prescription) -> frozenset[str]:
        if not one.reasonCode:
            return NO_SETS
        sets = self.terminology.sets
        return NO_SETS.union(*(sets(coding.system, coding.code) for why in one.reasonCode for coding in why.coding))

    def _gap(self, kind: str, text: str, reference: str) -> None:
        self.gaps.append(DataGap(kind, "medications", text, reference))


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


def _is_reported(one: Prescription) -> bool:
    if isinstance(one, wire.MedicationStatement):
        return True
    return one.reportedBoolean is True or one.reported is True or one.reportedReference is not None


def _is_as_needed(dosage: wire.Dosage) -> bool:
    return dosage.asNeededBoolean is True or dosage.asNeededCodeableConcept is not None


def _dose_quantity(dosage: wire.Dosage) -> wire.Quantity | None:
    """The dose, of a range its upper end."""
    for rate in dosage.doseAndRate:
        if rate.doseQuantity is not None:
            return rate.doseQuantity
        if rate.doseRange is not None and rate.doseRange.high is not None:
            return rate.doseRange.high
    return dosage.doseQuantity


def _unit(quantity: wire.Quantity, words: DoseWords) -> str:
    """The unit of a dose: its code where that is known, else its text."""
    code, text = quantity.code or "", quantity.unit or ""
    return code if code and (words.knows(code) or not text) else text


def _dose_is_zero(dosages: tuple[wire.Dosage, ...]) -> bool:
    """Whether every instruction states a dose, and each is zero."""
    if not dosages:
        return False
    for dosage in dosages:
        quantity = _dose_quantity(dosage)
        if quantity is None or _number(quantity.value) != 0:
            return False
    return True


def _number(raw: msgspec.Raw) -> Decimal | None:
    return number(bytes(raw).decode("utf-8", "replace"))
