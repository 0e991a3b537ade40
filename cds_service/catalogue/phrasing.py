"""Small pieces of wording: names within a sentence, amounts with their units, lists, wordings with slots."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from cds_service.cards.wording import unit_text
from cds_service.catalogue.model import Run, SiteView, Words
from cds_service.engine.site import SiteChange

_SLOTS = {
    "": "{}",
    "name": "{}",
    "names": "{}",
    "date": "date of {}",
    "number": "number of {}",
    "unit": "unit of {}",
    "times": "times the upper limit",
}
_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?:\.([a-z_]+))?\}")


def wording(text: str) -> Words:
    """A wording with its `{names}` as slots."""
    if "{1.73_m2}" in text:
        return (Run(text),)
    runs: list[Run] = []
    at = 0
    for found in _PLACEHOLDER.finditer(text):
        if found.start() > at:
            runs.append(Run(text[at : found.start()]))
        name, attribute = found[1], found[2] or ""
        runs.append(Run(_SLOTS.get(attribute, "{} " + attribute).format(name.replace("_", " ")), "slot", name))
        at = found.end()
    if at < len(text):
        runs.append(Run(text[at:]))
    return tuple(runs)


def in_sentence(name: str) -> str:
    """A title without its capital, unless that belongs to it: `loop diuretics`, `eGFR`, `HbA1c`, `ACE inhibitors`."""
    first = re.split(r"[ ,-]", name, maxsplit=1)[0]
    return name[:1].lower() + name[1:] if first[1:].islower() else name


def amount(text: Any) -> str:
    """`0.70 mmol/L | 1.7 mg/dL` as `0.70 mmol/L (1.7 mg/dL)`."""
    told = []
    for part in str(text).split("|"):
        number, _, unit = part.strip().partition(" ")
        told.append(f"{number} {unit_text(unit.strip())}".replace("{ratio}", "").replace("{score}", "").strip())
    return told[0] + (f" ({', '.join(told[1:])})" if len(told) > 1 else "")


def listed(words: Iterable[str], last: str = "or") -> str:
    told = list(words)
    return " ".join(filter(None, [", ".join(told[:-1]), last if len(told) > 1 else "", told[-1] if told else ""]))


def site_change(one: SiteChange) -> SiteView:
    """A change of the site, its values as a file spells them."""
    return SiteView(one.at, "" if one.before is None else _spelled(one.before), _spelled(one.after), one.because)


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
