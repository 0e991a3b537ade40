"""Attacks on who may call: tokens that are forged, mutated, unsigned or signed for something else, and key sets.

Nothing but an untouched token of the client's own key may ever be believed.
"""

from __future__ import annotations

import base64
import functools
import json
import random
from typing import Any

from cds_service.clients.keys import KeyStore, KeysUnavailable, read_key_set
from cds_service.clients.model import Client
from cds_service.clients.replay import InMemoryReplayStore
from cds_service.clients.tokens import Denied, Verifier
from tests.attack import hostile
from tests.attack.mutate import change, change_bytes, dump
from tests.attack.target import Fault
from tests.clients.signing import AUDIENCE, ISSUER, NOW, claims, key_set, pack, public_jwk, token

_JKU = "https://ehr.example.org/jwks.json"
_ALGORITHMS = (
    "none",
    "None",
    "HS256",
    "HS384",
    "RS256",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "PS512",
    "",
    "es384",
    "ES384 ",
)


class Gate:
    """A verifier with one client, whose keys are at hand; a clock that stands still."""

    def __init__(self) -> None:
        self.keys = key_set(public_jwk("k1"), public_jwk("k2", "RS384"))
        store = KeyStore(clock=lambda: 0.0)
        store.load = self._load  # type: ignore[method-assign]
        client = Client(id="ehr", issuer=ISSUER, jku=frozenset({_JKU}))
        self.verifier = Verifier((client,), store, InMemoryReplayStore(now=lambda: NOW), now=lambda: NOW)

    def _load(self, place: str) -> bytes:
        if place != _JKU:
            raise Fault("a key set was asked for that is not on the list")
        return self.keys


@functools.cache
def gate() -> Gate:
    return Gate()


@functools.cache
def sound() -> tuple[str, ...]:
    """Tokens that count, each of another form."""
    return (
        token(headers={"jku": _JKU}),
        token(headers={"jku": _JKU}, aud=[AUDIENCE, "x"], nbf=int(NOW.timestamp())),
        token(algorithm="RS384", kid="k2", headers={"jku": _JKU}),
    )


def believe(authorization: str | None) -> str:
    """Why it was refused. Raises `Fault` when it was believed, unless it is one of the sound ones."""
    try:
        gate().verifier.verify(authorization, (AUDIENCE,), once=False)
    except Denied as denied:
        return denied.why
    made = authorization.partition(" ")[2].strip(" ") if authorization else ""
    if made in sound() or _same_token(made):
        return "believed"
    raise Fault(f"a token was believed that nobody signed: {authorization!r}")


def _same_token(made: str) -> bool:
    """Base64 can write the last bits of one text in several ways: the same token all the same."""
    return any(_decoded(made) == _decoded(one) and made.split(".")[:2] == one.split(".")[:2] for one in sound())


def _decoded(made: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "==") for part in made.split(".")]


def forge(chance: random.Random) -> str:
    """A header that an attacker would send."""
    made = chance.choice(sound())
    head, body, signature = made.split(".")
    kind = chance.randrange(6)
    if kind == 0:  # bytes of the token
        made = change_bytes(made.encode(), chance.choice(sound()).encode(), chance).decode("latin-1")
    elif kind == 1:  # the claims, under the old signature
        made = f"{head}.{pack(dump(change(json.loads(_unpacked(body)), chance, chance.randrange(1, 4))))}.{signature}"
    elif kind == 2:  # the header, under the old signature
        made = f"{pack(dump(change(json.loads(_unpacked(head)), chance, chance.randrange(1, 4))))}.{body}.{signature}"
    elif kind == 3:  # another algorithm, another or no signature
        header = json.loads(_unpacked(head)) | {"alg": chance.choice(_ALGORITHMS)} | chance.choice(_EXTRAS)
        sealed = chance.choice((signature, "", "AA", pack(gate().keys)[:500]))
        made = f"{pack(json.dumps(header).encode())}.{body}.{sealed}"
    elif kind == 4:  # parts of two tokens
        parts = [chance.choice(sound()).split(".")[at] for at in (0, 1, 2)]
        made = ".".join(parts[: chance.choice((1, 2, 3, 3, 3))] * chance.choice((1, 1, 2)))
    else:  # claims of every type and size, never signed
        made = f"{head}.{pack(dump(claims() | {chance.choice(_CLAIMS): hostile.value(chance)}))}.{signature}"
    return f"{chance.choice(('Bearer ',) * 9 + ('bearer  ', 'Basic ', '', 'Bearer', 'BEARER '))}{made}"


def mutate_keys(content: bytes, chance: random.Random) -> bytes:
    """A key set, changed in its tree or in its bytes."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict) and chance.random() < 0.8:
        return dump(change(document, chance, chance.randrange(1, 4)))
    return change_bytes(content, gate().keys, chance)


def read_keys(content: bytes) -> str:
    """How many keys of a set are taken, at most those that were in it to begin with."""
    try:
        keys = read_key_set(content)
    except KeysUnavailable:
        return "no key set"
    return f"{min(len(keys), 3)} keys"


def _unpacked(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "==")


_CLAIMS = ("iss", "aud", "exp", "iat", "jti", "nbf", "tenant", "sub")
_EXTRAS: tuple[dict[str, Any], ...] = (
    {}, {"jwk": public_jwk("k1", name="attacker")}, {"jku": "https://evil.example/jwks.json"}, {"jku": f"{_JKU}#"},
    {"jku": f"{_JKU}/../x"}, {"x5u": "https://evil.example/x"}, {"kid": "../../dev/null"}, {"kid": "k1' OR 1=1"},
    {"kid": ""},
    {"crit": ["exp"]}, {"b64": False}, {"zip": "DEF"}, {"typ": "at+jwt"}, {"cty": "JWT"},
)  # fmt: skip
