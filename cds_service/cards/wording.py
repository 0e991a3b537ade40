"""Fills the wording of rules: `{potassium}`, `{potassium.date}`, `{drug}`. No logic, no words of its own."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

from cds_service.engine.model import NoResultSince
from cds_service.facts.model import Condition, Measurement

SUMMARY_LIMIT = 139
"""A card summary has fewer than 140 characters."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?:\.([a-z_]+))?\}")
_MARKDOWN = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]<>#|~"})


def escape(text: str) -> str:
    """`text` as literal text of GitHub-Flavored Markdown."""
    return text.translate(_MARKDOWN)


def day(instant: datetime | None, zone: tzinfo) -> str:
    """The ISO day of an instant in the configured zone."""
    return "an unknown date" if instant is None else instant.astimezone(zone).date().isoformat()


def number(value: Decimal) -> str:
    """A decimal as reported, without an exponent."""
    text = format(value, "f")
    return text


def unit_text(unit: str) -> str:
    """A UCUM unit as people write it."""
    return _UNITS.get(unit, unit)


_UNITS = {
    "meq/L": "mEq/L",
    "meq": "mEq",
    "mL/min/{1.73_m2}": "mL/min/1.73 m2",
    "m[IU]/L": "mIU/L",
    "u[IU]/mL": "uIU/mL",
    "10*9/L": "x10^9/L",
    "10*3/uL": "x10^3/uL",
    "kg/m2": "kg/m2",
    "[IU]": "IU",
}


def value_text(result: Measurement, number_only: bool = False) -> str:
    """The value of a result in the unit in which it is compared: `3.2 mmol/L`. Or its answer: `positive`."""
    low, high = result.low, result.high
    kind = f"{result.analyte}-value-"  # the answers are ids of value sets, such as `smoking-status-value-positive`
    for answer in result.answers:
        if answer.startswith(kind):
            return answer.removeprefix(kind)
    if result.date_answer is not None:
        return result.date_answer.isoformat()
    if result.problem is not None or (low is None and high is None):
        shown = "unreadable" if result.value is None else number(result.value)
        return shown if number_only else f"{shown} {unit_text(result.unit)}".strip()
    if low is not None and low == high:
        shown = number(low)
    elif low is None or (low == 0 and high is not None):
        shown = f"{'<' if result.high_open else '<='}{number(high)}" if high is not None else "?"
    elif high is None:
        shown = f"{'>' if result.low_open else '>='}{number(low)}"
    else:
        shown = f"{number(low)}-{number(high)}"
    return shown if number_only else f"{shown} {unit_text(result.family)}".strip()


def fill(template: str, bound: Mapping[str, Any], zone: tzinfo, shortest: bool = False, markdown: bool = False) -> str:
    """`template` with every `{name}` and `{name.attribute}` replaced.

    `shortest` names only the shortest drug of several; `markdown` gives text that means itself in Markdown.
    """
    literals, names = _parsed(template, markdown)
    if not names:
        return literals[0]
    parts = [literals[0]]
    for (name, attribute), literal in zip(names, literals[1:], strict=True):
        value = _render(bound.get(name), attribute, zone, shortest)
        parts.append(escape(value) if markdown else value)
        parts.append(literal)
    return capitalized("".join(parts))


@functools.lru_cache(maxsize=8192)
def _parsed(template: str, markdown: bool) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The literal parts of a rule's wording and the names between them; only text of rules is ever remembered."""
    pieces = _PLACEHOLDER.split(template)
    literals = tuple(escape(piece) if markdown else piece for piece in pieces[::3])
    return literals, tuple(zip(pieces[1::3], [name or "" for name in pieces[2::3]], strict=True))


def fill_summary(template: str, bound: Mapping[str, Any], zone: tzinfo) -> str:
    """The summary of a card, always under 140 characters: the shortest names first, then cut at a word."""
    text = fill(template, bound, zone)
    if len(text) > SUMMARY_LIMIT:
        text = fill(template, bound, zone, shortest=True)
    if len(text) > SUMMARY_LIMIT:
        text = text[: SUMMARY_LIMIT - 3].rsplit(" ", 1)[0] + "..."
    return text


def found_text(bound: Mapping[str, Any], names: Mapping[str, str], zone: tzinfo) -> str:
    """Everything a finding bound, in a few words: `age 66, body mass index 31 kg/m2 and heart failure`."""
    words = []
    for value in bound.values():
        text = _render(value, "", zone, shortest=False)
        match value:
            case Measurement():
                text = f"{in_sentence(names.get(value.analyte, value.analyte))} {text}"
            case Condition():
                text = in_sentence(text)
        words.append(text)
    return join(list(dict.fromkeys(words)))


def _render(value: Any, attribute: str, zone: tzinfo, shortest: bool) -> str:
    match value:
        case Measurement():
            if attribute == "date":
                return day(value.at, zone)
            if attribute == "unit":
                return unit_text(value.family)
            if attribute == "times":
                return _times_upper_limit(value)
            return value_text(value, number_only=attribute == "number")
        case NoResultSince():
            if value.latest is None:
                return "on record"
            return f"since {day(value.latest.at, zone)}"
        case Condition():
            return value.name
        case tuple():
            names = drug_names(value)
            if not names:
                return "the medicine"
            return min(names, key=len) if shortest or attribute == "name" else join(names)
        case None:
            return "not on record"
    return str(value)


def _times_upper_limit(result: Measurement) -> str:
    """How many times its upper limit a result is: `12.0`; in words where one of the two is not known."""
    if result.low is None or not result.upper_limit:
        return "several"
    return f"{result.low / result.upper_limit:.1f}"


def drug_names(matches: Iterable[Any]) -> list[str]:
    """The names of the ingredients of (Medication, Ingredient) pairs, each once, as they stand inside a sentence."""
    return list(dict.fromkeys(in_sentence(ingredient.name) for _, ingredient in matches))


def in_sentence(name: str) -> str:
    """A drug's title without its capital: `Hydrochlorothiazide` but not `ACE inhibitor`."""
    return name[:1].lower() + name[1:] if name[1:2].islower() else name


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def counted(count: int, noun: str) -> str:
    """`1 point`, `2 points`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def join(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
