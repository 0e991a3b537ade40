"""What the tier is compared with: age and sex, the number of medicines, and a regression on all that the table holds.

All predictions are crossed: nobody is predicted by a fit that has seen their own PSU.
"""

from __future__ import annotations

import numpy as np

from cds_service.validation.cohort import Cohort
from cds_service.validation.design import Flags, Floats
from cds_service.validation.logistic import predict_crossed

FOLDS = 10
RIDGE = 10.0
"""On scaled columns: enough to keep rare ones quiet. Fixed beforehand, not chosen by its result."""
_LEAST_USERS = 20


def age_and_sex(cohort: Cohort, case: Flags, kept: Flags) -> Floats:
    """Log odds by age, its square and sex."""
    return _crossed(cohort.adjusters()[:, 1:], cohort, case, kept, 0.001)


def age_sex_and_points(cohort: Cohort, points: Floats, case: Flags, kept: Flags) -> Floats:
    """The same with the tier's points beside them."""
    return _crossed(np.column_stack([cohort.adjusters()[:, 1:], points]), cohort, case, kept, 0.001)


def everything(cohort: Cohort, case: Flags, kept: Flags) -> tuple[Floats, int]:
    """Log odds by all features, and how many columns they make: a ceiling for any way of adding them up."""
    columns = features(cohort, kept)
    return _crossed(columns, cohort, case, kept, RIDGE), columns.shape[1]


def features(cohort: Cohort, kept: Flags) -> Floats:
    """Age, sex, medicines and their classes, results and answers; a column for what is missing stands beside each."""
    described = cohort.columns.columns
    found = [cohort.adjusters()[:, 1:], cohort.medicines[:, None]]
    for name in cohort.columns.features:
        if described[name].kind == "choice":
            cells = np.array([one.respondent.text(name) for one in cohort.people])
            found += [(cells == choice).astype(float)[:, None] for choice in described[name].choices[1:]]
            continue
        values = cohort.numbers(name)
        if np.isnan(values[kept]).all():
            continue
        if described[name].kind == "number":
            values = np.sign(values) * np.log1p(np.abs(values))
        found.append(values[:, None])
        missing = np.isnan(values)
        if missing[kept].sum() >= _LEAST_USERS:
            found.append(missing.astype(float)[:, None])
    for one in cohort.columns.feature_classes:
        users = np.array([one in person.classes for person in cohort.people])
        if users[kept].sum() >= _LEAST_USERS:
            found.append(users.astype(float)[:, None])
    return np.column_stack(found)


def _crossed(columns: Floats, cohort: Cohort, case: Flags, kept: Flags, ridge: float) -> Floats:
    predicted = np.zeros(len(cohort))
    predicted[kept] = predict_crossed(columns[kept], case[kept], cohort.design.folds(FOLDS)[kept], ridge)
    return predicted
