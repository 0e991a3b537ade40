"""The words of a medication into ingredients, route and form: the fallback where codes say nothing.

Whole words only, accents folded, longest name first. A salt is no supplement ("losartan potassium"), a device is no
drug, an abbreviation needs a second clue. What is found here is marked ``matched_by="text"`` and opens no gate.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from cds_service.facts.model import Ingredient
from cds_service.facts.units import RulesFileError, read_yaml

Form = Literal["solid", "liquid"]
Words: TypeAlias = tuple[str, ...]
Phrases: TypeAlias = dict[str, tuple[Words, ...]]
"""Phrases by their first word."""

_WORD = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?%?")
_SIGNS = ("/", "+", ",", ";", "&", "-")
_JOINTS = frozenset({"and", "with", "plus"})
_NUMBER = re.compile(r"[0-9][0-9.]*[a-z%]{0,4}")
_LONGEST_TEXT = 400
_LEAST_GUESSED = 8
"""Letters of a name that is recognized with one letter wrong."""
_REMEMBERED = 4096


class TextReading(msgspec.Struct, frozen=True):
    """What the words of one string say."""

    ingredients: tuple[Ingredient, ...] = ()
    route: str | None = None
    """The route its form words stand for; a route that is not systemic outranks one that is."""
    systemic: str | None = None
    """The systemic route that words in it stand for ("tablet", "by mouth"), be it beside others."""
    doubtful: bool = False
    """A part of the body stands in it only as what the drug is for ("50 mg for scalp hair loss")."""
    form: Form | None = None
    device: bool = False
    """A device word stands in it, and no strength that would make it a drug all the same."""
    words: Words = ()


class CountingRoute(msgspec.Struct, frozen=True):
    """A route that counts for a class although it is not systemic by itself."""

    routes: frozenset[str]
    only_if: dict[str, frozenset[Words]] = {}
    """Route to the phrases of which one must stand in the words of the order."""


class TextRules(msgspec.Struct, frozen=True):
    """``rules/value-sets/routes.yaml``: how routes, forms, devices and salts are told. Routes are its own names."""

    systemic: frozenset[str] = frozenset()
    """Routes by which any drug reaches the whole body."""
    route_codes: dict[str, str] = {}
    """``system|CODE`` to its route."""
    route_words: dict[str, tuple[tuple[Words, str], ...]] = {}
    """First word to the phrases that begin with it, and their routes."""
    counting: dict[str, CountingRoute] = {}
    """Set id to the local routes that count for it after all."""
    solid: Phrases = {}
    liquid: Phrases = {}
    devices: Phrases = {}
    salts: frozenset[str] = frozenset()
    companions: frozenset[str] = frozenset()
    """Words that may stand beside a bare mineral without making it a salt."""
    purposes: frozenset[str] = frozenset()
    """Words after which a part of the body is a reason, unless one of `uses` follows."""
    uses: frozenset[str] = frozenset()
    body_parts: frozenset[str] = frozenset()
    complaints: frozenset[str] = frozenset()
    """Words that make a reason of a local word right before them ("eye pain")."""
    local_clues: frozenset[str] = frozenset()
    """Words that make a reason a route after all ("drops for eye pressure"); so does a percentage."""
    fragments: tuple[str, ...] = ()
    """Parts of words that may mean a medicine which closes a gate."""
    no_medicine: frozenset[Words] = frozenset()
    """What stands where no medicine is meant."""
    look_alikes: frozenset[str] = frozenset()
    """Words that are no misspelling of anything, however near."""

    def is_suspicious(self, words: Words) -> bool:
        """Whether a word that is not known as such holds a part of a name that matters."""
        return any(word not in self.salts and any(fragment in word for fragment in self.fragments) for word in words)

    def counts(self, sets: frozenset[str], routes: frozenset[str], route: str, words: Words) -> bool:
        """Whether a drug of the sets `sets`, whose codes name `routes`, counts by `route`; `words` are the order's."""
        if route in self.systemic:
            return True
        conditional = False
        for set_id in sets & self.counting.keys():
            rule = self.counting[set_id]
            if route in rule.routes:
                phrases = rule.only_if.get(route)
                if phrases is None or any(_contains(words, phrase) for phrase in phrases):
                    return True
                conditional = True
        return route in routes and not conditional


