"""The service under attack, in this process: the real rules, every page on, no token asked for."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from flask import Flask

from cds_service.settings import Settings
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import wire
from tests.attack.hostile import CANARY, MARKUP

NOW = datetime(2026, 3, 10, 23, 59, tzinfo=UTC)
"""The day of the fixtures, so that they yield cards."""
MOST_BODY_BYTES = 2 * 1024 * 1024
"""Smaller than in production, so that bodies past the limit are cheap to make."""
REFUSALS = frozenset({400, 401, 404, 405, 408, 411, 412, 413, 414, 415, 416, 417, 431})
"""How the service may answer junk. Anything of 500 and above is a fault: nothing here is down or full."""
HEADERS = ("x-content-type-options", "referrer-policy", "content-security-policy", "x-request-id", "cache-control")


class Fault(Exception):
    """What must not happen, in words."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    to_head: bool = False
    """Answers to HEAD have no body."""


class Target:
    """Calls an application as a server would, without one. Holds its log, in which no canary may ever stand.

    One that `remembers` keeps what it showed and an audit trail in `folder`, which costs more than the answer.
    """

    def __init__(self, folder: Path, remembers: bool = False) -> None:
        self._log = io.BytesIO()
        self.slowest = 0.0
        """Seconds that the slowest answer took."""
        self.config = WebConfig(
            settings=Settings(public_base_url="http://127.0.0.1:8080"),
            development=True,
            database=f"sqlite:///{folder / 'attack.sqlite3'}" if remembers else "none",
            audit_file=folder / "audit.ndjson" if remembers else None,
            max_body_bytes=MOST_BODY_BYTES,
            fhir_deadline_ms=300,
        )
        wiring = msgspec.structs.replace(wire(self.config), now=lambda: NOW)
        self.app: Flask = create_app(self.config, wiring, make_log(self._log))

    def call(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str | None = "application/json",
    ) -> Answer:
        """One request. Path, query and headers are what gunicorn would hand on: text of latin-1."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query,
            "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8080", "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "127.0.0.1:8080", "CONTENT_LENGTH": str(len(body)), "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True, "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.input_terminated": True,
        }  # fmt: skip
        if content_type is not None:
            environ["CONTENT_TYPE"] = content_type
        for name, value in headers:
            key = name.upper().replace("-", "_")
            environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        told: list[Any] = []

        def start(status: str, said: list[tuple[str, str]], _: Any = None) -> Any:
            told[:] = [int(status.split()[0]), {name.lower(): value for name, value in said}]

        began = time.perf_counter()
        chunks = self.app(environ, start)
        try:
            content = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
            self.slowest = max(self.slowest, time.perf_counter() - began)
        return Answer(told[0], told[1], content, method == "HEAD")

    def forget_log(self) -> None:
        """Looks through what was logged, then drops it, or the log itself would be what grows."""
        logged = self._log.getvalue()
        self._log.seek(0)
        self._log.truncate()
        if CANARY.encode() in logged or b"evil.example" in logged:
            line = next(line for line in logged.splitlines() if CANARY.encode() in line or b"evil.example" in line)
            raise Fault(f"a request's own words stand in the log: {line[:300]!r}")


def judge(answer: Answer, echoes: bool = False) -> str:
    """The status, as a label. Raises `Fault`. `echoes`: a page that may show what was asked for, as text."""
    if answer.status not in REFUSALS and not 200 <= answer.status < 400:
        raise Fault(f"answered {answer.status}: {answer.body[:300]!r}")
    missing = [name for name in HEADERS if name not in answer.headers]
    if missing:
        raise Fault(f"{answer.status} without {', '.join(missing)}")
    for name, value in answer.headers.items():
        if "\r" in value or "\n" in value:
            raise Fault(f"the header {name} is two")
        if CANARY in value and name != "location":
            raise Fault(f"the header {name} repeats the request")
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/html"):
        if MARKUP.encode() in answer.body or f"<script>{CANARY}".encode() in answer.body:
            raise Fault("markup of the request stands in the page as it is")
    elif answer.status >= 400 and not answer.to_head and not (answer.status == 412 and kind == "image/png"):
        # a file under a condition that it does not meet is the server's own 412
        _check_outcome(answer)
    if not echoes and answer.status != 200 and CANARY.encode() in answer.body:
        raise Fault(f"{answer.status} repeats the request: {answer.body[:300]!r}")
    return str(answer.status)


def judge_cards(answer: Answer) -> str:
    """As `judge`, and what comes with a 200 is cards in which no word of the record stands."""
    label = judge(answer)
    if answer.status == 200:
        cards = msgspec.json.decode(answer.body)["cards"]
        for card in cards:
            _check_card(card)
        return "200 with cards" if cards else "200 without"
    return label


def _check_card(card: dict[str, Any]) -> None:
    told = {name: card.get(name) for name in ("summary", "detail", "source", "links", "overrideReasons")}
    labels = [suggestion["label"] for suggestion in card.get("suggestions", ())]
    said = msgspec.json.encode([told, labels, [link.get("url") for link in card.get("links", ())]])
    for word in (CANARY.encode(), b"evil.example", b"<script", b"javascript:"):
        if word in said:
            raise Fault(f"the record's own words stand in a card: {said[:400]!r}")
    if not 0 < len(card["summary"]) < 140 or card["indicator"] not in ("info", "warning", "critical"):
        raise Fault("a card that is none")


def _check_outcome(answer: Answer) -> None:
    try:
        said = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        raise Fault(f"{answer.status} without an OperationOutcome: {answer.body[:200]!r}") from None
    if said.get("resourceType") != "OperationOutcome" or not said["issue"][0]["diagnostics"]:
        raise Fault(f"{answer.status} without an OperationOutcome: {answer.body[:200]!r}")


# -- who is called from here

_outside: list[str] = []
_watching = False


def watch_connections() -> None:
    """From now on every attempt to reach another host than this one is noted (see `connections_outside`)."""
    global _watching
    if not _watching:
        sys.addaudithook(_note_connection)
        _watching = True


def _note_connection(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not str(address[0]).startswith(("127.", "::1")):
            _outside.append(str(address[0]))
    elif event == "socket.getaddrinfo" and str(arguments[0]) not in ("127.0.0.1", "localhost", "::1", ""):
        _outside.append(str(arguments[0]))


def connections_outside() -> list[str]:
    """What was reached for since the last time this was asked."""
    found = _outside.copy()
    _outside.clear()
    return found
