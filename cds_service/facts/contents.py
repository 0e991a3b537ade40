"""What a medication is made of: ingredients by code, then by words, without what a local route leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.doses import Strength, strength_of
from cds_service.facts.model import NO_SETS, Ingredient
from cds_service.facts.route_words import Form
from cds_service.facts.terminology import Match, Terminology
from cds_service.facts.text import TextReading

Prescription: TypeAlias = wire.MedicationRequest | wire.MedicationStatement
MedicineUse: TypeAlias = Prescription | wire.MedicationDispense
"""What names a medicine that the patient takes or may take."""
Find: TypeAlias = Callable[[str | None, tuple[wire.Resource, ...]], wire.Resource | None]
"""Finds the resource that a reference means, among the contained ones and all supplied."""

Told: TypeAlias = Literal["named", "nothing", "unknown", "suspicious"]
"""What a concept tells: something known; nothing of interest; only words that are not known; words that are not
known, but hold a part of a name that closes a gate."""

_DEEPEST_INGREDIENT = 3


class Contents(msgspec.Struct, frozen=True):
    """What a prescription's medication is made of, as codes and words tell it."""

    ingredients: tuple[Ingredient, ...]
    sets: frozenset[str]
    form: Form | None
    strength: Strength | None
    doubtful: bool = False
    """Not sure enough to score: beside a device word or words of a local route, or with a letter wrong. It may close
    gates and counts for nothing else."""
    conflict: bool = False
    identified: bool = True
    told: Told = "named"


class Stated(msgspec.Struct, frozen=True):
    """The route of the dosage instructions; `doubtful` when its words name a local one as a reason or beside it."""

    route: str | None = None
    doubtful: bool = False


NOT_STATED = Stated()


