"""Leaves a database alone that failed, and tries again later: a hanging one costs a wait once, not each time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

Result = TypeVar("Result")
Note = Callable[[str, int], None]
"""Told of an event, by its name, and how often it happened just now: for metrics and the log."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Unavailable(Exception):
    """The database cannot be used just now. `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the database cannot be used just now")
        self.retry_after = retry_after


class _Late(Exception):
    """The database did not answer in time."""


class Breaker:
    """Closed while the database answers. After a failure it is open for a pause that doubles, up to a limit; when the
    pause is over one caller tries, and the others go on without the database until that one has an answer.
    """

    def __init__(self, note: Note, clock: Callable[[], float] = time.monotonic) -> None:
        self._note, self._clock = note, clock
        self._lock = threading.Lock()
        self._pause = 0.0
        self._retry_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._pause > 0

    def attempt(
        self, engine: Engine, work: Callable[[Connection], Result], seconds: float, watched: bool = False
    ) -> Result:
        """What `work` makes of one transaction. Raises `Unavailable`.

        `watched`: a database behind a network can take a statement and never answer. Then the wait ends here, and the
        thread that hangs is left behind; while the breaker is open no more of them are made.
        """
        self._enter()
        try:
            result = _within(seconds, engine, work) if watched else _transaction(engine, work)
        except (SQLAlchemyError, OSError, _Late):
            raise Unavailable(self._failed()) from None
        self._succeeded()
        return result

    def _enter(self) -> None:
        if not self._pause:
            return
        with self._lock:
            left = self._retry_at - self._clock()
            if self._pause and left > 0:
                raise Unavailable(left)
            self._retry_at = self._clock() + self._pause

    def _failed(self) -> float:
        with self._lock:
            was_closed = not self._pause
            self._pause = min(max(FIRST_PAUSE_SECONDS, self._pause * 2), LONGEST_PAUSE_SECONDS)
            self._retry_at = self._clock() + self._pause
            pause = self._pause
        if was_closed:
            self._note("database-down", 1)
        return pause

    def _succeeded(self) -> None:
        if not self._pause:
            return
        with self._lock:
            self._pause = 0.0
        self._note("database-up", 1)


def _transaction(engine: Engine, work: Callable[[Connection], Result]) -> Result:
    with engine.begin() as connection:
        return work(connection)


def _within(seconds: float, engine: Engine, work: Callable[[Connection], Result]) -> Result:
    made: list[Result] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            made.append(_transaction(engine, work))
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="database", daemon=True).start()
    if not done.wait(seconds):
        raise _Late
    if failed:
        raise failed[0]
    return made[0]
