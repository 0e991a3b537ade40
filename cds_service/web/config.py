"""Configuration of the running service. `config_from` is the only place that reads environment variables.

| variable | default | meaning |
|---|---|---|
| LEGCRAMP_DEVELOPMENT | 0 | 1: anyone may call, without a token unless LEGCRAMP_CLIENTS is set; never in production |
| LEGCRAMP_PREVIEW | as LEGCRAMP_DEVELOPMENT | 1: the preview page is shown; 0: it is not |
| LEGCRAMP_CLIENTS | none | TOML file of the clients that may call; needed outside development |
| LEGCRAMP_DISCOVERY | open | guarded: discovery asks for a token too |
| LEGCRAMP_PAGES_TOKEN | none | opens preview, report, metrics outside development, as Bearer or Basic password |
| LEGCRAMP_PROXY_USER_HEADER | none | header in which a reverse proxy names its user, such as X-Forwarded-User |
| LEGCRAMP_TRUSTED_PROXIES | none | addresses or networks from which that header counts, comma-separated |
| LEGCRAMP_RULE_PAGES | open | guarded: the rule catalogue, to which cards link, is opened like preview and report |
| LEGCRAMP_METRICS | 1 | 0: nothing is counted, and /metrics is not there |
| LEGCRAMP_AUDIT_FILE | none | file to which the audit trail is appended |
| LEGCRAMP_CORS_ORIGINS | none | comma-separated origins of browser-based clients, such as https://ehr.example.org |
| LEGCRAMP_MAX_BODY_BYTES | 10485760 | larger request bodies get a 413 |
| LEGCRAMP_MAX_RESOURCES | 20000 | requests with more resources get a 413 |
| LEGCRAMP_REQUEST_DEADLINE_MS | 5000 | milliseconds for a whole invocation from its last byte on; then a 503 |
| LEGCRAMP_FHIR_DEADLINE_MS | 1500 | milliseconds for all that is fetched from an EHR for one request |
| LEGCRAMP_FHIR_SERVERS | loopback addresses | in development: base URLs for callers without a token, comma-separated |
| LEGCRAMP_FHIR_CA_FILE | the bundled certificates | PEM file of the certificates to trust for FHIR servers |
| LEGCRAMP_RULES | the bundled rules | folder of the rules |
| LEGCRAMP_SITE_RULES | none | folder of what the site does otherwise, laid over the rules (docs/site-overrides.md) |
| LEGCRAMP_SNOMED | 1 | 0: without the SNOMED CT value sets, where the site has no license |
| LEGCRAMP_PUBLIC_BASE_URL | http://127.0.0.1:8080 | where clients reach the service; links in cards start with it |
| LEGCRAMP_ZONE | UTC | time zone of the site: what a bare day means |
| LEGCRAMP_REGION | us | us or uk: wording and indicator profile |
| LEGCRAMP_RISK_SUMMARY | default | default, high-only, any-moderate or off |
| LEGCRAMP_DATABASE | development: .data/legcramp.sqlite3 | URL of the memory, a must in production; none: no memory |
| LEGCRAMP_PATIENT_HASH_KEY | none | secret under which patients are hashed, needed outside development |
| LEGCRAMP_FEEDBACK_COMMENTS | 0 | 1: free text of feedback is stored; it may hold anything about a patient |
| LEGCRAMP_HOLD_BACK_DAYS | as the override reasons say | the longest that an overridden card stays back; 0: none does |
| LEGCRAMP_RETENTION_DAYS | 730 | `legcramp purge` removes what is older |
| LEGCRAMP_WORKERS | one a core | worker processes |
| LEGCRAMP_THREADS | 8 | threads of each worker |
| LEGCRAMP_BACKLOG | 32 | whole requests that may wait for a thread of each worker; one more gets a 503 |
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from cds_service.fhir.prefetch import MAX_RESOURCES
from cds_service.fhir.servers import parse_server
from cds_service.settings import Settings

PREFIX = "LEGCRAMP_"
Network: TypeAlias = IPv4Network | IPv6Network
_DEVELOPMENT_DATABASE = "sqlite:///.data/legcramp.sqlite3"


class BadConfiguration(Exception):
    """A setting that cannot be used; the text names the variable and what it takes."""


class WebConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the web layer needs to know. Tests build it directly."""

    settings: Settings = Settings()
    development: bool = False
    preview: bool | None = None
    """Whether the preview page is shown. Left out: where `development` is on."""
    clients: Path | None = None
    """The file of the clients that may call. None, in development only: anyone may."""
    discovery: Literal["open", "guarded"] = "open"
    pages_token: str = ""
    proxy_user_header: str = ""
    trusted_proxies: tuple[Network, ...] = ()
    rule_pages: Literal["open", "guarded"] = "open"
    metrics: bool = True
    audit_file: Path | None = None
    cors_origins: frozenset[str] = frozenset()
    # A chart of 5,000 resources is 5 MB; double that leaves room, and eight threads full of it stay under 1 GB.
    max_body_bytes: int = 10 * 1024 * 1024
    max_resources: int = MAX_RESOURCES
    request_deadline_ms: int = 5000
    fhir_deadline_ms: int = 1500
    fhir_servers: frozenset[str] = frozenset()
    """Development only: what callers without a token may have asked. Empty: any server on the loopback address."""
    fhir_ca_file: str | None = None
    rules: Path | None = None
    """None: the rules that come with the package."""
    site_rules: Path | None = None
    """What is laid over the rules."""
    snomed: bool = True
    """Whether conditions coded in SNOMED CT are read."""
    database: str = ""
    """URL of the memory; `none` where nothing is to be remembered, empty where that was not said."""
    patient_hash_key: str = ""
    feedback_comments: bool = False
    retention_days: int = 730
    workers: int = 0
    """0: one for each core."""
    threads: int = 8
    backlog: int = 32

    def __post_init__(self) -> None:
        if self.preview is None:
            msgspec.structs.force_setattr(self, "preview", self.development)