def load_text_rules(folder: Path) -> TextRules:
    """Reads ``routes.yaml`` in `folder`; without it no route or form is ever known. Raises `RulesFileError`."""
    path = folder / "routes.yaml"
    if not path.exists():
        return TextRules()
    data = read_yaml(path)
    try:
        words = {phrase: route for route, phrases in data["words"].items() for phrase in _phrases(phrases)}
        solid, liquid = _phrases(data["solid"]), _phrases(data["liquid"])
        told = {word for phrases in (solid, liquid, words) for phrase in phrases for word in phrase}
        return TextRules(
            systemic=frozenset(data["systemic"]),
            route_codes={
                f"{system}|{str(code).upper()}": route
                for system, codes in data["codes"].items()
                for code, route in codes.items()
            },
            route_words={
                first: tuple((phrase, words[phrase]) for phrase in phrases)
                for first, phrases in _by_first_word(words).items()
            },
            counting={
                set_id: CountingRoute(
                    frozenset(rule["routes"]),
                    {route: _phrases(phrases) for route, phrases in rule.get("only_if", {}).items()},
                )
                for set_id, rule in data["local_routes_that_count"].items()
            },
            solid=_by_first_word(solid),
            liquid=_by_first_word(liquid),
            devices=_by_first_word(_phrases(data["devices"])),
            salts=frozenset(word for phrase in _phrases(data["salts"]) for word in phrase),
            companions=frozenset(word for phrase in _phrases(data["fillers"]) for word in phrase) | told,
            fragments=tuple(str(fragment) for fragment in data.get("fragments", ())),
            no_medicine=_phrases(data.get("no_medicine", ())),
            **{
                name: frozenset(str(word) for word in data.get(name, ()))
                for name in ("purposes", "uses", "body_parts", "complaints", "local_clues", "look_alikes")
            },
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise RulesFileError(f"{path}:1: not the expected shape ({error!r})") from None


class TextNames:
    """All names by which an ingredient may be met in text. Remembers the latest strings it has read."""

    def __init__(
        self,
        by_first: dict[str, list[tuple[Words, Ingredient, bool]]],
        vague: frozenset[str] = frozenset(),
        long_names: dict[str, dict[str, Ingredient]] | None = None,
    ) -> None:
        self._by_first = by_first
        self._long_names = long_names or {}
        self._long: dict[str, list[str]] = {}
        for name in self._long_names:
            for variant in _shortened(name):
                self._long.setdefault(variant, []).append(name)
        self._guesses: dict[str, tuple[Ingredient, ...]] = {}
        self.vague = vague
        """Ingredients that a bare mineral word may mean: any of its salts."""
        self._remembered: dict[str, TextReading] = {}

    @classmethod
    def build(
        cls, names: dict[str, dict[str, list[str]]], ingredients: dict[str, Ingredient], salts: frozenset[str]
    ) -> TextNames:
        """`names` is ``ingredient-names.json``; names of unknown ingredients are left out."""
        by_first: dict[str, list[tuple[Words, Ingredient, bool]]] = {}
        long_names: dict[str, dict[str, Ingredient]] = {}
        for id_, kinds in names.items():
            ingredient = ingredients.get(id_)
            if ingredient is None:
                continue
            for kind in ("names", "brands", "abbreviations"):
                for name in kinds.get(kind, ()):
                    words = words_of(name)
                    if words:
                        by_first.setdefault(words[0], []).append((words, ingredient, kind == "abbreviations"))
                    if kind == "names" and len(words) == 1 and len(words[0]) >= _LEAST_GUESSED:
                        long_names.setdefault(words[0], {})[id_] = ingredient
        for rows in list(by_first.values()):
            for words, _, short in rows.copy():
                if len(words) > 1 and not short:
                    rows += [(words, part, False) for part in _combined(words, by_first, salts)]
        for rows in by_first.values():
            rows.sort(key=lambda row: (-len(row[0]), row[0], row[1].id))
        vague = {row[1].id for salt in salts for row in by_first.get(salt, ()) if row[0] == (salt,)}
        return cls(by_first, frozenset(vague), {name: one for name, one in long_names.items() if name not in salts})

    def read(self, text: str, rules: TextRules) -> TextReading:
        """What `text` names. Pure but for its memory of strings."""
        known = self._remembered.get(text)
        if known is None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            known = self._read(text[:_LONGEST_TEXT], rules)
            if len(text) <= _LONGEST_TEXT:
                self._remembered[text] = known
        return known

    def _read(self, text: str, rules: TextRules) -> TextReading:
        folded = folded_text(text)
        matches = list(_WORD.finditer(folded))
        words = tuple(match[0] for match in matches)
        told = _route_told(words, rules)
        route = told.route
        device = _holds(told.left, rules.devices) and not _has_amount(words)
        form = form_named(words, rules)
        starts = [match.start() for match in matches]
        found, abbreviated = self._names_in(folded, words, starts, rules)
        if abbreviated and (
            found or len(abbreviated) > 1 or route is not None or form is not None or self._is_all(words, rules)
        ):
            found.update(abbreviated)
        named = tuple(found[id_] for id_ in sorted(found))
        return TextReading(named, route, told.systemic, told.doubtful, form, device, words)

    def _is_all(self, words: Words, rules: TextRules) -> bool:
        """Whether an abbreviation has a number beside it, or nothing but what goes with any medicine: it names one."""
        if any(_NUMBER.fullmatch(word) for word in words):
            return True
        return sum(word not in rules.companions and word not in _JOINTS for word in words) <= 1

    def guessed(self, words: Words, rules: TextRules) -> tuple[Ingredient, ...]:
        """Ingredients of which a long word is the name but for one letter; for words that name nothing as they are."""
        key = "\x00".join(words)
        known = self._guesses.get(key)
        if known is None:
            if len(self._guesses) >= _REMEMBERED:
                self._guesses.clear()
            found: dict[str, Ingredient] = {}
            for word in words:
                if len(word) >= _LEAST_GUESSED - 1 and word not in rules.look_alikes and not word[0].isdigit():
                    found.update(self._near(word))
            known = tuple(found[id_] for id_ in sorted(found))
            if len(key) <= _LONGEST_TEXT:
                self._guesses[key] = known
        return known

    def _near(self, word: str) -> dict[str, Ingredient]:
        """The ingredients of the names one letter away; none when the names do not agree on them."""
        near = {name for variant in _shortened(word) for name in self._long.get(variant, ()) if _is_near(word, name)}
        named = [self._long_names[name] for name in near]
        return named[0] if named and all(one.keys() == named[0].keys() for one in named) else {}

    def _names_in(
        self, folded: str, words: Words, starts: list[int], rules: TextRules
    ) -> tuple[dict[str, Ingredient], dict[str, Ingredient]]:
        """Ingredients found by name, and by an abbreviation that needs a second clue."""
        found: dict[str, Ingredient] = {}
        abbreviated: dict[str, Ingredient] = {}
        at = 0
        while at < len(words):
            length = 1
            for name, ingredient, short in self._by_first.get(words[at], ()):
                if len(name) < length or words[at : at + len(name)] != name:
                    continue
                if len(name) == 1 and name[0] in rules.salts and _is_salt(folded, words, starts, at, rules):
                    continue
                if short and starts[at] > 0 and folded[starts[at] - 1] == "-":
                    continue
                # one name may stand for several ingredients (co-drug names, brands of combinations)
                length = len(name)
                (abbreviated if short else found)[ingredient.id] = ingredient
            if length > 1 and any(_is_split(folded, words, starts, inner) for inner in range(at + 1, at + length)):
                self._names_within(words[at : at + length], rules, found)
            at += length
        return found, abbreviated

    def _names_within(self, words: Words, rules: TextRules, found: dict[str, Ingredient]) -> None:
        """The parts of a name that is itself a combination ("lisinopril-hydrochlorothiazide")."""
        for at, word in enumerate(words):
            for name, ingredient, short in self._by_first.get(word, ()):
                if not short and name != words and name[0] not in rules.salts and words[at : at + len(name)] == name:
                    found[ingredient.id] = ingredient


def _combined(
    words: Words, by_first: dict[str, list[tuple[Words, Ingredient, bool]]], salts: frozenset[str]
) -> tuple[Ingredient, ...]:
    """The ingredients of a name that is nothing but shorter names in a row ("losartan HCTZ"); none otherwise."""
    covered: list[dict[str, Ingredient] | None] = [{}, *[None] * len(words)]
    for at in range(len(words)):
        before = covered[at]
        if before is None:
            continue
        for name, ingredient, short in by_first.get(words[at], ()):
            end = at + len(name)
            if short or name == words or name[0] in salts or words[at:end] != name:
                continue
            covered[end] = {**(covered[end] or {}), **before, ingredient.id: ingredient}
    return tuple((covered[-1] or {}).values())


def _shortened(word: str) -> set[str]:
    """A word, and it without any one of its letters: words one letter apart share one of these."""
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}


