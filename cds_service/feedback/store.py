"""All parts of the memory over one database, and what its start takes."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from cds_service.cards.hold_back import History
from cds_service.clients.replay import ReplayStore
from cds_service.feedback.breaker import Breaker
from cds_service.feedback.database import BadDatabase, Database, open_database
from cds_service.feedback.events import Events
from cds_service.feedback.memory import Memory, Occasion, Shown
from cds_service.feedback.migrate import status, upgrade
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.feedback.reasons import KnownReasons
from cds_service.feedback.receive import Receiver
from cds_service.feedback.replay import SharedReplayStore

UPGRADE = "legcramp database upgrade"


class Remembers(Protocol):
    """What the road of a request asks of a memory; `Memory` is one."""

    def history(self, occasion: Occasion, now: datetime) -> History | None: ...
    def note_shown(
        self, occasion: Occasion, cards: list[Shown], versions: tuple[str, str], shown_at: datetime
    ) -> None: ...


class Store(msgspec.Struct, frozen=True):
    database: Database
    memory: Memory
    receiver: Receiver
    replay: ReplayStore
    events: Events


def open_store(
    address: str, key: bytes, reasons: KnownReasons, events: Events, keeps_comments: bool, migrates: bool
) -> Store:
    """The memory over the database of a URL; may be opened before a fork, because it holds no connection yet.

    `migrates`: a SQLite database whose tables are missing or old gets them here; any other is refused with the command
    that mends it. One that does not answer is not refused: cards come without it, and it is tried again later.
    Raises `BadDatabase`.
    """
    database = open_database(address)
    _prepare(database, events, migrates and database.is_sqlite)
    breaker = Breaker(events)
    pseudonyms = Pseudonyms(key)
    return Store(
        database,
        Memory(database, pseudonyms, reasons.lasting_reasons, events, breaker),
        Receiver(database, breaker, pseudonyms, reasons, keeps_comments),
        SharedReplayStore(database, breaker, events),
        events,
    )


def _prepare(database: Database, events: Events, migrates: bool) -> None:
    try:
        found = status(database)
        if found.state in ("empty", "behind") and migrates:
            upgrade(database)
            return
    except (SQLAlchemyError, OSError):
        events("database-down")
        return
    finally:
        database.close()
    if found.state == "newer":
        raise BadDatabase("its tables belong to a newer release; start that one, or name another database")
    if found.state != "current":
        raise BadDatabase(f"its tables are {'missing' if found.state == 'empty' else 'old'}; run: {UPGRADE}")
