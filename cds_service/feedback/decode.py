"""The body of a feedback request, in the shape of CDS Hooks 2.0 and in the one that Epic sends.

Every mistake names its place, such as ``feedback[3].outcome``, and nothing that was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NoReturn

import msgspec

from cds_service.facts.reading import MalformedRequest

MOST_ITEMS = 10_000
_LONGEST_CARD = 1000
_EPIC_PREFIX = "com.epic.cdshooks.feedback.overrideReason"

Outcome = Literal["accepted", "overridden"]


class Told(msgspec.Struct, frozen=True):
    """What a clinician did with one card. `code` and `system` of the reason are as sent."""

    card: str
    outcome: Outcome
    outcome_at: datetime
    accepted: tuple[str, ...] = ()
    """Ids of the suggestions that were taken."""
    system: str = ""
    code: str = ""
    comment: str = ""


def decode_feedback(body: bytes) -> list[Told]:
    """All that a request tells. Raises `MalformedRequest` for the first mistake; then nothing counts."""
    try:
        document = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest("body", "must be a JSON object with an array feedback") from None
    items = document.get("feedback") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise MalformedRequest("feedback", "must be an array of what was done with cards")
    if len(items) > MOST_ITEMS:
        raise MalformedRequest("feedback", f"must hold at most {MOST_ITEMS} items; send the rest in another request")
    return [_told(item, f"feedback[{at}]") for at, item in enumerate(items)]


def _told(item: Any, place: str) -> Told:
    if not isinstance(item, dict):
        raise MalformedRequest(place, "must be an object with card, outcome and outcomeTimestamp")
    card = item.get("card")
    if not isinstance(card, str) or not 0 < len(card) <= _LONGEST_CARD:
        _refuse(place, "card", "the uuid of a card, a string")
    outcome = item.get("outcome")
    if outcome not in ("accepted", "overridden"):
        _refuse(place, "outcome", "accepted or overridden")
    accepted = tuple(_suggestions(item.get("acceptedSuggestions"), place)) if outcome == "accepted" else ()
    if outcome == "accepted" and not accepted:
        _refuse(place, "acceptedSuggestions", "a list of what was accepted, [{id: uuid of a suggestion}]")
    at = _instant(item.get("outcomeTimestamp"), place)
    if outcome == "accepted":
        return Told(card, "accepted", at, accepted)
    system, code, comment = _reason(item, place)
    return Told(card, "overridden", at, (), system, code, comment)


def _suggestions(given: Any, place: str) -> Iterator[str]:
    if not isinstance(given, list):
        return
    for at, one in enumerate(given):
        id_ = one.get("id") if isinstance(one, dict) else None
        if not isinstance(id_, str) or not id_:
            _refuse(place, f"acceptedSuggestions[{at}].id", "the uuid of a suggestion, a string")
        yield id_


def _instant(given: Any, place: str) -> datetime:
    try:
        at = msgspec.convert(given, datetime)
    except msgspec.ValidationError:
        at = None
    if at is None or at.tzinfo is None or not 1970 < at.year < 9999:
        _refuse(place, "outcomeTimestamp", "an instant with its zone, such as 2026-03-10T09:30:00Z")
    return at


def _reason(item: dict[str, Any], place: str) -> tuple[str, str, str]:
    """System, code and comment; empty where they were not given."""
    reason = None
    comment = ""
    for name in ("overrideReason", "overrideReasons"):
        given = item.get(name)
        # Epic's plural holds one object; a list of them is understood too
        for at, one in enumerate(given if isinstance(given, list) else [given]):
            if one is None:
                continue
            where = f"{name}[{at}]" if isinstance(given, list) else name
            if not isinstance(one, dict):
                _refuse(place, where, "an object with reason, userComment or both")
            reason = reason or _coding(one, place, where)
            said = one.get("userComment")
            if said is not None and not isinstance(said, str):
                _refuse(place, f"{where}.userComment", "a string")
            comment = comment or said or ""
    system, code = reason or ("", "")
    return system, code, comment


def _coding(one: dict[str, Any], place: str, where: str) -> tuple[str, str] | None:
    reason = one.get("reason")
    if reason is None:
        return _extended(one.get("extension"))
    if not isinstance(reason, dict):
        _refuse(place, f"{where}.reason", "a Coding, an object with system and code")
    code, system = reason.get("code"), reason.get("system")
    if not isinstance(code, str) or not code:
        _refuse(place, f"{where}.reason.code", "a code, a string")
    return (system if isinstance(system, str) else ""), code


def _extended(extension: Any) -> tuple[str, str] | None:
    """The reason of Epic's extension: a code or a Coding under a name of theirs."""
    if not isinstance(extension, dict):
        return None
    for name, value in extension.items():
        if not name.startswith(_EPIC_PREFIX):
            continue
        coding = value if isinstance(value, dict) else {"code": value}
        code, system = coding.get("code"), coding.get("system")
        if isinstance(code, str) and code:
            return (system if isinstance(system, str) else ""), code
    return None


def _refuse(place: str, member: str, shape: str) -> NoReturn:
    raise MalformedRequest(f"{place}.{member}", f"must be {shape}")
