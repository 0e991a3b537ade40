"""SMART scopes: which types of resources an access token may read and search. Version 1 (`.read`) and 2 (`.rs`).

A scope that is not understood, such as one of an EHR's own, forbids nothing: then every query is tried, and the
server decides. Only where every scope is understood is a query left out that none of them covers.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

import msgspec

Cover: TypeAlias = Literal["all", "part", "none"]

_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]*)\.(\*|read|write|c?r?u?d?s?)(?:\?(\S*))?")
_NOT_ABOUT_DATA = frozenset({"openid", "fhirUser", "profile", "email", "online_access", "offline_access"})
_INTERACTIONS = {"*": "crudes", "read": "rs", "write": "cud"}


class Granted(msgspec.Struct, frozen=True):
    """What one scope grants for a type (`*`: all): letters of interactions, and the values that it is narrowed to."""

    type: str
    interactions: str
    narrowed: tuple[tuple[str, str], ...]


class Scopes(msgspec.Struct, frozen=True):
    """The scopes of one token; `granted` is None where they forbid nothing."""

    granted: tuple[Granted, ...] | None

    def cover(self, type_name: str, interaction: Literal["r", "s"], category: str = "") -> Cover:
        """How much of a type may be read (`r`) or searched (`s`). `category` is the one that a search asks for.

        A narrowed scope gives a server leave to answer in part without saying so, hence "part".
        """
        if self.granted is None:
            return "all"
        best: Cover = "none"
        for one in self.granted:
            if one.type not in (type_name, "*") or interaction not in one.interactions:
                continue
            if not one.narrowed or _is_for(one.narrowed, category):
                return "all"
            if not category or any(name != "category" for name, _ in one.narrowed):
                best = "part"
        return best


def read_scopes(text: str | None, of_another: bool = False) -> Scopes:
    """The scopes of a token; `of_another`: its patient-level scopes are for another patient and count for nothing."""
    granted: list[Granted] = []
    for word in (text or "").split():
        found = _SCOPE.fullmatch(word)
        if found is None or not found[3]:
            if word in _NOT_ABOUT_DATA or word.partition("/")[0] == "launch":
                continue
            return Scopes(None)
        if found[1] == "patient" and of_another:
            continue
        narrowed = tuple(parse_qsl(found[4] or "", keep_blank_values=True))
        granted.append(Granted(found[2], _INTERACTIONS.get(found[3], found[3]), narrowed))
    return Scopes(tuple(granted) if granted or of_another else None)


def _is_for(narrowed: tuple[tuple[str, str], ...], category: str) -> bool:
    """Whether a scope is narrowed to just the category that is asked for (`system|code` or `code`)."""
    return bool(category) and all(
        name == "category" and value.rpartition("|")[2] == category for name, value in narrowed
    )
