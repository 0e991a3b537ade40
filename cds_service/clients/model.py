"""One client, as the site's TOML file describes it."""

from __future__ import annotations

from typing import Literal

import msgspec

from cds_service.settings import STANDARD, ClientProfile


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """An EHR that calls this service. `id` is the only name of it in logs, metrics and stored rows."""

    id: str
    issuer: str = ""
    """The `iss` of its tokens; empty only for the anonymous client of a development profile."""
    tenants: frozenset[str] = frozenset()
    """Where several clients share an issuer: the `tenant` claims that are this one's."""
    jku: frozenset[str] = frozenset()
    """Addresses of key sets that its tokens may name."""
    jwks_url: str = ""
    """The address of its key set, where its tokens name none."""
    key_file: str = ""
    """The path of its key set (JWKS), where keys were exchanged by hand."""
    audience: frozenset[str] = frozenset()
    """What `aud` must hold instead of the address that was called."""
    replay: Literal["reject", "accept"] = "reject"
    """Whether a token counts once, or as often as it is sent while it is valid."""
    max_token_minutes: int = 60
    """Tokens valid for longer are refused."""
    profile: ClientProfile = STANDARD
    profile_name: str = "standard"
    fhir_servers: frozenset[str] = frozenset()
    """Base URLs, without trailing slash, that may be asked for data on behalf of this client."""
    cors_origins: frozenset[str] = frozenset()
    """Origins of its browser-based parts."""
    group: str = "default"
    """The clinician group within which an override holds a card back."""
    silent: bool | frozenset[str] = False
    """True: rules run and are recorded, no card is shown. A set: so for these rule ids only."""


ANONYMOUS = Client(id="development")
"""Whoever calls where tokens are not asked for."""
