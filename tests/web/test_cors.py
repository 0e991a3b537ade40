"""CORS for browser-based clients: which origin may read which answer, with and without a token."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from cds_service.clients.model import Client
from tests.clients.signing import AUDIENCE, token
from tests.web.fakes import Assessor, hook_request
from tests.web.trusted import CALL, EHR, JKU, Site

SITE = "https://portal.example.org"  # of the site itself, LEGCRAMP_CORS_ORIGINS
OWN = "https://ehr.example.org"  # of the client that calls
THEIRS = "https://b.example.org"  # of another client
STRANGER = "https://evil.example.org"
PATHS = ["/cds-services", CALL, f"{CALL}/feedback", "/cds-services/", f"{CALL}/"]


def site(**options: Any) -> Site:
    own = msgspec.structs.replace(EHR, cors_origins=frozenset({OWN}))
    other = Client(id="b", issuer="https://b.example.org", jku=frozenset({JKU}), cors_origins=frozenset({THEIRS}))
    return Site(own, other, cors_origins=frozenset({SITE}), **options)


def preflight(app: Any, path: str, origin: str, method: str = "POST", headers: str = "authorization") -> Any:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return app.test_client().options(path, headers=asked)


@pytest.mark.parametrize(
    ("path", "method", "headers", "origin"),
    list(itertools.product(PATHS, ["GET", "POST"], ["authorization,content-type", "x-other"], [SITE, OWN, THEIRS])),
)
def test_a_preflight_of_a_known_origin(path: str, method: str, headers: str, origin: str) -> None:
    response = preflight(site().app, path, origin, method, headers)
    assert response.status_code in (200, 204), "without a token and without a redirect"
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert response.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert response.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" in response.headers["Vary"]


ORIGINS = [
    STRANGER,
    "null",
    "*",
    f"{OWN}.evil.example.org",
    OWN.replace("https", "http"),
    f"{OWN}:8443",
    f"{OWN}/",
    OWN.upper(),
    "",
]


@pytest.mark.parametrize(("path", "origin"), list(itertools.product(PATHS, ORIGINS)))
def test_a_preflight_of_a_stranger(path: str, origin: str) -> None:
    response = preflight(site().app, path, origin)
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
    assert "Origin" in response.headers["Vary"]


# origin -> may read: an answer with cards, a refusal of the token, an error before anyone is known
ACTUAL = [
    (SITE, True, True),
    (OWN, True, True),
    (THEIRS, False, True),  # known to the site, but not this client's
    (STRANGER, False, False),
]


@pytest.mark.parametrize(("origin", "reads_cards", "reads_refusals"), ACTUAL)
def test_who_may_read_what(origin: str, reads_cards: bool, reads_refusals: bool) -> None:
    def answer(authorization: str | None, **members: Any) -> Any:
        headers = {"Origin": origin} | ({"Authorization": authorization} if authorization else {})
        return site().app.test_client().post(CALL, json=hook_request(**members), headers=headers)

    expected = {
        200: (answer(f"Bearer {token()}"), reads_cards),
        412: (answer(f"Bearer {token()}", prefetch=None), reads_cards),
        400: (answer(f"Bearer {token()}", hook="x"), reads_cards),
        401: (answer(None), reads_refusals),
    }
    for status, (response, may_read) in expected.items():
        assert response.status_code == status
        assert response.headers.get("Access-Control-Allow-Origin") == (origin if may_read else None)
        assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(("method", "path", "status"), [("get", "/nowhere", 404), ("put", CALL, 405)])
def test_errors_have_their_headers(method: str, path: str, status: int) -> None:
    response = getattr(site().app.test_client(), method)(path, headers={"Origin": OWN})
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (status, OWN)


def test_a_fault_has_them_too() -> None:
    broken = site(assess=Assessor(error=ValueError("x")))
    headers = {"Origin": OWN, "Authorization": f"Bearer {token(aud=AUDIENCE)}"}
    response = broken.app.test_client().post(CALL, json=hook_request(), headers=headers)
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (500, OWN)


def test_one_vary_header_names_all_that_an_answer_depends_on() -> None:
    response = site().app.test_client().get("/cds-services", headers={"Origin": OWN})
    assert response.headers.getlist("Vary") == ["Origin, Authorization"]
