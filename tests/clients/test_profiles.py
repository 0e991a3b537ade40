"""Profiles on real cards: what an Epic or a 1.0 client gets, and that nothing is dropped unsaid."""

from __future__ import annotations

import functools
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cds_service.assess import assess
from cds_service.cards.model import Action, Card, Coding, Source, Suggestion
from cds_service.cards.profile import DETAIL_TYPE_EXTENSION, plain_text, shape
from cds_service.cards.response import encode_response
from cds_service.cli.inputs import gathered_from
from cds_service.clients.profiles import CDS_HOOKS_1_0, EPIC, PREFERENCE_LIST_ITEM
from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.settings import STANDARD, ClientProfile, OrderCode, Settings
from tests.web.cds_hooks import check_cards

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = sorted((ROOT / "fixtures" / "patients").glob("*.json"))
REQUESTS = ROOT / "fixtures" / "requests"
NOW = datetime(2026, 3, 10, 23, 59, 59, tzinfo=ZoneInfo("UTC"))
LOINC = "http://loinc.org"


@functools.cache
def ruleset() -> Ruleset:
    return load_ruleset()


def cards_of(path: Path, profile: ClientProfile, hook: str | None = None) -> tuple[Card, ...]:
    return assess(gathered_from([path], hook), ruleset(), Settings(client=profile), NOW).cards


def answer(path: Path, profile: ClientProfile) -> list[dict[str, Any]]:
    body = encode_response(cards_of(path, profile), lambda: str(uuid4()), profile)
    found: list[dict[str, Any]] = json.loads(body)["cards"]
    return found


@functools.cache
def orderables() -> dict[str, OrderCode]:
    """A site that has mapped every order of the rules."""
    mapped: dict[str, OrderCode] = {}
    for order in ruleset().knowledge.orders.values():
        for resource in order.get("resources", ()):
            for coding in resource["code"]["coding"]:
                mapped[f"{coding['system']}|{coding['code']}"] = OrderCode(PREFERENCE_LIST_ITEM, f"PL{len(mapped)}")
    return mapped


MAPPED = msgspec.structs.replace(EPIC, orderables=orderables())


def creates(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        action
        for card in cards
        for suggestion in card.get("suggestions", [])
        for action in suggestion["actions"]
        if action["type"] == "create"
    ]


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("profile", [STANDARD, EPIC, MAPPED, msgspec.structs.replace(EPIC, detail="plain")])
def test_every_answer_keeps_to_cds_hooks(path: Path, profile: ClientProfile) -> None:
    check_cards(encode_response(cards_of(path, profile), lambda: str(uuid4()), profile))


def test_the_default_changes_nothing() -> None:
    for path in PATIENTS:
        cards = cards_of(path, STANDARD)
        assert shape(cards, STANDARD) == list(cards)


# -- Epic


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_epic_gets_one_action_a_suggestion_with_a_code_it_knows(path: Path) -> None:
    cards = answer(path, MAPPED)
    for card in cards:
        assert card.get("selectionBehavior", "any") == "any"
        for suggestion in card.get("suggestions", []):
            assert len(suggestion["actions"]) == 1
    for action in creates(cards):
        systems = {coding["system"] for coding in action["resource"]["code"]["coding"]}
        assert systems == {PREFERENCE_LIST_ITEM}
        assert action["resource"]["code"]["text"]


def test_some_answer_to_epic_holds_an_order() -> None:
    assert any(creates(answer(path, MAPPED)) for path in PATIENTS)


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_an_order_without_a_code_is_said_in_words(path: Path) -> None:
    mapped, unmapped = answer(path, MAPPED), answer(path, EPIC)
    assert len(mapped) == len(unmapped)
    assert creates(unmapped) == []
    for with_codes, without in zip(mapped, unmapped, strict=True):
        wanted = [action["description"] for action in creates([with_codes])]
        text = plain_text(without["detail"])
        for description in wanted:
            assert f"- {description}" in text
        assert ("To order by hand" in text) == bool(wanted)
        assert {key: without[key] for key in ("summary", "indicator")} == {
            key: with_codes[key] for key in ("summary", "indicator")
        }


def _treated() -> Path:
    """A patient who is offered a treatment together with its test."""
    for path in PATIENTS:
        if any(action["resource"]["resourceType"] == "MedicationRequest" for action in creates(answer(path, STANDARD))):
            return path
    raise AssertionError("no fixture patient is offered a treatment")


def test_epic_is_told_of_the_treatment_that_is_withheld() -> None:
    path = _treated()
    cards = answer(path, MAPPED)
    assert all(action["resource"]["resourceType"] != "MedicationRequest" for action in creates(cards))
    assert any("must not be parted from its test" in card["detail"] for card in cards)


def test_a_suggestion_is_kept_whole_or_said_whole() -> None:
    """A site that lets several actions stand together, and has no code for one of them."""
    partly = {key: code for key, code in orderables().items() if "24321-2" not in key}
    profile = msgspec.structs.replace(EPIC, one_action_per_suggestion=False, orderables=partly)
    path = _treated()
    text = "\n".join(plain_text(card["detail"]) for card in answer(path, profile))
    standard = answer(path, STANDARD)
    lost = 0
    for card in standard:
        for suggestion in card.get("suggestions", []):
            actions = suggestion["actions"]
            if any("24321-2" in json.dumps(action.get("resource", {})) for action in actions):
                lost += 1
                for action in actions:
                    assert f"- {action['description']}" in text
    assert lost


