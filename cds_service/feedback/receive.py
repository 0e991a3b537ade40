"""Keeps what clients tell of cards, once, before they are told that it was kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from cds_service.clients.model import Client
from cds_service.feedback.breaker import Breaker
from cds_service.feedback.database import Database
from cds_service.feedback.decode import Told
from cds_service.feedback.pseudonyms import Pseudonyms
from cds_service.feedback.reasons import KnownReasons, stored_reason
from cds_service.feedback.statements import insert_new
from cds_service.feedback.tables import FEEDBACK

_LONGEST_COMMENT = 4000


class Receiver:
    """Stores feedback durably. `keeps_comments` is a site's choice: a comment is free text about a patient."""

    def __init__(
        self,
        database: Database,
        breaker: Breaker,
        pseudonyms: Pseudonyms,
        reasons: KnownReasons,
        keeps_comments: bool = False,
    ) -> None:
        self._database, self._breaker = database, breaker
        self._pseudonyms, self._reasons, self._keeps_comments = pseudonyms, reasons, keeps_comments

    def keep(self, client: Client, service: str, told: Iterable[Told], received_at: datetime) -> None:
        """Returns when all of it is on disk. The same again changes nothing. Raises `Unavailable`."""
        rows = [self._row(client, service, one, received_at) for one in told]
        if not rows:
            return

        def write(connection: Connection) -> None:
            connection.execute(insert_new(connection, FEEDBACK, "digest"), rows)

        watched = not self._database.is_sqlite
        self._breaker.attempt(self._database.durable, write, self._database.durable_seconds, watched)

    def _row(self, client: Client, service: str, told: Told, received_at: datetime) -> dict[str, Any]:
        card = self._pseudonyms.identifier(client.id, told.card)
        reason = stored_reason(self._reasons, told.system, told.code, client.profile.code_systems)
        at = told.outcome_at.isoformat()
        same = (card, told.outcome, at, told.system, told.code, *sorted(told.accepted))
        comment = told.comment.replace("\x00", "")[:_LONGEST_COMMENT] if self._keeps_comments else ""
        return {
            "digest": self._pseudonyms.feedback(client.id, *same),
            "client": client.id,
            "service": service,
            "card": card,
            "outcome": told.outcome,
            "outcome_at": told.outcome_at,
            "received_at": received_at,
            "reason": reason,
            "accepted": len(set(told.accepted)),
            "comment": comment or None,
        }
