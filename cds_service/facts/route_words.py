"""What words say about the route and the form of a medicine, and about the strength of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from cds_service.facts.text_rules import TextRules
from cds_service.facts.words import NUMBER, Words, holds

Form = Literal["solid", "liquid"]


class RouteTold(msgspec.Struct, frozen=True):
    """What words say about the route, and the words left when those are blanked out."""

    route: str | None
    systemic: str | None
    doubtful: bool
    left: Words


def route_told(words: Words, rules: TextRules) -> RouteTold:
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
        return RouteTold(None, None, False, words)
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
    return RouteTold(min(routes - rules.systemic, default=systemic), systemic, not reasons <= routes, tuple(left))


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
    solid, liquid = holds(words, rules.solid), holds(words, rules.liquid)
    return None if solid == liquid else "solid" if solid else "liquid"


def has_amount(words: Words) -> bool:
    """Whether a strength stands in the words: then they name a drug, whatever device it comes in."""
    units = ("mg", "mcg", "ug", "g", "meq")
    return any(
        NUMBER.fullmatch(word) is not None
        and (word.endswith(units) or (at + 1 < len(words) and words[at + 1] in units))
        for at, word in enumerate(words)
    )
