"""The contributor tier: a transparent count of recorded factors (section 3). Not a probability."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cds_service.engine.context import Context
from cds_service.engine.criteria import Compiler, Vocabulary
from cds_service.engine.model import Contributor, Finding, Test, TierResult
from cds_service.engine.results import newest_usable
from cds_service.engine.source import Document, Path_
from cds_service.engine.verdicts import YES

NONE = "none"


class Family(msgspec.Struct, frozen=True):
    """Rules that must not simply add up: only the highest of them counts, plus one if a named fact is a yes."""

    plus_one_if: Test | None = None


class Tier(msgspec.Struct, frozen=True):
    id: str
    version: str
    caps: dict[str, int]
    families: dict[str, Family]
    levels: dict[str, int]
    floors: dict[str, tuple[tuple[str, str], ...]]
    not_assessed: tuple[str, ...]
    is_not: str

    @classmethod
    def from_document(cls, document: Document, vocabulary: Vocabulary) -> Tier:
        data: dict[str, Any] = document.data
        compiler = Compiler(document, vocabulary)
        for level, floors in data["floors"].items():
            if level not in data["levels"]:
                document.fail(("floors", level), f"there is no level {level!r}")
            for index, floor in enumerate(floors):
                if floor["finding"] not in vocabulary.findings:
                    document.fail(("floors", level, index), f"there is no rule {floor['finding']!r}")
        for index, analyte in enumerate(data["not_assessed"]):
            if analyte not in vocabulary.analytes:
                document.fail(("not_assessed", index), f"there is no analyte {analyte!r}")
        vocabulary.levels.update({NONE: 0} | data["levels"])
        return cls(
            id=data["tier"],
            version=data.get("version", ""),
            caps=data["caps"],
            families={name: _family(family, ("families", name), compiler) for name, family in data["families"].items()},
            levels=data["levels"],
            floors={
                level: tuple((floor["finding"], floor["indicator"]) for floor in floors)
                for level, floors in data["floors"].items()
            },
            not_assessed=tuple(data["not_assessed"]),
            is_not=data["is_not"],
        )

    def count(self, context: Context, findings: Mapping[str, Finding], names: Mapping[str, str]) -> TierResult:
        """The level, its points and its contributors, strongest first. `names` maps analytes to display names."""
        contributors = [
            Contributor(finding, points, finding.rule.group)
            for finding, points in self._counted(context, findings.values())
        ]
        by_group: defaultdict[str, int] = defaultdict(int)
        for contributor in contributors:
            by_group[contributor.group] += contributor.points
        points = sum(min(total, self.caps[group]) for group, total in by_group.items())
        level = self._level(points)
        for floor, causes in self.floors.items():
            for rule_id, indicator in causes:
                finding = findings.get(rule_id)
                if finding is not None and finding.fired and finding.indicator == indicator:
                    level = max(level, floor, key=self._rank)
        contributors.sort(key=lambda c: (-c.points, c.finding.rule.order_of))
        return TierResult(
            level=level,
            points=points,
            contributors=tuple(contributors),
            not_assessed=tuple(
                names[a] for a in self.not_assessed if newest_usable(context.results.get(a, ())) is None
            ),
        )

    def _counted(self, context: Context, findings: Iterable[Finding]) -> Iterable[tuple[Finding, int]]:
        families: defaultdict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            if not finding.fired or not finding.points:
                continue
            if finding.rule.family in self.families:
                families[finding.rule.family].append(finding)
            else:
                yield finding, finding.points
        for name, members in families.items():
            # the member that carries the family's points; the others are named with none of their own
            carrier = max(members, key=lambda f: (f.points, -f.rule.order_of))
            extra = self.families[name].plus_one_if
            context.begin()
            for member in members:
                plus = 1 if member is carrier and extra is not None and extra(context) == YES else 0
                yield member, carrier.points + plus if member is carrier else 0

    def _level(self, points: int) -> str:
        reached = [level for level, least in self.levels.items() if points >= least]
        return max(reached, key=self._rank, default=NONE)

    def _rank(self, level: str) -> int:
        return self.levels.get(level, 0)


def _family(data: dict[str, Any], path: Path_, compiler: Compiler) -> Family:
    fact = data.get("plus_one_if")
    return Family(compiler.compile({"fact": fact}, path) if fact else None)
