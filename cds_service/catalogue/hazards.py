"""Which hazards of the hazard log a rule keeps away, itself or through a gate that it asks."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cds_service.catalogue.model import RuleView
from cds_service.hazards import Hazard, read_log

LOG = Path("safety") / "hazards.yaml"
"""Where the hazards stand in a rules folder."""


class Guarded(msgspec.Struct, frozen=True):
    """A hazard, and what of this rule stands against it."""

    hazard: Hazard
    by: tuple[str, ...]
    """In words: "this rule", "gate potassium-chloride, rows GK5 and GK6"."""


def guarded_by(rule: RuleView, folder: Path) -> tuple[Guarded, ...]:
    """The hazards of a rules folder that this rule stands against, in the order of the log; none without a log."""
    told = _log(folder / LOG)
    return tuple(one for hazard in told if (one := _guarded(rule, hazard)) is not None)


@functools.cache
def _log(path: Path) -> tuple[Hazard, ...]:
    return read_log(path).hazards if path.is_file() else ()


def _guarded(rule: RuleView, hazard: Hazard) -> Guarded | None:
    by = tuple(_controls(rule, hazard))
    return Guarded(hazard, by) if by else None


def _controls(rule: RuleView, hazard: Hazard) -> Iterator[str]:
    if any(one.kind == "rule" and one.name == rule.id for one in hazard.controls):
        yield "this rule"
    for gate in rule.gates:
        rows = [one.row for one in hazard.controls if one.kind == "gate" and one.name == gate.id]
        named = [row for row in rows if row]
        if named:
            yield f"gate {gate.id}, {'row' if len(named) == 1 else 'rows'} {' and '.join(named)}"
        elif rows:
            yield f"gate {gate.id}"
