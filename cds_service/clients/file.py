"""The site's file of clients: read strictly, every mistake named with its line and what mends it.

`KEYS` and `SWITCHES` are the whole format; docs/clients.md and a test follow them.
"""

from __future__ import annotations

import difflib
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_type_hints

import msgspec

from cds_service.clients.checks import (
    client_id,
    is_text,
    is_url,
    known_values,
    order_codes,
    origin,
    texts,
    uri,
    uris_by_uri,
    urls,
)
from cds_service.clients.model import ANONYMOUS, Client
from cds_service.clients.places import Places
from cds_service.clients.profiles import PROFILES
from cds_service.settings import ClientProfile


class BadClients(Exception):
    """A file of clients that cannot be used; `mistakes` are lines of `file:line: what is wrong, what mends it`."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Key(NamedTuple):
    """What one key takes: its type for msgspec, a further check (None: sound, else what it must be), the words."""

    type: Any
    must_be: str
    sound: Callable[[Any], bool] = lambda value: True
    required: bool = False


_YES_NO = "true or false"
KEYS: dict[str, Key] = {
    "id": Key(str, "a short name of lower-case letters, digits and hyphens", client_id, required=True),
    "issuer": Key(str, "the iss of its tokens, a URI", uri, required=True),
    "profile": Key(Literal["standard", "epic", "cds-hooks-1.0"], f"one of {', '.join(PROFILES)}"),
    "tenants": Key(frozenset[str], "a list of tenant claims", texts),
    "jku": Key(frozenset[str], "a list of https URLs of key sets", urls),
    "jwks_url": Key(str, "the https URL of a key set", is_url),
    "key_file": Key(str, "the path of a key set (JWKS), as seen from this file", is_text),
    "audience": Key(frozenset[str], "a list of aud values that are taken instead of the service's address", texts),
    "replay": Key(Literal["reject", "accept"], "reject or accept"),
    "max_token_minutes": Key(int, "a whole number of minutes, 1 to 1440", lambda value: 1 <= value <= 1440),
    "fhir_servers": Key(frozenset[str], "a list of https base URLs", urls),
    "cors_origins": Key(frozenset[str], "a list of origins such as https://ehr.example.org", origin),
    "group": Key(str, "the name of a clinician group", is_text),
    "silent": Key(bool | frozenset[str], "true, false, or a list of rule ids"),
    "switches": Key(dict[str, Any], "a table, [client.switches]"),
}
SWITCHES: dict[str, Key] = {
    "one_action_per_suggestion": Key(bool, _YES_NO),
    "selection_behavior": Key(Literal["as-is", "any", "at-most-one"], "as-is, any or at-most-one"),
    "orderables": Key(
        get_type_hints(ClientProfile)["orderables"],
        'a table of "system|code" = { system = "...", code = "...", display = "..." }',
        order_codes,
    ),
    "code_systems": Key(dict[str, str], "a table of our URI of a code system = theirs", uris_by_uri),
    "accepted_systems": Key(frozenset[str], "a list of URIs of code systems", lambda value: all(map(uri, value))),
    "detail": Key(Literal["markdown", "plain"], "markdown or plain"),
    "detail_type": Key(bool, _YES_NO),
    "prefetch_keys": Key(dict[str, str], "a table of the client's prefetch key = ours"),
    "same_id": Key(bool, _YES_NO),
    "legacy10": Key(bool, _YES_NO),
    "feedback": Key(Literal["standard", "epic"], "standard or epic"),
}
_KEY_SOURCES = ("jku", "jwks_url", "key_file")


def read_clients(
    path: Path, prefetch_keys: Collection[str], http_allowed: bool = False, rule_ids: Collection[str] | None = None
) -> tuple[Client, ...]:
    """The clients of a TOML file. Raises `BadClients` with every mistake of it.

    `prefetch_keys` are the keys that aliases may stand for; `http_allowed` is for development; with `rule_ids`,
    those that `silent` names must be among them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise BadClients([f"{path.name}:1: cannot be read ({why or type(error).__name__})"]) from None
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadClients([f"{path.name}:{_toml_line(error, text)}: is not TOML: {error}"]) from None
    reader = _Reader(path, Places(text), frozenset(prefetch_keys), http_allowed, rule_ids)
    clients = reader.clients(document)
    if reader.mistakes:
        raise BadClients(reader.mistakes)
    return clients


def _toml_line(error: tomllib.TOMLDecodeError, text: str) -> int:
    found = str(error).partition("(at line ")[2].partition(",")[0]
    return int(found) if found.isdigit() else text.count("\n") + 1


