"""How words tell routes, forms, devices and salts: ``rules/value-sets/routes.yaml`` read into one record."""

from __future__ import annotations

from pathlib import Path

import msgspec

from cds_service.facts.units import RulesFileError, read_yaml
from cds_service.facts.words import Phrases, Words, by_first_word, contains, phrases_of


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
                if phrases is None or any(contains(words, phrase) for phrase in phrases):
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
        words = {phrase: route for route, phrases in data["words"].items() for phrase in phrases_of(phrases)}
        solid, liquid = phrases_of(data["solid"]), phrases_of(data["liquid"])
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
                for first, phrases in by_first_word(words).items()
            },
            counting={
                set_id: CountingRoute(
                    frozenset(rule["routes"]),
                    {route: phrases_of(phrases) for route, phrases in rule.get("only_if", {}).items()},
                )
                for set_id, rule in data["local_routes_that_count"].items()
            },
            solid=by_first_word(solid),
            liquid=by_first_word(liquid),
            devices=by_first_word(phrases_of(data["devices"])),
            salts=frozenset(word for phrase in phrases_of(data["salts"]) for word in phrase),
            companions=frozenset(
                word for key in ("fillers", "anions") for phrase in phrases_of(data.get(key, ())) for word in phrase
            )
            | told,
            fragments=tuple(str(fragment) for fragment in data.get("fragments", ())),
            no_medicine=phrases_of(data.get("no_medicine", ())),
            **{
                name: frozenset(str(word) for word in data.get(name, ()))
                for name in ("purposes", "uses", "body_parts", "complaints", "local_clues", "look_alikes")
            },
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise RulesFileError(f"{path}:1: not the expected shape ({error!r})") from None
