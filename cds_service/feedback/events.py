"""What happened to the memory, counted by name for metrics and told to a log, but never more than once a minute."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from cds_service.feedback.breaker import Note

EVENTS = (
    "database-down",
    "database-up",
    "history-unavailable",
    "shown-postponed",
    "shown-lost",
    "feedback-refused",
    "replay-fallback",
)
"""All there are: the database began to fail and answers again; cards assessed without what was overridden before; cards
whose record waits in the process, and cards whose record was given up; requests with feedback that got a 503; tokens
that only this worker's own memory could check."""

_QUIET_SECONDS = 60.0


class Events:
    """A `Note`. `counts` only ever grow; `listen` adds what is told of every event."""

    def __init__(self, say: Callable[[str], None] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._say, self._clock = say, clock
        self._listeners: list[Note] = []
        self._said_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def listen(self, listener: Note) -> None:
        self._listeners.append(listener)

    def __call__(self, event: str, count: int = 1) -> None:
        with self._lock:
            self.counts[event] += count
            now = self._clock()
            is_news = now - self._said_at.get(event, -_QUIET_SECONDS) >= _QUIET_SECONDS
            if is_news:
                self._said_at[event] = now
        if is_news and self._say is not None:
            self._say(event)
        for listener in self._listeners:
            listener(event, count)
