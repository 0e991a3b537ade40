"""The hazard log as a page: `python -m cds_service.hazards > docs/safety/hazard-log.md`.

The hazards are data in `rules/safety/hazards.yaml`. Likelihood, ratings and owner belong to the clinical safety officer
(DCB0129): the data keeps the fields and leaves them null until someone who may set them does.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from cds_service.engine.source import read_document

Severity = Literal["catastrophic", "major", "considerable", "significant", "minor"]
SEVERITIES: tuple[Severity, ...] = ("catastrophic", "major", "considerable", "significant", "minor")
TO_BE_SET = "to be set by the clinical safety officer"
COMMAND = "python -m cds_service.hazards > docs/safety/hazard-log.md"


class Rating(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What only the clinical safety officer may state; None until then. Ratings are those of the 5 x 5 matrix."""

    likelihood: str | None
    initial: str | None
    residual: str | None
    owner: str | None


class Control(msgspec.Struct, frozen=True):
    """Something that keeps the harm away: `kind name row`, such as ``gate potassium-chloride GK4``."""

    kind: str
    name: str
    row: str = ""

    @classmethod
    def read(cls, text: str) -> Control:
        return cls(*text.split())


class Hazard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    title: str
    cause: str
    harm: str
    severity: Severity
    mitigation: tuple[str, ...]
    idea: str
    """The test idea of section 4.2, which the tests run."""
    tests: tuple[str, ...]
    """``scenario FILE: NAME`` of fixtures/scenarios, or a pytest node id."""
    rating: Rating

    @property
    def controls(self) -> tuple[Control, ...]:
        return tuple(map(Control.read, self.mitigation))

    @property
    def scenarios(self) -> tuple[tuple[str, str], ...]:
        """File stem and name of each scenario."""
        told = [test.removeprefix("scenario ") for test in self.tests if test.startswith("scenario ")]
        return tuple((stem, name) for stem, _, name in (text.partition(": ") for text in told))

    @property
    def node_ids(self) -> tuple[str, ...]:
        return tuple(test for test in self.tests if not test.startswith("scenario "))


class HazardLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    note: str
    hazards: tuple[Hazard, ...]


def read_log(path: Path) -> HazardLog:
    """The hazards of a file. Raises RuleError for bad YAML, msgspec.ValidationError for what is not a hazard."""
    return msgspec.convert(read_document(path, path.name).data, HazardLog)


def render(log: HazardLog) -> str:
    """The page, as Markdown."""
    return "\n".join(_page(log)) + "\n"


def _page(log: HazardLog) -> Iterator[str]:
    yield from (
        "# Hazard log",
        "",
        f"Made from `rules/safety/hazards.yaml` by `{COMMAND}`; a test fails when the two differ.",
    )
    yield from (log.note, "", f"Source: {log.source}", "")
    count = Counter(hazard.severity for hazard in log.hazards)
    yield from ("| Severity | Hazards |", "|---|---|")
    yield from (f"| {severity} | {count[severity]} |" for severity in SEVERITIES)
    yield from ("", "| Id | Hazard | Severity | Tests |", "|---|---|---|---|")
    for hazard in log.hazards:
        link, title = f"[{hazard.id}](#{hazard.id.lower()})", _cell(hazard.title)
        yield f"| {link} | {title} | {hazard.severity} | {len(hazard.tests)} |"
    for hazard in log.hazards:
        yield from _entry(hazard)


def _entry(hazard: Hazard) -> Iterator[str]:
    rating = hazard.rating
    yield from ("", f'<a id="{hazard.id.lower()}"></a>', f"## {hazard.id} {hazard.title}", "")
    yield from (
        f"- **Cause:** {hazard.cause}",
        f"- **Harm:** {hazard.harm}",
        f"- **Severity:** {hazard.severity}",
        f"- **Likelihood:** {rating.likelihood or TO_BE_SET}",
        f"- **Initial rating:** {rating.initial or TO_BE_SET}",
        f"- **Residual rating:** {rating.residual or TO_BE_SET}",
        f"- **Owner:** {rating.owner or TO_BE_SET}",
        f"- **Controls:** {_listed(hazard.mitigation)}",
        f"- **Test idea:** {hazard.idea}",
        "- **Evidence of control:**",
    )
    yield from (f"  - scenario `{stem}.yaml`: {name}" for stem, name in hazard.scenarios)
    yield from (f"  - `{node}`" for node in hazard.node_ids)


def _listed(texts: Iterable[str]) -> str:
    return "; ".join(f"{kind} `{rest}`" for kind, _, rest in (text.partition(" ") for text in texts))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    from cds_service.ruleset import default_folder

    sys.stdout.write(render(read_log(default_folder() / "safety" / "hazards.yaml")))
