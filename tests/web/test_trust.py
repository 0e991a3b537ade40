"""Who may call: the tokens that count, and the many that do not, each refused in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from cds_service.clients.keys import ALGORITHMS
from cds_service.clients.model import Client
from cds_service.clients.tokens import MOST_CHARACTERS, REASONS
from cds_service.settings import ClientProfile, Settings
from cds_service.web.app import create_app
from cds_service.web.config import BadConfiguration, WebConfig
from cds_service.web.server import serve
from tests.clients.signing import (
    AUDIENCE,
    BASE,
    ISSUER,
    NOW,
    FakeKeys,
    claims,
    key_set,
    pack,
    public_jwk,
    public_pem,
    resigned,
    token,
    unpack,
)
from tests.web.cds_hooks import check_cards, check_discovery, check_outcome
from tests.web.fakes import PATIENT, bundle, hook_request
from tests.web.trusted import CALL, EHR, EVIL, JKU, Site, seconds

# -- tokens that count


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_every_asymmetric_algorithm(algorithm: str) -> None:
    site = Site(keys=FakeKeys(**{JKU: [public_jwk("k1", algorithm)]}))
    assert site.bearer(token(algorithm=algorithm)).status_code == 200


def test_ed448() -> None:
    assert Site(keys=FakeKeys(**{JKU: [public_jwk("k1", "Ed448")]})).bearer(token(algorithm="Ed448")).status_code == 200


GOOD: dict[str, Callable[[], str]] = {
    "as the specification shows it": lambda: f"Bearer {token(headers={'jku': JKU})}",
    "without jku where one address is listed": lambda: f"Bearer {token()}",
    "scheme in small letters": lambda: f"bearer {token()}",
    "scheme in capitals": lambda: f"BEARER {token()}",
    "spaces around": lambda: f"Bearer   {token()} ",
    "audience as a list": lambda: f"Bearer {token(aud=['https://other.example.org', AUDIENCE])}",
    "extra claims": lambda: f"Bearer {token(sub='x', nbf=int(NOW.timestamp()) - 300, custom={'a': 1})}",
    "tenant that nobody asked for": lambda: f"Bearer {token(tenant='t')}",
    "expired within the leeway": lambda: f"Bearer {token(exp=seconds(-59), iat=seconds(-300))}",
    "made within the leeway ahead": lambda: f"Bearer {token(iat=seconds(60), nbf=seconds(60))}",
    "an hour": lambda: f"Bearer {token(exp=int(NOW.timestamp()) + 3600)}",
    "times with fractions": lambda: f"Bearer {token(iat=NOW.timestamp() - 0.5, exp=NOW.timestamp() + 299.5)}",
    "typ in small letters": lambda: f"Bearer {token(headers={'typ': 'jwt'})}",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_token(name: str) -> None:
    site = Site()
    response = site.call(GOOD[name]())
    assert response.status_code == 200
    check_cards(response.data)
    assert site.last_line["client"] == "ehr"


def test_a_kid_with_the_characters_of_base64() -> None:
    kid = "a/b+c=="
    assert Site(keys=FakeKeys(**{JKU: [public_jwk(kid)]})).bearer(token(kid=kid)).status_code == 200


# -- tokens that do not


def _unsigned(header: dict[str, Any], payload: Any = None, signature: str = "") -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload or claims()).encode()
    return f"{pack(json.dumps(header).encode())}.{pack(body)}.{signature}"


def _symmetric(algorithm: str) -> str:
    """Signed with what everyone knows, the public key, as if it were a shared secret."""
    import hashlib
    import hmac

    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[algorithm]
    made = _unsigned({"alg": algorithm, "kid": "k1", "typ": "JWT"}).rstrip(".")
    return f"{made}.{pack(hmac.new(public_pem(), made.encode(), digest).digest())}"


def _tampered(**changed: Any) -> str:
    head, body, signature = token().split(".")
    payload = json.loads(unpack(body)) | changed
    return f"{head}.{pack(json.dumps(payload).encode())}.{signature}"


def _flipped() -> str:
    made = token()
    head, body, signature = made.split(".")
    data = bytearray(unpack(signature))
    data[5] ^= 1
    return f"{head}.{body}.{pack(bytes(data))}"


def _bearer(**changed: Any) -> Callable[[], str]:
    return lambda: f"Bearer {token(**changed)}"


DEEP = b'{"a":' + b"[" * 5000
BAD: dict[str, tuple[Callable[[], str | None], str]] = {
    "no header": (lambda: None, "no-token"),
    "empty header": (lambda: "", "no-token"),
    "scheme alone": (lambda: "Bearer", "form"),
    "scheme and nothing": (lambda: "Bearer ", "form"),
    "another scheme": (lambda: f"Basic {token()}", "form"),
    "no scheme": (lambda: token(), "form"),
    "garbage": (lambda: "Bearer not.a.token!", "form"),
    "three empty parts": (lambda: "Bearer ..", "form"),
    "four parts": (lambda: f"Bearer {token()}.x", "form"),
    "two tokens": (lambda: f"Bearer {token()} {token()}", "form"),
    "two headers, as a server joins them": (lambda: f"Bearer {token()},Bearer {token()}", "form"),
    "huge": (lambda: f"Bearer {token(custom='x' * MOST_CHARACTERS)}", "form"),
    "plain base64 instead of base64url": (lambda: f"Bearer {token().replace('.', '+.', 1)}", "form"),
    "header is no JSON": (lambda: f"Bearer {pack(b'{')}.{pack(b'{}')}.eA", "header"),
    "header is no object": (lambda: f"Bearer {pack(b'[]')}.{pack(b'{}')}.eA", "header"),
    "header is not base64": (lambda: "Bearer a.eA.eA", "header"),
    "header without kid": (_bearer(kid=None), "header"),
    "header with an empty kid": (_bearer(kid=""), "header"),
    "header without typ": (_bearer(headers={"typ": None}), "header"),
    "another typ": (_bearer(headers={"typ": "at+jwt"}), "header"),
    "header without alg": (lambda: f"Bearer {_unsigned({'kid': 'k1', 'typ': 'JWT'}, signature='eA')}", "header"),
    "critical extension": (_bearer(headers={"crit": ["exp"], "exp": 1}), "header"),
    "payload not encoded": (
        lambda: (
            f"Bearer {resigned(token(), 'ES384', 'first', lambda header: header | {'b64': False, 'crit': ['b64']})}"
        ),
        "header",
    ),
    "alg none": (
        lambda: f"Bearer {_unsigned({'alg': 'none', 'kid': 'k1', 'typ': 'JWT'}, signature='eA')}",
        "algorithm",
    ),
    "alg none, no signature": (lambda: f"Bearer {_unsigned({'alg': 'none', 'kid': 'k1', 'typ': 'JWT'})}", "form"),
    "alg NoNe": (
        lambda: f"Bearer {_unsigned({'alg': 'NoNe', 'kid': 'k1', 'typ': 'JWT'}, signature='eA')}",
        "algorithm",
    ),
    "HS256 with the public key": (lambda: f"Bearer {_symmetric('HS256')}", "algorithm"),
    "HS384 with the public key": (lambda: f"Bearer {_symmetric('HS384')}", "algorithm"),
    "HS512 with the public key": (lambda: f"Bearer {_symmetric('HS512')}", "algorithm"),
    "an unlisted curve": (
        lambda: f"Bearer {_unsigned({'alg': 'ES256K', 'kid': 'k1', 'typ': 'JWT'}, signature='eA')}",
        "algorithm",
    ),
    "an algorithm that is not the key's": (_bearer(algorithm="RS256"), "algorithm"),
    "payload is no JSON": (lambda: f"Bearer {token().split('.')[0]}.{pack(b'{')}.eA", "claims"),
    "payload nested without end": (lambda: f"Bearer {token().split('.')[0]}.{pack(DEEP)}.eA", "claims"),
    "header nested without end": (lambda: f"Bearer {pack(DEEP)}.{pack(b'{}')}.eA", "header"),
    **{f"without {name}": (_bearer(**{name: None}), "claims") for name in ("iss", "aud", "exp", "iat", "jti")},
    "exp as text": (_bearer(payload=claims() | {"exp": "9999999999"}), "claims"),
    "exp as true": (_bearer(payload=claims() | {"exp": True}), "claims"),
    "jti as a number": (_bearer(payload=claims() | {"jti": 7}), "claims"),
    "empty jti": (_bearer(jti=""), "claims"),
    "endless jti": (_bearer(jti="x" * 257), "claims"),
    "audience as an object": (_bearer(payload=claims() | {"aud": {"a": 1}}), "claims"),
    "unknown issuer": (_bearer(iss="https://evil.example.org"), "issuer"),
    "issuer with a slash more": (_bearer(iss=f"{ISSUER}/"), "issuer"),
    "audience of another service": (_bearer(aud=f"{BASE}/cds-services/leg-cramp-order-sign"), "audience"),
    "audience of discovery": (_bearer(aud=f"{BASE}/cds-services"), "audience"),
    "audience of the feedback endpoint": (_bearer(aud=f"{AUDIENCE}/feedback"), "audience"),
    "audience of the proxied address": (_bearer(aud=f"http://localhost{CALL}"), "audience"),
    "audience of another host": (_bearer(aud=f"https://evil.example.org{CALL}"), "audience"),
    "no audience in the list": (_bearer(payload=claims() | {"aud": []}), "audience"),
    "expired": (_bearer(iat=seconds(-600), exp=seconds(-60)), "expired"),
    "long expired": (_bearer(iat=seconds(-99999), exp=seconds(-99000)), "expired"),
    "made in the future": (_bearer(iat=seconds(61)), "not-yet"),
    "not valid yet": (_bearer(nbf=seconds(61)), "not-yet"),
    "valid for longer than an hour": (_bearer(exp=seconds(3601)), "lifetime"),
    "valid for ever": (_bearer(exp=1e300), "lifetime"),
    "over before it began": (_bearer(iat=seconds(30), exp=seconds(30)), "lifetime"),
    "unlisted jku": (_bearer(name="evil", headers={"jku": EVIL}), "jku"),
    "jku that begins like the listed one": (_bearer(headers={"jku": f"{JKU}.evil.example.org"}), "jku"),
    "empty jku": (_bearer(headers={"jku": ""}), "jku"),
    "unknown kid": (_bearer(kid="k2"), "key"),
    "kid as a path": (_bearer(kid="../../etc/passwd"), "key"),
    "wrong key": (_bearer(name="evil"), "signature"),
    "key in its own header": (
        _bearer(name="evil", headers={"jwk": public_jwk("k1", name="evil")}),
        "signature",
    ),
    "tampered claims": (lambda: f"Bearer {_tampered(custom='admin')}", "signature"),
    "tampered signature": (lambda: f"Bearer {_flipped()}", "signature"),
    "cut signature": (lambda: f"Bearer {token()[:-8]}", "signature"),
    "signature of another token": (
        lambda: f"Bearer {token().rpartition('.')[0]}.{token().rpartition('.')[2]}",
        "signature",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_token_that_does_not_count(name: str) -> None:
    make, why = BAD[name]
    site = Site()
    response = site.call(make())
    assert response.status_code == 401
    assert site.last_line["denied"] == why
    assert "client" not in site.last_line
    assert site.assess.seen == []
    if why not in ("key", "algorithm", "signature"):
        assert site.keys.asked == [], "no key set is asked for a token that cannot count"
    assert EVIL not in site.keys.asked


def test_every_reason_is_told_by_some_test() -> None:
    assert {why for _, why in BAD.values()} | {"replay", "tenant", "keys-unavailable"} == REASONS


def test_all_refusals_are_the_same_byte_for_byte() -> None:
    answers = set()
    for make, _ in BAD.values():
        response = Site().call(make())
        headers = sorted((name, value) for name, value in response.headers if name != "X-Request-Id")
        answers.add((response.data, repr(headers)))
    replayed = Site()
    made = token()
    assert replayed.bearer(made).status_code == 200
    response = replayed.bearer(made)
    headers = sorted((name, value) for name, value in response.headers if name != "X-Request-Id")
    answers.add((response.data, repr(headers)))
    down = Site(keys=FakeKeys()).bearer(token())
    headers = sorted((name, value) for name, value in down.headers if name != "X-Request-Id")
    answers.add((down.data, repr(headers)))
    ((body, _),) = answers
    issue = check_outcome(body)["issue"][0]
    assert issue["code"] == "login"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_no_token_is_in_the_log() -> None:
    site = Site()
    made = token(jti="secret-jti", sub="Jane Doe")
    site.bearer(made)
    site.bearer(made)
    text = site.log.getvalue().decode()
    for part in (*made.split("."), "secret-jti", "Jane"):
        assert part not in text


def test_a_refused_request_leaves_its_body_unread_and_the_answer_whole() -> None:
    response = Site().app.test_client().post(CALL, data=b"{" * 10_000, content_type="application/json")
    assert response.status_code == 401


# -- replay


def test_a_token_counts_once() -> None:
    site = Site()
    made = token()
    assert site.bearer(made).status_code == 200
    assert site.bearer(made).status_code == 401
    assert site.last_line["denied"] == "replay"
    site.now = NOW + timedelta(seconds=359)
    assert site.bearer(made).status_code == 401
    assert site.last_line["denied"] == "replay", "remembered until the leeway is over"


def test_a_refused_token_is_not_used_up() -> None:
    site = Site()
    one = claims()
    assert site.bearer(token(payload=one, name="evil")).status_code == 401
    assert site.bearer(token(payload=one)).status_code == 200


def test_a_client_may_be_allowed_to_send_a_token_again() -> None:
    site = Site(msgspec.structs.replace(EHR, replay="accept"))
    made = token()
    assert [site.bearer(made).status_code for _ in range(3)] == [200, 200, 200]


def test_two_clients_may_use_the_same_jti() -> None:
    other = Client(id="other", issuer="https://b.example.org", jku=frozenset({JKU}))
    site = Site(EHR, other)
    assert site.bearer(token(jti="same")).status_code == 200
    assert site.bearer(token(jti="same", iss="https://b.example.org")).status_code == 200


# -- what a client may set


def test_an_audience_of_its_own_replaces_the_address() -> None:
    site = Site(msgspec.structs.replace(EHR, audience=frozenset({"sand_man"})))
    assert site.bearer(token(aud="sand_man")).status_code == 200
    assert site.bearer(token()).status_code == 401


def test_tenants_tell_clients_of_one_issuer_apart() -> None:
    north = msgspec.structs.replace(EHR, id="north", tenants=frozenset({"n"}))
    south = msgspec.structs.replace(EHR, id="south", tenants=frozenset({"s"}))
    site = Site(north, south)
    assert site.bearer(token(tenant="s")).status_code == 200
    assert site.last_line["client"] == "south"
    for tenant in ("x", None):
        assert site.bearer(token(tenant=tenant)).status_code == 401
        assert site.last_line["denied"] == "tenant"


def test_a_shorter_life_may_be_asked_for() -> None:
    site = Site(msgspec.structs.replace(EHR, max_token_minutes=5))
    assert site.bearer(token()).status_code == 200
    assert site.bearer(token(exp=seconds(301))).status_code == 401


def test_several_listed_key_sets_need_a_jku() -> None:
    other = "https://ehr.example.org/old.json"
    both = FakeKeys(**{JKU: [public_jwk("k1")], other: [public_jwk("k1", name="second")]})
    site = Site(msgspec.structs.replace(EHR, jku=frozenset({JKU, other})), keys=both)
    assert site.bearer(token(headers={"jku": JKU})).status_code == 200
    assert site.bearer(token(name="second", headers={"jku": other})).status_code == 200
    assert site.bearer(token(name="second", headers={"jku": JKU})).status_code == 401
    assert site.bearer(token()).status_code == 401


def test_a_fixed_key_set_and_no_other() -> None:
    client = Client(id="ehr", issuer=ISSUER, jwks_url=JKU)
    site = Site(client)
    assert site.bearer(token()).status_code == 200
    assert site.bearer(token(headers={"jku": JKU})).status_code == 200
    assert site.bearer(token(headers={"jku": EVIL})).status_code == 401
    assert set(site.keys.asked) == {JKU}


def test_keys_exchanged_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(public_jwk("k1")))
    keys = FakeKeys(**{str(file): [public_jwk("k1")]})
    site = Site(Client(id="ehr", issuer=ISSUER, key_file=str(file)), keys=keys)
    assert site.bearer(token()).status_code == 200
    assert site.bearer(token(headers={"jku": EVIL})).status_code == 200, "what the token names is not looked at"
    assert set(keys.asked) == {str(file)}


def test_the_rules_see_the_profile_of_the_client() -> None:
    seen: list[Settings] = []

    def assess(gathered: Any, ruleset: Any, settings: Settings, *_: Any) -> Any:
        seen.append(settings)
        return SimpleNamespace(cards=(), data_gaps=())

    profile = ClientProfile(one_action_per_suggestion=True)
    Site(msgspec.structs.replace(EHR, profile=profile), assess=assess).bearer(token())
    assert seen[0].client is profile


def test_prefetch_keys_of_the_client() -> None:
    site = Site(msgspec.structs.replace(EHR, profile=ClientProfile(prefetch_keys={"meds": "medications"})))
    prefetch = {"patient": PATIENT, "meds": bundle()}
    assert site.call(f"Bearer {token()}", prefetch=prefetch).status_code == 200
    assert "medications" not in site.assess.last.not_supplied
    assert "conditions" in site.assess.last.not_supplied


# -- one id for all hooks


def test_one_id_for_all_hooks() -> None:
    site = Site(msgspec.structs.replace(EHR, profile=ClientProfile(same_id=True)))
    shared = "/cds-services/leg-cramp"
    for hook in ("patient-view", "order-sign"):
        made = token(aud=f"{BASE}{shared}")
        response = site.app.test_client().post(
            shared, json=hook_request(hook), headers={"Authorization": f"Bearer {made}"}
        )
        assert response.status_code == 200
        assert site.assess.last.hook == hook
    made = token(aud=f"{BASE}{shared}")
    refused = site.app.test_client().post(
        shared, json=hook_request(hook="x-unknown"), headers={"Authorization": f"Bearer {made}"}
    )
    assert refused.status_code == 400


def test_the_shared_id_is_for_clients_that_asked() -> None:
    assert Site().bearer(token(aud=f"{BASE}/cds-services/leg-cramp"), "/cds-services/leg-cramp").status_code == 404


# -- discovery


def _discover(site: Site, made: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {made}"} if made else {}
    return site.app.test_client().get("/cds-services", headers=headers)


def test_discovery_is_open() -> None:
    site = Site()
    check_discovery(_discover(site).data)
    assert _discover(site, token(aud=f"{BASE}/cds-services")).status_code == 200
    assert _discover(site, "not.a.token").status_code == 200


def test_guarded_discovery_asks_for_a_token() -> None:
    site = Site(discovery="guarded")
    assert _discover(site).status_code == 401
    assert _discover(site, token()).status_code == 401, "signed for a service, not for discovery"
    made = token(aud=f"{BASE}/cds-services")
    assert [_discover(site, made).status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize(
    ("profile", "ids", "has_version"),
    [
        (ClientProfile(same_id=True), {"leg-cramp"}, True),
        (ClientProfile(legacy10=True), None, False),
    ],
)
def test_discovery_of_a_profile(profile: ClientProfile, ids: set[str] | None, has_version: bool) -> None:
    site = Site(msgspec.structs.replace(EHR, profile=profile))
    response = _discover(site, token(aud=f"{BASE}/cds-services"))
    services = json.loads(response.data)["services"]
    assert ids is None or {service["id"] for service in services} == ids
    for service in services:
        assert ("version" in service, "hookVersion" in service) == (has_version, has_version)
    assert "Authorization" in response.headers["Vary"]


# -- feedback


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        (AUDIENCE, 404),  # known, and this site keeps no feedback
        (f"{AUDIENCE}/feedback", 404),
        (f"{BASE}/cds-services/leg-cramp-order-sign/feedback", 401),
        (f"{BASE}/cds-services", 401),
    ],
)
def test_feedback_takes_the_address_of_the_service_or_its_own(audience: str, status: int) -> None:
    site = Site()
    sent = {"feedback": []}
    headers = {"Authorization": f"Bearer {token(aud=audience)}"}
    response = site.app.test_client().post(f"{CALL}/feedback", json=sent, headers=headers)
    assert response.status_code == status
    assert ("client" in site.last_line) == (status != 401)


def test_feedback_without_a_token_is_refused_in_the_same_words() -> None:
    site = Site()
    refused = site.app.test_client().post(f"{CALL}/feedback", json={"feedback": []})
    assert (refused.status_code, refused.data) == (401, site.call(None).data)


# -- without clients


def test_outside_development_nothing_starts_without_clients() -> None:
    with pytest.raises(BadConfiguration, match="LEGCRAMP_CLIENTS"):
        create_app(WebConfig())
    with pytest.raises(SystemExit, match=r"(?s)Not started.*LEGCRAMP_CLIENTS.*deploy/clients.example.toml"):
        serve(config=WebConfig(metrics=False))


def test_a_broken_file_stops_the_start_and_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text('[[client]]\nid = "a"\nissuer = "https://a.example"\njku = "https://a.example/jwks"\n')
    with pytest.raises(BadConfiguration, match=r"clients.toml:4: .*jku"):
        create_app(WebConfig(clients=file))


def test_pages_that_hold_no_record_ask_for_no_token() -> None:
    client = Site().app.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 200
    assert client.options(CALL).status_code == 200
