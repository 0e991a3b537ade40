"""Which server may be asked, on whose behalf, with which token. Everything else is no access, and is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cds_service.clients.model import ANONYMOUS, Client
from cds_service.fhir.access import NoAccess, Policy, find_access
from cds_service.fhir.servers import next_target, parse_server
from tests.fhir.ehr_record import BASE, EhrRecord
from tests.fhir.fake_ehr import AUTHORIZATION, CLIENT, TOKEN, FakeEhr, complete, gaps, gathered, request_of

RECORD = EhrRecord([{"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1950-02-03"}])
DEVELOPMENT = Policy(development=True)

ELSEWHERE = [
    "https://ehr.example.com/r4",
    "https://ehr.example.org.evil.example/r4",
    "https://evil-ehr.example.org/r4",
    "https://example.org/r4",
    "https://ehr.example.org:8443/r4",
    "https://ehr.example.org:80/r4",
    "http://ehr.example.org/r4",
    "http://ehr.example.org:443/r4",
    "https://ehr.example.org",
    "https://ehr.example.org/r",
    "https://ehr.example.org/r44",
    "https://ehr.example.org/r4-test",
    "https://ehr.example.org/R4",
    "https://ehr.example.org/other/r4",
    "https://ehr.example.org/r4/..",
    "https://ehr.example.org/r4/../admin",
    "https://ehr.example.org/r4/%2e%2e/admin",
    "https://ehr.example.org/r4/./x",
    "https://ehr.example.org/r4//x",
    "https://ehr.example.org//r4",
    "https://user@ehr.example.org/r4",
    "https://user:password@ehr.example.org/r4",
    "https://ehr.example.org@evil.example/r4",
    "https://ehr.example.org:443@evil.example/r4",
    "https://ehr.example.org\\@evil.example/r4",
    "https://evil.example\\.ehr.example.org/r4",
    "https://evil.example#@ehr.example.org/r4",
    "https://evil.example?@ehr.example.org/r4",
    "https://evil.example/https://ehr.example.org/r4",
    "https://ehr.example.org/r4?x=1",
    "https://ehr.example.org/r4#x",
    "https://ehr.example.org/r4;x",
    "https://ehr.example.org/r4\r\nX-Header: 1",
    "https://ehr.example.org\r\n/r4",
    "https://ehr.example.org /r4",
    " https://ehr.example.org/r4",
    "https://ehr.example.org/r4\n",
    "https://ehr.example.org./r4",
    "https://ehr。example.org/r4",
    "https://еhr.example.org/r4",
    "https://ehr%2eexample.org/r4",
    "https://ehr.example.org:/r4",
    "https://ehr.example.org:0/r4",
    "https://ehr.example.org:65979/r4",
    "https://ehr.example.org:443:443/r4",
    "https:/ehr.example.org/r4",
    "https:ehr.example.org/r4",
    "//ehr.example.org/r4",
    "ehr.example.org/r4",
    "file:///etc/passwd",
    "ftp://ehr.example.org/r4",
    "gopher://ehr.example.org/r4",
    "javascript:alert(1)",
    "https://127.0.0.1/r4",
    "http://169.254.169.254/latest/meta-data",
    "https://[::1]/r4",
    "https://2130706433/r4",
    "https://0x7f000001/r4",
    "https://",
    "",
    "x" * 100_000,
]


@pytest.mark.parametrize("url", ELSEWHERE, ids=lambda url: url[:60].encode("ascii", "backslashreplace").decode())
@pytest.mark.parametrize("policy", [Policy(), DEVELOPMENT], ids=["production", "development"])
def test_another_address_is_never_asked(url: str, policy: Policy) -> None:
    ehr = FakeEhr(RECORD)
    request = request_of(RECORD, {"patient": RECORD.patient}, fhirServer=url)
    found = gathered(ehr, request, policy=policy)
    assert ehr.seen == []
    assert ("not-supplied", "fhirServer") in gaps(found)
    assert not any(url and url in gap.text for gap in found.gaps if len(url) > 1)


@pytest.mark.parametrize(
    "url",
    [
        BASE,
        BASE + "/",
        "HTTPS://EHR.Example.ORG/r4",
        "https://ehr.example.org:443/r4",
        "https://ehr.example.org/r4/tenant-7",
    ],
)
def test_spellings_of_the_same_address_and_paths_below_it(url: str) -> None:
    access = find_access(request_of(RECORD, None, fhirServer=url), CLIENT, Policy())
    assert access.server.origin == "https://ehr.example.org"
    assert access.server.base.startswith(BASE)


def test_one_clients_server_is_not_anothers() -> None:
    other = Client(id="other", issuer="https://other.example", fhir_servers=frozenset({"https://other.example/r4"}))
    with pytest.raises(NoAccess, match="may be asked"):
        find_access(request_of(RECORD, None), other, Policy())
    with pytest.raises(NoAccess):
        find_access(request_of(RECORD, None), Client(id="none"), Policy(development=True))


LOOPBACK = ["http://127.0.0.1:8090/r4", "http://localhost:8090/r4", "https://[::1]:8090/r4", "http://127.8.8.8/r4"]
NOT_LOOPBACK = [
    "http://10.0.0.1/r4",
    "http://169.254.169.254/r4",
    "http://0.0.0.0/r4",
    "http://127.1/r4",
    "http://0177.0.0.1/r4",
    "http://2130706433/r4",
    "http://[::ffff:127.0.0.1]/r4",
    "http://[::]/r4",
    "http://localhost.evil.example/r4",
    "http://127.0.0.1.evil.example/r4",
    "https://ehr.example.org/r4",
]


@pytest.mark.parametrize("url", LOOPBACK)
def test_in_development_anyone_may_have_this_machine_asked(url: str) -> None:
    request = request_of(RECORD, None, fhirServer=url)
    assert find_access(request, ANONYMOUS, DEVELOPMENT).server == parse_server(url)
    with pytest.raises(NoAccess):
        find_access(request, ANONYMOUS, Policy())
    listed = Policy(development=True, anonymous=frozenset({BASE}))
    with pytest.raises(NoAccess):
        find_access(request, ANONYMOUS, listed)


@pytest.mark.parametrize("url", NOT_LOOPBACK)
def test_and_no_other_machine_unless_it_is_listed(url: str) -> None:
    request = request_of(RECORD, None, fhirServer=url)
    with pytest.raises(NoAccess):
        find_access(request, ANONYMOUS, DEVELOPMENT)


def test_a_listed_server_in_development() -> None:
    listed = Policy(development=True, anonymous=frozenset({BASE}))
    assert find_access(request_of(RECORD, None), ANONYMOUS, listed).token == TOKEN
    with pytest.raises(NoAccess):
        find_access(request_of(RECORD, None), ANONYMOUS, Policy(anonymous=frozenset({BASE})))


def test_plain_http_only_in_development() -> None:
    url = "http://ehr.example.org/r4"
    client = Client(id="ehr", fhir_servers=frozenset({url}))
    request = request_of(RECORD, None, fhirServer=url)
    assert find_access(request, client, DEVELOPMENT).server.scheme == "http"
    with pytest.raises(NoAccess, match="https"):
        find_access(request, client, Policy())


MALFORMED: list[Any] = [
    {"access_token": None},
    {"access_token": ""},
    {"access_token": "two words"},
    {"access_token": "line\r\nX-Header: 1"},
    {"access_token": "ключ"},
    {"access_token": "x" * 20_000},
    {"access_token": 7},
    {"token_type": None},
    {"token_type": "Basic"},
    {"expires_in": None},
    {"expires_in": 0},
    {"expires_in": -1},
    {"expires_in": "300"},
    {"scope": None},
    {"subject": None},
]


@pytest.mark.parametrize("change", MALFORMED, ids=lambda change: json.dumps(change)[:50])
@pytest.mark.parametrize("policy", [Policy(), DEVELOPMENT], ids=["production", "development"])
def test_a_malformed_authorization_is_none(change: dict[str, Any], policy: Policy) -> None:
    authorization = {name: value for name, value in (AUTHORIZATION | change).items() if value is not None}
    request = request_of(RECORD, {"patient": RECORD.patient}, fhirAuthorization=authorization)
    ehr = FakeEhr(RECORD)
    found = gathered(ehr, request, policy=policy)
    assert ehr.seen == []
    assert ("not-supplied", "fhirServer") in gaps(found)
    assert not any(TOKEN in gap.text for gap in found.gaps)


def test_without_a_token_only_in_development() -> None:
    request = request_of(RECORD, None, fhirAuthorization=None)
    with pytest.raises(NoAccess):
        find_access(request, CLIENT, Policy())
    ehr = FakeEhr(RECORD)
    complete(ehr, request, policy=DEVELOPMENT)
    assert ehr.seen
    assert all("Authorization" not in one.headers for one in ehr.seen)


def test_the_token_is_on_every_request_and_in_no_words() -> None:
    ehr = FakeEhr(RECORD)
    request = request_of(RECORD, None)
    complete(ehr, request)
    assert ehr.seen
    assert {one.headers["Authorization"] for one in ehr.seen} == {f"Bearer {TOKEN}"}
    assert all(TOKEN not in (one.url or "") for one in ehr.seen)
    access = find_access(request, CLIENT, Policy())
    assert TOKEN not in repr(access) + str(access) + repr(request.fhirAuthorization)


PAGE = f"{BASE}/Observation?patient=1"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (f"{BASE}?_getpages=abc&_getpagesoffset=20", f"{BASE}?_getpages=abc&_getpagesoffset=20"),
        ("https://EHR.example.org:443/r4/x?y=1", f"{BASE}/x?y=1"),
        ("/r4/Observation?page=2", f"{BASE}/Observation?page=2"),
        ("?page=2", f"{BASE}/Observation?page=2"),
        ("Observation?page=2#fragment", f"{BASE}/Observation?page=2"),
        (
            "https://ehr.example.org/r4/Observation?code=http://loinc.org|1",
            f"{BASE}/Observation?code=http://loinc.org|1",
        ),
        ("https://ehr.example.org.evil.example/r4?page=2", None),
        ("https://evil.example/r4?page=2", None),
        ("//evil.example/r4?page=2", None),
        ("https://ehr.example.org:8443/r4?page=2", None),
        ("http://ehr.example.org/r4?page=2", None),
        ("https://user@ehr.example.org/r4?page=2", None),
        ("https://ehr.example.org@evil.example/r4?page=2", None),
        ("https://ehr.example.org\\@evil.example/r4", None),
        ("\\\\evil.example/r4", None),
        ("/\\evil.example/r4", None),
        ("file:///etc/passwd", None),
        ("data:application/json,{}", None),
        ("https://ehr.example.org /r4", None),
        ("https://ehr.example.org/r4\r\nX: 1", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_the_next_page_stays_on_the_server(link: str, target: str | None) -> None:
    server = parse_server(BASE)
    assert server is not None
    assert next_target(server, PAGE, link) == target
