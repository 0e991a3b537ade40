"""What an EHR has and we have not: private keys, tokens made with them, and a server for its key set."""

from __future__ import annotations

import base64
import functools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
ISSUER = "https://ehr.example.org"
BASE = "https://cds.example.org"
SERVICE = "leg-cramp-patient-view"
AUDIENCE = f"{BASE}/cds-services/{SERVICE}"
_MAKE: dict[str, Callable[[], Any]] = {
    "RS": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@functools.cache
def private_key(algorithm: str = "ES384", name: str = "first") -> Any:
    """One private key for each algorithm and name; RSA keys serve all RSA algorithms."""
    if algorithm[:2] in ("RS", "PS"):
        return _rsa(name)
    return _MAKE[algorithm]()


@functools.cache
def _rsa(name: str) -> Any:
    return _MAKE["RS"]()


def public_jwk(kid: str, algorithm: str = "ES384", name: str = "first", **members: Any) -> dict[str, Any]:
    kind = get_default_algorithms()["EdDSA" if algorithm == "Ed448" else algorithm]
    jwk: dict[str, Any] = json.loads(kind.to_jwk(private_key(algorithm, name).public_key()))  # type: ignore[attr-defined]
    jwk.pop("key_ops", None)
    return jwk | {"kid": kid, "use": "sig"} | members


def public_pem(algorithm: str = "RS384", name: str = "first") -> bytes:
    pem: bytes = private_key(algorithm, name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    """Sound claims, with `changed` in place of their own; one given as None is left out."""
    now = int(NOW.timestamp())
    sound = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300, "jti": str(uuid4())} | changed
    return {name: value for name, value in sound.items() if value is not None}


def token(
    payload: dict[str, Any] | None = None,
    algorithm: str = "ES384",
    name: str = "first",
    kid: str | None = "k1",
    headers: dict[str, Any] | None = None,
    **changed: Any,
) -> str:
    """A signed token; `headers` given as None are left out."""
    said: dict[str, Any] = {"kid": kid, "typ": "JWT"} | (headers or {})
    made = jwt.encode(
        payload if payload is not None else claims(**changed),
        private_key(algorithm, name),
        algorithm="EdDSA" if algorithm == "Ed448" else algorithm,
        headers={key: value for key, value in said.items() if value is not None},
    )
    if said["typ"] is None:  # PyJWT always writes one
        return resigned(made, algorithm, name, lambda header: {k: v for k, v in header.items() if k != "typ"})
    return made


def resigned(made: str, algorithm: str, name: str, change: Callable[[dict[str, Any]], Any]) -> str:
    """The token with another header, signed anew."""
    head, body, _ = made.split(".")
    header = change(json.loads(unpack(head)))
    signed = f"{pack(json.dumps(header).encode())}.{body}"
    kind = get_default_algorithms()[algorithm]
    return f"{signed}.{pack(kind.sign(signed.encode(), private_key(algorithm, name)))}"


def pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unpack(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class KeyServer:
    """A key set over HTTP, on a free port of the loopback; counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[], tuple[int, dict[str, str], bytes]] = lambda: (200, {}, key_set(public_jwk("k1")))
        self.asked = 0
        self.headers: dict[str, str] = {}
        outer = self

        class Asked(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                outer.headers = dict(self.headers)
                status, headers, body = outer.answer()
                self.send_response_only(status)
                headers = {"Date": self.date_time_string()} | headers
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):  # the other side had read enough
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/jwks.json"

    def serve(self, *keys: dict[str, Any]) -> None:
        self.answer = lambda: (200, {"Content-Type": "application/json"}, key_set(*keys))

    @contextmanager
    def running(self) -> Iterator[KeyServer]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join(10)


class FakeKeys:
    """Key sets by address, and which addresses were asked: stands in for `KeyStore`."""

    def __init__(self, **sets: list[dict[str, Any]]) -> None:
        self.sets = {address: key_set(*keys) for address, keys in sets.items()}
        self.asked: list[str] = []

    def load(self, place: str) -> bytes:
        self.asked.append(place)
        if place not in self.sets:
            raise OSError("nothing there")
        return self.sets[place]
