"""More than 20,000 invented patients by the road of a request: what must never happen, and what must not change.

The patients are drawn near one who may be given potassium, from fixed seeds, so that a failure names its seed:
`draw(Seeded(17))` is the patient. `oracle.py` says what forbids, `relations.py` what must hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest

from cds_service.assess import Assessment
from tests.properties.as_r4 import ask, offered
from tests.properties.patients import ELIGIBLE, Dice, Patient, Seeded, draw
from tests.properties.relations import RELATIONS, criticals, wrong

CHUNKS, SIZE = 12, 1750
"""21,000 patients in the ordinary run, in pieces that the workers share."""
Relation = Callable[[Patient, Assessment, Dice], Iterator[str]]


def run(seeds: Iterable[int], relations: tuple[Relation, ...] = RELATIONS) -> tuple[list[str], Counter[str]]:
    """Every patient is asked about, and is then held against one changed version of itself, relation by turns."""
    wrongs: list[str] = []
    seen: Counter[str] = Counter()
    for seed in seeds:
        dice = Seeded(seed)
        patient = draw(dice)
        answer = ask(patient)
        wrongs += [f"seed {seed}: {what}" for what in wrong(patient, answer)]
        relation = relations[seed % len(relations)]
        wrongs += [f"seed {seed}, {relation.__name__}: {what}" for what in relation(patient, answer, dice)]
        seen.update(offered(answer))
        seen["patients"] += 1
        seen["silent"] += not answer.cards
        seen["critical"] += bool(criticals(answer))
        seen["drafted"] += patient.drafted
    return wrongs, seen


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_patient_is_offered_what_harms_and_none_gains_by_a_change_that_should_not_help(chunk: int) -> None:
    wrongs, seen = run(range(chunk * SIZE, (chunk + 1) * SIZE))
    assert wrongs == []
    # without offers the above would hold of a service that offers nothing
    assert seen["potassium"] > SIZE / 5
    assert seen["magnesium"] > SIZE / 15
    assert seen["vitamin-d"] > SIZE / 25
    assert seen["calcium"] > SIZE / 60
    assert seen["critical"] > SIZE / 40
    assert seen["drafted"] > SIZE / 100
    assert seen["silent"] > SIZE / 40


@pytest.mark.heavy
@pytest.mark.parametrize("chunk", range(20))
def test_the_same_of_two_hundred_thousand(chunk: int) -> None:
    wrongs, seen = run(range(1_000_000 + chunk * 10_000, 1_000_000 + (chunk + 1) * 10_000))
    assert wrongs == []
    assert seen["potassium"] > 2000


def test_enough_patients_are_asked() -> None:
    assert CHUNKS * SIZE >= 20_000


def test_the_eligible_patient_is_offered_potassium() -> None:
    assert offered(ask(ELIGIBLE)) == {"potassium"}
