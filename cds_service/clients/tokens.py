"""Who calls? The token of a request, checked in the order of the CDS Hooks best practices.

Issuer, audience, times and tenant come first: a token that fails there costs neither a signature nor a look at a key
set. PyJWT checks the signature. The claims are checked here, because PyJWT would do it only after the signature and
by the machine's clock.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import jwt
import msgspec

from cds_service.clients.keys import ALGORITHMS, KeyStore, KeysUnavailable
from cds_service.clients.model import Client
from cds_service.clients.replay import ReplayStore

LEEWAY_SECONDS = 60
MOST_CHARACTERS = 8192
_LONGEST_JTI = 256
_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

Why = Literal[
    "no-token", "form", "header", "algorithm", "claims", "issuer", "tenant", "audience", "expired", "not-yet",
    "lifetime", "jku", "keys-unavailable", "key", "signature", "replay",
]  # fmt: skip
REASONS: frozenset[str] = frozenset(get_args(Why))
"""All that the log may say about a refused token."""


class Denied(Exception):
    """A request without a token that counts. Why is for the log alone: whoever called is told nothing."""

    def __init__(self, why: Why) -> None:
        super().__init__(why)
        self.why = why


class _Header(msgspec.Struct):
    alg: str
    kid: str
    typ: str
    jku: str | None = None
    crit: Any = None


class _Claims(msgspec.Struct):
    iss: str
    aud: str | list[str]
    exp: float
    iat: float
    jti: str
    nbf: float | None = None
    tenant: str | None = None


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, RecursionError)
_HEADER = msgspec.json.Decoder(_Header)
_CLAIMS = msgspec.json.Decoder(_Claims)
_JWS = jwt.PyJWS(algorithms=sorted(ALGORITHMS))


class Verifier:
    """Verifies tokens against the clients of one site. Safe for threads."""

    def __init__(
        self,
        clients: Iterable[Client],
        keys: KeyStore,
        replay: ReplayStore,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._keys, self._replay, self._now = keys, replay, now
        self._by_issuer: dict[str, list[Client]] = {}
        for client in clients:
            self._by_issuer.setdefault(client.issuer, []).append(client)

    def verify(self, authorization: str | None, audiences: Collection[str], once: bool = True) -> Client:
        """The client that the `Authorization` header proves. Raises `Denied`.

        `audiences` are the addresses that `aud` may name, where the client has none of its own. Without `once` a token
        counts however often it comes, and is not remembered: for what holds no patient data.
        """
        token, header, claims = _read(authorization)
        client = self._client(claims)
        self._check_claims(claims, client, client.audience or audiences)
        self._check_signature(token, header, client)
        if once and client.replay == "reject":
            expires_at = datetime.fromtimestamp(claims.exp, UTC) + timedelta(seconds=LEEWAY_SECONDS)
            if self._replay.seen(client.id, claims.jti, expires_at):
                raise Denied("replay")
        return client

    def _client(self, claims: _Claims) -> Client:
        candidates = self._by_issuer.get(claims.iss, ())
        if not candidates:
            raise Denied("issuer")
        for client in candidates:
            if not client.tenants or claims.tenant in client.tenants:
                return client
        raise Denied("tenant")

    def _check_claims(self, claims: _Claims, client: Client, audiences: Collection[str]) -> None:
        named = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if not any(one in audiences for one in named):
            raise Denied("audience")
        now = self._now().timestamp()
        if claims.exp + LEEWAY_SECONDS <= now:
            raise Denied("expired")
        if max(claims.iat, claims.nbf or 0) > now + LEEWAY_SECONDS:
            raise Denied("not-yet")
        if not 0 < claims.exp - claims.iat <= client.max_token_minutes * 60:
            raise Denied("lifetime")
        if not 0 < len(claims.jti) <= _LONGEST_JTI:
            raise Denied("claims")

    def _check_signature(self, token: str, header: _Header, client: Client) -> None:
        try:
            key = self._keys.at(_place(client, header)).key(header.kid)
        except KeysUnavailable:
            raise Denied("keys-unavailable") from None
        if key is None:
            raise Denied("key")
        if header.alg not in key.algorithms:
            raise Denied("algorithm")
        try:
            _JWS.decode(token, key.public, algorithms=[header.alg])
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Denied("signature") from None


def _read(authorization: str | None) -> tuple[str, _Header, _Claims]:
    """Header and claims as the token says them, before anything of it is believed."""
    if not authorization:
        raise Denied("no-token")
    scheme, _, token = authorization.partition(" ")
    token = token.strip(" ")
    found = _TOKEN.fullmatch(token) if len(token) <= MOST_CHARACTERS else None
    if scheme.lower() != "bearer" or found is None:
        raise Denied("form")
    try:
        header = _HEADER.decode(_decoded(found[1]))
    except _UNREADABLE:
        raise Denied("header") from None
    if header.typ.lower() != "jwt" or header.crit is not None or not header.kid:
        raise Denied("header")
    if header.alg not in ALGORITHMS:
        raise Denied("algorithm")
    try:
        return token, header, _CLAIMS.decode(_decoded(found[2]))
    except _UNREADABLE:
        raise Denied("claims") from None


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _place(client: Client, header: _Header) -> str:
    """Where this client's keys are. What a token names is only ever compared with the site's own list."""
    if client.key_file:
        return client.key_file
    listed = client.jku or {client.jwks_url}
    if header.jku is not None:
        if header.jku not in listed:
            raise Denied("jku")
        return header.jku
    if len(listed) != 1:
        raise Denied("jku")
    return next(iter(listed))
