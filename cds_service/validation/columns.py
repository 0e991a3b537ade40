"""The description of a table of people: which columns there are, and what each says about a respondent. Data only."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from cds_service.engine.source import RuleError, read_document

BUNDLED = Path(__file__).with_name("columns.yaml")


class BadColumns(Exception):
    """A description that cannot be used. The text says where and why."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Column(_Strict, frozen=True):
    """How the cells of one column are written. A flag is 0 or 1; a list has a vertical bar between its members."""

    kind: Literal["text", "whole", "number", "choice", "flag", "list"]
    required: bool = False
    """No cell of it may be empty."""
    between: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()


class Cut(_Strict, frozen=True):
    """One yes-or-no outcome made of the graded answer."""

    at_least: int
    title: str


class OutcomeColumn(_Strict, frozen=True):
    column: str
    question: str
    answers: dict[str, str]
    primary: str
    cuts: dict[str, Cut]


class Weights(_Strict, frozen=True):
    """The columns of the survey's design. `exam` weighs whatever needs the examination, `interview` the rest."""

    interview: str
    exam: str
    psu: str
    stratum: str


class DrugColumns(_Strict, frozen=True):
    used: str
    """1: medicines are listed; 0: there are none; empty: not known."""
    count: str
    names: str
    days: str
    """Days each medicine has been taken, in the order of the names."""
    not_known: tuple[str, ...] = ()
    """Names that stand for a medicine which nobody could name."""
    unspecified: str = ""
    """The end of a name that tells a group and no medicine."""


class Pregnancy(_Strict, frozen=True):
    column: str
    code: str


class ResultColumn(_Strict, frozen=True):
    loinc: str
    unit: str
    persists: bool = False
    """The record gets the same result once more, 100 days older (see `assumed`)."""


class CodedColumn(_Strict, frozen=True):
    loinc: str
    system: str
    values: dict[str, str]


class ContributorColumns(_Strict, frozen=True):
    needs: tuple[str, ...]
    parts: dict[str, str] = {}
    """Bindings of the rule that are judged one by one, with their titles."""
    limits: str = ""
    """What the table cannot tell of it."""


class SameSurvey(_Strict, frozen=True):
    """Contributors whose published source looked at the very people of this table."""

    rules: tuple[str, ...] = ()
    why: str = ""


class Nearest(_Strict, frozen=True):
    """A column close to a contributor: 1 or, with `above`, more than the number for the sex."""

    of: str
    column: str
    title: str
    above: dict[str, float] = {}


class Columns(_Strict, frozen=True):
    table: str
    title: str
    evaluated_on: str
    adults_from: int
    fit_on: tuple[str, ...]
    id: str
    cycle: str
    age: str
    sex: str
    weights: Weights
    outcome: OutcomeColumn
    drugs: DrugColumns
    pregnancy: Pregnancy
    symptom: str
    results: dict[str, ResultColumn]
    assumed: dict[str, str]
    coded_results: dict[str, CodedColumn]
    conditions: dict[str, dict[str, str]]
    contributors: dict[str, ContributorColumns]
    not_collected: dict[str, str]
    nearest: tuple[Nearest, ...]
    features: tuple[str, ...]
    feature_classes: tuple[str, ...]
    columns: dict[str, Column]
    same_survey: SameSurvey = SameSurvey()

    def is_examined(self, contributor: str) -> bool:
        """Whether a contributor needs the examination, so that the weights of the examined count."""
        return any(name in self.results for name in self.contributors[contributor].needs)

    def used(self) -> set[str]:
        """Every column that some part of the description speaks of."""
        drugs, weights = self.drugs, self.weights
        return {
            *(self.id, self.cycle, self.age, self.sex, self.outcome.column, self.pregnancy.column),
            *(drugs.used, drugs.count, drugs.names, drugs.days),
            *(weights.interview, weights.exam, weights.psu, weights.stratum),
            *self.results,
            *self.coded_results,
            *self.conditions,
            *self.features,
            *(one.column for one in self.nearest),
            *(name for one in self.contributors.values() for name in one.needs),
        }


def load_columns(path: Path = BUNDLED) -> Columns:
    """Reads and checks a description. Raises `BadColumns`."""
    try:
        document = read_document(path, path.name)
        columns = msgspec.convert(document.data, Columns, strict=False)
    except OSError as error:
        raise BadColumns(f"{path.name}: {error.strerror or type(error).__name__}") from None
    except (RuleError, msgspec.ValidationError) as error:
        raise BadColumns(str(error)) from None
    unknown = sorted(columns.used() - columns.columns.keys())
    if unknown:
        raise BadColumns(f"{path.name}: not described under `columns`: {', '.join(unknown)}")
    if columns.outcome.primary not in columns.outcome.cuts:
        raise BadColumns(f"{path.name}: the primary outcome is none of the cuts")
    return columns
