"""Whether a soak stayed flat."""

from __future__ import annotations

import statistics

import msgspec

_WARM_UP = 0.3
"""The part of a soak after which caches are full and every page has been shown once."""
_MOST_GROWTH = 0.05
"""Of resident memory, of what it is after the warm-up. The allocator's noise is some two per cent."""
_MOST_DESCRIPTORS = 16
"""More than after the warm-up: each caller may have just hung up."""

_MOST_REFUSED = 0.01
"""Of all answers, "not just now" (503)."""


class Sample(msgspec.Struct, frozen=True):
    """The server at one moment."""

    seconds: float
    answered: int
    resident_kb: int
    descriptors: int
    slowest_ms: int
    """Since the sample before."""
    statuses: dict[int, int]


def complaints(samples: list[Sample]) -> list[str]:
    """What grew, in words."""
    warm = samples[int(len(samples) * _WARM_UP) :]
    if len(warm) < 6:
        return ["too short to tell whether anything grows"]
    third = len(warm) // 3
    first, last = warm[:third], warm[-third:]
    found = []
    before, after = _typical_kb(first), _typical_kb(last)
    if after > before * (1 + _MOST_GROWTH):
        found.append(f"memory grew from {before:,.0f} to {after:,.0f} kB")
    most = max(sample.descriptors for sample in first) + _MOST_DESCRIPTORS
    if last[-1].descriptors > most:
        found.append(f"{last[-1].descriptors} descriptors are open, {most} at most were expected")
    refused = samples[-1].statuses.get(503, 0)
    if refused > samples[-1].answered * _MOST_REFUSED:
        found.append(f"{refused:,} of {samples[-1].answered:,} answers were a 503")
    return found


def _typical_kb(samples: list[Sample]) -> float:
    return statistics.median(sample.resident_kb for sample in samples)
