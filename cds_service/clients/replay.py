"""Has this token been used before? The interface, and an answer from one worker's own memory."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class ReplayStore(Protocol):
    """Remembers the `jti` of every token that was accepted, for as long as that token could be used again."""

    def seen(self, client_id: str, jti: str, expires_at: datetime) -> bool:
        """Whether this one was given before; it counts as given from now on, in one step.

        `expires_at` is an aware instant, leeway included; after it the entry may be forgotten. Never raises: a store
        that cannot answer falls back to what it still has.
        """
        ...


class InMemoryReplayStore:
    """What one worker saw. Bounded: when full, what expires first is forgotten first.

    Only tokens with a good signature get here, so no stranger can push out another's entries.
    """

    def __init__(self, limit: int = 100_000, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._limit = limit
        self._now = now
        self._known: set[tuple[str, str]] = set()
        self._by_expiry: list[tuple[datetime, tuple[str, str]]] = []
        self._lock = threading.Lock()

    def seen(self, client_id: str, jti: str, expires_at: datetime) -> bool:
        entry = (client_id, jti)
        with self._lock:
            now = self._now()
            while self._by_expiry and self._by_expiry[0][0] <= now:
                self._forget()
            if entry in self._known:
                return True
            while len(self._by_expiry) >= self._limit:
                self._forget()
            self._known.add(entry)
            heapq.heappush(self._by_expiry, (expires_at, entry))
            return False

    def __len__(self) -> int:
        return len(self._known)

    def _forget(self) -> None:
        _, entry = heapq.heappop(self._by_expiry)
        self._known.discard(entry)
