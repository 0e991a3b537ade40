"""The bundled examples: scenarios, patients and hook requests of a checkout, moved to the present when shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from cds_service.engine.source import RuleError
from cds_service.facts.units import read_yaml
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Runner, Scenario, read_file, shift_to
from cds_service.scenarios.case import encoded, settings_of
from cds_service.settings import Settings

_CHECKOUT = Path(__file__).resolve().parents[3]
_TOLD = (
    "patient", "symptoms", "on", "results", "conditions", "procedures", "allergies", "orders", "drafting", "selecting",
    "default", "without", "not_supplied", "settings",
)  # fmt: skip


class Example(msgspec.Struct, frozen=True):
    """One example. `told` is what it says about its patient, a list of words under each key of the scenario grammar."""

    id: str
    title: str
    hook: str
    about: str = ""
    today: str = ""
    cases: tuple[str, ...] = ()
    told: tuple[tuple[str, tuple[str, ...]], ...] = ()
    scenario: Scenario | None = None
    file: Path | None = None


class Group(msgspec.Struct, frozen=True):
    """The examples of one file or folder."""

    title: str
    about: str
    examples: tuple[Example, ...]


class Examples:
    """All examples, read once. One that cannot be read is named in `problems`, and the others stay."""

    def __init__(self, ruleset: Ruleset, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else _CHECKOUT / "fixtures"
        self.runner = Runner(ruleset)
        self.problems: list[str] = []
        self.groups: tuple[Group, ...] = tuple(group for group in self._groups() if group.examples)
        self.by_id: dict[str, Example] = {one.id: one for group in self.groups for one in group.examples}

    def body(self, example: Example, hook: str, today: date) -> bytes:
        """What a client would send: the example with its own today moved to `today`. Raises RuleError."""
        if example.scenario is None:
            assert example.file is not None  # an example is either a scenario or a file
            return _file_body(example.file, date.fromisoformat(example.today), today)
        scenario = example.scenario
        if hook:
            scenario = msgspec.structs.replace(scenario, told={**scenario.told, "hook": hook})
        request = self.runner.case(scenario).request()
        return encoded(shift_to(request, scenario.today, today))

    def settings(self, example: Example, site: Settings) -> Settings:
        """The site's settings with what the example itself asks for in their place."""
        told = example.scenario.told.get("settings") if example.scenario else None
        if not told:
            return site
        return msgspec.structs.replace(settings_of(told), public_base_url=site.public_base_url)

    # -- reading

    def _groups(self) -> Iterator[Group]:
        yield self._listed("patients", "Patients")
        for path in sorted((self.folder / "scenarios").rglob("*.yaml")):
            yield self._scenarios(path)
        yield self._listed("requests", "Hook requests, good and bad")

    def _listed(self, name: str, title: str) -> Group:
        """The files of a folder, as its index tells of them."""
        index = self.folder / name / "index.yaml"
        told: dict[str, Any] = read_yaml(index) if index.is_file() else {}
        today = str(told.get("today", self.runner.words.said["today"]))
        examples = [
            Example(
                id=f"{name}/{Path(one['file']).stem}",
                title=_words(Path(one["file"]).stem),
                hook=str(one.get("service", "")).removeprefix("leg-cramp-"),
                about=_sentence(str(one.get("about", ""))),
                today=today,
                file=self.folder / name / one["file"],
            )
            for one in told.get(name, ())
        ]
        return Group(title, "", tuple(examples))

    def _scenarios(self, path: Path) -> Group:
        group = path.stem
        try:
            scenarios = read_file(path, self.runner.ruleset.folder, path.relative_to(self.folder.parent).as_posix())
        except RuleError as error:
            self.problems.append(str(error))
            return Group(_words(group), "", ())
        examples: dict[str, Example] = {}
        for scenario in scenarios:
            if not self.runner.rules.issuperset(scenario.requires):
                continue  # its rules are still to come
            name = f"{group}/{_slug(scenario.name)}"
            while name in examples:
                name += "-"
            examples[name] = Example(
                id=name,
                title=_sentence(scenario.name),
                hook=scenario.hook,
                cases=scenario.cases,
                told=tuple(self._told(scenario.told)),
                scenario=scenario,
            )
        about = str(read_yaml(path)["about"]).strip()
        return Group(_words(group), about, tuple(examples.values()))

    def _told(self, told: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
        said = self.runner.words.said
        for key in _TOLD:
            if key == "patient":
                yield key, (_patient({**said["patient"], **told.get("patient", {})}),)
            elif key == "default" and told.get(key):
                if kept := tuple(self._kept_defaults(told)):
                    yield key, kept
            elif key == "symptoms" and told.get(key):
                yield key, (said["symptom"]["text"],)
            elif told.get(key):
                values = told[key] if isinstance(told[key], list) else [told[key]]
                yield key, tuple(_phrase(value) for value in values)

    def _kept_defaults(self, told: Mapping[str, Any]) -> Iterator[str]:
        """The ordinary results that the case leaves as they are."""
        said = self.runner.words.said
        own = _phrase([*told.get("results", ()), *told.get("without", ())]).lower()
        for result in said["default_results"]:
            name = result.partition(" ")[0]
            if not any(word in own for word in (name, *said["replaced_by"].get(name, ()))):
                yield result


def _file_body(path: Path, its_today: date, today: date) -> bytes:
    body = path.read_bytes()
    try:
        content = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body  # meant to be bad: sent as it is
    return msgspec.json.encode(shift_to(content, its_today, today))


def _patient(who: Mapping[str, Any]) -> str:
    age = f"born {who['born'] or 'at an unknown date'}" if "born" in who else str(who["age"])
    rest = {name: value for name, value in who.items() if name not in ("sex", "age", "born")}
    sex = "sex not given" if who["sex"] == "not given" else str(who["sex"])
    return ", ".join(filter(None, (sex, age, _phrase(rest))))


def _phrase(value: Any) -> str:
    """A value of the scenario grammar in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{str(name).replace('_', ' ')} {_phrase(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_phrase, value))
    return (
        {True: "yes", False: "no", None: "not stated"}.get(value, str(value)) if not isinstance(value, str) else value
    )


def _words(stem: str) -> str:
    return stem.replace("-", " ").replace("_", " ").capitalize()


def _sentence(text: str) -> str:
    """With a capital, unless the first word has one of its own, such as eGFR."""
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first.islower() else text


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "example"
