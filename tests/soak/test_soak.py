"""That the soak notices what it is for, and a short one of a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import soak
from tests.soak.judge import Sample, complaints


def samples(growth_kb: int = 0, leaked: int = 0, refused: int = 0) -> list[Sample]:
    return [
        Sample(at, at * 100, 100_000 + at * growth_kb, 20 + at * leaked, 5, {200: at * 100, 503: at * refused})
        for at in range(20)
    ]


def test_flat_is_flat() -> None:
    assert complaints(samples()) == []


def test_memory_that_grows_is_noticed() -> None:
    assert [one.split(" from")[0] for one in complaints(samples(growth_kb=800))] == ["memory grew"]


def test_descriptors_that_stay_open_are_noticed() -> None:
    assert "descriptors are open" in complaints(samples(leaked=3))[0]


def test_a_service_that_mostly_refuses_is_noticed() -> None:
    assert complaints(samples(refused=1)) == []
    assert "answers were a 503" in complaints(samples(refused=2))[0]


def test_a_soak_that_is_too_short_says_so() -> None:
    assert complaints(samples()[:3]) == ["too short to tell whether anything grows"]


@pytest.mark.heavy
def test_a_minute_of_traffic_leaves_nothing_behind(tmp_path: Path) -> None:
    measured, failures = soak(tmp_path, requests=None, seconds=60, callers=4, seed=1)
    assert failures == []
    # a minute is too short for memory, which settles later; `make soak` takes three
    assert measured[-1].descriptors <= measured[5].descriptors + 16
