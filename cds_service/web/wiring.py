"""What the web layer calls: the ruleset and the pure functions, put together once at start.

The seam for tests: an application made with a `Wiring` of fakes never touches rules, clock or random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from cds_service.assess import assess
from cds_service.cards.model import Card
from cds_service.cards.response import encode_response
from cds_service.facts.gathered import Gathered
from cds_service.ruleset import load_ruleset
from cds_service.settings import Settings
from cds_service.web.config import WebConfig


class LoadedRules(Protocol):
    """What the operations pages tell of a ruleset."""

    @property
    def digest(self) -> str: ...
    @property
    def knowledge_version(self) -> str: ...


class Assessed(Protocol):
    """What an invocation needs of an Assessment."""

    @property
    def cards(self) -> tuple[Card, ...]: ...
    @property
    def data_gaps(self) -> tuple[Any, ...]: ...


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    ruleset: LoadedRules
    assess: Callable[[Gathered, Any, Settings, datetime], Assessed]
    encode_response: Callable[[tuple[Card, ...], Callable[[], str]], bytes]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_id: Callable[[], str] = lambda: str(uuid4())


def wire(config: WebConfig) -> Wiring:
    """Loads the rules, once. Raises `RulesetError`, which names file and line of every mistake."""
    return Wiring(ruleset=load_ruleset(config.rules), assess=assess, encode_response=encode_response)
