"""Log lines of JSON, with the fields named here and no others."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec
import structlog

FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "request_id",
        "method",
        "route",
        "status",
        "duration_ms",
        "service",
        "resources",
        "cards",
        "data_gaps",
        "fault",
        "client",
        "denied",
        "held_back",
        "feedback",
    }
)
"""Nothing about a patient: no ids, no bodies, no addresses with values in them, no words of an exception."""
_PACKAGE = Path(__file__).resolve().parent.parent


def only_allowed(_logger: Any, _name: str, event: Any) -> Any:
    return {name: value for name, value in event.items() if name in FIELDS}


def make_log(stream: Any = None) -> Any:
    """A logger that writes bytes of JSON, by default to standard output."""
    return structlog.wrap_logger(
        structlog.BytesLogger(stream if stream is not None else sys.stdout.buffer),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            structlog.processors.JSONRenderer(serializer=lambda event, **_: msgspec.json.encode(event)),
        ],
        wrapper_class=structlog.BoundLogger,
        cache_logger_on_first_use=True,
    )


def where_raised(error: BaseException) -> str:
    """Type and code line of an exception, such as ``KeyError at engine/tier.py:41``; never its message."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    at = f" at {Path(frames[-1].filename).relative_to(_PACKAGE)}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + at
