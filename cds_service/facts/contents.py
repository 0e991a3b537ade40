"""What a medication is made of: ingredients by code, then by words, without what a local route leaves out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.doses import Strength, strength_of
from cds_service.facts.model import NO_SETS, Ingredient
from cds_service.facts.terminology import Match, Terminology
from cds_service.facts.text import Form, TextReading

Prescription: TypeAlias = wire.MedicationRequest | wire.MedicationStatement
Find: TypeAlias = Callable[[str | None, tuple[wire.Resource, ...]], wire.Resource | None]
"""Finds the resource that a reference means, among the contained ones and all supplied."""

_DEEPEST_INGREDIENT = 3


class Contents(msgspec.Struct, frozen=True):
    """What a prescription's medication is made of, as codes and words tell it."""

    ingredients: tuple[Ingredient, ...]
    sets: frozenset[str]
    form: Form | None
    strength: Strength | None
    doubtful: bool = False
    """A device word stands beside the name ("heparin syringe"): it may close gates and counts for nothing else."""
    conflict: bool = False
    identified: bool = True


class ContentsReader:
    """Works out contents, once for each concept of a request."""

    def __init__(self, terminology: Terminology, find: Find) -> None:
        self.terminology, self.find = terminology, find
        self.rules = terminology.text_rules
        self.words = terminology.units.doses
        self._known: dict[wire.NamedConcept, bool] = {}
        self._made_of: dict[tuple[wire.NamedConcept, str | None], Contents] = {}

    def is_of_interest(self, concept: wire.NamedConcept) -> bool:
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

    def contents(self, one: Prescription) -> Contents:
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
            doubtful=not by_code and any(reading.device for reading in readings),
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
        """What the words alone name, without what they or the order give a local route."""
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
        routes = [route for dosage in dosages_of(one) if (route := self._route_of(dosage.route)) is not None]
        return next((route for route in routes if not self._is_local(route)), routes[0] if routes else None)

    def _route_of(self, concept: wire.NamedConcept | None) -> str | None:
        if concept is None:
            return None
        for coding in concept.coding:
            route = self.rules.route_codes.get(f"{coding.system}|{(coding.code or '').strip().upper()}")
            if route is not None:
                return route
        for text in (concept.text, *(coding.display for coding in concept.coding)):
            route = self.terminology.text_names.read(text, self.rules).route if text else None
            if route is not None:
                return route
        return None


def dosages_of(one: Prescription) -> tuple[wire.Dosage, ...]:
    """The dosage instructions."""
    return one.dosageInstruction if isinstance(one, wire.MedicationRequest) else one.dosage
