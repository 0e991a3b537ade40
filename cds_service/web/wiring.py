"""What the web layer calls: the ruleset and the pure functions, put together once at start.

The seam for tests: an application made with a `Wiring` of fakes never touches rules, clock or random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from cds_service import __version__
from cds_service.assess import assess
from cds_service.cards.model import Card
from cds_service.cards.response import encode_response
from cds_service.clients.model import Client
from cds_service.clients.tokens import Verifier
from cds_service.facts.reading import HookRequest
from cds_service.feedback.store import Remembers, Store
from cds_service.fhir.access import Policy
from cds_service.fhir.complete import Completion, FhirAccess
from cds_service.fhir.deadline import Deadline
from cds_service.fhir.queries import QUERIES
from cds_service.ruleset import load_ruleset
from cds_service.scenarios.checked import ensure_checked
from cds_service.settings import STANDARD, ClientProfile, Settings
from cds_service.telemetry.log import make_log
from cds_service.telemetry.metrics import Metrics
from cds_service.web.config import WebConfig
from cds_service.web.remembering import store_of
from cds_service.web.site import settings_of, site_clients, verifier_of


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


class EncodeResponse(Protocol):
    """Cards to the bytes that a client of this profile can take."""

    def __call__(
        self, cards: tuple[Card, ...], new_id: Callable[[], str], profile: ClientProfile = STANDARD, /
    ) -> bytes: ...


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    ruleset: LoadedRules
    assess: Callable[..., Assessed]
    """`assess(gathered, ruleset, settings, now, history, go_on)`."""
    encode_response: EncodeResponse
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    new_id: Callable[[], str] = lambda: str(uuid4())
    clients: tuple[Client, ...] = ()
    settings: dict[str, Settings] = {}
    """The settings of each client, by its id; for anyone else those of the site."""
    verifier: Verifier | None = None
    """None: tokens are not asked for."""
    fetch: Callable[[HookRequest, Client, Deadline], Completion] | None = None
    """Fetches what a request with `fhirServer` lacks; None: nothing is ever fetched."""
    store: Store | None = None
    """Where feedback and used tokens are kept; None: nowhere."""
    memory: Remembers | None = None
    """What was shown and overridden; None: nothing is remembered."""
    metrics: Metrics | None = None
    """Counts for Prometheus; None: nothing is counted."""


def wire(config: WebConfig) -> Wiring:
    """Loads the rules and the clients, once. Raises `RulesetError` and `BadConfiguration`, which name every mistake.

    Rules that were edited since their own scenarios last passed run these first, and do not start when one fails.
    """
    ruleset = load_ruleset(config.rules, not config.snomed, site=config.site_rules)
    ensure_checked(ruleset)
    clients = site_clients(config, rule_ids=tuple(rule.id for rule in ruleset.knowledge.rules))
    store = store_of(config, ruleset.knowledge, lambda event, _count: make_log().warning(event))
    metrics = Metrics(__version__, ruleset.knowledge_version, ruleset.digest) if config.metrics else None
    if metrics is not None and store is not None:
        store.events.listen(metrics.happened)
    return Wiring(
        metrics=metrics,
        ruleset=ruleset,
        assess=assess,
        encode_response=encode_response,
        clients=clients,
        settings=settings_of(clients, config.settings),
        verifier=verifier_of(clients, config, None if store is None else store.replay),
        store=store,
        memory=None if store is None else store.memory,
        fetch=_fhir_access(config).complete,
    )


def _fhir_access(config: WebConfig) -> FhirAccess:
    return FhirAccess(
        Policy(development=config.development, anonymous=config.fhir_servers),
        seconds=config.fhir_deadline_ms / 1000,
        # as many as all requests at work may have questions, so that none waits for another's
        threads=config.threads * len(QUERIES),
        # a record may be fetched in the size in which it may be sent
        most_bytes=config.max_body_bytes,
        most_resources=config.max_resources,
        ca_file=config.fhir_ca_file,
    )
