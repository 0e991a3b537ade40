"""What `doctor` looks at: each check yields findings, and a finding that is not ok says what mends it."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from cds_service.cli.certificate import examine_certificate
from cds_service.cli.examine_database import examine_database
from cds_service.cli.examine_rules import examine_scenarios
from cds_service.cli.finding import Finding, Level
from cds_service.cli.order_codes import ordered_items
from cds_service.clients.fetch import Answer, fetch, open_session
from cds_service.clients.keys import KeysUnavailable, read_key_set
from cds_service.clients.model import Client
from cds_service.ruleset import Ruleset, RulesetError, load_ruleset

_SECONDS = 8.0
_MOST_METADATA = 16 * 1024 * 1024
_DRIFT_WARNS, _DRIFT_FAILS = 20, 60
"""Seconds. Tokens are checked with 60 seconds of leeway, so a clock that is off by more refuses sound ones."""


class Examination:
    """All checks of one deployment. `config` is the web layer's WebConfig."""

    def __init__(self, config: Any, offline: bool = False) -> None:
        self.config, self.offline = config, offline
        self.base: str = config.settings.public_base_url
        self.session = open_session()
        self.clocks: dict[str, float] = {}
        """Host to how many seconds its clock is ahead of ours."""

    def findings(self) -> Iterator[Finding]:
        ruleset = yield from self._rules()
        clients = yield from self._clients(ruleset)
        for client in clients:
            yield from self._client(client, ruleset)
        yield examine_database(self.config.database, self.offline)
        yield from self._public_address(ruleset)
        yield from self._clock()

    # -- rules and clients

    def _rules(self) -> Generator[Finding, None, Ruleset | None]:
        """Yields findings; returns the ruleset, or None."""
        config = self.config
        try:
            ruleset = load_ruleset(config.rules, not config.snomed, site=config.site_rules)
        except (RulesetError, OSError) as error:
            yield Finding("rules", "fail", str(error), "`legcramp rules check` shows every mistake.")
            return None
        yield Finding("rules", "ok", f"knowledge {ruleset.knowledge.version}, ruleset {ruleset.digest[:12]}")
        yield examine_scenarios(ruleset)
        if config.snomed:
            what = "conditions coded in SNOMED CT are read"
            yield Finding("snomed", "ok", what + "; the site needs an affiliate license where its country has none")
        else:
            what = "conditions coded in SNOMED CT only are not seen, so rules and gates that ask for them stay unknown"
            yield Finding("snomed", "warn", what, "With a SNOMED CT license, leave LEGCRAMP_SNOMED unset.")
        return ruleset

    def _clients(self, ruleset: Ruleset | None) -> Generator[Finding, None, tuple[Client, ...]]:
        """Yields findings; returns the clients."""
        config = self.config
        if config.development:
            what = "the development profile is on: any browser origin may call, http is allowed"
            yield Finding("profile", "warn", what, "Unset LEGCRAMP_DEVELOPMENT where real patients are near.")
        site = importlib.import_module("cds_service.web.site")
        web_config = importlib.import_module("cds_service.web.config")
        rule_ids = None if ruleset is None else [rule.id for rule in ruleset.knowledge.rules]
        try:
            clients: tuple[Client, ...] = site.site_clients(config, rule_ids)
        except web_config.BadConfiguration as error:
            yield Finding("clients", "fail", str(error), "docs/clients.md tells of every key.")
            return ()
        if not clients:
            yield Finding("clients", "warn", "there is no file of clients: anyone may call", "Set LEGCRAMP_CLIENTS.")
            return ()
        yield Finding("clients", "ok", ", ".join(f"{client.id} ({client.profile_name})" for client in clients))
        return clients

    def _client(self, client: Client, ruleset: Ruleset | None) -> Iterator[Finding]:
        about = f"client {client.id}"
        if client.replay == "accept":
            what = "a stolen token of this client can be used again until it expires"
            yield Finding(about, "warn", what, 'Write replay = "reject" unless a test tool needs otherwise.')
        if client.silent is True:
            yield Finding(about, "warn", "is silent: rules run, nobody sees a card", "Remove silent to show them.")
        if not client.fhir_servers:
            what = "no FHIR server may be asked: what prefetch leaves out stays unknown"
            yield Finding(about, "warn", what, "List fhir_servers, unless its prefetch is whole.")
        if ruleset is not None:
            yield from _mapped_orders(about, client, ruleset)
        if client.key_file or not self.offline:
            for place in sorted(client.jku) or [client.jwks_url or client.key_file]:
                yield self._keys(about, client, place)
        if not self.offline:
            for server in sorted(client.fhir_servers):
                yield self._fhir_server(about, server)

    def _keys(self, about: str, client: Client, place: str) -> Finding:
        mend = "Ask the EHR's administrator for the address of its key set, and whether this machine may reach it."
        try:
            if client.key_file:
                mend = "Put the EHR's public keys there as a JWKS, readable for the service."
                with open(client.key_file, "rb") as file:
                    body = file.read()
            else:
                answer = self._get(place)
                if answer.status != 200:
                    return Finding(about, "fail", f"key set {place}: answers with status {answer.status}", mend)
                body = answer.body
            keys = read_key_set(body)
        except KeysUnavailable as error:
            return Finding(about, "fail", f"key set {place}: {error}", mend)
        except OSError as error:
            return Finding(about, "fail", f"key set {place}: cannot be had ({_why(error)})", mend)
        algorithms = sorted({name for key in keys.values() for name in key.algorithms})
        return Finding(about, "ok", f"key set {place}: {len(keys)} usable ({', '.join(algorithms)})")

    def _fhir_server(self, about: str, server: str) -> Finding:
        mend = "Check fhir_servers against the EHR's base URL, and whether this machine may reach it."
        try:
            answer = self._get(f"{server}/metadata", most_bytes=_MOST_METADATA)
            version = str(json.loads(answer.body).get("fhirVersion", "")) if answer.status == 200 else ""
        except OSError as error:
            return Finding(about, "warn", f"FHIR server {server}: cannot be reached ({_why(error)})", mend)
        except (ValueError, AttributeError):
            version = ""
        if answer.status in (401, 403):
            return Finding(about, "ok", f"FHIR server {server}: answers, and asks for a token")
        if not version.startswith("4."):
            said = f"FHIR {version}" if version else f"status {answer.status} and no FHIR version"
            return Finding(about, "warn", f"FHIR server {server}: {said} instead of R4", mend)
        return Finding(about, "ok", f"FHIR server {server}: FHIR {version}")

    # -- what stands around

    def _public_address(self, ruleset: Ruleset | None) -> Iterator[Finding]:
        parts = urlsplit(self.base)
        about = "public address"
        if not self.config.development:
            if parts.scheme != "https":
                mend = (
                    "Put a proxy that ends TLS before the service, and set LEGCRAMP_PUBLIC_BASE_URL to its https URL."
                )
                yield Finding(
                    about, "fail", f"{self.base} is not https: tokens and records would travel in clear", mend
                )
            if parts.hostname in ("localhost", "127.0.0.1", "::1"):
                mend = "Set LEGCRAMP_PUBLIC_BASE_URL to the address that EHRs call; aud of tokens and links use it."
                yield Finding(about, "fail", f"{self.base} is this machine's own", mend)
                return
        if self.offline:
            return
        yield self._discovery(about)
        if parts.scheme == "https":
            yield Finding("tls", *examine_certificate(parts.hostname or "", parts.port or 443, _SECONDS))
            if parts.port is None:
                yield from self._plain_http(parts.hostname or "")
        yield from self._running_rules(ruleset)

    def _discovery(self, about: str) -> Finding:
        address = f"{self.base}/cds-services"
        mend = "Start the service, and let the proxy pass this address on without a redirect."
        try:
            answer = self._get(address)
        except requests.exceptions.SSLError:
            mend = "Renew the certificate, and let the proxy send the whole chain."
            return Finding(about, "fail", f"{address}: its certificate is not accepted", mend)
        except OSError as error:
            return Finding(about, "fail", f"{address}: cannot be reached ({_why(error)})", mend)
        if answer.status == 401 and self.config.discovery == "guarded":
            return Finding(about, "ok", f"{address} answers, and asks for a token")
        discovery = importlib.import_module("cds_service.web.discovery")
        try:
            ids = {service["id"] for service in json.loads(answer.body)["services"]} if answer.status == 200 else set()
        except (ValueError, KeyError, TypeError):
            ids = set()
        if ids != set(discovery.SERVICES):
            return Finding(about, "fail", f"{address}: something else answers (status {answer.status})", mend)
        return Finding(about, "ok", f"{address} answers with {len(ids)} services")

    def _plain_http(self, host: str) -> Iterator[Finding]:
        try:
            answer = fetch(self.session, f"http://{host}/cds-services", http_allowed=True, seconds=_SECONDS)
        except OSError:
            return  # closed, or a redirect to https: as it should be
        if answer.status == 200:
            mend = "Close port 80 at the proxy, or let it redirect to https."
            yield Finding("tls", "warn", f"http://{host} is answered too: a client may send its token in clear", mend)

    def _running_rules(self, ruleset: Ruleset | None) -> Iterator[Finding]:
        try:
            running = json.loads(self._get(f"{self.base}/readyz").body).get("ruleset")
        except (OSError, ValueError, AttributeError):
            return  # what cannot be reached has been said
        if ruleset is not None and running and running != ruleset.digest:
            what = f"the running service answers with ruleset {str(running)[:12]}, here it is {ruleset.digest[:12]}"
            yield Finding("rules", "warn", what, "Restart the service, or run doctor where it runs.")

    def _clock(self) -> Iterator[Finding]:
        """Others' clocks, as their answers tell them. Our own address may show our own clock, so it comes last."""
        own = urlsplit(self.base).netloc
        others = {host: ahead for host, ahead in self.clocks.items() if host != own} or self.clocks
        if not others:
            if not self.offline:
                yield Finding("clock", "warn", "no other clock was seen to compare with", "Is time kept by NTP here?")
            return
        host, ahead = min(others.items(), key=lambda item: abs(item[1]))
        off = abs(ahead)
        level: Level = "fail" if off > _DRIFT_FAILS else "warn" if off > _DRIFT_WARNS else "ok"
        what = (
            f"{off:.0f} seconds {'behind' if ahead > 0 else 'ahead of'} {host}"
            if level != "ok"
            else f"agrees with {host}"
        )
        mend = "" if level == "ok" else "Let NTP keep the time; tokens are refused when clocks differ by a minute."
        yield Finding("clock", level, what, mend)

    def _get(self, url: str, most_bytes: int = 1024 * 1024) -> Answer:
        began = time.time()
        answer = fetch(self.session, url, self.config.development, seconds=_SECONDS, most_bytes=most_bytes)
        try:
            told = parsedate_to_datetime(answer.headers.get("Date", ""))
        except (ValueError, TypeError):
            return answer
        middle = datetime.fromtimestamp((began + time.time()) / 2, UTC)
        told = told if told.tzinfo else told.replace(tzinfo=UTC)
        # the header has whole seconds, so half of one is the fair reading
        self.clocks[urlsplit(url).netloc] = (told - middle).total_seconds() + 0.5
        return answer