class _Reader:
    def __init__(
        self,
        path: Path,
        places: Places,
        prefetch_keys: frozenset[str],
        http_allowed: bool,
        rule_ids: Collection[str] | None,
    ) -> None:
        self.path, self.places = path, places
        self.prefetch_keys, self.http_allowed, self.rule_ids = prefetch_keys, http_allowed, rule_ids
        self.mistakes: list[str] = []

    def clients(self, document: Mapping[str, Any]) -> tuple[Client, ...]:
        for key in document.keys() - {"client"}:
            self._say(-1, "", key, f"{key}: is not known here; a client is a table [[client]]")
        tables = document.get("client", [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._say(-1, "", "client", "client: must be tables that begin with [[client]]")
            return ()
        if not tables:
            self._say(-1, "", "", "holds no [[client]]; nobody could call")
        read = [self._client(at, table) for at, table in enumerate(tables)]
        self._check_together(read)
        return tuple(client for client in read if client is not None)

    def _client(self, at: int, table: dict[str, Any]) -> Client | None:
        before = len(self.mistakes)
        named = table.get("id")
        name = f'client "{named}"' if isinstance(named, str) and named else f"client number {at + 1}"
        values = self._values(at, "", name, table, KEYS)
        switches = values.pop("switches", {})
        profile = self._profile(at, name, values.get("profile", "standard"), switches)
        self._check_client(at, name, values)
        if len(self.mistakes) > before:
            return None
        values["profile_name"] = values.pop("profile", "standard")
        if "key_file" in values:
            values["key_file"] = str(self.path.parent / values["key_file"])
        values["fhir_servers"] = frozenset(url.rstrip("/") for url in values.get("fhir_servers", ()))
        values["cors_origins"] = frozenset(url.rstrip("/") for url in values.get("cors_origins", ()))
        return Client(**values, profile=profile)

    def _profile(self, at: int, name: str, profile: Any, switches: dict[str, Any]) -> ClientProfile:
        values = self._values(at, "switches", f"{name}, switches", switches, SWITCHES)
        aliases = values.get("prefetch_keys", {})
        if not known_values(aliases, self.prefetch_keys):
            known = ", ".join(sorted(self.prefetch_keys))
            self._say(at, "switches", "prefetch_keys", f"{name}, switches.prefetch_keys: ours are {known}")
        return msgspec.structs.replace(PROFILES.get(profile, PROFILES["standard"]), **values)

    def _values(
        self, at: int, table_name: str, where: str, table: dict[str, Any], keys: Mapping[str, Key]
    ) -> dict[str, Any]:
        """The sound values of one table; all else is a mistake."""
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in keys:
                close = difflib.get_close_matches(key, keys, n=1)
                mend = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(keys)}"
                self._say(at, table_name, key, f'{where}: the key "{key}" is not known; {mend}')
                continue
            wanted = keys[key]
            try:
                values[key] = msgspec.convert(value, wanted.type)
                if wanted.sound(values[key]):
                    continue
                del values[key]
            except msgspec.ValidationError:
                pass
            self._say(at, table_name, key, f"{where}, {key}: must be {wanted.must_be}")
        for key, wanted in keys.items():
            if wanted.required and key not in table:
                self._say(at, "", "", f"{where}: {key} is missing; write {wanted.must_be}")
        return values

    def _check_client(self, at: int, name: str, values: dict[str, Any]) -> None:
        if values.get("id") == ANONYMOUS.id:
            self._say(at, "", "id", f'{name}: "{ANONYMOUS.id}" is the name of callers without a token; take another')
        sources = [key for key in _KEY_SOURCES if values.get(key)]
        if len(sources) != 1:
            said = " and ".join(sources) or "none"
            self._say(
                at, "", sources[-1] if sources else "", f"{name}: write one of jku, jwks_url, key_file, not {said}"
            )
        if not self.http_allowed:
            for key in ("jku", "jwks_url", "fhir_servers"):
                value = values.get(key, ())
                if any(url.startswith("http:") for url in ([value] if isinstance(value, str) else value)):
                    self._say(at, "", key, f"{name}, {key}: must be https; http is for development only")
        silent = values.get("silent", False)
        if self.rule_ids is not None and not isinstance(silent, bool):
            for rule in sorted(silent - frozenset(self.rule_ids)):
                self._say(at, "", "silent", f'{name}, silent: there is no rule "{rule}"')

    def _check_together(self, clients: list[Client | None]) -> None:
        """Ids differ; whoever shares an issuer is told apart by tenant."""
        known = [(at, client) for at, client in enumerate(clients) if client is not None]
        ids = Counter(client.id for _, client in known)
        issuers = Counter(client.issuer for _, client in known)
        taken: set[tuple[str, str]] = set()
        for at, client in known:
            if ids[client.id] > 1:
                self._say(at, "", "id", f'client "{client.id}": another client has this id')
            if issuers[client.issuer] > 1 and not client.tenants:
                mend = "another client has it too: give both tenants"
                self._say(at, "", "issuer", f'client "{client.id}", issuer: {mend}')
            for tenant in sorted(client.tenants):
                if (client.issuer, tenant) in taken:
                    mend = f'"{tenant}" belongs to another client of this issuer'
                    self._say(at, "", "tenants", f'client "{client.id}", tenants: {mend}')
                taken.add((client.issuer, tenant))

    def _say(self, client: int, table: str, key: str, text: str) -> None:
        mistake = f"{self.path.name}:{self.places.line(client, table, key)}: {text}"
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)
