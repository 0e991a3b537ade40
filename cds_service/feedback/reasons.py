"""From the coding of a reason, as a client sends it, to the word that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

OTHER = "other"
"""Any reason that the rules do not list. Its code is not kept: what is in it is the client's own."""
NONE_GIVEN = ""


class KnownReasons(Protocol):
    """What `engine.loader.Knowledge` says about override reasons."""

    @property
    def override_system(self) -> str: ...
    @property
    def override_reasons(self) -> Mapping[str, str]: ...
    @property
    def foreign_reasons(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def lasting_reasons(self) -> Mapping[str, timedelta]: ...


def stored_reason(known: KnownReasons, system: str, code: str, code_systems: Mapping[str, str]) -> str:
    """A code of the rules' own list or of one of the others that they name, else `OTHER`; empty where none was given.

    `code_systems` are the names by which this client calls our code systems. Some clients send a code without any
    system, so our own codes are known by themselves.
    """
    if not code:
        return NONE_GIVEN
    ours = {"", known.override_system, code_systems.get(known.override_system, "")}
    if system in ours and code in known.override_reasons:
        return code
    if code in known.foreign_reasons.get(system, {}):
        return code
    if not system and any(code in codes for codes in known.foreign_reasons.values()):
        return code
    return OTHER


def reason_words(known: KnownReasons) -> dict[str, str]:
    """Every stored reason in words."""
    words: dict[str, str] = {}
    for codes in known.foreign_reasons.values():
        words |= codes
    return words | dict(known.override_reasons) | {OTHER: "Another reason", NONE_GIVEN: "No reason given"}