def _is_near(word: str, name: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two neighbors are swapped."""
    start = 0
    while start < min(len(word), len(name)) and word[start] == name[start]:
        start += 1
    one, other = word[start:], name[start:]
    return one[1:] == other or one == other[1:] or one[1:] == other[1:] or (one[1::-1] + one[2:]) == other


def folded_text(text: str) -> str:
    """Lower case, without accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).lower()


def words_of(text: str) -> Words:
    """The words of a text, folded."""
    return tuple(_WORD.findall(folded_text(text)))


class _Told(msgspec.Struct, frozen=True):
    """What words say about the route, and the words left when those are blanked out."""

    route: str | None
    systemic: str | None
    doubtful: bool
    left: Words


def _route_told(words: Words, rules: TextRules) -> _Told:
    """The route, longest phrases first; one that is not systemic outranks one that is. A reason is no route."""
    known = rules.route_words
    met = [
        (-len(phrase), phrase, at, route)
        for at, word in enumerate(words)
        if word in known
        for phrase, route in known[word]
        if len(phrase) == 1 or words[at : at + len(phrase)] == phrase
    ]
    if not met:
        return _Told(None, None, False, words)
    left = list(words)
    routes: set[str] = set()
    reasons: set[str] = set()
    for _, phrase, at, route in sorted(met):
        end = at + len(phrase)
        if tuple(left[at:end]) == phrase:
            local = route not in rules.systemic
            (reasons if local and _is_reason(words, at, end, rules) else routes).add(route)
            left[at:end] = [""] * len(phrase)
    if reasons and any(word in rules.local_clues or word.endswith("%") for word in words):
        routes |= reasons
    systemic = min(routes & rules.systemic, default=None)
    return _Told(min(routes - rules.systemic, default=systemic), systemic, not reasons <= routes, tuple(left))


