"""Every address is open, asks for a client's token, or is guarded; and what opens a guarded one."""

from __future__ import annotations

import base64
import io
import json
from ipaddress import ip_network
from typing import Any

import pytest

from cds_service.web import guard
from tests.web.cds_hooks import check_outcome
from tests.web.fakes import make_app

TOKEN = "open the pages please"
PROXY = {"proxy_user_header": "X-Forwarded-User", "trusted_proxies": (ip_network("10.1.0.0/16"), ip_network("::1"))}
PAGES = ["/", "/preview.json", "/report", "/report/rules.svg", "/report/rules.csv", "/metrics"]
KINDS = (guard.PUBLIC, guard.BY_CLIENT, guard.RULE_PAGES, guard.GUARDED)


def endpoints() -> set[str]:
    return {rule.endpoint for rule in make_app().url_map.iter_rules()}


def basic(password: str, user: str = "anyone") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def get(path: str, config: dict[str, Any], authorization: str = "", **environ: Any) -> Any:
    headers = {"Authorization": authorization} if authorization else {}
    client = make_app(**config).test_client()
    return client.get(path, headers=headers, environ_overrides=environ, buffered=True)


def test_every_address_is_named_once() -> None:
    named = [endpoint for kind in KINDS for endpoint in kind]
    assert len(named) == len(set(named))
    assert endpoints() == set(named)


def test_an_address_that_is_named_nowhere_is_shut() -> None:
    app = make_app(pages_token=TOKEN)
    app.add_url_rule("/new", "somewhere.new", lambda: "secret")
    assert app.test_client().get("/new").status_code == 401
    assert app.test_client().get("/new", headers={"Authorization": f"Bearer {TOKEN}"}).text == "secret"


@pytest.mark.parametrize("path", PAGES)
def test_outside_development_nothing_opens_until_it_is_configured(path: str) -> None:
    for authorization in ("", "Bearer ", basic(""), basic("None"), f"Bearer {TOKEN}"):
        answer = get(path, {"preview": True}, authorization)
        assert answer.status_code == 404
        assert "LEGCRAMP_PAGES_TOKEN" in check_outcome(answer.data)["issue"][0]["diagnostics"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("development", [False, True])
def test_the_token_opens_and_nothing_else_does(path: str, development: bool) -> None:
    config = {"preview": True, "pages_token": TOKEN, "development": development}
    for authorization in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN), basic(TOKEN, "")):
        assert get(path, config, authorization).status_code != 401, authorization
    for authorization in ("", "Bearer", "Bearer x", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", basic(TOKEN + "ü"),
                          basic("", TOKEN), f"Token {TOKEN}", TOKEN, "Basic !!", "Digest username=x"):  # fmt: skip
        answer = get(path, config, authorization)
        assert answer.status_code == 401, authorization
        assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
        check_outcome(answer.data)
        assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("peer", "headers", "opens"),
    [
        ("10.1.2.3", {"X-Forwarded-User": "jane"}, True),
        ("::1", {"X-Forwarded-User": "jane"}, True),
        ("::ffff:10.1.2.3", {"X-Forwarded-User": "jane"}, True),
        ("10.2.0.1", {"X-Forwarded-User": "jane"}, False),
        ("10.1.2.3", {"X-Forwarded-User": " "}, False),
        ("10.1.2.3", {"X-Remote-User": "jane"}, False),
        ("10.1.2.3", {}, False),
        ("10.2.0.1", {"X-Forwarded-User": "jane", "X-Forwarded-For": "10.1.2.3"}, False),
        ("10.2.0.1", {"X-Forwarded-User": "jane", "Forwarded": "for=10.1.2.3"}, False),
        ("", {"X-Forwarded-User": "jane"}, False),
    ],
)
def test_a_user_counts_only_from_a_trusted_proxy(peer: str, headers: dict[str, str], opens: bool) -> None:
    client = make_app(**PROXY).test_client()
    answer = client.get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    assert (answer.status_code != 401) is opens


def test_the_header_alone_is_worth_nothing_where_only_a_token_is_configured() -> None:
    client = make_app(pages_token=TOKEN).test_client()
    assert client.get("/metrics", headers={"X-Forwarded-User": "jane"}).status_code == 401


def test_in_development_pages_are_open_until_something_guards_them() -> None:
    assert "LEGCRAMP_DATABASE" in get("/report/rules.csv", {"development": True}).text
    assert get("/report/rules.csv", {"development": True, "pages_token": TOKEN}).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/handout", "/static/icon.png", "/openapi.json"])
def test_what_is_public_stays_open(path: str) -> None:
    config = {"pages_token": TOKEN, "rule_pages": "guarded", "discovery": "guarded"}
    assert get(path, config).status_code not in (401, 404)


def test_a_wrong_token_for_pages_does_not_shut_what_clients_use() -> None:
    client = make_app(pages_token=TOKEN).test_client()
    assert client.get("/cds-services").status_code == 200
    assert client.post("/cds-services/leg-cramp-patient-view", json={}).status_code == 400


def test_rule_pages_are_open_because_cards_link_there() -> None:
    # without rules behind it the fake application answers otherwise, but it lets in
    assert get("/rules", {"pages_token": TOKEN}).status_code != 401
    assert get("/rules", {"pages_token": TOKEN, "rule_pages": "guarded"}).status_code == 401


def test_an_unknown_address_is_a_404_and_a_preflight_passes() -> None:
    client = make_app(pages_token=TOKEN).test_client()
    assert client.get("/nowhere").status_code == 404
    assert client.options("/metrics").status_code == 200


def test_a_refusal_is_in_the_log_without_what_was_sent() -> None:
    stream = io.BytesIO()
    client = make_app(pages_token=TOKEN, log=stream).test_client()
    client.get("/metrics", headers={"Authorization": basic("zq-4711", "Zaphod")})
    line = json.loads(stream.getvalue())
    assert (line["status"], line["denied"], line["route"]) == (401, "pages", "/metrics")
    assert "Zaphod" not in stream.getvalue().decode()
    assert "zq-4711" not in stream.getvalue().decode()