def config_from(environ: Mapping[str, str] | None = None) -> WebConfig:
    """Reads the variables above. Raises `BadConfiguration`."""
    given = _Given(os.environ if environ is None else environ)
    settings = _settings(given)
    rules = given.text("RULES", "")
    site_rules = given.text("SITE_RULES", "")
    clients = given.text("CLIENTS", "")
    audit_file = given.text("AUDIT_FILE", "")
    discovery: Any = given.choice("DISCOVERY", "open", {"open", "guarded"})
    rule_pages: Any = given.choice("RULE_PAGES", "open", {"open", "guarded"})
    development = given.switch("DEVELOPMENT") or False
    return WebConfig(
        settings=settings,
        development=development,
        preview=given.switch("PREVIEW"),
        clients=Path(clients) if clients else None,
        discovery=discovery,
        pages_token=given.secret("PAGES_TOKEN", least=16),
        proxy_user_header=given.header("PROXY_USER_HEADER", "TRUSTED_PROXIES"),
        trusted_proxies=tuple(
            given.network("TRUSTED_PROXIES", one) for one in given.text("TRUSTED_PROXIES", "").split(",") if one
        ),
        rule_pages=rule_pages,
        metrics=given.switch("METRICS") is not False,
        audit_file=Path(audit_file) if audit_file else None,
        cors_origins=frozenset(
            given.url("CORS_ORIGINS", one) for one in given.text("CORS_ORIGINS", "").split(",") if one
        ),
        max_body_bytes=given.number("MAX_BODY_BYTES", WebConfig().max_body_bytes),
        max_resources=given.number("MAX_RESOURCES", MAX_RESOURCES),
        request_deadline_ms=given.number("REQUEST_DEADLINE_MS", WebConfig().request_deadline_ms),
        fhir_deadline_ms=given.number("FHIR_DEADLINE_MS", WebConfig().fhir_deadline_ms),
        fhir_servers=frozenset(
            given.server("FHIR_SERVERS", one) for one in given.text("FHIR_SERVERS", "").split(",") if one
        ),
        fhir_ca_file=given.file("FHIR_CA_FILE"),
        rules=Path(rules) if rules else None,
        site_rules=Path(site_rules) if site_rules else None,
        snomed=given.switch("SNOMED") is not False,
        database=given.text("DATABASE", _DEVELOPMENT_DATABASE if development else ""),
        patient_hash_key=given.secret("PATIENT_HASH_KEY", least=16),
        feedback_comments=given.switch("FEEDBACK_COMMENTS") or False,
        retention_days=given.number("RETENTION_DAYS", WebConfig().retention_days),
        workers=given.number("WORKERS", 0, least=0),
        threads=given.number("THREADS", WebConfig().threads),
        backlog=given.number("BACKLOG", WebConfig().backlog, least=0),
    )


