"""`meta.lastUpdated` as exports write it."""

from __future__ import annotations

from datetime import UTC, datetime

from cds_service.facts.instants import instant

LONG_AGO = datetime.min.replace(tzinfo=UTC)


def updated_at(text: str) -> datetime | None:
    """An aware instant; None where there is none or it cannot be read."""
    return instant(text, UTC) if text else None
