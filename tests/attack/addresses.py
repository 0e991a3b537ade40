"""Attacks by addresses and headers: queries of every page, paths, methods, headers as gunicorn lets them through."""

from __future__ import annotations

import random
from urllib.parse import quote, quote_from_bytes

from cds_service.web.discovery import IDS
from tests.attack import hostile
from tests.attack.corpus import hook_requests
from tests.attack.hostile import CANARY, MARKUP
from tests.attack.target import Answer, Fault, Target, judge

_PAGES: dict[str, tuple[str, ...]] = {
    "/handout": ("lines", "lang", "view", "format"),
    "/rules": ("q", "topic", "indicator", "hook", "status"),
    "/rules/lab-hypokalemia": ("q",),
    "/rules/value-sets/k-wasting": ("q", "page"),
    "/rules/gates/potassium-chloride": ("q",),
    "/report": ("since", "until", "client"),
    "/report/rules.csv": ("since", "until", "client"),
    "/report/topics.csv": ("since", "until", "client"),
    "/report/time.csv": ("since", "until", "client"),
    "/report/time.svg": ("since", "until", "client"),
    "/": ("example", "hook"),
    "/preview.json": ("example", "hook"),
    "/openapi.json": (),
    "/metrics": (),
}
_CHARTS = ("/report/time.svg",)
_VALUES = (
    *hostile.STRINGS, *hostile.DATES, MARKUP, "1", "-1", "0", "9" * 5000, "1e3", "potassium", "order-sign", "warning",
    "patients/cramps-several-factors", "patients/../requests/index", "2026-03-10", "0001-01-01", "9999-12-31",
    "1970-01-01", "L1", ",,,,", "," * 5000, "a,a", "en", "es", "clinician", "text", "default", "*", "%", "_", "\\", "[",
)  # fmt: skip
_DAYS = (
    "0001-01-01", "0001-01-02", "0999-12-31", "1969-12-31", "1970-01-01", "2025-12-31", "2026-02-29", "2026-03-10",
    "9998-12-31",
    "9999-01-01", "9999-12-30", "9999-12-31", "",
)  # fmt: skip
_PIECES = (
    "/", "//", "/.", "/..", "%2e%2e/", "cds-services", "rules", "handout", "report", "static", "preview", "metrics",
    "value-sets",
    "gates", "feedback", "leg-cramp-patient-view", "time.svg", "rules.csv", "..", "\\", "\x00", "\x7f", "é", "ÿ", "%",
    "?", "#", ";a=b",
    MARKUP, CANARY, "icon.png", "preview/preview.js", "etc/passwd", " ", "A" * 3000, "\r\n", "\xc0\xae", "{", "*",
    "R01",
)  # fmt: skip
_METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    CANARY.upper(),
    "get",
)
_HEADERS = (
    "Accept", "Accept-Language", "Accept-Encoding", "Accept-Charset", "Authorization", "Content-Encoding",
    "Content-Type",
    "Content-Length", "Transfer-Encoding", "Cookie", "Expect", "Forwarded", "Host", "If-Match", "If-Modified-Since",
    "If-None-Match", "Origin", "Range", "Referer", "Upgrade", "User-Agent", "X-Forwarded-For", "X-Forwarded-Host",
    "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-HTTP-Method-Override", "X-Original-URL", "X-Request-Id",
    "X-Script-Name",
    "Access-Control-Request-Method", "Access-Control-Request-Headers", "Idempotency-Key", "Prefer", "Traceparent",
)  # fmt: skip
_HEADER_VALUES = (
    "", " ", "*", "*/*", "text/html", "application/json;q=", "a/b;q=nan", ";;;;", ",,,," * 500, "q=" * 2000, "Bearer",
    "Bearer ",
    "Bearer a.b.c", f"Bearer {CANARY}.{CANARY}.{CANARY}", "Basic", "Basic ====", "Basic //79", "Basic OnB3",
    "Digest username=\"",
    "Negotiate x", "bytes=0-", "bytes=-1,5-2,a-b", "bytes=" + "0-1," * 500, "gzip", "gzip, deflate, br",
    "identity;q=0", "chunked",
    "100-continue", "evil.example", "evil.example:99999", "[::1", "[::1]:x", "127.0.0.1:8080", "\x7f", "é", "\xff\xfe",
    "null",
    "https://evil.example", "a=b; c" * 400, "=;=;=", "Mon, 99 Foo 99999 99:99:99 GMT", "Tue, 10 Mar 2026 12:00:00 GMT",
    'W/"', '"x"',
    "-1", "0", "1", "99999999999999999999", "1e3", "٣", "A" * 8000, MARKUP, f"{CANARY}\t{CANARY}",
)  # fmt: skip


