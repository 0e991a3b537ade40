"""The people as columns of numbers: answers, weights, design, and the columns that every odds ratio is adjusted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cds_service.validation.columns import Columns
from cds_service.validation.design import Design, Flags, Floats
from cds_service.validation.people import Person


class Cohort:
    """Everybody who was asked and is old enough. Where only some count, the others stay, with weight 0."""

    def __init__(self, people: Sequence[Person], columns: Columns) -> None:
        self.people, self.columns = people, columns
        self.grade = self._numbers(columns.outcome.column, text=True)
        self.age = self._numbers(columns.age)
        self.female: Floats = np.array([one.respondent.text(columns.sex) == "female" for one in people], dtype=float)
        weights = columns.weights
        self.interview_weights = self._numbers(weights.interview)
        self.exam_weights = self._numbers(weights.exam)
        self.design = Design(
            self._numbers(weights.stratum).astype(np.int64), self._numbers(weights.psu).astype(np.int64)
        )
        self.medicines: Floats = np.array([float(len(one.respondent.members(columns.drugs.names))) for one in people])
        self.medicines_known: Flags = np.array(
            [one.respondent.number(columns.drugs.used) is not None and not one.drug_unknown for one in people]
        )

    def __len__(self) -> int:
        return len(self.people)

    def cases(self, cut: str) -> Flags:
        """Who reports at least what a cut asks for."""
        flags: Flags = self.grade >= self.columns.outcome.cuts[cut].at_least
        return flags

    def numbers(self, column: str) -> Floats:
        """A column of numbers or flags; nan where the cell is empty."""
        return self._numbers(column)

    def has(self, column: str) -> Flags:
        """Whose cell is not empty."""
        if column == self.columns.drugs.names:
            return self.medicines_known
        return np.array([bool(one.respondent.text(column)) for one in self.people])

    def flags(self, says: Callable[[Person], bool]) -> Flags:
        return np.array([says(one) for one in self.people], dtype=bool)

    def adjusters(self, by_age: bool = True) -> Floats:
        """The intercept, age in decades and its square (unless age is what is asked about), and sex."""
        decades = (self.age - 50) / 10
        columns = [np.ones(len(self)), self.female]
        return np.column_stack([*columns, decades, decades**2] if by_age else columns)

    def _numbers(self, column: str, text: bool = False) -> Floats:
        if text:
            return np.array([float(one.respondent.text(column)) for one in self.people])
        found = [one.respondent.number(column) for one in self.people]
        return np.array([np.nan if number is None else number for number in found], dtype=float)
