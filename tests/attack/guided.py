"""Coverage-guided: an input that reaches a step between two lines which none reached before is kept and mutated on.

A tracing function of the interpreter's own is enough for the small readers that this is for; the rest of the service
runs untraced. A decoder in C (msgspec, libyaml) shows through the lines that take its answers.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Generic, TypeVar

Input = TypeVar("Input", str, bytes)
_MOST_KEPT = 2000
_LONGEST_KEPT = 20_000
"""Or what is kept would grow from one generation to the next."""


class Guided(Generic[Input]):
    """One reader under attack. `modules` are ends of file names, such as ``clients/tokens.py``."""

    def __init__(
        self,
        seeds: Iterable[Input],
        mutate: Callable[[Input, random.Random], Input],
        attempt: Callable[[Input], str],
        modules: tuple[str, ...],
    ) -> None:
        self.corpus = list(seeds)
        self.steps: set[tuple[Any, int, int]] = set()
        self._mutate, self._attempt, self._modules = mutate, attempt, modules
        self._of_interest: dict[Any, bool] = {}

    def __call__(self, chance: random.Random) -> str:
        """Mutates one of the corpus, and keeps what leads somewhere new."""
        # the newest half is where the frontier is
        start = len(self.corpus) // 2 if chance.random() < 0.5 else 0
        tried = self._mutate(self.corpus[chance.randrange(start, len(self.corpus))], chance)
        before = len(self.steps)
        try:
            return self._traced(tried)
        finally:
            if len(self.steps) > before and len(self.corpus) < _MOST_KEPT and len(tried) < _LONGEST_KEPT:
                self.corpus.append(tried)

    def _traced(self, tried: Input) -> str:
        last: dict[int, int] = {}

        def lines(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                self.steps.add((frame.f_code, last.get(id(frame), 0), frame.f_lineno))
                last[id(frame)] = frame.f_lineno
            return lines

        def calls(frame: FrameType, _: str, __: Any) -> Any:
            code = frame.f_code
            wanted = self._of_interest.get(code)
            if wanted is None:
                wanted = self._of_interest[code] = code.co_filename.endswith(self._modules)
            return lines if wanted else None

        before = sys.gettrace()
        sys.settrace(calls)
        try:
            return self._attempt(tried)
        finally:
            sys.settrace(before)
