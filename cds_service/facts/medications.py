"""MedicationRequests and MedicationStatements into Medications: what is in them, and whether they count (0.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.currency import NOT_CURRENT, Currency, Order, order_currency, statement_currency, supplied_until
from cds_service.facts.doses import OneDosage, Strength, dose_of, strength_of, times_a_day
from cds_service.facts.instants import Dates
from cds_service.facts.model import NO_SETS, DataGap, Ingredient, Medication, Span
from cds_service.facts.quantities import number
from cds_service.facts.terminology import Match, Terminology
from cds_service.facts.text import Form, TextReading, route_named

Prescription: TypeAlias = wire.MedicationRequest | wire.MedicationStatement
Find: TypeAlias = Callable[[str | None, tuple[wire.Resource, ...]], wire.Resource | None]
"""Finds the resource that a reference means, among the contained ones and all supplied."""

_OVER = frozenset({"stopped", "cancelled", "entered-in-error", "not-taken", "ended", "revoked"})
_NOT_TAKEN = frozenset({"n", "na"})  # MedicationStatement.taken of STU3
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7, "mo": 30, "month": 30, "months": 30, "a": 365}
_DEEPEST_INGREDIENT = 3


class Contents(msgspec.Struct, frozen=True):
    """What a prescription's medication is made of, as codes and words tell it."""

    ingredients: tuple[Ingredient, ...]
    sets: frozenset[str]
    form: Form | None
    strength: Strength | None
    conflict: bool = False
    identified: bool = True


class Read(msgspec.Struct, frozen=True):
    """A medication with what only its siblings can complete: the continuous start."""

    medication: Medication
    started: Span | None
    until: datetime | None


