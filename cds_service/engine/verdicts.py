"""The three answers of every criterion, ordered so that `all` is min, `any` is max and `not` is 2 - v."""

from __future__ import annotations

from typing import Final, Literal

Verdict = int
NO: Final = 0
UNKNOWN: Final = 1
YES: Final = 2

VerdictName = Literal["no", "unknown", "yes"]
NAMES: Final[tuple[VerdictName, VerdictName, VerdictName]] = ("no", "unknown", "yes")
