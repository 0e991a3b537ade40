"""From cards to response bytes: fresh identifiers, then one encoding pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cds_service.cards.model import Card
from cds_service.cards.profile import as_1_0, shape
from cds_service.settings import STANDARD, ClientProfile

NewId = Callable[[], str]

_ENCODER = msgspec.json.Encoder()


def stamp(cards: Iterable[Card], new_id: NewId) -> list[Card]:
    """The cards with a uuid on each card and suggestion and an id on each resource to be created."""
    replace = msgspec.structs.replace
    stamped = []
    for card in cards:
        suggestions = []
        for suggestion in card.suggestions:
            actions = tuple(
                replace(action, resource={**action.resource, "id": new_id()}) if action.resource else action
                for action in suggestion.actions
            )
            suggestions.append(replace(suggestion, uuid=new_id(), actions=actions))
        stamped.append(replace(card, uuid=card.uuid or new_id(), suggestions=tuple(suggestions)))
    return stamped


def identified(cards: Iterable[Card], new_id: NewId) -> tuple[Card, ...]:
    """The cards with their uuid alone, so that it can be noted; `stamp` leaves it as it is."""
    return tuple(msgspec.structs.replace(card, uuid=new_id()) for card in cards)


def encode_response(cards: Iterable[Card], new_id: NewId, profile: ClientProfile = STANDARD) -> bytes:
    """`{"cards": [...]}` as JSON, as a client of this profile takes it. `new_id`: a fresh lower-case UUID each time."""
    stamped = stamp(shape(cards, profile), new_id)
    return _ENCODER.encode({"cards": [as_1_0(card) for card in stamped] if profile.legacy10 else stamped})


def to_builtins(cards: Iterable[Card]) -> list[dict[str, Any]]:
    """The cards as plain data, as they are: for the command line and for tests."""
    return list(msgspec.to_builtins(list(cards)))
