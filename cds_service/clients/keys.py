"""Public keys of clients: fetched or read, kept, renewed, and never trusted beyond what they are for.

A key set (JWKS) is asked for again when it is old or when a token names a key that is not in it, which is how keys
are rotated. When it cannot be had, the one at hand goes on for a day: an EHR whose key server is down still gets cards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import msgspec

from cds_service.clients.fetch import fetch, open_session

RENEW_AFTER = 3600.0
"""Seconds after which a key set is asked for again; a key that its owner took back is gone by then."""
KEEP_WHEN_DOWN = 24 * 3600.0
"""Seconds for which a key set is used while it cannot be renewed."""
ASK_AGAIN_AFTER = 30.0
"""The least time between two attempts at one key set, whatever tokens name."""
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 8192
"""Shorter ones can be broken; longer ones make each signature dear to check."""
_MOST_KEYS = 100

_BY_CURVE = {"P-256": {"ES256"}, "P-384": {"ES384"}, "P-521": {"ES512"}, "Ed25519": {"EdDSA"}, "Ed448": {"EdDSA"}}
_RSA = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
ALGORITHMS = frozenset(_RSA.union(*_BY_CURVE.values()))
"""Asymmetric, all of them: `none` and the symmetric ones can never be asked for."""


class Key(NamedTuple):
    """A public key and the algorithms that may be used with it."""

    public: Any
    algorithms: frozenset[str]


class KeysUnavailable(Exception):
    """No key set could be had. The text names the kind of failure, nothing of a token."""


def read_key_set(body: bytes) -> dict[str, Key]:
    """Key id to key. Keys that are symmetric, too short, for encryption or without a `kid` are left out.

    Raises `KeysUnavailable` when it is no key set, or none of its keys can be used.
    """
    try:
        document = msgspec.json.decode(body, type=dict[str, Any])
        listed = document["keys"][:_MOST_KEYS]
        keys = {jwk["kid"]: key for jwk in listed if (key := _read_key(jwk)) is not None}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise KeysUnavailable('is no key set; it must be JSON with a list "keys"') from None
    if not keys:
        raise KeysUnavailable("holds no key that can be used: public, with a kid, EC, RSA of 2048 to 8192 bits, or OKP")
    return keys


def _read_key(jwk: Any) -> Key | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
        return None
    if jwk.get("kty") == "RSA":
        algorithms = _RSA
    else:
        curve = jwk.get("crv")
        algorithms = _BY_CURVE.get(curve, set()) if isinstance(curve, str) else set()
    if "alg" in jwk:
        algorithms = {name for name in algorithms if name == jwk["alg"]}
    if not algorithms or "d" in jwk:
        return None  # a private key in a public place is nobody's proof
    try:
        public = jwt.PyJWK(jwk, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if jwk["kty"] == "RSA" and not LEAST_RSA_BITS <= public.key_size <= MOST_RSA_BITS:
        return None
    return Key(public, frozenset(algorithms))


class KeySource:
    """One key set, kept for all clients that use it. Safe for threads."""

    def __init__(self, load: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> None:
        self._load, self._clock = load, clock
        self._keys: Mapping[str, Key] = {}
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._lock = threading.Lock()

    def key(self, kid: str) -> Key | None:
        """The key of this id; None when the set has none. Raises `KeysUnavailable`."""
        now = self._clock()
        age = None if self._loaded_at is None else now - self._loaded_at
        if age is not None and age < RENEW_AFTER and kid in self._keys:
            return self._keys[kid]
        usable = age is not None and age < KEEP_WHEN_DOWN and kid in self._keys
        # one thread renews; those that can go on with the key at hand do not wait for it
        if self._lock.acquire(blocking=not usable):
            try:
                self._renew(kid)
            finally:
                self._lock.release()
        age = None if self._loaded_at is None else self._clock() - self._loaded_at
        if age is None or age >= KEEP_WHEN_DOWN:
            raise KeysUnavailable("no key set is at hand")
        return self._keys.get(kid)

    def _renew(self, kid: str) -> None:
        now = self._clock()
        is_fresh = self._loaded_at is not None and now - self._loaded_at < RENEW_AFTER
        if (is_fresh and kid in self._keys) or (self._tried_at is not None and now - self._tried_at < ASK_AGAIN_AFTER):
            return
        self._tried_at = now
        try:
            self._keys = read_key_set(self._load())
        except (KeysUnavailable, OSError):
            return
        self._loaded_at = self._clock()


class KeyStore:
    """The key sources of all clients: one for each address or file, made when it is first needed."""

    def __init__(self, http_allowed: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._http_allowed, self._clock = http_allowed, clock
        self._sources: dict[str, KeySource] = {}
        self._session = open_session()
        self._lock = threading.Lock()

    def at(self, place: str) -> KeySource:
        """The source for a URL or a file's path. Whether the place may be asked is for the caller to know."""
        source = self._sources.get(place)
        if source is None:
            with self._lock:
                source = self._sources.setdefault(place, KeySource(lambda: self.load(place), self._clock))
        return source

    def load(self, place: str) -> bytes:
        """The bytes of a key set. Raises `KeysUnavailable` and `OSError` (which `requests` raises too)."""
        if "://" not in place:
            return Path(place).read_bytes()
        answer = fetch(self._session, place, http_allowed=self._http_allowed)
        if answer.status != 200:
            raise KeysUnavailable(f"answered with status {answer.status}")
        return answer.body