class MedicationReader:
    """Reads the medications of one request. Short-lived: its dates are those of the request."""

    def __init__(self, terminology: Terminology, dates: Dates, find: Find) -> None:
        self.terminology = terminology
        self.rules = terminology.text_rules
        self.words = terminology.units.doses
        self.dates, self.now, self.find = dates, dates.now, find
        self.read: list[Read] = []
        self.gaps: list[DataGap] = []
        self.incomplete = False
        self.dispensed: dict[str, datetime] = {}
        self._known: dict[wire.NamedConcept, bool] = {}
        self._made_of: dict[tuple[wire.NamedConcept, str | None], Contents] = {}

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
        if concept is not None and not self._is_of_interest(concept):
            return
        started, ended, until = self._times(one)
        currency = NOT_CURRENT if draft else self._currency(one, started, ended, until)
        past = not draft and not currency.safety
        if past and until is None:
            return
        contents = self._contents(one)
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
        dosages = _dosages(one)
        written = self.dates.span(one.authoredOn if isinstance(one, wire.MedicationRequest) else one.dateAsserted)
        return Medication(
            reference=reference,
            ingredients=contents.ingredients,
            sets=contents.sets,
            contributor=currency.contributor,
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

    def _is_of_interest(self, concept: wire.NamedConcept) -> bool:
        """Whether codes or words may name something; remembered, since the same drugs are ordered again and again."""
        known = self._known.get(concept)
        if known is None:
            known = self._known[concept] = self._may_name_something(concept)
        return known

    def _may_name_something(self, concept: wire.NamedConcept) -> bool:
        if any(self.terminology.lookup(coding.system, coding.code) is not None for coding in concept.coding):
            return True
        texts = [coding.display for coding in concept.coding if coding.display]
        if concept.text:
            texts.append(concept.text)
        names, rules = self.terminology.text_names, self.rules
        return not texts or any(names.read(text, rules).ingredients for text in texts)

    def _currency(
        self, one: Prescription, started: Span | None, ended: Span | None, until: datetime | None
    ) -> Currency:
        zero = _dose_is_zero(_dosages(one))
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
        supply = request.expectedSupplyDuration
        days = _number(supply.value) if supply else None
        if supply is not None and days is not None:
            factor = _DAYS.get((supply.code or supply.unit or "").strip().lower())
            days = None if factor is None else days * factor
        valid = span(request.validityPeriod.end) if request.validityPeriod else None
        return started, None, supplied_until(started, days, _number(request.numberOfRepeatsAllowed), valid)

    def _contents(self, one: Prescription) -> Contents:
        """What a prescription is made of; worked out once for each concept and stated route."""
        concept = one.medicationCodeableConcept
        stated = self._stated_route(one)
        if concept is None or one.medicationReference is not None or one.medication is not None:
            concepts, form = self._concepts(one)
            return self._made(concepts, stated or form)
        key = (concept, stated)
        known = self._made_of.get(key)
        if known is None:
            known = self._made_of[key] = self._made([(concept, False)], stated)
        return known

    def _made(self, concepts: list[tuple[wire.NamedConcept, bool]], stated: str | None) -> Contents:
        """Ingredients by code, then what the words add (terminology README, 2 to 6)."""
        matches: list[tuple[Match, bool]] = []
        texts: dict[str, None] = {}
        for concept, is_part in concepts:
            for coding in concept.coding:
                match = self.terminology.lookup(coding.system, coding.code)
                if match is not None and match.ingredients:
                    matches.append((match, is_part))
                if coding.display:
                    texts[coding.display] = None
            if concept.text:
                texts[concept.text] = None
        readings = tuple(self.terminology.text_names.read(text, self.rules) for text in texts)
        by_code: dict[str, Ingredient] = {}
        for match, is_part in matches:
            for ingredient in self._kept(match, readings, stated):
                if is_part:
                    ingredient = msgspec.structs.replace(ingredient, matched_by="ingredient")
                by_code.setdefault(ingredient.id, ingredient)
        further, conflict = self._further(matches, readings)
        ingredients = {
            **by_code,
            **{ingredient.id: ingredient for ingredient in self._systemic(further, readings, stated)},
        }
        forms = {reading.form for reading in readings if reading.form is not None}
        strengths = {one for text in texts if (one := strength_of(text, self.words)) is not None}
        return Contents(
            ingredients=tuple(ingredients[id_] for id_ in sorted(ingredients)),
            sets=NO_SETS.union(*(ingredient.sets for ingredient in ingredients.values())),
            form=forms.pop() if len(forms) == 1 else None,
            strength=strengths.pop() if len(strengths) == 1 and len(ingredients) == 1 else None,
            conflict=conflict,
            identified=bool(matches or texts),
        )

    def _further(
        self, matches: list[tuple[Match, bool]], readings: tuple[TextReading, ...]
    ) -> tuple[list[Ingredient], bool]:
        """Ingredients that only the words name, and whether words and codes contradict each other: codes outrank."""
        named = {ingredient.id: ingredient for reading in readings for ingredient in reading.ingredients}
        coded = [ingredient for match, _ in matches for ingredient in match.ingredients]
        if not coded or not named:
            return list(named.values()), False
        known = NO_SETS.union(*(ingredient.sets for ingredient in coded))
        for id_ in named.keys() & self.terminology.text_names.vague:
            if id_ not in known and known & (named[id_].sets - {id_}):
                del named[id_]  # "potassium 20 mEq" beside the code of potassium chloride says nothing more
        parts = {ingredient.id for ingredient in coded}
        agree = not named or any(id_ in known or not parts.isdisjoint(one.sets) for id_, one in named.items())
        return [one for id_, one in named.items() if agree and id_ not in known], not agree

    def _concepts(self, one: Prescription) -> tuple[list[tuple[wire.NamedConcept, bool]], str | None]:
        """Every concept that says what the medication is, whether it is an ingredient's, and the form's route."""
        concepts: list[tuple[wire.NamedConcept, bool]] = []
        form: str | None = None
        if one.medicationCodeableConcept is not None:
            concepts.append((one.medicationCodeableConcept, False))
        if one.medication is not None and one.medication.concept is not None:
            concepts.append((one.medication.concept, False))
        reference = one.medicationReference or (one.medication.reference if one.medication else None)
        if reference is not None:
            if reference.display:
                concepts.append((wire.NamedConcept(text=reference.display), False))
            target = self.find(reference.reference, one.contained)
            if isinstance(target, wire.Medication):
                form = self._route_of(target.form)
                self._add_medication(target, one.contained, concepts, False, 0)
        return concepts, form

    def _add_medication(
        self,
        medication: wire.Medication,
        contained: tuple[wire.Resource, ...],
        concepts: list[tuple[wire.NamedConcept, bool]],
        is_part: bool,
        depth: int,
    ) -> None:
        if medication.code is not None:
            concepts.append((medication.code, is_part))
        if depth >= _DEEPEST_INGREDIENT:
            return
        for ingredient in medication.ingredient:
            if ingredient.itemCodeableConcept is not None:
                concepts.append((ingredient.itemCodeableConcept, True))
            if ingredient.itemReference is not None:
                inner = self.find(ingredient.itemReference.reference, (*medication.contained, *contained))
                if isinstance(inner, wire.Medication):
                    self._add_medication(inner, contained, concepts, True, depth + 1)

    def _kept(self, match: Match, readings: tuple[TextReading, ...], stated: str | None) -> Iterable[Ingredient]:
        """The ingredients of a code that route and form do not make local (0.4)."""
        told = next((reading.route for reading in readings if self._is_local(reading.route)), None)
        for ingredient in match.ingredients:
            listed = match.routes.get(ingredient.id, "")
            if listed not in ("", "any", "unspecified"):
                yield ingredient  # the code itself names its dose form
            elif stated is not None:
                if self._counts(ingredient, stated, readings):
                    yield ingredient
            elif listed != "unspecified" or told is None or self._counts(ingredient, told, readings):
                yield ingredient

    def _systemic(
        self, named: list[Ingredient], readings: tuple[TextReading, ...], stated: str | None
    ) -> Iterable[Ingredient]:
        """What the words alone name, without what they or the order give a local route; a device is no drug."""
        if any(reading.device for reading in readings):
            return
        for ingredient in named:
            routes = [reading.route for reading in readings if ingredient in reading.ingredients]
            route = stated or next((one for one in routes if self._is_local(one)), None)
            if route is None or self._counts(ingredient, route, readings):
                yield ingredient

    def _is_local(self, route: str | None) -> bool:
        return route is not None and route not in self.rules.systemic

    def _counts(self, ingredient: Ingredient, route: str, readings: tuple[TextReading, ...]) -> bool:
        words = tuple(word for reading in readings for word in reading.words)
        listed = self.terminology.ingredient_routes.get(ingredient.id, NO_SETS)
        return self.rules.counts(ingredient.sets, listed, route, words)

    def _stated_route(self, one: Prescription) -> str | None:
        """The route of the dosage instructions; a local one only when all that state a route state a local one."""
        routes = [route for dosage in _dosages(one) if (route := self._route_of(dosage.route)) is not None]
        return next((route for route in routes if not self._is_local(route)), routes[0] if routes else None)

    def _route_of(self, concept: wire.NamedConcept | None) -> str | None:
        if concept is None:
            return None
        for coding in concept.coding:
            route = self.rules.route_codes.get(f"{coding.system}|{(coding.code or '').strip().upper()}")
            if route is not None:
                return route
        for text in (concept.text, *(coding.display for coding in concept.coding)):
            route = route_named(self.terminology.text_names.read(text, self.rules).words, self.rules) if text else None
            if route is not None:
                return route
        return None

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
            (quantity.code or quantity.unit or "") if quantity else "",
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


def _dosages(one: Prescription) -> tuple[wire.Dosage, ...]:
    return one.dosageInstruction if isinstance(one, wire.MedicationRequest) else one.dosage


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
