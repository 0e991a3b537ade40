"""The contributor tier: a transparent count of recorded factors (section 3). Not a probability."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
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


class Published(msgspec.Struct, frozen=True):
    """The published ratio on which a contributor's points rest: points = round(2 x log2(ratio)), 0 at least."""

    ratio: Decimal
    cites: str
    low: Decimal | None = None
    high: Decimal | None = None
    """The interval; where its ends differ by more than 5-fold, the lower end stands for the ratio."""
    halved: bool = False
    """A second study contradicts."""


class Tier(msgspec.Struct, frozen=True):
    """One way of adding up points. A second, named one may stand beside it, with other points for some bands."""

    id: str
    version: str
    caps: dict[str, int]
    families: dict[str, Family]
    levels: dict[str, int]
    floors: dict[str, tuple[tuple[str, str], ...]]
    not_assessed: tuple[str, ...]
    is_not: str
    points: dict[str, dict[str, int]] = {}
    """Rule to band to the points that count here in place of the rule's own."""
    published: dict[str, Published] = {}
    """The rules whose points rest on a published ratio."""
    associations: frozenset[str] = frozenset()
    """The rules whose points rest on a published association without a usable ratio. All others are judged ("J")."""
    fitted_on: str = ""
    """The survey cycle from which `points` were taken, so that a judgment on it is known to be no independent one."""

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
        for name, bands in data.get("points", {}).items():
            if name not in vocabulary.findings:
                document.fail(("points", name), f"there is no rule {name!r}")
            for band in bands.keys() - vocabulary.findings[name]:
                document.fail(("points", name, band), f"the rule {name} has no band {band!r}")
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
            points={
                name: {band: told["points"] for band, told in bands.items()}
                for name, bands in data.get("points", {}).items()
            },
            published=msgspec.convert(data.get("published", {}), dict[str, Published], strict=False),
            associations=frozenset(data.get("associations", ())),
            fitted_on=data.get("fitted_on", {}).get("cycle", ""),
        )

    def points_of(self, finding: Finding) -> int:
        """What a finding counts here before caps and families; past its window none."""
        if finding.lowered:
            return 0
        return self.points.get(finding.rule.id, {}).get(finding.band, finding.points)

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
            points = self.points_of(finding) if finding.fired else 0
            if not points:
                continue
            if finding.rule.family in self.families:
                families[finding.rule.family].append(finding)
            else:
                yield finding, points
        for name, members in families.items():
            # the member that carries the family's points; the others are named with none of their own
            carrier = max(members, key=lambda f: (self.points_of(f), -f.rule.order_of))
            extra = self.families[name].plus_one_if
            context.begin()
            for member in members:
                plus = 1 if member is carrier and extra is not None and extra(context) == YES else 0
                yield member, self.points_of(carrier) + plus if member is carrier else 0

    def _level(self, points: int) -> str:
        reached = [level for level, least in self.levels.items() if points >= least]
        return max(reached, key=self._rank, default=NONE)

    def _rank(self, level: str) -> int:
        return self.levels.get(level, 0)


def _family(data: dict[str, Any], path: Path_, compiler: Compiler) -> Family:
    fact = data.get("plus_one_if")
    return Family(compiler.compile({"fact": fact}, path) if fact else None)


def versions(documents: Mapping[str, Document]) -> dict[str, Document]:
    """Every tier whole: one that is `based_on` another has that one's data wherever it says nothing itself.

    Raises RuleError.
    """
    whole: dict[str, Document] = {}
    for name, document in documents.items():
        base = document.data.get("based_on")
        if base is None:
            whole[name] = document
            continue
        if base not in documents or "based_on" in documents[base].data:
            document.fail(("based_on",), f"there is no tier {base!r} to start from")
        whole[name] = document.with_data({**documents[base].data, **document.data})
    return whole
