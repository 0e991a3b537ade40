"""SMART Backend Services: a token for a program, by a signed assertion instead of a secret.

Source: SMART App Launch 2.2, backend services and asymmetric (private_key_jwt) client authentication.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import msgspec
import requests

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS = 240
"""An assertion may live for five minutes at most."""
_EARLY_SECONDS = 30
_TIMEOUTS = (10, 60)


class NotAuthorized(Exception):
    """The server gave no token, or the key cannot be used. The text says why, without anything secret."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. The server knows the public key of `key_file` (PEM) by its `key_id`."""

    client_id: str
    key_file: Path
    key_id: str = ""
    algorithm: str = "ES384"
    scope: str = "system/*.read"

    def __repr__(self) -> str:
        return f"Identity(client_id={self.client_id!r})"


class _Configuration(msgspec.Struct):
    token_endpoint: str = ""


class _Token(msgspec.Struct):
    access_token: str = ""
    expires_in: int = 300


class Tokens:
    """Access tokens of one server, got anew before they run out."""

    def __init__(
        self, session: requests.Session, base: str, identity: Identity, clock: Callable[[], float] = time.time
    ) -> None:
        self._session, self._base, self._identity, self._clock = session, base, identity, clock
        self._endpoint = ""
        self._token, self._until = "", 0.0

    def header(self, anew: bool = False) -> dict[str, str]:
        """The Authorization header. Raises `NotAuthorized`."""
        if anew or self._clock() > self._until - _EARLY_SECONDS:
            self._fetch()
        return {"Authorization": f"Bearer {self._token}"}

    def _fetch(self) -> None:
        if not self._endpoint:
            self._endpoint = self._discover()
        form = {
            "grant_type": "client_credentials",
            "scope": self._identity.scope,
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._assertion(),
        }
        answer = self._session.post(self._endpoint, data=form, timeout=_TIMEOUTS, allow_redirects=False)
        if answer.status_code != 200:
            raise NotAuthorized(f"the token endpoint answered {answer.status_code}")
        try:
            token = msgspec.json.decode(answer.content, type=_Token)
        except msgspec.DecodeError:
            raise NotAuthorized("the token endpoint's answer cannot be read") from None
        if not token.access_token:
            raise NotAuthorized("the token endpoint's answer holds no token")
        self._token, self._until = token.access_token, self._clock() + token.expires_in

    def _discover(self) -> str:
        url = f"{self._base}/.well-known/smart-configuration"
        answer = self._session.get(url, timeout=_TIMEOUTS, headers={"Accept": "application/json"})
        try:
            endpoint = msgspec.json.decode(answer.content, type=_Configuration).token_endpoint
        except msgspec.DecodeError:
            endpoint = ""
        if answer.status_code != 200 or not endpoint:
            raise NotAuthorized("the server's .well-known/smart-configuration names no token endpoint")
        if not is_private(endpoint):
            raise NotAuthorized("the token endpoint is not https")
        return endpoint

    def _assertion(self) -> str:
        one = self._identity
        now = int(self._clock())
        claims: dict[str, Any] = {
            "iss": one.client_id,
            "sub": one.client_id,
            "aud": self._endpoint,
            "exp": now + _ASSERTION_SECONDS,
            "iat": now,
            "jti": str(uuid4()),
        }
        headers = {"kid": one.key_id} if one.key_id else None
        try:
            return jwt.encode(claims, one.key_file.read_bytes(), algorithm=one.algorithm, headers=headers)
        except OSError as error:
            raise NotAuthorized(f"{one.key_file.name}: {error.strerror or 'cannot be read'}") from None
        except (ValueError, TypeError, jwt.PyJWTError):
            raise NotAuthorized(f"{one.key_file.name}: is no private key for {one.algorithm}") from None


def is_private(url: str) -> bool:
    """Whether nobody on the way can read along: https, or an address of this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))
