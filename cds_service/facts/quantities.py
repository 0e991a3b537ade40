"""A number, a comparator and a unit into a set of possible values of an analyte (sections 0.5.3 to 0.5.6 and 6).

Values are Decimals all the way. A value stays in the unit family it was reported in; it is converted only when its
unit has no thresholds of its own, and for the plausibility check.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal

import msgspec

Problem = Literal[
    "no-value",
    "not-a-quantity",
    "not-a-number",
    "not-positive",
    "no-unit",
    "unknown-unit",
    "unit-contradicts-code",
    "implausible",
    "no-date",
    "future",
]

PROBLEMS: dict[str, str] = {
    "no-value": "has no value",
    "not-a-quantity": "has a value that is not a quantity",
    "not-a-number": "has a value that is not a number",
    "not-positive": "has a value that is not above zero",
    "no-unit": "has no unit",
    "unknown-unit": "has a unit that is not recognized",
    "unit-contradicts-code": "has a unit that contradicts its code",
    "implausible": "lies outside the plausible range",
    "no-date": "has no readable date",
    "future": "is dated more than 24 hours ahead",
}
"""Why a result is unusable: the closed list, with the words that follow "The potassium result"."""

_COMPARATORS = {"<", "<=", ">=", ">"}
_LONGEST_NUMBER = 60
_LONGEST_UNIT = 40
_LARGEST_EXPONENT = 15
_MICRO = str.maketrans({"\u00b5": "u", "\u03bc": "u", "\u00b2": "2", " ": None, "\t": None, "\u00a0": None})


class Unit(msgspec.Struct, frozen=True):
    """One unit of one analyte: `value x factor` is in `family`; `kind` is what it measures (mass, substance, ...)."""

    ucum: str
    kind: str
    family: str
    factor: Decimal


class Family(msgspec.Struct, frozen=True):
    """A unit that thresholds are written in: `value x to_si + then_add` is SI."""

    to_si: Decimal
    then_add: Decimal = Decimal(0)


class Analyte(msgspec.Struct, frozen=True):
    """Everything known about one kind of result; made by `units.load_analytes` from ``rules/units``."""

    id: str
    name: str
    symbol: str
    accepted: str
    answers: Literal["quantity", "coded", "date"] = "quantity"
    si: str = ""
    families: dict[str, Family] = {}
    units: dict[str, Unit] = {}
    """Every spelling, as written and folded, to its unit."""
    plausible: dict[str, tuple[Decimal, Decimal]] = {}
    reference: dict[str, tuple[Decimal | None, Decimal | None]] = {}
    properties: dict[str, str] = {}
    """Accepted code to the kind of quantity it stands for."""
    unit_may_be_missing: bool = False
    zero_counts: bool = False
    integer_counts: bool = False
    source: str = ""

    def unit_named(self, code: str | None, system: str | None, text: str | None) -> Unit | Problem:
        """The unit of a quantity: its UCUM code, else its text. Two that are known and differ contradict each other."""
        if code is not None and (not system or system.rstrip("/").endswith("unitsofmeasure.org")):
            by_code = self.units.get(code) or self.units.get(fold(code))
        else:
            by_code = None
        by_text = None if text is None or text == code else self.units.get(text) or self.units.get(fold(text))
        if by_code is not None:
            if by_text is not None and (by_text.factor != by_code.factor or by_text.family != by_code.family):
                return "unit-contradicts-code"
            return by_code
        if by_text is not None:
            return by_text
        if not (code and code.strip()) and not (text and text.strip()):
            if self.unit_may_be_missing:
                return next(iter(self.units.values()))
            return "no-unit"
        return "unknown-unit"

    def to_si(self, value: Decimal, family: str) -> Decimal:
        """`value`, given in `family`, in SI."""
        how = self.families[family]
        return value * how.to_si + how.then_add

    def is_plausible(self, low: Decimal, high: Decimal | None, family: str) -> bool:
        """Whether any value between `low` and `high` (None: unbounded), both in `family`, can occur in a patient."""
        bounds = self.plausible.get(family)
        if bounds is None:
            bounds = self.plausible[self.si]
            low = self.to_si(low, family)
            high = None if high is None else self.to_si(high, family)
        return low <= bounds[1] and (high is None or high >= bounds[0])


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a quantity says: an interval in `family`, or a problem beside the bare number."""

    problem: Problem | None
    value: Decimal | None = None
    unit: str = ""
    family: str = ""
    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False
    comparator: Literal["", "<", "<=", ">=", ">"] = ""


def fold(spelling: str) -> str:
    """A unit spelling without case, spaces, or the sign for micro."""
    return _folded(spelling[:_LONGEST_UNIT])


@lru_cache(maxsize=2048)
def _folded(spelling: str) -> str:
    return spelling.translate(_MICRO).lower()


def number(json_text: str) -> Decimal | None:
    """A JSON number as a Decimal, exactly as written; None for anything that is no finite number of sane length."""
    if not json_text or len(json_text) > _LONGEST_NUMBER or json_text[0] not in "-0123456789":
        return None
    try:
        value = Decimal(json_text)
    except InvalidOperation:
        return None
    if not value.is_finite() or abs(value.adjusted()) > _LARGEST_EXPONENT:
        # no clinical quantity; kept, it would overflow arithmetic or fill a card with a billion digits
        return None
    return value


def read_quantity(
    analyte: Analyte,
    json_number: str,
    comparator: str | None,
    code: str | None,
    system: str | None,
    unit_text: str | None,
    kind: str | None,
) -> Reading:
    """Reads one quantity of `analyte`. `kind` is the property of its code, None when that is not known."""
    value = number(json_number)
    if value is None:
        return Reading("not-a-number" if json_number and json_number != "null" else "no-value")
    unit = analyte.unit_named(code, system, unit_text)
    if not isinstance(unit, Unit):
        return Reading(unit, value)
    if value < 0 or (value == 0 and not analyte.zero_counts):
        return Reading("not-positive", value, unit.ucum)
    if comparator and comparator not in _COMPARATORS:
        return Reading("not-a-quantity", value, unit.ucum)
    in_family = value if unit.factor == 1 else value * unit.factor
    sign: Literal["", "<", "<=", ">=", ">"] = comparator or ""  # type: ignore[assignment]
    low, high, low_open, high_open = _interval(in_family, sign)
    if kind is not None and unit.kind != kind and _also_plausible(analyte, value, sign, kind):
        return Reading("unit-contradicts-code", value, unit.ucum, comparator=sign)
    if not analyte.is_plausible(low, high, unit.family):
        return Reading(
            "unit-contradicts-code" if kind is not None and unit.kind != kind else "implausible",
            value,
            unit.ucum,
            comparator=sign,
        )
    return Reading(None, value, unit.ucum, unit.family, low, high, low_open, high_open, sign)


def _interval(value: Decimal, sign: str) -> tuple[Decimal, Decimal | None, bool, bool]:
    if not sign:
        return value, value, False, False
    if sign[0] == "<":
        return Decimal(0), value, True, sign == "<"
    return value, None, sign == ">", True


def _also_plausible(analyte: Analyte, value: Decimal, sign: str, kind: str) -> bool:
    """Whether the number would pass in any unit of the kind that the code stands for (0.5.4)."""
    for unit in {unit.ucum: unit for unit in analyte.units.values() if unit.kind == kind}.values():
        low, high, _, _ = _interval(value * unit.factor, sign)
        if analyte.is_plausible(low, high, unit.family):
            return True
    return False
