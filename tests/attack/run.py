"""Runs campaigns: a time limit for each attempt, memory before and after, every fault with what repeats it."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from tests.attack.campaigns import Campaign, Field
from tests.attack.target import connections_outside, watch_connections

LONGEST_SECONDS = 10.0
"""CPU time after which an attempt hangs; the slowest honest one takes a second."""
_LONGEST_WAIT_SECONDS = 120.0
"""For an attempt that waits instead."""
_ABORT_SECONDS = 1800.0
"""The longest campaign. Past it, one attempt hangs where no alarm reaches it."""
_WARM_UP = 0.3
"""The part of a campaign after which caches are full."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST_TOLD = 20


class Found(msgspec.Struct, frozen=True):
    """One fault. `--only CAMPAIGN --case NUMBER` with the same seed repeats it, unless the campaign is guided."""

    campaign: str
    case: int
    what: str


class Figures(msgspec.Struct):
    """How a campaign went."""

    name: str
    about: str
    attempts: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    faults: list[Found] = []
    seconds: float = 0.0
    slowest_ms: float = 0.0
    growth_kb: int = 0
    """Of resident memory, after the warm-up."""
    growth_objects: int = 0
    """Of objects that the garbage collector knows, after the warm-up."""
    kept: int = 0
    """Inputs that a guided campaign found to lead somewhere new."""


class Hung(BaseException):
    """The time of an attempt is over. No `Exception`, so that nothing on the way takes it for its own."""


def run(field: Field, seed: int, scale: float, only: str = "", case: int | None = None) -> Iterator[Figures]:
    """The campaigns, one after the other; `scale` is the part of their attempts that is made."""
    watch_connections()
    # as in production, the collector need not walk what is there from the start
    gc.collect()
    gc.freeze()
    try:
        for campaign in field.campaigns:
            if only in ("", campaign.name):
                numbers = range(max(1, round(campaign.attempts * scale))) if case is None else range(case, case + 1)
                yield _run(campaign, field, seed, numbers)
    finally:
        gc.unfreeze()


def _run(campaign: Campaign, field: Field, seed: int, numbers: range) -> Figures:
    figures = Figures(campaign.name, campaign.about)
    warm_at = numbers.start + round(len(numbers) * _WARM_UP)
    kept = len(campaign.guided.corpus) if campaign.guided else 0
    before = (0, 0)
    began = time.monotonic()
    with _watchdog():
        for number in numbers:
            if number == warm_at:
                _check_logs(field, campaign, number, figures)
                before = _memory()
            _attempt(campaign, seed, number, figures)
            if number % 2000 == 1999:
                _check_logs(field, campaign, number, figures)
    _check_logs(field, campaign, numbers.stop, figures)
    outside = connections_outside()
    if outside:
        figures.faults.append(Found(campaign.name, -1, f"reached for {Counter(outside).most_common(3)}"))
    after = _memory()
    figures.seconds = time.monotonic() - began
    figures.attempts = len(numbers)
    figures.growth_kb, figures.growth_objects = (after[0] - before[0]) // 1024, after[1] - before[1]
    if campaign.guided:
        figures.kept = len(campaign.guided.corpus) - kept
    return figures


def _attempt(campaign: Campaign, seed: int, number: int, figures: Figures) -> None:
    chance = random.Random(f"{seed}.{campaign.name}.{number}")
    began = time.perf_counter()
    _set_alarms(LONGEST_SECONDS, _LONGEST_WAIT_SECONDS)
    try:
        outcome = campaign.attempt(chance, number)
        _set_alarms(0, 0)
        figures.outcomes[outcome] += 1
    except Hung:
        _note(figures, Found(campaign.name, number, f"hangs: more than {LONGEST_SECONDS:g} seconds of work"))
    except Exception as error:
        _note(figures, Found(campaign.name, number, f"{type(error).__name__}: {error}"))
    finally:
        _set_alarms(0, 0)
    figures.slowest_ms = max(figures.slowest_ms, (time.perf_counter() - began) * 1e3)


def _set_alarms(work: float, wait: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, work)
    signal.setitimer(signal.ITIMER_REAL, wait)


def _note(figures: Figures, found: Found) -> None:
    figures.outcomes["FAULT"] += 1
    if len(figures.faults) < _MOST_TOLD:
        figures.faults.append(found)


def _check_logs(field: Field, campaign: Campaign, number: int, figures: Figures) -> None:
    for target in field.targets:
        try:
            target.forget_log()
        except Exception as error:
            _note(figures, Found(campaign.name, number, str(error)))


@contextmanager
def _watchdog() -> Iterator[None]:
    """An alarm for each attempt; where the interpreter itself never comes back, a trace and the end of the process."""

    def ring(*_: Any) -> None:
        raise Hung

    before = {kind: signal.signal(kind, ring) for kind in (signal.SIGALRM, signal.SIGPROF)}
    faulthandler.dump_traceback_later(_ABORT_SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        for kind, restored in before.items():
            signal.signal(kind, restored)


def _memory() -> tuple[int, int]:
    """Resident bytes and objects known to the collector, garbage and what the allocator keeps back left out."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE, len(gc.get_objects())