class ContentsReader:
    """Works out contents, once for each concept of a request."""

    def __init__(self, terminology: Terminology, find: Find) -> None:
        self.terminology, self.find = terminology, find
        self.rules = terminology.text_rules
        self.words = terminology.units.doses
        self._known: dict[wire.NamedConcept, Told] = {}
        self._made_of: dict[tuple[wire.NamedConcept, Stated], Contents] = {}

    def told(self, concept: wire.NamedConcept) -> Told:
        """What codes and words may name; remembered, since the same drugs are ordered again and again."""
        known = self._known.get(concept)
        if known is None:
            known = self._known[concept] = self._told(concept)
        return known

    def _told(self, concept: wire.NamedConcept) -> Told:
        lookup = self.terminology.lookup
        if any(lookup(coding.system, coding.code) is not None for coding in concept.coding):
            return "named"
        texts = [coding.display for coding in concept.coding if coding.display]
        if concept.text:
            texts.append(concept.text)
        if not texts:
            return "named"  # nothing can be told of it at all: that is a gap of its own
        readings = [self._read(text) for text in texts]
        if any(reading.ingredients for reading in readings) or self._guesses(readings):
            return "named"
        rules = self.rules
        if any(rules.is_suspicious(reading.words) for reading in readings):
            return "suspicious"
        codes = self.terminology.codes
        if any(coding.code and (coding.system or "") in codes for coding in concept.coding):
            return "nothing"
        understood = all(reading.device or reading.words in rules.no_medicine for reading in readings)
        return "nothing" if understood else "unknown"

    def _read(self, text: str) -> TextReading:
        return self.terminology.text_names.read(text, self.rules)

    def _guesses(self, readings: Iterable[TextReading]) -> list[Ingredient]:
        """What texts that name nothing would name with one letter put right."""
        names = self.terminology.text_names
        return [one for reading in readings for one in names.guessed(reading.words, self.rules)]

    def contents(self, one: MedicineUse) -> Contents:
        """What a prescription is made of; worked out once for each concept and stated route."""
        concept = one.medicationCodeableConcept
        stated = self._stated_route(one)
        if concept is None or one.medicationReference is not None or one.medication is not None:
            concepts, form = self._concepts(one)
            return self._made(concepts, stated if stated.route is not None or form is None else form)
        key = (concept, stated)
        known = self._made_of.get(key)
        if known is None:
            known = self._made_of[key] = self._made([(concept, False)], stated)
        return known

    def _made(self, concepts: list[tuple[wire.NamedConcept, bool]], stated: Stated) -> Contents:
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
        readings = tuple(self._read(text) for text in texts)
        doubtful = False
        ingredients: dict[str, Ingredient] = {}
        for match, is_part in matches:
            for ingredient, sure in self._kept(match, readings, stated):
                if is_part:
                    ingredient = msgspec.structs.replace(ingredient, matched_by="ingredient")
                ingredients.setdefault(ingredient.id, ingredient)
                doubtful = doubtful or not sure
        coded = bool(ingredients)
        further, conflict = self._further(matches, readings)
        if not matches and not further:
            further = self._guesses(readings)
            doubtful = bool(further)
        for ingredient, sure in self._systemic(further, readings, stated):
            ingredients[ingredient.id] = ingredient
            doubtful = doubtful or not sure
        forms = {reading.form for reading in readings if reading.form is not None}
        strengths = {one for text in texts if (one := strength_of(text, self.words)) is not None}
        return Contents(
            ingredients=tuple(ingredients[id_] for id_ in sorted(ingredients)),
            sets=NO_SETS.union(*(ingredient.sets for ingredient in ingredients.values())),
            form=forms.pop() if len(forms) == 1 else None,
            strength=strengths.pop() if len(strengths) == 1 and len(ingredients) == 1 else None,
            doubtful=doubtful or (not coded and any(reading.device for reading in readings)),
            conflict=conflict,
            identified=bool(matches or texts),
            told="named" if ingredients or matches or further else self._worst_told(concepts),
        )

    def _worst_told(self, concepts: list[tuple[wire.NamedConcept, bool]]) -> Told:
        """What concepts that name no ingredient tell, taken together."""
        each = {self.told(concept) for concept, _ in concepts if concept.text or concept.coding}
        return next((one for one in ("suspicious", "nothing", "unknown") if one in each), "named")

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

    def _concepts(self, one: MedicineUse) -> tuple[list[tuple[wire.NamedConcept, bool]], Stated | None]:
        """Every concept that says what the medication is, whether it is an ingredient's, and the form's route."""
        concepts: list[tuple[wire.NamedConcept, bool]] = []
        form: Stated | None = None
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
                if target.form is not None and concepts:
                    concepts.append((target.form, False))
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

    def _kept(
        self, match: Match, readings: tuple[TextReading, ...], stated: Stated
    ) -> Iterable[tuple[Ingredient, bool]]:
        """The ingredients of a code that route and form do not make local (0.4), and whether each is surely so."""
        told = next((reading.route for reading in readings if self._is_local(reading.route)), None)
        for ingredient in match.ingredients:
            listed = match.routes.get(ingredient.id, "")
            if listed not in ("", "any", "unspecified"):
                yield ingredient, True  # the code itself names its dose form
                continue
            route = stated.route or (told if listed == "unspecified" else None)
            if route is None or self._counts(ingredient, route, readings):
                yield ingredient, not stated.doubtful
            elif any(reading.systemic is not None for reading in readings):
                yield ingredient, False

    def _systemic(
        self, named: list[Ingredient], readings: tuple[TextReading, ...], stated: Stated
    ) -> Iterable[tuple[Ingredient, bool]]:
        """What the words alone name, without what they or the order give a local route, and whether that is sure.

        Where words of a systemic route stand beside it, or the local word is the reason, the gates still count it.
        """
        for ingredient in named:
            own = [reading for reading in readings if ingredient in reading.ingredients] or readings
            doubtful = stated.doubtful or any(reading.doubtful for reading in own)
            route = stated.route or next((one.route for one in own if self._is_local(one.route)), None)
            if route is None or self._counts(ingredient, route, readings):
                yield ingredient, not doubtful
            elif any(reading.systemic is not None for reading in readings):
                yield ingredient, False

    def _is_local(self, route: str | None) -> bool:
        return route is not None and route not in self.rules.systemic

    def _counts(self, ingredient: Ingredient, route: str, readings: tuple[TextReading, ...]) -> bool:
        words = tuple(word for reading in readings for word in reading.words)
        listed = self.terminology.ingredient_routes.get(ingredient.id, NO_SETS)
        return self.rules.counts(ingredient.sets, listed, route, words)

    def _stated_route(self, one: MedicineUse) -> Stated:
        """The route of the dosage instructions; a local one only when all that state a route state a local one."""
        first: Stated | None = None
        for dosage in dosages_of(one):
            if dosage.route is not None:
                stated = self._route_of(dosage.route)
                if stated is not None:
                    if not self._is_local(stated.route):
                        return stated
                    first = first or stated
        return first or NOT_STATED

    def _route_of(self, concept: wire.NamedConcept | None) -> Stated | None:
        """A route by its code, else by its words; of words that name a local and a systemic one, the systemic one."""
        if concept is None:
            return None
        for coding in concept.coding:
            route = self.rules.route_codes.get(f"{coding.system}|{(coding.code or '').strip().upper()}")
            if route is not None:
                return Stated(route)
        for text in (concept.text, *(coding.display for coding in concept.coding)):
            reading = self._read(text) if text else None
            if reading is not None and (reading.route is not None or reading.doubtful):
                if reading.systemic is not None and self._is_local(reading.route):
                    return Stated(reading.systemic, True)
                return Stated(reading.route, reading.doubtful)
        return None


def dosages_of(one: MedicineUse) -> tuple[wire.Dosage, ...]:
    """The dosage instructions."""
    return one.dosage if isinstance(one, wire.MedicationStatement) else one.dosageInstruction
