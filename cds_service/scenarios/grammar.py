"""Reads scenarios, from fixtures and from inside rules, and tells every mistake with its file and line."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from cds_service.engine.model import Rule
from cds_service.engine.source import Document, Path_, RuleError, read_document


class Scenario(msgspec.Struct, frozen=True):
    """One case: who, what is on record, and what the service must answer. `told` is the case as written."""

    name: str
    told: dict[str, Any]
    today: date
    file: str
    line: int
    rule: str = ""
    """The rule whose own scenario this is."""
    requires: tuple[str, ...] = ()
    """Rules without which the case cannot be judged yet."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def hook(self) -> str:
        return str(self.told.get("hook", "patient-view"))

    @property
    def cases(self) -> tuple[str, ...]:
        return listed(self.told.get("case", ()))

    @property
    def hazards(self) -> tuple[str, ...]:
        return listed(self.told.get("hazard", ()))

    @property
    def title(self) -> str:
        return " ".join((*self.cases, *self.hazards, self.name))


def listed(value: Any) -> tuple[str, ...]:
    """One text or several, always as several."""
    return (value,) if isinstance(value, str) else tuple(str(one) for one in value)


def read_file(path: Path, rules_folder: Path, shown_as: str = "") -> list[Scenario]:
    """The scenarios of one fixture file. Raises RuleError."""
    document = read_document(path, shown_as or path.as_posix())
    _check(document, (), document.data, "file", rules_folder)
    shared = tuple(document.data.get("requires", ()))
    scenarios = []
    for index, told in enumerate(document.data["scenarios"]):
        where = ("scenarios", index)
        scenarios.append(
            Scenario(
                name=told["name"],
                told=told,
                today=_day(document, where, told.get("today", document.data["today"])),
                file=document.file,
                line=document.line(where),
                requires=(*shared, *told.get("requires", ())),
            )
        )
    _names_stand_once(document, scenarios)
    return scenarios


def of_rule(
    rule: Rule, rules_folder: Path, default_today: date, site: Mapping[str, Document] | None = None
) -> list[Scenario]:
    """A rule's own truth table; `site` holds the files that a site changed. Raises RuleError."""
    document = (site or {}).get(rule.file.partition("/")[2]) or _document_of(rule, rules_folder)
    scenarios = []
    for index, told in enumerate(document.data.get("scenarios", ())):
        where = ("scenarios", index)
        _check(document, where, told, "scenario", rules_folder)
        file, line = document.place(where)
        scenarios.append(
            Scenario(
                name=told["name"],
                told=told,
                today=_day(document, where, told["today"]) if "today" in told else default_today,
                file=file,
                line=line,
                rule=rule.id,
                requires=tuple(told.get("requires", ())),
            )
        )
    _names_stand_once(document, scenarios)
    return scenarios


def _document_of(rule: Rule, rules_folder: Path) -> Document:
    path = rules_folder.parent / rule.file
    # a rule that was not loaded from a file of this folder knows no lines
    return read_document(path, rule.file) if path.is_file() else Document(rule.file, rule.data, {})


def files_in(paths: Iterable[Path]) -> list[Path]:
    """The scenario files of files and folders, sorted."""
    found: list[Path] = []
    for path in paths:
        found += sorted(path.rglob("*.yaml")) if path.is_dir() else [path]
    return found


@functools.cache
def _validator(schema_file: Path, part: str) -> Draft202012Validator:
    schema: dict[str, Any] = json.loads(schema_file.read_text(encoding="utf-8"))
    return Draft202012Validator({**schema, "$ref": f"#/$defs/{part}"})


def _check(document: Document, where: Path_, data: Any, part: str, rules_folder: Path) -> None:
    errors = _validator(rules_folder / "schema" / "scenario.schema.json", part).iter_errors(data)
    for error in sorted(errors, key=lambda one: len(one.absolute_path), reverse=True):
        innermost = error
        while innermost.context:  # of the alternatives, the one that went furthest is the one that was meant
            innermost = max(innermost.context, key=lambda one: (len(one.absolute_path), one.validator != "type"))
        path = (*where, *innermost.absolute_path)
        if innermost.validator == "additionalProperties" and isinstance(innermost.schema, Mapping):
            allowed = innermost.schema.get("properties", {})
            extra = next(key for key in innermost.instance if key not in allowed)
            document.fail(
                (*path, extra), f"the key {extra!r} is not known here; allowed are {', '.join(sorted(allowed))}"
            )
        document.fail(path, re.sub(r"(.{200}).*", r"\1...", innermost.message, flags=re.DOTALL))


def _day(document: Document, where: Path_, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        document.fail((*where, "today"), f"write a date such as 2026-03-10, not {text!r}")


def _names_stand_once(document: Document, scenarios: list[Scenario]) -> None:
    seen: dict[str, int] = {}
    for scenario in scenarios:
        if scenario.name in seen:
            raise RuleError(
                document.file, scenario.line, f"the name {scenario.name!r} stands in line {seen[scenario.name]} already"
            )
        seen[scenario.name] = scenario.line