# -- code maps


def _card(resource: dict[str, Any]) -> Card:
    action = Action(type="create", description="Order it", resource=resource)
    return Card(
        summary="s",
        indicator="info",
        source=Source(label="l", topic=Coding("urn:t", "t")),
        suggestions=(Suggestion(label="Order it", actions=(action,)),),
        selection_behavior="any",
    )


def test_the_code_of_the_site_comes_first_and_ours_stays() -> None:
    concept = {"text": "Magnesium", "coding": [{"system": LOINC, "code": "19123-9", "display": "Mg"}]}
    profile = ClientProfile(orderables={f"{LOINC}|19123-9": OrderCode("urn:site", "7", "Magnesium level")})
    (card,) = shape([_card({"resourceType": "ServiceRequest", "code": concept})], profile)
    assert card.suggestions[0].actions[0].resource["code"] == {
        "text": "Magnesium",
        "coding": [{"system": "urn:site", "code": "7", "display": "Magnesium level"}, *concept["coding"]],
    }


def test_a_code_system_under_another_name() -> None:
    rxnorm = "http://www.nlm.nih.gov/research/umls/rxnorm"
    concept = {"text": "x", "coding": [{"system": rxnorm, "code": "1"}]}
    (card,) = shape([_card({"resourceType": "MedicationRequest", "medicationCodeableConcept": concept})], EPIC)
    coding = card.suggestions[0].actions[0].resource["medicationCodeableConcept"]["coding"]
    assert coding == [{"system": "urn:oid:2.16.840.1.113883.6.88", "code": "1"}]


def test_a_card_whose_suggestions_all_go_says_no_selection_behavior() -> None:
    concept = {"text": "x", "coding": [{"system": LOINC, "code": "1"}]}
    (card,) = shape([_card({"resourceType": "ServiceRequest", "code": concept})], EPIC)
    assert (card.suggestions, card.selection_behavior) == ((), "")
    assert card.detail == "**To order by hand**\n\n- Order it"


def test_a_draft_is_removed_whatever_its_code() -> None:
    action = Action(type="delete", description="Remove it", resource_id="MedicationRequest/1")
    card = msgspec.structs.replace(_card({}), suggestions=(Suggestion(label="Remove it", actions=(action,)),))
    assert shape([card], EPIC)[0].suggestions == card.suggestions


# -- format of the detail


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_plain_text_says_the_same_words(path: Path) -> None:
    plain = ClientProfile(detail="plain", detail_type=True)
    for marked, unmarked in zip(answer(path, STANDARD), answer(path, plain), strict=True):
        text = unmarked["detail"]
        assert "**" not in text
        assert "\\" not in text
        words = [
            [word for word in one.replace("\\", "").replace("*", "").split() if word != "-"]
            for one in (marked["detail"], text)
        ]
        assert words[0] == words[1]
        assert unmarked["extension"][DETAIL_TYPE_EXTENSION] == "text/plain"


def test_plain_text_keeps_lists_apart() -> None:
    text = "**Why**\n\nOne line\nand a second.\n\n- first 3\\.5\n- second\n\nEnd"
    assert plain_text(text) == "Why\n\nOne line\nand a second.\n- first 3.5\n- second\n\nEnd"


def test_the_format_is_named_only_where_asked_for() -> None:
    path = _treated()
    assert all(DETAIL_TYPE_EXTENSION not in card["extension"] for card in answer(path, EPIC))
    named = answer(path, ClientProfile(detail_type=True))
    assert {card["extension"][DETAIL_TYPE_EXTENSION] for card in named} == {"text/markdown"}


# -- CDS Hooks 1.0

_CARD_1_0 = {"summary", "detail", "indicator", "source", "suggestions", "selectionBehavior", "links", "extension"}


@pytest.mark.parametrize("path", PATIENTS, ids=lambda path: path.stem)
def test_a_1_0_client_gets_nothing_that_came_later(path: Path) -> None:
    cards = answer(path, CDS_HOOKS_1_0)
    assert len(cards) == len(cards_of(path, STANDARD))
    for card in cards:
        assert set(card) <= _CARD_1_0
        assert set(card["source"]) <= {"label", "url", "icon"}
        assert card.get("selectionBehavior") == ("at-most-one" if "suggestions" in card else None)
        for suggestion in card.get("suggestions", []):
            assert set(suggestion) <= {"label", "uuid", "actions"}
            for action in suggestion["actions"]:
                assert set(action) == {"type", "description", "resource"}


def test_a_1_0_client_removes_a_draft_by_resource() -> None:
    action = Action(type="delete", description="Remove it", resource_id="MedicationRequest/1")
    card = msgspec.structs.replace(_card({}), suggestions=(Suggestion(label="Remove it", actions=(action,)),))
    body = json.loads(encode_response([card], lambda: str(uuid4()), CDS_HOOKS_1_0))
    (removed,) = body["cards"][0]["suggestions"][0]["actions"]
    assert removed == {"type": "delete", "description": "Remove it", "resource": "MedicationRequest/1"}
