"""The words of a medication into ingredients, route and form: the fallback where codes say nothing.

Whole words only, accents folded, longest name first. A salt is no supplement ("losartan potassium"), a device is no
drug, an abbreviation needs a second clue. What is found here is marked ``matched_by="text"`` and opens no gate.
"""

from __future__ import annotations

import msgspec

from cds_service.facts.model import Ingredient
from cds_service.facts.route_words import Form, form_named, has_amount, route_told
from cds_service.facts.text_rules import TextRules
from cds_service.facts.words import NUMBER, WORD, Words, folded_text, holds, words_of

_SIGNS = ("/", "+", ",", ";", "&", "-")
_MILLIGRAM = "mg"
"""After a number the unit, elsewhere magnesium ("Mg oxide")."""
_JOINTS = frozenset({"and", "with", "plus"})
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
        matches = list(WORD.finditer(folded))
        words = tuple(match[0] for match in matches)
        told = route_told(words, rules)
        route = told.route
        device = holds(told.left, rules.devices) and not has_amount(words)
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
        if any(NUMBER.fullmatch(word) for word in words):
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
                if name[0] == _MILLIGRAM and at > 0 and NUMBER.fullmatch(words[at - 1]):
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


def _is_salt(folded: str, words: Words, starts: list[int], at: int, rules: TextRules) -> bool:
    """Whether a bare mineral has anything beside it, in its part of a combination, that could be the drug it salts."""
    first = at
    while first > 0 and not _is_split(folded, words, starts, first):
        first -= 1
    last = at
    while last + 1 < len(words) and not _is_split(folded, words, starts, last + 1):
        last += 1
    return any(
        index != at and words[index] not in rules.companions and NUMBER.fullmatch(words[index]) is None
        for index in range(first, last + 1)
        if words[index] not in _JOINTS
    )


def _is_split(folded: str, words: Words, starts: list[int], at: int) -> bool:
    """Whether a combination is split before the word at `at`."""
    before = words[at - 1]
    gap = folded[starts[at - 1] + len(before) : starts[at]]
    return before in _JOINTS or words[at] in _JOINTS or any(sign in gap for sign in _SIGNS)
