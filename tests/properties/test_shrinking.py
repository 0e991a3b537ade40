"""The same patients and relations drawn by hypothesis, which looks for the smallest patient that breaks one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.as_r4 import ask
from tests.properties.patients import draw
from tests.properties.relations import RELATIONS, wrong

T = TypeVar("T")


class Drawn:
    """Dice that hypothesis throws. What stands first is what it shrinks to."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def choice(self, of: Sequence[T]) -> T:
        found: T = self.data.draw(st.sampled_from(of))
        return found

    def chance(self, probability: float) -> bool:
        return bool(self.data.draw(st.booleans()))


@pytest.mark.parametrize("relation", RELATIONS, ids=[relation.__name__ for relation in RELATIONS])
@settings(max_examples=150)
@given(data=st.data())
def test_no_small_patient_breaks_a_relation(relation: Any, data: Any) -> None:
    dice = Drawn(data)
    patient = draw(dice)
    answer = ask(patient)
    assert list(relation(patient, answer, dice)) == [], patient


@settings(max_examples=300)
@given(data=st.data())
def test_no_small_patient_is_offered_what_harms(data: Any) -> None:
    patient = draw(Drawn(data))
    assert list(wrong(patient, ask(patient))) == [], patient
