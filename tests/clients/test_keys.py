"""Key sets: which keys are taken, how they are renewed, and what happens when they cannot be had."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from cds_service.clients.fetch import MOST_BYTES
from cds_service.clients.keys import (
    ASK_AGAIN_AFTER,
    KEEP_WHEN_DOWN,
    RENEW_AFTER,
    KeySource,
    KeyStore,
    KeysUnavailable,
    read_key_set,
)
from cds_service.clients.model import Client
from cds_service.clients.replay import InMemoryReplayStore
from cds_service.clients.tokens import Denied, Verifier
from tests.clients.signing import AUDIENCE, ISSUER, NOW, KeyServer, key_set, pack, private_key, public_jwk, token


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sets:
    """What a key server holds, and how often it was asked; None: it is down."""

    def __init__(self, *kids: str) -> None:
        self.keys: list[dict[str, Any]] | None = [public_jwk(kid) for kid in kids]
        self.asked = 0

    def __call__(self) -> bytes:
        self.asked += 1
        if self.keys is None:
            raise OSError("down")
        return key_set(*self.keys)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_set_is_asked_for_once(clock: Clock) -> None:
    sets = Sets("a", "b")
    source = KeySource(sets, clock)
    for kid in ("a", "b", "a"):
        assert source.key(kid) is not None
    assert sets.asked == 1


def test_a_new_key_is_found_and_an_old_one_goes(clock: Clock) -> None:
    sets = Sets("a")
    source = KeySource(sets, clock)
    assert source.key("a") is not None
    sets.keys = [public_jwk("b")]
    clock.now += ASK_AGAIN_AFTER
    assert source.key("b") is not None
    assert source.key("a") is None


def test_unknown_keys_are_looked_for_at_a_bounded_rate(clock: Clock) -> None:
    sets = Sets("a")
    source = KeySource(sets, clock)
    for at in range(100):
        assert source.key(f"x{at}") is None
    assert sets.asked == 1
    clock.now += ASK_AGAIN_AFTER
    for at in range(100):
        assert source.key(f"x{at}") is None
    assert sets.asked == 2


def test_a_key_that_was_taken_back_is_gone_after_an_hour(clock: Clock) -> None:
    sets = Sets("a")
    source = KeySource(sets, clock)
    source.key("a")
    sets.keys = [public_jwk("b")]
    clock.now += RENEW_AFTER - 1
    assert source.key("a") is not None
    clock.now += 1
    assert source.key("a") is None


def test_while_the_server_is_down_the_keys_at_hand_go_on(clock: Clock) -> None:
    sets = Sets("a")
    source = KeySource(sets, clock)
    source.key("a")
    sets.keys = None
    clock.now += RENEW_AFTER
    for _ in range(10):
        assert source.key("a") is not None
        assert source.key("b") is None
    assert sets.asked == 2, "and it is not asked for every request"
    clock.now += KEEP_WHEN_DOWN
    with pytest.raises(KeysUnavailable):
        source.key("a")
    sets.keys = [public_jwk("a")]
    clock.now += ASK_AGAIN_AFTER
    assert source.key("a") is not None


def test_a_broken_key_set_does_not_replace_a_sound_one(clock: Clock) -> None:
    sets = Sets("a")
    source = KeySource(sets, clock)
    source.key("a")
    sets.keys = []
    clock.now += RENEW_AFTER
    assert source.key("a") is not None


def test_while_one_thread_renews_the_others_go_on(clock: Clock) -> None:
    started, proceed = threading.Event(), threading.Event()

    def load() -> bytes:
        if clock.now > 1000.0:
            started.set()
            assert proceed.wait(30)
        return key_set(public_jwk("a"))

    source = KeySource(load, clock)
    source.key("a")
    clock.now += RENEW_AFTER
    renewing = threading.Thread(target=source.key, args=("a",))
    renewing.start()
    assert started.wait(30)
    assert source.key("a") is not None, "answered while the other thread still waits"
    proceed.set()
    renewing.join(30)
    assert not renewing.is_alive()


# -- which keys


def _short_rsa() -> dict[str, Any]:
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(
        rsa.generate_private_key(65537, 1024).public_key(),
        as_dict=True,
    )
    return jwk | {"kid": "k"}


def _private() -> dict[str, Any]:
    return dict(RSAAlgorithm.to_jwk(private_key("RS256"), as_dict=True)) | {"kid": "k"}


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "k", "alg": "HS256"},
        public_jwk("k", use="enc"),
        {name: value for name, value in public_jwk("k").items() if name != "kid"},
        public_jwk("k", crv="secp256k1"),
        public_jwk("k", crv="P-256"),
        public_jwk("k", alg="HS256"),
        public_jwk("k", alg="none"),
        public_jwk("k", alg="ES256"),
        public_jwk("k", x="AAAA"),
        public_jwk("k", kty="RSA"),
        public_jwk("k") | {"kid": 7},
        public_jwk("k", crv=["P-384"]),
        _short_rsa(),
        public_jwk("k", "RS384", n=pack(b"\xff" * 1025)),
        _private(),
        "k",
        None,
    ],
)
def test_a_key_that_is_not_taken(jwk: Any) -> None:
    with pytest.raises(KeysUnavailable, match="holds no key"):
        read_key_set(key_set(jwk))
    assert set(read_key_set(key_set(jwk, public_jwk("good")))) == {"good"}, "and the rest goes on"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"keys": 1}', b'{"keys": {}}', b"\xff", b"-----", b'{"keys":' + b"[" * 99_999],
)
def test_what_is_no_key_set(body: bytes) -> None:
    with pytest.raises(KeysUnavailable):
        read_key_set(body)


def test_a_key_is_bound_to_its_algorithms() -> None:
    keys = read_key_set(key_set(public_jwk("e"), public_jwk("r", "RS256"), public_jwk("s", "RS256", alg="RS384")))
    assert keys["e"].algorithms == {"ES384"}
    assert keys["r"].algorithms == {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert keys["s"].algorithms == {"RS384"}


# -- over the network


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer().running() as running:
        yield running


def test_rotation_with_a_real_server(server: KeyServer) -> None:
    clock = Clock()
    client = Client(id="ehr", issuer=ISSUER, jku=frozenset({server.url}))
    other = Client(id="other", issuer="https://b.example.org", jwks_url=server.url)
    verifier = Verifier(
        [client, other], KeyStore(http_allowed=True, clock=clock), InMemoryReplayStore(now=lambda: NOW), lambda: NOW
    )

    def verify(**changed: Any) -> str:
        return verifier.verify(f"Bearer {token(headers={'jku': server.url}, **changed)}", {AUDIENCE}).id

    server.serve(public_jwk("k1"))
    assert verify() == "ehr"
    assert verify(iss="https://b.example.org") == "other"
    assert server.asked == 1, "one set for both clients"
    server.serve(public_jwk("k1"), public_jwk("k2", name="second"))  # a new key is published
    clock.now += ASK_AGAIN_AFTER
    assert verify(name="second", kid="k2") == "ehr"
    server.serve(public_jwk("k2", name="second"))  # the old one is withdrawn
    clock.now += RENEW_AFTER
    assert verify(name="second", kid="k2") == "ehr"
    with pytest.raises(Denied, match="key"):
        verify()
    server.answer = lambda: (503, {}, b"")  # the server is down
    clock.now += RENEW_AFTER
    assert verify(name="second", kid="k2") == "ehr"
    assert server.asked == 4


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, {}, b"{}"), "status 404"),
        ((500, {}, b""), "status 500"),
        ((302, {"Location": "http://127.0.0.1:1/jwks.json"}, b""), "redirect"),
        ((200, {}, b" " * (MOST_BYTES + 1)), "more than"),
    ],
)
def test_an_answer_that_is_not_taken(server: KeyServer, answer: tuple[int, dict[str, str], bytes], why: str) -> None:
    server.answer = lambda: answer
    store = KeyStore(http_allowed=True)
    with pytest.raises((OSError, KeysUnavailable), match=why):
        store.load(server.url)
    with pytest.raises(KeysUnavailable):
        store.at(server.url).key("k1")
    assert server.asked == 2, "a redirect is not followed"


def test_outside_development_http_is_not_asked(server: KeyServer) -> None:
    with pytest.raises(OSError, match="https"):
        KeyStore().load(server.url)
    assert server.asked == 0


def test_nobody_there() -> None:
    with KeyServer().running() as gone:
        url = gone.url
    with pytest.raises(KeysUnavailable):
        KeyStore(http_allowed=True).at(url).key("k1")


def test_no_login_is_sent(server: KeyServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert KeyStore(http_allowed=True).load(server.url) == key_set(public_jwk("k1"))
    assert "Authorization" not in server.headers


# -- replay


def test_the_replay_store_forgets_what_expired_and_never_grows_beyond_its_limit() -> None:
    now = NOW
    store = InMemoryReplayStore(limit=3, now=lambda: now)
    for at in range(3):
        assert not store.seen("a", str(at), NOW + timedelta(seconds=10 + at))
    assert store.seen("a", "0", NOW + timedelta(seconds=10))
    assert not store.seen("b", "0", NOW + timedelta(seconds=99))
    assert len(store) == 3
    assert store.seen("a", "2", NOW + timedelta(seconds=12))
    now = NOW + timedelta(seconds=12)
    assert not store.seen("a", "2", NOW + timedelta(seconds=30))
    assert len(store) == 2


def test_of_many_threads_one_is_first() -> None:
    store = InMemoryReplayStore(now=lambda: NOW)
    answers: list[bool] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait(30)
        answers.append(store.seen("a", "same", NOW + timedelta(seconds=1)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == [False, *[True] * 7]