def _is_reason(words: Words, at: int, end: int, rules: TextRules) -> bool:
    """Whether a local word says what the drug is for: a complaint follows, or "for" precedes a part of the body."""
    if end < len(words) and words[end] in rules.complaints:
        return True
    return (
        words[end - 1] in rules.body_parts
        and not rules.purposes.isdisjoint(words[:at])
        and rules.uses.isdisjoint(words)
    )


def form_named(words: Words, rules: TextRules) -> Form | None:
    """Whether form words tell a solid or a liquid; None when they tell neither, or both."""
    solid, liquid = _holds(words, rules.solid), _holds(words, rules.liquid)
    return None if solid == liquid else "solid" if solid else "liquid"


def _has_amount(words: Words) -> bool:
    """Whether a strength stands in the words: then they name a drug, whatever device it comes in."""
    units = ("mg", "mcg", "ug", "g", "meq")
    return any(
        _NUMBER.fullmatch(word) is not None
        and (word.endswith(units) or (at + 1 < len(words) and words[at + 1] in units))
        for at, word in enumerate(words)
    )


def _is_salt(folded: str, words: Words, starts: list[int], at: int, rules: TextRules) -> bool:
    """Whether a bare mineral has anything beside it, in its part of a combination, that could be the drug it salts."""
    first = at
    while first > 0 and not _is_split(folded, words, starts, first):
        first -= 1
    last = at
    while last + 1 < len(words) and not _is_split(folded, words, starts, last + 1):
        last += 1
    return any(
        index != at and words[index] not in rules.companions and _NUMBER.fullmatch(words[index]) is None
        for index in range(first, last + 1)
        if words[index] not in _JOINTS
    )


def _is_split(folded: str, words: Words, starts: list[int], at: int) -> bool:
    """Whether a combination is split before the word at `at`."""
    before = words[at - 1]
    gap = folded[starts[at - 1] + len(before) : starts[at]]
    return before in _JOINTS or words[at] in _JOINTS or any(sign in gap for sign in _SIGNS)


def _by_first_word(phrases: Iterable[Words]) -> Phrases:
    found: dict[str, list[Words]] = {}
    for phrase in sorted(phrases):
        found.setdefault(phrase[0], []).append(phrase)
    return {first: tuple(ones) for first, ones in found.items()}


def _holds(words: Words, phrases: Phrases) -> bool:
    """Whether any of the phrases stands in the words."""
    return any(
        words[at : at + len(phrase)] == phrase
        for at, word in enumerate(words)
        if word in phrases
        for phrase in phrases[word]
    )


def _contains(words: Words, phrase: Words) -> bool:
    if len(phrase) == 1:
        return phrase[0] in words
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1))


def _phrases(texts: Iterable[object]) -> frozenset[Words]:
    return frozenset(words for words in (words_of(str(text)) for text in texts) if words)
