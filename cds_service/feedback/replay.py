"""Used tokens, remembered for all workers in the database; while it is down each worker has its own memory."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import Connection

from cds_service.clients.replay import InMemoryReplayStore
from cds_service.feedback.breaker import Breaker, Note, Unavailable
from cds_service.feedback.database import Database
from cds_service.feedback.statements import insert_new
from cds_service.feedback.tables import REPLAY


class SharedReplayStore:
    """A `clients.replay.ReplayStore`. A worker knows what it saw itself even when the database does not answer."""

    def __init__(
        self, database: Database, breaker: Breaker, note: Note, own: InMemoryReplayStore | None = None
    ) -> None:
        self._database, self._breaker, self._note = database, breaker, note
        self._own = own if own is not None else InMemoryReplayStore()

    def seen(self, client_id: str, jti: str, expires_at: datetime) -> bool:
        if self._own.seen(client_id, jti, expires_at):
            return True
        row = {"client": client_id, "jti": hashlib.sha256(jti.encode("utf-8", "surrogatepass")).hexdigest(),
               "expires_at": expires_at}  # fmt: skip

        def insert(connection: Connection) -> bool:
            statement = insert_new(connection, REPLAY, "client", "jti").returning(REPLAY.c.jti)
            return connection.execute(statement, row).first() is None

        try:
            watched = not self._database.is_sqlite
            return self._breaker.attempt(self._database.quick, insert, self._database.quick_seconds, watched)
        except Unavailable:
            self._note("replay-fallback", 1)
            return False
