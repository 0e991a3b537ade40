"""The short forms of scenarios taken apart: "omeprazole 20 mg since 18 months ago", "potassium <2.5 mmol/L today"."""

from __future__ import annotations

import re
from typing import Any

from cds_service.scenarios.when import WHEN
from cds_service.scenarios.words import UnknownWord, Words

_ORDER_STATES = "active|on-hold|completed|stopped|cancelled|entered-in-error|draft|unknown|intended|not-taken"
_RESULT_STATES = "preliminary|amended|corrected|cancelled|registered|entered-in-error"
_VERIFICATIONS = "confirmed|provisional|differential|unconfirmed|refuted|entered-in-error"
_CLINICAL = "active|recurrence|relapse|inactive|remission|resolved"
_OFTEN = {"once daily": 1, "daily": 1, "nightly": 1, "twice daily": 2, "three times daily": 3}

_DRUG = (
    ("started", re.compile(rf" (?:since|started) ({WHEN})\b")),
    ("times_a_day", re.compile(rf" ({'|'.join(_OFTEN)}|\d+/day)\b")),
    ("dose", re.compile(r" (\d+(?:\.\d+)? (?:meq|mmol|mg|g|mcg|ug|units?|iu|ml|tablets?))\b", re.IGNORECASE)),
    ("as_needed", re.compile(r" (as needed)\b")),
    ("reported", re.compile(r" ((?:patient-)?reported)\b")),
    ("status", re.compile(rf" ({_ORDER_STATES})\b")),
    ("route", re.compile(r" (topical|ophthalmic|nasal|vaginal)\b")),
)
_RESULT = re.compile(
    rf"(?P<value>[<>]=?\s?[\d.]+|[\d.]+)(?: (?P<unit>no unit|(?!(?:{WHEN}|{_RESULT_STATES}|hemolyzed)(?: |$))\S+))?"
    rf"(?: (?P<when>{WHEN}))?(?: (?P<status>{_RESULT_STATES}))?(?: (?P<hemolyzed>hemolyzed))?"
)
_CONDITION = re.compile(
    rf"(?P<what>\S+)(?: (?P<verification>{_VERIFICATIONS}))?(?: (?P<clinical>{_CLINICAL}))?"
    rf"(?: (?:recorded )?(?P<recorded>{WHEN}))?(?: since (?P<onset>{WHEN}))?(?: until (?P<abated>{WHEN}))?"
)
_DATED = re.compile(rf"(?P<what>\S+)(?: (?P<when>{WHEN}))?")


def drug(told: Any) -> dict[str, Any]:
    """A medicine in its long form."""
    if not isinstance(told, str):
        return dict(told)
    taken: dict[str, Any] = {}
    rest = told
    for key, pattern in _DRUG:
        found = pattern.search(rest)
        if found is not None:
            taken[key] = found[1]
            rest = rest[: found.start()] + rest[found.end() :]
    if "times_a_day" in taken:
        often = taken["times_a_day"]
        taken["times_a_day"] = _OFTEN[often] if often in _OFTEN else int(often.removesuffix("/day"))
    for key in ("as_needed", "reported"):
        if key in taken:
            taken[key] = True
    return {"drug": rest.strip(), **taken}


def result(told: Any, words: Words) -> dict[str, Any]:
    """A result in its long form. Raises `UnknownWord`."""
    if not isinstance(told, str):
        return dict(told)
    for end in (at.start() for at in re.finditer(r" (?=[<>\d])", told)):
        name = told[:end]
        analyte = words.analyte(name)
        if analyte is None and not words.is_code(name):
            continue
        found = _RESULT.fullmatch(told[end + 1 :])
        if found is None:
            raise UnknownWord(f"write {name} as '{name} 3.2 mmol/L 5 days ago', not {told!r}")
        taken: dict[str, Any] = {key: value for key, value in found.groupdict().items() if value is not None}
        if "hemolyzed" in taken:
            taken["hemolyzed"] = True
        if taken.get("unit") == "no unit":
            taken["unit"] = None
        elif "unit" not in taken:
            if analyte is None or len(analyte.families) != 1:
                raise UnknownWord(f"{told!r}: give {name} a unit, or say 'no unit'")
            taken["unit"] = next(iter(analyte.families))
        return {"loinc" if analyte is None else "analyte": name, **taken}
    raise UnknownWord(f"{told!r} does not begin with an analyte of rules/units or a LOINC code, followed by a number")


def condition(told: Any, words: Words) -> dict[str, Any]:
    """A condition in its long form."""
    if not isinstance(told, str):
        return dict(told)
    taken = _taken(_CONDITION, told, "I83.90 provisional 5 days ago")
    what = taken.pop("what")
    return {"code" if words.is_code(what) else "set": what, **taken}


def dated(told: Any, words: Words) -> dict[str, Any]:
    """A procedure, allergy or placed order in its long form."""
    if not isinstance(told, str):
        return dict(told)
    taken = _taken(_DATED, told, "dialysis-procedure 30 days ago")
    what = taken.pop("what")
    return {"code" if words.is_code(what) else "set": what, **taken}


def _taken(pattern: re.Pattern[str], told: str, example: str) -> dict[str, Any]:
    found = pattern.fullmatch(told)
    if found is None:
        raise UnknownWord(f"write it as {example!r}, not {told!r}")
    return {key: value for key, value in found.groupdict().items() if value is not None}
