"""One client, as the site's TOML file describes it."""

from __future__ import annotations

import msgspec

from cds_service.settings import ClientProfile


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An EHR that calls this service. `id` is the only name of it in logs, metrics and stored rows."""

    id: str
    issuer: str = ""
    """The `iss` of its tokens; empty only for the anonymous client of a development profile."""
    profile: ClientProfile = ClientProfile()
    fhir_servers: frozenset[str] = frozenset()
    """Base URLs, without trailing slash, that may be asked for data on behalf of this client."""
    group: str = "default"
    """The clinician group within which an override holds a card back."""
    silent: bool | frozenset[str] = False
    """True: rules run and are recorded, no card is shown. A set: so for these rule ids only."""


ANONYMOUS = Client(id="development")
"""Whoever calls where tokens are not asked for."""
