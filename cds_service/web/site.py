"""The site's clients, made ready at start: read, each with its settings, and the verifier of their tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from cds_service.clients.file import BadClients, read_clients
from cds_service.clients.keys import KeyStore
from cds_service.clients.model import Client
from cds_service.clients.replay import InMemoryReplayStore, ReplayStore
from cds_service.clients.tokens import Verifier
from cds_service.fhir.queries import TEMPLATES
from cds_service.settings import Settings
from cds_service.web.config import PREFIX, BadConfiguration, WebConfig


def site_clients(config: WebConfig, rule_ids: Collection[str] | None = None) -> tuple[Client, ...]:
    """The clients of the site; none where anyone may call, which only development allows. Raises `BadConfiguration`."""
    if config.clients is None:
        if config.development:
            return ()
        raise BadConfiguration(
            f"{PREFIX}CLIENTS: is not set, so nobody could call. Name the TOML file of the clients that may call "
            f"(deploy/clients.example.toml shows one), or set {PREFIX}DEVELOPMENT=1 where no real patient is near."
        )
    try:
        return read_clients(config.clients, TEMPLATES, http_allowed=config.development, rule_ids=rule_ids)
    except BadClients as error:
        raise BadConfiguration(f"{PREFIX}CLIENTS: the file of clients cannot be used.\n{error}") from None


def settings_of(clients: Iterable[Client], settings: Settings) -> dict[str, Settings]:
    """The site's settings with the profile of each client, by the client's id."""
    return {
        client.id: msgspec.structs.replace(
            settings,
            client=client.profile,
            silent_rules=frozenset() if isinstance(client.silent, bool) else client.silent,
        )
        for client in clients
    }


def verifier_of(clients: tuple[Client, ...], config: WebConfig, replay: ReplayStore | None = None) -> Verifier | None:
    """None where there are no clients, which `site_clients` allows in development only."""
    if not clients:
        return None
    keys = KeyStore(http_allowed=config.development)
    return Verifier(clients, keys, replay if replay is not None else InMemoryReplayStore())
