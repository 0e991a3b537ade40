"""One instant by which all must be done, however many steps there are until then."""

from __future__ import annotations

import time
from collections.abc import Callable


class DeadlinePassed(Exception):
    """What had to be done by a deadline was not done."""


class Deadline:
    """Handed on from step to step. `clock` counts seconds and never goes back."""

    __slots__ = ("_at", "_clock")

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def left(self) -> float:
        """Seconds that are left; 0.0 once it has passed."""
        return max(0.0, self._at - self._clock())

    @property
    def passed(self) -> bool:
        return self._clock() >= self._at

    def ensure(self) -> None:
        """Raises `DeadlinePassed` once it has passed."""
        if self._clock() >= self._at:
            raise DeadlinePassed

    def sooner(self, seconds: float) -> Deadline:
        """A deadline within this one: `seconds` from now, or this one where that is earlier."""
        return Deadline(min(seconds, self.left()), self._clock)