def _mapped_orders(about: str, client: Client, ruleset: Ruleset) -> Iterator[Finding]:
    """Which orders this client has no code for, and which of its codes no order asks for."""
    profile = client.profile
    items = ordered_items(ruleset)
    unknown = sorted(set(profile.orderables) - {key for item in items for key in item.keys})
    if unknown:
        what = f"orderables that no order has: {', '.join(unknown)}"
        yield Finding(about, "warn", what, "Take the keys from `legcramp setup-sheet epic`.")
    if not profile.accepted_systems:
        return
    wanted = [item for item in items if not (item.is_medication and profile.one_action_per_suggestion)]
    unmapped = [item for item in wanted if not any(_is_accepted(key, client) for key in item.keys)]
    if unmapped:
        what = f"{len(unmapped)} of {len(wanted)} orders have no code of this client and are written as text in cards"
        yield Finding(about, "warn", what, "Fill in orderables; `legcramp setup-sheet epic` lists them.")
    else:
        yield Finding(about, "ok", f"all {len(wanted)} orders have a code of this client")


def _is_accepted(key: str, client: Client) -> bool:
    profile = client.profile
    mapped = profile.orderables.get(key)
    system = key.rpartition("|")[0]
    systems = {profile.code_systems.get(system, system)} | ({mapped.system} if mapped else set())
    return not systems.isdisjoint(profile.accepted_systems)


def _why(error: OSError) -> str:
    """Why something could not be had, without the address, which `requests` repeats in every form."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(error, requests.exceptions.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "no connection"
    return error.strerror or str(error) or type(error).__name__
