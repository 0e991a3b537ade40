"""Loads the unit tables of ``rules/units``: one file an analyte, and what they share in ``rules/units/shared``."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import yaml
from jsonschema import Draft202012Validator

from cds_service.facts.quantities import Analyte, Family, Unit, fold


class RulesFileError(Exception):
    """A file under ``rules/`` that cannot be used: ``file:line: what to mend``."""


class HemolysisWords(msgspec.Struct, frozen=True):
    """When a sample counts as hemolyzed; see ``rules/units/shared/hemolysis.yaml``."""

    flag_set: str
    specimen_conditions: frozenset[str]
    abnormal_interpretations: frozenset[str]
    letters: tuple[str, ...]
    positive_codes: frozenset[str]
    negative_codes: frozenset[str]
    nouns_only: frozenset[str]
    noun_endings: tuple[str, ...]
    word: re.Pattern[str]
    """A word that begins with the letters."""
    denied_before: re.Pattern[str]
    """A denial at the end of what stands before the word."""
    closes: re.Pattern[str]
    """What may follow a word that was denied before."""
    denied_after: re.Pattern[str]
    """A denial behind the word, and nothing more."""
    negative_answer: re.Pattern[str]


class DoseWords(msgspec.Struct, frozen=True):
    """Spellings of amounts and timings; see ``rules/units/shared/doses.yaml``."""

    amounts: dict[str, str]
    volumes: dict[str, str]
    pieces: frozenset[str]
    volume_in_ml: dict[str, Decimal]
    timing_codes: dict[str, Decimal]
    period_units: dict[str, Decimal]
    supply_days: dict[str, Decimal]

    def knows(self, unit: str) -> bool:
        """Whether a spelling is an amount, a volume or a piece."""
        folded = fold(unit)
        return folded in self.amounts or folded in self.volumes or folded in self.pieces


class Units(msgspec.Struct, frozen=True):
    """All unit tables. `by_set` finds the analyte of an accepted value set."""

    analytes: dict[str, Analyte]
    by_set: dict[str, Analyte]
    hemolysis: HemolysisWords
    doses: DoseWords


class _Loader(yaml.SafeLoader):
    """Numbers as Decimals, exactly as written; duplicate keys are errors; every mapping knows its line."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(str(loader.construct_scalar(node)).replace("_", ""))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)


