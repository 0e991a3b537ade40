"""Cards as one client can take them. Nothing is dropped unsaid: an order that cannot be a suggestion becomes words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from markdown_it import MarkdownIt

from cds_service.cards.model import Action, Card, Suggestion
from cds_service.cards.wording import escape
from cds_service.settings import ClientProfile

DETAIL_TYPE_EXTENSION = "com.epic.cdshooks.card.detail.content-type"
_DETAIL_TYPES = {"markdown": "text/markdown", "plain": "text/plain"}
_BY_HAND = "To order by hand"
_AFTER_1_0 = ("uuid", "overrideReasons")
_MARKDOWN = MarkdownIt("commonmark", {"html": False})

Resource = dict[str, Any]


def shape(cards: Iterable[Card], profile: ClientProfile) -> list[Card]:
    """The cards in the shape of a profile; the same ones where it asks for nothing."""
    maps_codes = bool(profile.orderables or profile.code_systems or profile.accepted_systems)
    if not maps_codes and profile.selection_behavior == "as-is" and profile.detail == "markdown":
        return [_with_detail_type(card, profile) for card in cards] if profile.detail_type else list(cards)
    return [_with_detail_type(_shaped(card, profile, maps_codes), profile) for card in cards]


def _shaped(card: Card, profile: ClientProfile, maps_codes: bool) -> Card:
    suggestions, by_hand = _suggestions(card, profile) if maps_codes else (card.suggestions, [])
    detail = card.detail
    if by_hand:
        lines = "\n".join(f"- {escape(text)}" for text in by_hand)
        detail = "\n\n".join(part for part in (detail, f"**{_BY_HAND}**\n\n{lines}") if part)
    behavior = card.selection_behavior if profile.selection_behavior == "as-is" else profile.selection_behavior
    return msgspec.structs.replace(
        card,
        detail=plain_text(detail) if profile.detail == "plain" else detail,
        suggestions=suggestions,
        selection_behavior=behavior if suggestions else "",
    )


def _suggestions(card: Card, profile: ClientProfile) -> tuple[tuple[Suggestion, ...], list[str]]:
    """The suggestions with this client's codes, and what must be said because it has no code for it."""
    kept: list[Suggestion] = []
    by_hand: list[str] = []
    for suggestion in card.suggestions:
        actions = [_with_codes(action, profile) for action in suggestion.actions]
        if None in actions:
            # all of a suggestion or nothing: a treatment is never parted from its test
            by_hand += [action.description for action in suggestion.actions]
        else:
            made = tuple(action for action in actions if action is not None)
            kept.append(msgspec.structs.replace(suggestion, actions=made))
    return tuple(kept), by_hand


def _with_codes(action: Action, profile: ClientProfile) -> Action | None:
    """The action with the codes of this client; None when it has none for what would be ordered."""
    if action.type != "create":
        return action
    name = "medicationCodeableConcept" if "medicationCodeableConcept" in action.resource else "code"
    concept = action.resource.get(name, {})
    codings = list(_codings(concept.get("coding", ()), profile))
    if profile.accepted_systems:
        codings = [coding for coding in codings if coding["system"] in profile.accepted_systems]
        if not codings:
            return None
    return msgspec.structs.replace(action, resource=action.resource | {name: concept | {"coding": codings}})


def _codings(ours: Iterable[Resource], profile: ClientProfile) -> Iterator[Resource]:
    """The site's own codes first, since clients take the first that they know."""
    ours = list(ours)
    for coding in ours:
        mapped = profile.orderables.get(f"{coding['system']}|{coding['code']}")
        if mapped is not None:
            yield {name: value for name, value in msgspec.to_builtins(mapped).items() if value}
    for coding in ours:
        yield coding | {"system": profile.code_systems.get(coding["system"], coding["system"])}


def _with_detail_type(card: Card, profile: ClientProfile) -> Card:
    if not profile.detail_type or not card.detail:
        return card
    extension = card.extension | {DETAIL_TYPE_EXTENSION: _DETAIL_TYPES[profile.detail]}
    return msgspec.structs.replace(card, extension=extension)


def plain_text(markdown: str) -> str:
    """The words of a detail, without marks: paragraphs and lists stay apart, list items begin with a hyphen."""
    lines: list[str] = []
    prefix = ""
    for token in _MARKDOWN.parse(markdown):
        if token.type == "list_item_open":
            prefix = "- "
        elif token.type == "inline":
            text = "".join(
                "\n" if child.type in ("softbreak", "hardbreak") else child.content for child in token.children or ()
            )
            if not prefix and lines:
                lines.append("")
            lines.append(prefix + text)
            prefix = ""
    return "\n".join(lines)


def as_1_0(card: Card) -> dict[str, Any]:
    """A stamped card with nothing that CDS Hooks 1.0 does not know; `delete` names the order in `resource`."""
    plain: dict[str, Any] = msgspec.to_builtins(card)
    for name in _AFTER_1_0:
        plain.pop(name, None)
    plain["source"].pop("topic", None)
    for suggestion in plain.get("suggestions", ()):
        suggestion.pop("isRecommended", None)
        for action in suggestion["actions"]:
            if "resourceId" in action:
                action["resource"] = action.pop("resourceId")
    return plain