def queries(target: Target, chance: random.Random, number: int) -> str:
    """The queries of every page, the report's CSV and the search of a value set included."""
    path = chance.choice(tuple(_PAGES))
    if path in _CHARTS and chance.random() < 0.8:
        path = "/rules"  # a chart that is drawn costs as much as a hundred other answers
    names = (*_PAGES[path], CANARY, "", "page", "__class__")
    pairs = [(chance.choice(names), _value(chance)) for _ in range(chance.choice((0, 1, 1, 2, 3, 40)))]
    query = "&".join(f"{quote(name)}={value}" for name, value in pairs)
    if path.startswith("/report") and chance.random() < 0.5:
        query = f"since={chance.choice(_DAYS)}&until={chance.choice(_DAYS)}"
    elif chance.random() < 0.1:
        query = chance.choice(
            ("&" * 3000, "=" * 3000, "%", "%zz", "%00", "q=%f0%9f", "+" * 500, "a" * 6000, "q=%ff%fe", ";")
        )
    headers = [("Accept", chance.choice(("text/html", "application/json", "*/*")))]
    return _judge_page(path, target.call("GET", path, query, headers, content_type=None))


def paths(target: Target, chance: random.Random, number: int) -> str:
    """Addresses that climb, repeat, end early or name what is not there, by every method."""
    path = "".join(chance.choice(_PIECES) + chance.choice(("", "/")) for _ in range(chance.randrange(1, 7)))
    # what a server hands on is the address with its escapes resolved, as latin-1
    path = (
        f"/{path}".encode().decode("latin-1")
        if chance.random() < 0.9
        else chance.choice(("", "*", "http://evil.example/"))
    )
    headers = [("Accept", chance.choice(("text/html", "application/json")))]
    body = chance.choice((b"", b"{}", chance.choice(hook_requests())))
    return judge(target.call(chance.choice(_METHODS), path, "", headers, body), echoes=True)


def headers(target: Target, chance: random.Random, number: int) -> str:
    """Headers that lie, repeat or are no such thing, on every kind of address."""
    path = chance.choice(
        (f"/cds-services/{chance.choice(sorted(IDS))}", "/cds-services", "/static/icon.png", "/healthz", *_PAGES)
    )
    if path in _CHARTS:
        path = "/readyz"
    given = []
    for _ in range(chance.randrange(1, 6)):
        name = chance.choice(_HEADERS)
        value = chance.choice(_HEADER_VALUES)
        # gunicorn itself refuses a length that is no number, and another one than was sent
        given.append((name, "0" if name == "Content-Length" else value))
    body = chance.choice(hook_requests()) if chance.random() < 0.4 else b""
    answer = target.call(chance.choice(("GET", "POST", "HEAD", "OPTIONS")), path, "", given, body)
    if answer.headers.get("access-control-allow-credentials"):
        raise Fault("a browser may send credentials from elsewhere")
    if "set-cookie" in answer.headers:
        raise Fault("a cookie is set")
    # development lets every origin read, and names it in its answer
    told = {name: value for name, value in answer.headers.items() if name != "access-control-allow-origin"}
    return judge(answer._replace(headers=told), echoes=True)


def _value(chance: random.Random) -> str:
    value = chance.choice(_VALUES)
    if chance.random() < 0.1:
        return quote_from_bytes(chance.randbytes(chance.randrange(1, 30)))
    return quote(value.encode("utf-8", "surrogatepass"))[:6000]


def _judge_page(path: str, answer: Answer) -> str:
    if path.endswith(".csv") and answer.status == 200:
        for line in answer.body.decode().splitlines():
            if any(cell[:1] in "=+@\t" for cell in line.split(",") if cell):
                raise Fault("a cell of the CSV is a formula")
    return judge(answer, echoes=True)
