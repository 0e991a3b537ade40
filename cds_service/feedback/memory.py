"""What the road of a request asks of the memory: what was overridden before, and to note what is shown now.

Both wait for the database within `quick_seconds`, once, and then go on without it: a card is never late or missing
because of what is remembered. What could not be written waits in this process, up to a limit, for the next time that
the database answers; what does not fit is counted as lost.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from cds_service.cards.hold_back import CardBasis, History, Override, Part
from cds_service.feedback.breaker import Breaker, Note, Result, Unavailable
from cds_service.feedback.database import Database
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.feedback.statements import insert_new
from cds_service.feedback.tables import FEEDBACK, SHOWN

_MOST_WAITING = 10_000
_AT_ONCE = 500
_PARTS = msgspec.json.Decoder(dict[str, Part])

Row = dict[str, Any]


class Occasion(msgspec.Struct, frozen=True):
    """One invocation: who asked, for whom, through which service."""

    client: str
    group: str
    service: str
    hook: str
    hook_instance: str
    patient_id: str


class Shown(msgspec.Struct, frozen=True):
    """One card, as it is noted. `offers` counts its suggestions; `silent`: it was left unsent."""

    basis: CardBasis
    uuid: str
    offers: int = 0
    silent: bool = False


class Memory:
    """Shared by the threads of a worker. Makes no connection before the first question, so it may be made before a
    fork.
    """

    def __init__(
        self,
        database: Database,
        pseudonyms: Pseudonyms,
        lasting: Mapping[str, timedelta],
        note: Note,
        breaker: Breaker | None = None,
    ) -> None:
        self.database, self.pseudonyms, self.note = database, pseudonyms, note
        self.breaker = breaker if breaker is not None else Breaker(note)
        self._longest = max(lasting.values(), default=timedelta())
        self._waiting: deque[list[Row]] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many requests' cards are not written yet."""
        return len(self._waiting)

    def history(self, occasion: Occasion, now: datetime) -> History | None:
        """What this group of clinicians overrode for this patient; None when that cannot be known."""
        patient = self.pseudonyms.patient(occasion.client, occasion.patient_id)

        def read(connection: Connection) -> History:
            return _history(connection, occasion, patient, now - self._longest)

        try:
            return self._attempt(read)
        except Unavailable:
            self.note("history-unavailable", 1)
            return None

    def note_shown(
        self,
        occasion: Occasion,
        cards: Iterable[Shown],
        versions: tuple[str, str],
        shown_at: datetime,
    ) -> None:
        """Notes the cards of one invocation. `versions`: the digest of the ruleset and the version of the knowledge.

        Never raises.
        """
        rows = list(self._rows(occasion, cards, versions, shown_at))
        if not rows:
            return
        with self._lock:
            self._waiting.append(rows)
            lost = 0
            while len(self._waiting) > _MOST_WAITING:
                lost += len(self._waiting.popleft())
        if lost:
            self.note("shown-lost", lost)
        try:
            self.write_waiting()
        except Unavailable:
            self.note("shown-postponed", len(rows))

    def write_waiting(self) -> None:
        """Writes what waits. Raises `Unavailable`, after which it waits on."""
        while batch := self._take():
            try:
                self._attempt(functools.partial(_write, rows=[row for one in batch for row in one]))
            except Unavailable:
                with self._lock:
                    self._waiting.extendleft(reversed(batch))
                raise

    def write_at_last(self) -> None:
        """The last try, as the process ends, whatever the breaker says. What it cannot write is counted as lost."""
        self.breaker = Breaker(self.note)
        try:
            self.write_waiting()
        except Unavailable:
            self.note("shown-lost", sum(len(rows) for rows in self._waiting))

    def _take(self) -> list[list[Row]]:
        with self._lock:
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]

    def _attempt(self, work: Callable[[Connection], Result]) -> Result:
        return self.breaker.attempt(
            self.database.quick, work, self.database.quick_seconds, watched=not self.database.is_sqlite
        )

    def _rows(
        self,
        occasion: Occasion,
        cards: Iterable[Shown],
        versions: tuple[str, str],
        shown_at: datetime,
    ) -> Iterable[Row]:
        ruleset, knowledge = versions
        same = {
            "shown_at": shown_at,
            "client": occasion.client,
            "clinician_group": occasion.group,
            "service": occasion.service,
            "hook": occasion.hook,
            "hook_instance": self.pseudonyms.identifier(occasion.client, occasion.hook_instance),
            "patient": self.pseudonyms.patient(occasion.client, occasion.patient_id),
            "ruleset": ruleset,
            "knowledge": knowledge,
        }
        for card in cards:
            yield same | {
                "card": card.uuid,
                "rule": card.basis.rule,
                "topic": card.basis.topic,
                "indicator": card.basis.indicator,
                "parts": msgspec.json.encode(card.basis.parts).decode(),
                "offers": card.offers,
                "silent": card.silent,
            }


def _write(connection: Connection, rows: list[Row]) -> None:
    # what was written by an attempt that seemed to fail stays as it is
    connection.execute(insert_new(connection, SHOWN, "card"), rows)


def _history(connection: Connection, occasion: Occasion, patient: str, since: datetime) -> History:
    rows = connection.execute(
        select(SHOWN.c.card, SHOWN.c.rule, SHOWN.c.parts, FEEDBACK.c.outcome, FEEDBACK.c.reason,
               FEEDBACK.c.outcome_at, FEEDBACK.c.received_at)
        .join(FEEDBACK, (FEEDBACK.c.card == SHOWN.c.card) & (FEEDBACK.c.client == SHOWN.c.client))
        .where(
            SHOWN.c.patient == patient,
            SHOWN.c.clinician_group == occasion.group,
            SHOWN.c.client == occasion.client,
            FEEDBACK.c.outcome_at > since,
        )
        .order_by(FEEDBACK.c.outcome_at, FEEDBACK.c.id)
    )  # fmt: skip
    latest = {row.card: row for row in rows}  # a card may be told of more than once: the last word counts
    return History(
        tuple(
            # a client's clock that runs ahead must not lengthen the period
            Override(row.rule, row.reason, min(row.outcome_at, row.received_at), _PARTS.decode(row.parts))
            for row in latest.values()
            if row.outcome == "overridden"
        )
    )
