"""One database, reached in two ways: quickly beside a request for cards, durably for what a 200 promises to keep.

SQLite runs in WAL mode. There a quick commit survives the end of the process, a durable one that of the machine too;
in PostgreSQL a quick commit may be lost with the server, a durable one not (`synchronous_commit`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

QUICK_SECONDS = 0.5
"""The longest that a request for cards waits for the database, once; then it is left alone for a while."""
DURABLE_SECONDS = 3.0
"""The longest that feedback waits before it gets a 503."""
_CONNECT_SECONDS = 2


class BadDatabase(Exception):
    """A database URL that cannot be used. The text never holds it, because a URL may hold a password."""


class Database(msgspec.Struct, frozen=True):
    url: URL
    quick: Engine
    durable: Engine
    quick_seconds: float = QUICK_SECONDS
    durable_seconds: float = DURABLE_SECONDS

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def shown(self) -> str:
        """The URL for people, without its password."""
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Closes every connection. To be called before a process forks: no connection may be shared."""
        self.quick.dispose()
        self.durable.dispose()


def open_database(
    address: str, quick_seconds: float = QUICK_SECONDS, durable_seconds: float = DURABLE_SECONDS
) -> Database:
    """The database of a URL, `sqlite:///file` or `postgresql://...`. Connects to nothing yet. Raises `BadDatabase`."""
    url = _url(address)
    if url.get_backend_name() == "sqlite":
        quick, durable = _sqlite(url, quick_seconds, "NORMAL"), _sqlite(url, durable_seconds, "FULL")
    else:
        quick, durable = _postgresql(url, quick_seconds, "off"), _postgresql(url, durable_seconds, "on")
    return Database(url, quick, durable, quick_seconds, durable_seconds)


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError:
        raise BadDatabase("must be a URL such as sqlite:////var/lib/legcramp/legcramp.sqlite3") from None
    match url.get_backend_name():
        case "sqlite":
            if not url.database or url.database == ":memory:":
                raise BadDatabase("must name a file: what is only in memory is lost with the process")
            return url
        case "postgresql":
            try:
                import psycopg  # noqa: F401 - an optional extra
            except ImportError:
                raise BadDatabase('needs the extra: pip install "leg-cramp-cds[postgresql]"') from None
            return url.set(drivername="postgresql+psycopg")
    raise BadDatabase("must begin with sqlite: or postgresql:")


def _sqlite(url: URL, seconds: float, synchronous: str) -> Engine:
    with contextlib.suppress(OSError):  # what cannot be made cannot be opened either, which is told then
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": seconds, "check_same_thread": False}, pool_timeout=seconds)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.close()

    return engine


def _postgresql(url: URL, seconds: float, synchronous_commit: str) -> Engine:
    milliseconds = int(seconds * 1000)
    return create_engine(
        url,
        pool_size=4,
        max_overflow=8,
        pool_timeout=seconds,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": max(milliseconds, 1000),
            "application_name": "legcramp",
            # the days of a report are days in UTC, as in SQLite
            "options": f"-c timezone=UTC -c statement_timeout={milliseconds} "
            f"-c synchronous_commit={synchronous_commit}",
        },
    )
