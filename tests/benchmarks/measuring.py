"""CPU time of calls, taken in turns: every call is measured in every round, so that all meet the same machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

Call = Callable[[int], object]
"""Gets a running number, by which it picks one of several like inputs: no cache shall know the next one by heart."""

_SAMPLE_SECONDS = 0.02
"""A sample repeats its call for about so long, as a busy worker does: neither the clock's grain nor what the others
left in the processor's caches then shows."""


class Timing(NamedTuple):
    """CPU milliseconds of one call."""

    best: float
    median: float
    samples: int


def measure(
    calls: Mapping[str, Call],
    rounds: int,
    seldom: Mapping[str, int] | None = None,
    after_sample: Callable[[str], None] = lambda _: None,
) -> dict[str, Timing]:
    """Times each of `calls` in `rounds` rounds; those named in `seldom` in so many rounds only."""
    seldom = seldom or {}
    repeats = {name: _repeats(call) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    number = 0
    for turn in range(rounds):
        for name, call in calls.items():
            if turn >= seldom.get(name, rounds):
                continue
            samples[name].append(_sample(call, repeats[name], number))
            after_sample(name)
        number += max(repeats.values())
    return {name: timing_of(found) for name, found in samples.items()}


def timing_of(seconds: list[float]) -> Timing:
    return Timing(min(seconds) * 1e3, statistics.median(seconds) * 1e3, len(seconds))


def _sample(call: Call, repeats: int, number: int) -> float:
    call(number + repeats)  # not timed
    start = time.process_time()
    for at in range(number, number + repeats):
        call(at)
    return (time.process_time() - start) / repeats


def _repeats(call: Call) -> int:
    """How often the call runs in one sample; also its warm-up."""
    taken = min(_sample(call, 1, number) for number in range(3))
    return max(2, min(500, round(_SAMPLE_SECONDS / max(taken, 1e-6))))