def _settings(given: _Given) -> Settings:
    defaults = Settings()
    zone = given.text("ZONE", "UTC")
    try:
        tz = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise BadConfiguration(f"{PREFIX}ZONE: must be the name of a time zone, such as Europe/London") from None
    choices: dict[str, Any] = {
        "region": given.choice("REGION", defaults.region, {"us", "uk"}),
        "risk_summary": given.choice(
            "RISK_SUMMARY", defaults.risk_summary, {"default", "high-only", "any-moderate", "off"}
        ),
    }
    if given.text("HOLD_BACK_DAYS", ""):
        choices["hold_back_at_most"] = timedelta(days=min(given.number("HOLD_BACK_DAYS", 0, least=0), 36_500))
    base_url = given.url("PUBLIC_BASE_URL", given.text("PUBLIC_BASE_URL", defaults.public_base_url))
    return Settings(public_base_url=base_url, zone=tz, **choices)


class _Given:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(PREFIX + name, "").strip() or default

    def number(self, name: str, default: int, least: int = 1) -> int:
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdecimal()) or int(text) < least:
            raise BadConfiguration(f"{PREFIX}{name}: must be a whole number, {least} or more")
        return int(text)

    def secret(self, name: str, least: int) -> str:
        text = self.text(name, "")
        if text and len(text) < least:
            raise BadConfiguration(f"{PREFIX}{name}: must have {least} characters or more")
        return text

    def choice(self, name: str, default: str, allowed: set[str]) -> str:
        text = self.text(name, default)
        if text not in allowed:
            raise BadConfiguration(f"{PREFIX}{name}: must be one of {', '.join(sorted(allowed))}")
        return text

    def switch(self, name: str) -> bool | None:
        """None when it is not set."""
        text = self.text(name, "")
        return None if not text else self.choice(name, text, {"1", "0", "true", "false"}) in ("1", "true")

    def file(self, name: str) -> str | None:
        """None when it is not set."""
        text = self.text(name, "")
        if text and not Path(text).is_file():
            raise BadConfiguration(f"{PREFIX}{name}: must be the path of a file")
        return text or None

    def header(self, name: str, beside: str) -> str:
        text = self.text(name, "")
        if text and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", text):
            raise BadConfiguration(f"{PREFIX}{name}: must be the name of a header, such as X-Forwarded-User")
        if bool(text) != bool(self.text(beside, "")):
            raise BadConfiguration(f"{PREFIX}{name}: goes together with {PREFIX}{beside}; set both or neither")
        return text

    def network(self, name: str, text: str) -> Network:
        try:
            return ip_network(text.strip())
        except ValueError:
            raise BadConfiguration(
                f"{PREFIX}{name}: must be addresses or networks, such as 10.1.2.3 or 10.1.0.0/16"
            ) from None

    def server(self, name: str, text: str) -> str:
        server = parse_server(text.strip())
        if server is None:
            raise BadConfiguration(
                f"{PREFIX}{name}: must be base URLs of FHIR servers, such as https://ehr.example.org/r4"
            )
        return server.base

    def url(self, name: str, text: str) -> str:
        url = text.strip().rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            raise BadConfiguration(f"{PREFIX}{name}: must be an http or https URL, such as https://cds.example.org")
        return url