def read_yaml(path: Path) -> Any:
    """A YAML file with Decimals for numbers. Raises `RulesFileError` with file and line."""
    try:
        # _Loader is a SafeLoader: it makes no objects but plain data
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise RulesFileError(f"{path}:{mark.line + 1 if mark else 1}: {error.problem}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RulesFileError(f"{path}:1: cannot be read ({type(error).__name__})") from None


def load_units(rules_folder: Path) -> Units:
    """Loads every table under ``rules_folder/units``. Raises `RulesFileError` on the first that cannot be used."""
    folder = rules_folder / "units"
    validator = _validator(rules_folder)
    spellings = _reversed(read_yaml(folder / "shared" / "spellings.yaml")["spellings"])
    analytes: dict[str, Analyte] = {}
    for path in sorted(folder.glob("*.yaml")):
        data = read_yaml(path)
        if validator is not None:
            for error in validator.iter_errors(_plain(data)):
                where = "/".join(str(part) for part in error.absolute_path)
                raise RulesFileError(
                    f"{path}:{_line_of(path, error.absolute_path)}: {where or 'file'}: {error.message}"
                )
        if data["analyte"] != path.stem:
            raise RulesFileError(f"{path}:{_line_of(path, ['analyte'])}: analyte must be {path.stem}, the file's name")
        analytes[path.stem] = _analyte(path, data, spellings)
    by_set: dict[str, Analyte] = {}
    for analyte in analytes.values():
        if analyte.accepted in by_set:
            raise RulesFileError(f"{folder / analyte.id}.yaml:1: {analyte.accepted} is claimed by two analytes")
        by_set[analyte.accepted] = analyte
    hemolysis = _hemolysis(folder / "shared" / "hemolysis.yaml")
    doses = read_yaml(folder / "shared" / "doses.yaml")
    return Units(
        analytes=analytes,
        by_set=by_set,
        hemolysis=hemolysis,
        doses=DoseWords(
            amounts=_reversed(doses["amounts"]),
            volumes=_reversed(doses["volumes"]),
            pieces=frozenset(fold(str(word)) for word in doses["pieces"]),
            volume_in_ml=doses["volume_in_ml"],
            timing_codes=doses["timing_codes"],
            period_units=doses["period_units"],
            supply_days={fold(str(word)): days for days, words in doses["supply_days"].items() for word in words},
        ),
    )


def _hemolysis(path: Path) -> HemolysisWords:
    """The words of hemolysis, made into patterns once."""
    data = read_yaml(path)
    try:
        after = rf"(?:\s+(?:{_either(data['after_denial'])}))*"
        end = r"\s*(?:$|[,)\]/])"
        named = rf"(?:\s+(?:{_either(data['named_by'])}))*"
        return HemolysisWords(
            flag_set=data["flag_set"],
            specimen_conditions=frozenset(data["specimen_conditions"]),
            abnormal_interpretations=frozenset(data["abnormal_interpretations"]),
            letters=tuple(data["letters"]),
            positive_codes=frozenset(data["positive_codes"]),
            negative_codes=frozenset(data["negative_codes"]) | frozenset(data["normal_interpretations"]),
            nouns_only=frozenset(data["nouns_only"]),
            noun_endings=tuple(data["noun_endings"]),
            word=re.compile(rf"(?:{_either(data['letters'])})[a-z]*"),
            denied_before=re.compile(
                rf"(?:^|[^a-z0-9])({_either(data['denials_before'])})"
                rf"(?:(?:\s+(?:{_either(data['between'])}))*\s+|\s*-\s*|(?<=non)|(?<=un))$"
            ),
            closes=re.compile(rf"{after}(?:{end}|\s+(?:{_either(data['continued_by'])})(?![a-z0-9]))"),
            denied_after=re.compile(rf"{named}\s*[:=-]?\s*(?:{_either(data['denials_after'])}){end}"),
            negative_answer=re.compile(rf"(?:{_either(data['negative_answers'])})[\s.]*"),
        )
    except (AttributeError, KeyError, TypeError, re.error) as error:
        raise RulesFileError(f"{path}:1: not the expected shape ({error!r})") from None


def _either(words: list[object]) -> str:
    """An alternation of words as they are, the longest first."""
    return "|".join(re.escape(str(word)) for word in sorted(words, key=lambda word: -len(str(word))))


def _analyte(path: Path, data: dict[str, Any], spellings: dict[str, str]) -> Analyte:
    families = {
        ucum: Family(Decimal(row["to_si"]), Decimal(row.get("then_add", 0)))
        for ucum, row in data.get("families", {}).items()
    }
    rows = {ucum: Unit(ucum, row["kind"], ucum, Decimal(1)) for ucum, row in data.get("families", {}).items()}
    for ucum, row in (data.get("units") or {}).items():
        if row["family"] not in families:
            raise RulesFileError(f"{path}:{_line_of(path, ['units', ucum])}: {row['family']} is not among the families")
        rows[ucum] = Unit(ucum, row["kind"], row["family"], Decimal(row["factor"]))
    units: dict[str, Unit] = {}
    for ucum, unit in rows.items():
        units[ucum] = units[fold(ucum)] = unit
    for spelling, ucum in spellings.items():
        if ucum in rows:
            units.setdefault(spelling, rows[ucum])
    properties = {str(code): kind for kind, codes in (data.get("properties") or {}).items() for code in codes}
    si = next(iter(families), "")
    plausible = {unit: (Decimal(low), Decimal(high)) for unit, (low, high) in data.get("plausible", {}).items()}
    if families and si not in plausible:
        raise RulesFileError(
            f"{path}:{_line_of(path, ['plausible'])}: a plausible range in {si}, the first family, is missing"
        )
    for part in ("plausible", "reference"):
        for unit_name in data.get(part, {}):
            if unit_name not in families:
                raise RulesFileError(
                    f"{path}:{_line_of(path, [part, unit_name])}: {unit_name} is not among the families"
                )
    return Analyte(
        id=data["analyte"],
        name=data["name"],
        symbol=data["symbol"],
        accepted=data["accepted"],
        answers=data["answers"],
        si=si,
        families=families,
        units=units,
        plausible=plausible,
        reference={unit: (low, high) for unit, (low, high) in data.get("reference", {}).items()},
        properties=properties,
        unit_may_be_missing=data.get("unit_may_be_missing", False),
        zero_counts=data.get("zero_counts", False),
        integer_counts=data.get("integer_counts", False),
        source=data["source"],
    )


def _reversed(table: dict[str, list[Any]]) -> dict[str, str]:
    return {fold(str(word)): name for name, words in table.items() for word in (name, *words)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def _validator(rules_folder: Path) -> Draft202012Validator | None:
    path = rules_folder / "schema" / "units.schema.json"
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _line_of(path: Path, where: Any) -> int:
    """The line of a key path in a YAML file; that of the deepest key found."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = 1
    for step in where:
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if key_node.value == str(step):
                    line, node = key_node.start_mark.line + 1, value_node
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line
