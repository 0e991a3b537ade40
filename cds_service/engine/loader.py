"""From the rules folder to a Ruleset: strict, and with `file:line` for every mistake.

Files: ``ruleset.yaml``, ``references.yaml``, ``override-reasons.yaml``, ``facts/``, ``orders/``, ``gates/``,
``tiers/``, ``safety/``, ``handout/`` and one folder of rules for each topic. Their form is in
``schema/rules.schema.json``; what a schema cannot see (that a value set, a finding or a binding exists) is checked
here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from cds_service.engine import loader_rules as build
from cds_service.engine.criteria import Compiler, Vocabulary
from cds_service.engine.derived import EQUATIONS, DerivedMeasurement
from cds_service.engine.handout import handout
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import Gate, Reference, ReviewLimits, Rule
from cds_service.engine.needs import needs
from cds_service.engine.quantity import parse_duration
from cds_service.engine.safety import Freeze, PatientGate, SweepRow
from cds_service.engine.source import Document, RuleError, RulesetError, digest_bytes, read_document
from cds_service.engine.tier import NONE, Tier, versions

TOPICS = ("laboratory", "medication", "condition", "order", "summary")


def load_knowledge(
    folder: Path,
    value_sets: frozenset[str],
    analytes: Mapping[str, Mapping[str, Decimal]],
    upper_limits: Mapping[str, Decimal],
    instead: Mapping[str, Document] | None = None,
    tier: str = "",
) -> Knowledge:
    """Read, check and compile the folder. Raises RulesetError with every mistake found.

    `analytes` maps each analyte to its unit families and their factors to SI, `upper_limits` to the upper end of its
    reference range in the first family. `instead` holds documents, by their path in the folder, that are taken as they
    are for those on disk: the review tools try out changes so. `tier` names the tier that counts, where it is not the
    one that the folder's others are based on.
    """
    vocabulary = Vocabulary(value_sets, {name: tuple(families) for name, families in analytes.items()})
    vocabulary.to_si.update({name: dict(families) for name, families in analytes.items()})
    vocabulary.upper_limits.update(upper_limits)
    return _Loading(folder, vocabulary, instead or {}, tier).run()


class _Loading:
    def __init__(
        self, folder: Path, vocabulary: Vocabulary, instead: Mapping[str, Document], wanted_tier: str = ""
    ) -> None:
        self.folder, self.instead, self.wanted_tier = folder, instead, wanted_tier
        self.vocabulary = vocabulary
        self.errors: list[RuleError] = []
        self.gates: dict[str, Document] = {}
        self.knowledge = Knowledge()
        self.knowledge.vocabulary = vocabulary

    def run(self) -> Knowledge:
        self._masterdata()
        self._stop_if_wrong()
        rule_documents = dict(self._rule_documents())
        for rule_id, document in rule_documents.items():
            self.vocabulary.findings[rule_id] = build.band_ids(document.data)
        self._facts()
        self._stop_if_wrong()
        self._advice_gates()
        self._tier()
        self._stop_if_wrong()
        self._rules(rule_documents)
        self._gates_and_safety()
        self._handout()
        self._stop_if_wrong()
        build.check_references(self.knowledge, rule_documents, self.errors)
        self._stop_if_wrong()
        return self.knowledge

    # -- reading

    def _document(self, path: Path, kind: str) -> Document | None:
        """One file, checked against its schema; None (and an error noted) when it cannot be used."""
        name, shown = path.relative_to(self.folder).as_posix(), path.relative_to(self.folder.parent).as_posix()
        document = self.instead.get(name)
        if document is None:
            try:
                document = read_document(path, shown)
                check_schema(self.folder, document, kind)
            except RuleError as error:
                self.errors.append(error)
                return None
        self.knowledge.sources[name] = document.data
        return document

    def _documents(self, folder: str, kind: str) -> Iterator[tuple[str, Document]]:
        for path in sorted((self.folder / folder).glob("*.yaml")):
            document = self._document(path, kind)
            if document is not None:
                yield path.stem, document

    def _stop_if_wrong(self) -> None:
        if self.errors:
            raise RulesetError(sorted(self.errors, key=lambda e: (e.file, e.line)))

    def _named(self, stem: str, document: Document, key: str) -> str:
        name = str(document.data[key])
        if name != stem:
            self.errors.append(document.error((key,), f"{key} {name!r} must equal the file name"))
        return name

    # -- the parts

    def _masterdata(self) -> None:
        knowledge = self.knowledge
        if document := self._document(self.folder / "ruleset.yaml", "ruleset"):
            knowledge.version = document.data["knowledge_version"]
            knowledge.title, knowledge.canonical = document.data["title"], document.data["canonical"]
            knowledge.status = document.data["status"]
        if document := self._document(self.folder / "references.yaml", "references"):
            knowledge.references = {key: Reference(id=key, **value) for key, value in document.data.items()}
        if document := self._document(self.folder / "override-reasons.yaml", "override-reasons"):
            knowledge.override_system = document.data["system"]
            knowledge.override_reasons = document.data["reasons"]
            knowledge.lasting_reasons = self._lasting(document)
            knowledge.foreign_reasons = document.data.get("also", {})
            if "review" in document.data:
                knowledge.review_limits = ReviewLimits(**document.data["review"])
        if document := self._document(self.folder / "output.yaml", "output"):
            knowledge.output = document.data
        for stem, document in self._documents("orders", "order"):
            knowledge.orders[self._named(stem, document, "order")] = document.data

    def _lasting(self, document: Document) -> dict[str, timedelta]:
        lasting: dict[str, timedelta] = {}
        for reason, period in document.data.get("lasting", {}).items():
            if reason not in document.data["reasons"]:
                self.errors.append(document.error(("lasting", reason), f"there is no reason {reason!r}"))
                continue
            try:
                lasting[reason] = parse_duration(period)
            except ValueError as error:
                self.errors.append(document.error(("lasting", reason), str(error)))
        return lasting

    def _rule_documents(self) -> Iterator[tuple[str, Document]]:
        for topic in TOPICS:
            for stem, document in self._documents(topic, "rule"):
                yield self._named(stem, document, "id"), document

    def _facts(self) -> None:
        """Compile facts in the order of their references, so that a circle is found."""
        waiting: dict[str, Document] = {}
        for path in sorted((self.folder / "facts").glob("*.yaml")):
            kind = "measurement" if path.stem.startswith("measurement-") else "fact"
            document = self._document(path, kind)
            if document is None:
                continue
            if kind == "measurement":
                self._derived_measurement(document)
            else:
                waiting[self._named(path.stem, document, "fact")] = document
        while waiting:
            ready = [name for name, document in waiting.items() if not (_facts_used(document.data) & waiting.keys())]
            if not ready:
                name, document = next(iter(waiting.items()))
                self.errors.append(
                    RuleError(document.file, 1, f"facts refer to each other in a circle: {', '.join(waiting)}")
                )
                return
            for name in ready:
                self._fact(name, waiting.pop(name))

    def _fact(self, name: str, document: Document) -> None:
        node = {k: v for k, v in document.data.items() if k not in ("fact", "title", "cites", "note")}
        self.vocabulary.fact_needs[name] = needs(node, self.vocabulary.fact_needs)
        try:
            self.vocabulary.facts[name] = {
                reading: Compiler(document, self.vocabulary).compile(node, (), reading)
                for reading in ("surely", "bands", "cautiously")
            }
        except RuleError as error:
            self.errors.append(error)

    def _derived_measurement(self, document: Document) -> None:
        data = document.data
        if data["equation"] not in EQUATIONS:
            message = f"there is no equation {data['equation']!r}; known are {', '.join(EQUATIONS)}"
            self.errors.append(document.error(("equation",), message))
            return
        for analyte in (data["measurement"], *data["from"]):
            if analyte not in self.vocabulary.analytes:
                self.errors.append(document.error(("from",), f"there is no analyte {analyte!r}"))
        derived = DerivedMeasurement(
            measurement=data["measurement"],
            equation=data["equation"],
            sources=tuple(data["from"]),
            apart=parse_duration(data.get("unless_reported_within", "1 day")),
            within=parse_duration(data.get("within", "1095 days")),
        )
        self.knowledge.derived = (*self.knowledge.derived, derived)

    def _tier(self) -> None:
        """The tier that counts; the others are checked as well, and are no part of the ruleset."""
        try:
            found = versions({self._named(stem, one, "tier"): one for stem, one in self._documents("tiers", "tier")})
            tiers = {name: Tier.from_document(document, self.vocabulary) for name, document in found.items()}
        except RuleError as error:
            self.errors.append(error)
            return
        name = self.wanted_tier or next((one for one in found if "based_on" not in found[one].data), "")
        if self.wanted_tier and name not in tiers:
            text = f"there is no tier {name!r}; known are {', '.join(tiers)}"
            self.errors.append(RuleError(f"{self.folder.name}/tiers", 1, text))
            return
        if not name:
            return
        self.knowledge.tier = tiers[name]
        self.vocabulary.levels.update({NONE: 0} | tiers[name].levels)
        for other in tiers:
            self.knowledge.sources.pop(f"tiers/{other}.yaml", None)
        self.knowledge.sources[f"tiers/{name}.yaml"] = found[name].data

    def _rules(self, documents: Mapping[str, Document]) -> None:
        built: dict[str, tuple[Rule, set[str]]] = {}
        for rule_id, document in documents.items():
            try:
                built[rule_id] = build.rule(document, self.vocabulary)
            except RuleError as error:
                self.errors.append(error)
        self.knowledge.rules = build.in_order_of_reference(built, self.errors)

    def _advice_gates(self) -> None:
        """The tables about an advice, which rules and the handout ask; those about treatments come after the rules."""
        self.gates = {self._named(stem, one, "gate"): one for stem, one in self._documents("gates", "gate")}
        self.vocabulary.gates = self._built_gates("advises")

    def _built_gates(self, about: str) -> dict[str, Gate]:
        built: dict[str, Gate] = {}
        for name, document in self.gates.items():
            if ("advises" in document.data) is (about == "advises"):
                try:
                    built[name] = build.gate(document, self.vocabulary)
                except RuleError as error:
                    self.errors.append(error)
        return built

    def _gates_and_safety(self) -> None:
        built = self.vocabulary.gates | self._built_gates("treats")
        self.knowledge.gates = {name: built[name] for name in sorted(built)}
        safety = self.folder / "safety"
        if gates := self._document(safety / "patient-gates.yaml", "patient-gates"):
            self.knowledge.patient_gates = build.compiled_rows(gates, self.vocabulary, PatientGate, self.errors)
        if sweep := self._document(safety / "sweep.yaml", "sweep"):
            self.knowledge.sweep = build.compiled_rows(sweep, self.vocabulary, SweepRow, self.errors)
        if freeze := self._document(safety / "critical-freeze.yaml", "freeze"):
            self.knowledge.freeze = Freeze.from_data(freeze.data)

    def _handout(self) -> None:
        path = self.folder / "handout" / "lines.yaml"
        lines = self._document(path, "handout") if path.exists() else None
        texts = [document for _, document in self._documents("handout/text", "handout-text")]
        if lines is not None:
            self.knowledge.handout, errors = handout(lines, texts, self.vocabulary, self.knowledge.references)
            self.errors += errors


def digest(knowledge: Knowledge, terminology_digest: str) -> str:
    """A short fingerprint of everything that can change an answer: rules, tables and value sets."""
    payload = digest_bytes([knowledge.sources, terminology_digest])
    return hashlib.sha256(payload).hexdigest()[:16]


# -- schema ----------------------------------------------------------------------------------------------------------


@functools.cache
def _validator(folder: Path, kind: str) -> Draft202012Validator:
    schema = json.loads((folder / "schema" / "rules.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{kind}"})


def check_schema(folder: Path, document: Document, kind: str) -> None:
    """Raises RuleError for the deepest mistake; `kind` is a definition of the schema."""
    # the deepest mistake first; at one depth a misspelt key before the required one that it leaves missing
    errors = sorted(
        _validator(folder, kind).iter_errors(document.data),
        key=lambda error: (-len(error.absolute_path), error.validator != "additionalProperties"),
    )
    for error in errors:
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            extra = re.findall(r"'([^']*)'", error.message.split("(", 1)[-1])
            allowed = ", ".join(sorted(error.schema.get("properties", {})))
            name = extra[0] if extra else ""
            document.fail((*path, name), f"the key {name!r} is not known here; allowed are {allowed}")
        document.fail(path, error.message if len(error.message) < 200 else f"{error.message[:200]}...")


def _facts_used(node: Any, at_top: bool = True) -> set[str]:
    """Names of the facts a tree refers to; the top-level `fact` key is the file's own name."""
    if isinstance(node, dict):
        used: set[str] = set()
        for key, value in node.items():
            if key == "fact" and not at_top:
                used.add(value)
            else:
                used |= _facts_used(value, at_top=False)
        return used
    if isinstance(node, list):
        return set().union(*(_facts_used(item, at_top=False) for item in node)) if node else set()
    return set()
