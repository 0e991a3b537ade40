"""What values of the clients file must look like beyond their type."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s]+")


def client_id(value: str) -> bool:
    return _ID.fullmatch(value) is not None


def is_text(value: str) -> bool:
    return bool(value.strip())


def texts(values: Collection[str]) -> bool:
    return bool(values) and all(map(is_text, values))


def uri(value: str) -> bool:
    return _URI.fullmatch(value) is not None


def is_url(value: str) -> bool:
    """An http or https URL without user, query or fragment; whether http is allowed is asked elsewhere."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    plain = not (parts.username or parts.password or parts.query or parts.fragment) and not re.search(r"\s", value)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def urls(values: Collection[str]) -> bool:
    return bool(values) and all(map(is_url, values))


def origin(values: Collection[str]) -> bool:
    return all(is_url(value) and urlsplit(value).path in ("", "/") for value in values)


def order_codes(values: Mapping[str, Any]) -> bool:
    """Keys are `system|code`; each code is complete."""
    return all(
        uri(key.rpartition("|")[0]) and key.rpartition("|")[2] and uri(to.system) and is_text(to.code)
        for key, to in values.items()
    )


def uris_by_uri(values: Mapping[str, str]) -> bool:
    return all(uri(ours) and uri(theirs) for ours, theirs in values.items())


def known_values(aliases: Mapping[str, str], known: Collection[str]) -> bool:
    return all(ours in known for ours in aliases.values())
