"""Which parts of the rules no scenario reaches.

A band is reached when a finding lands in it, a gate row when it decides, a row of `then` or `advice` when it is
taken, an `unless`, a patient gate and the `if` of an offer when they answer yes, an exception of the freeze when it
lets a treatment stand, a floor of the tier when its finding is there. The sweep stands behind the gates as a second net
and may never get its turn, so each of its rows is asked in every scenario on its own: it is reached when it is true.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cds_service.assess import Assessment
from cds_service.engine.context import Context
from cds_service.engine.evaluate import evaluate_findings
from cds_service.engine.loader import TOPICS
from cds_service.engine.loader_rules import UNNAMED_BAND
from cds_service.engine.model import Decision, Finding
from cds_service.engine.source import Document, Path_, read_document
from cds_service.engine.verdicts import YES
from cds_service.review.bench import Place, Prepared, assessed, documents_of, watched
from cds_service.ruleset import Ruleset

_YES = 1 << YES
_LIKELY = 0b110
"""Yes or unknown: what lets a row of a gate decide."""


class Target(msgspec.Struct, frozen=True):
    """Something that a scenario should reach."""

    what: str
    name: str
    file: str
    line: int
    path: Path_


class Covered(msgspec.Struct, frozen=True):
    """A target, and the titles of the scenarios that reach it."""

    target: Target
    by: tuple[str, ...]
    unreachable_because: str = ""
    """Why none can, where the rules say so in `review/unreachable.yaml`."""

    @property
    def is_settled(self) -> bool:
        """Reached, or known to be unreachable, and not both."""
        return bool(self.by) != bool(self.unreachable_because)


def measure(ruleset: Ruleset, prepared: Iterable[Prepared]) -> list[Covered]:
    """Every target, in the order of the files, with the scenarios that reach it."""
    documents = documents_of(ruleset)
    wanted = list(targets(documents, ruleset))
    seen, watch = watched(ruleset, documents)
    reached: dict[Place, list[str]] = {(target.file, target.path): [] for target in wanted}
    reading = _Reading(seen, documents)
    for one in prepared:
        watch.taken()
        assessment = assessed(one, seen)
        answers = watch.taken()
        for place in {*reading.places(assessment, answers), *reading.swept(one)}:
            if place in reached:
                reached[place].append(one.scenario.title)
    because = unreachable(ruleset.folder)
    return [
        Covered(target, tuple(reached[target.file, target.path]), because.get((target.what, target.name), ""))
        for target in wanted
    ]


def unreachable(folder: Path) -> dict[tuple[str, str], str]:
    """What no patient can reach, by what it is and its name, with the reason. Raises RuleError."""
    path = folder / "review" / "unreachable.yaml"
    if not path.is_file():
        return {}
    document = read_document(path, f"{folder.name}/review/{path.name}")
    try:
        return {(one["what"], one["name"]): one["because"] for one in document.data}
    except (KeyError, TypeError):
        document.fail((), "give a list of `what`, `name` and `because`")


# -- what there is ---------------------------------------------------------------------------------------------------


def targets(documents: Mapping[str, Document], ruleset: Ruleset) -> Iterator[Target]:
    """Everything that a scenario should reach."""
    active = {rule.file for rule in ruleset.knowledge.active_rules}
    for name, document in documents.items():
        folder = name.partition("/")[0]
        if folder in TOPICS and document.file in active:
            yield from _of_rule(document)
        elif folder == "gates":
            yield from _of_gate(document)
        elif name in ("safety/patient-gates.yaml", "safety/sweep.yaml"):
            what = "sweep row" if "sweep" in name else "patient gate"
            for i, row in enumerate(document.data["rows"]):
                yield _target(document, what, row["id"], ("rows", i))
        elif name == "safety/critical-freeze.yaml":
            yield from _of_freeze(document)
        elif folder == "tiers":
            for level, floors in document.data["floors"].items():
                for i, floor in enumerate(floors):
                    yield _target(document, "tier floor", f"{level} by {floor['finding']}", ("floors", level, i))


def _target(document: Document, what: str, name: str, path: Path_) -> Target:
    return Target(what, name, document.file, document.line(path), path)


def _of_rule(document: Document) -> Iterator[Target]:
    data = document.data
    rule = data["id"]
    if "bands" not in data:
        yield _target(document, "band", f"{rule} {UNNAMED_BAND}", ("indicator",))
    for i, band in enumerate(data.get("bands", ())):
        yield _target(document, "band", f"{rule} {band['id']}", ("bands", i))
        yield from _offers(document, f"{rule} {band['id']}", band.get("suggestions", ()), ("bands", i, "suggestions"))
    for i, unless in enumerate(data.get("unless", ())):
        yield _target(document, "unless", f"{rule}: {unless.get('because', i)}", ("unless", i))
    yield from _offers(document, rule, data.get("suggestions", ()), ("suggestions",))


def _offers(document: Document, owner: str, offers: Iterable[Mapping[str, Any]], path: Path_) -> Iterator[Target]:
    for i, offer in enumerate(offers):
        if "if" in offer:
            kind = next(key for key in ("order", "gate", "review", "delete", "advice", "handout") if key in offer)
            yield _target(document, "if of an offer", f"{owner}: {kind} {str(offer[kind])[:40]}", (*path, i, "if"))


def _of_gate(document: Document) -> Iterator[Target]:
    data = document.data
    for i, row in enumerate(data["rows"]):
        yield _target(document, "gate row", f"{data['gate']} {row['id']}", ("rows", i))
        yield from _offers(document, f"{data['gate']} {row['id']}", row.get("offer", ()), ("rows", i, "offer"))
    for name, rows in data.get("then", {}).items():
        for i, row in enumerate(rows):
            text = row.get("text", row.get("order", i))
            yield _target(document, "row of then", f"{data['gate']} {name} {text}", ("then", name, i))
    for i, row in enumerate(data.get("advice", ())):
        yield _target(document, "row of advice", f"{data['gate']} {row['text'][:40]}", ("advice", i))


def _of_freeze(document: Document) -> Iterator[Target]:
    for i, row in enumerate(document.data["except"]):
        for key, words in (("on", "on the card of"), ("when_critical_only", "beside critical")):
            for j, rule in enumerate(row[key]):
                yield _target(document, "freeze exception", f"{row['gate']} {words} {rule}", ("except", i, key, j))


# -- what a scenario reaches -----------------------------------------------------------------------------------------


class _Reading:
    """Reads off an assessment what was reached."""

    def __init__(self, ruleset: Ruleset, documents: Mapping[str, Document]) -> None:
        self.ruleset, self.knowledge, self.documents = ruleset, ruleset.knowledge, documents

    def places(self, assessment: Assessment, answers: Mapping[Place, int]) -> Iterator[Place]:
        """All but the sweep."""
        for finding in assessment.findings:
            if finding.fired:
                yield self._band(finding)
        for decision in assessment.decisions.values():
            yield from self._decided(decision, answers)
        for (file, path), verdicts in answers.items():
            if verdicts & _YES and (path[-1:] == ("if",) or path[:1] == ("unless",)):
                yield file, path
        yield from self._patient_gates(answers)
        yield from self._freeze(assessment)
        yield from self._floors(assessment)

    def _band(self, finding: Finding) -> Place:
        data = finding.rule.data
        ids = [band["id"] for band in data.get("bands", ())]
        return finding.rule.file, ("bands", ids.index(finding.band)) if ids else ("indicator",)

    def _rows(self, name: str, is_it: Any) -> Iterator[Place]:
        document = self.documents[name]
        yield from ((document.file, ("rows", i)) for i, row in enumerate(document.data["rows"]) if is_it(row))

    def _patient_gates(self, answers: Mapping[Place, int]) -> Iterator[Place]:
        document = self.documents["safety/patient-gates.yaml"]
        for i in range(len(document.data["rows"])):
            if answers.get((document.file, ("rows", i, "if")), 0) & _YES:
                yield document.file, ("rows", i)

    def _decided(self, decision: Decision, answers: Mapping[Place, int]) -> Iterator[Place]:
        name = f"gates/{decision.gate}.yaml"
        yield from self._rows(name, lambda row: row["id"] == decision.row)
        if decision.draft is None:
            return
        document = self.documents[name]
        for then, rows in document.data.get("then", {}).items():
            for i, row in enumerate(rows):
                if "if" not in row or answers.get((document.file, ("then", then, i, "if")), 0) & _LIKELY:
                    yield document.file, ("then", then, i)
                    break
        for i, row in enumerate(document.data.get("advice", ())):
            if row["text"] in decision.advice:
                yield document.file, ("advice", i)

    def _freeze(self, assessment: Assessment) -> Iterator[Place]:
        document = self.documents["safety/critical-freeze.yaml"]
        findings = {finding.rule.id: finding for finding in assessment.findings if finding.fired}
        critical = {rule_id for rule_id, finding in findings.items() if finding.indicator == "critical"}
        topics = {rule.topic: rule.id for rule in self.knowledge.rules}
        shown = {topics.get(card.source.topic.code, "") for card in assessment.cards}
        for i, row in enumerate(document.data["except"]):
            decision = assessment.decisions.get(row["gate"])
            if decision is None or decision.draft is None or not critical <= set(row["when_critical_only"]):
                continue
            stands_on = [rule_id for rule_id in row["on"] if rule_id in shown and self._offers(findings, rule_id, row)]
            if not critical or not stands_on:
                continue
            for rule_id in stands_on:
                yield document.file, ("except", i, "on", row["on"].index(rule_id))
            for rule_id in critical:
                yield document.file, ("except", i, "when_critical_only", row["when_critical_only"].index(rule_id))

    def _offers(self, findings: Mapping[str, Finding], rule_id: str, row: Mapping[str, Any]) -> bool:
        finding = findings.get(rule_id)
        return finding is not None and any(one.kind == "gate" and one.of == row["gate"] for one in finding.offers)

    def _floors(self, assessment: Assessment) -> Iterator[Place]:
        tier = self.knowledge.tier
        if assessment.tier is None or tier is None:
            return
        found = {(one.rule.id, one.indicator) for one in assessment.findings if one.fired}
        document = self.documents[f"tiers/{tier.id}.yaml"]
        for level, floors in document.data["floors"].items():
            for i, floor in enumerate(floors):
                if (floor["finding"], floor["indicator"]) in found:
                    yield document.file, ("floors", level, i)

    def swept(self, one: Prepared) -> Iterator[Place]:
        """The rows of the sweep that are true of this patient, whatever the gates said before."""
        context = Context(one.facts, one.case.settings)
        evaluate_findings(context, self.knowledge, self.ruleset.analyte_names)
        document = self.documents["safety/sweep.yaml"]
        for i, row in enumerate(self.knowledge.sweep):
            context.begin()
            if row.test(context) == YES:
                yield document.file, ("rows", i)
