"""The shapes in which feedback comes, and what is said of a wrong one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cds_service.facts.reading import MalformedRequest
from cds_service.feedback.decode import MOST_ITEMS, Told, decode_feedback

AT = datetime(2026, 3, 10, 9, 30, tzinfo=UTC)
OVERRIDDEN = {"card": "c", "outcome": "overridden", "outcomeTimestamp": "2026-03-10T09:30:00Z"}
ACCEPTED = OVERRIDDEN | {"outcome": "accepted", "acceptedSuggestions": [{"id": "s"}]}
CODING = {"system": "urn:s", "code": "r", "display": "Zaphod"}


def decoded(*items: Any) -> list[Told]:
    return decode_feedback(json.dumps({"feedback": list(items)}).encode())


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (ACCEPTED, Told("c", "accepted", AT, ("s",))),
        (ACCEPTED | {"overrideReason": {"reason": CODING}}, Told("c", "accepted", AT, ("s",))),
        (OVERRIDDEN, Told("c", "overridden", AT)),
        (OVERRIDDEN | {"outcomeTimestamp": "2026-03-10T10:30:00.000+01:00"}, Told("c", "overridden", AT)),
        (OVERRIDDEN | {"acceptedSuggestions": []}, Told("c", "overridden", AT)),
        (OVERRIDDEN | {"overrideReason": {"reason": CODING}}, Told("c", "overridden", AT, (), "urn:s", "r")),
        (OVERRIDDEN | {"overrideReason": {"userComment": "no"}}, Told("c", "overridden", AT, comment="no")),
        (OVERRIDDEN | {"overrideReason": {}}, Told("c", "overridden", AT)),
        (OVERRIDDEN | {"overrideReason": None}, Told("c", "overridden", AT)),
        # Epic: plural, an object, a code without a system, or an extension of its own
        (OVERRIDDEN | {"overrideReasons": {"reason": {"code": "r"}}}, Told("c", "overridden", AT, (), "", "r")),
        (OVERRIDDEN | {"overrideReasons": [{"reason": {"code": "r"}}]}, Told("c", "overridden", AT, (), "", "r")),
        (
            OVERRIDDEN | {"overrideReasons": {"extension": {"com.epic.cdshooks.feedback.overrideReason.code": "r"}}},
            Told("c", "overridden", AT, (), "", "r"),
        ),
        (
            OVERRIDDEN | {"overrideReasons": {"extension": {"com.epic.cdshooks.feedback.overrideReason.id": CODING}}},
            Told("c", "overridden", AT, (), "urn:s", "r"),
        ),
        (OVERRIDDEN | {"overrideReasons": {"extension": {"org.example": "r"}}}, Told("c", "overridden", AT)),
        (OVERRIDDEN | {"extension": {"org.example": 1}, "more": []}, Told("c", "overridden", AT)),
    ],
)
def test_a_sound_item(item: dict[str, Any], expected: Told) -> None:
    assert decoded(item) == [expected]


def test_a_batch_keeps_its_order_and_may_be_empty() -> None:
    assert [one.card for one in decoded(OVERRIDDEN | {"card": "a"}, ACCEPTED | {"card": "b"})] == ["a", "b"]
    assert decoded() == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"card": None}, "feedback[1].card"),
        ({"card": ""}, "feedback[1].card"),
        ({"card": 7}, "feedback[1].card"),
        ({"card": "x" * 1001}, "feedback[1].card"),
        ({"outcome": "ignored"}, "feedback[1].outcome"),
        ({"outcome": ["accepted"]}, "feedback[1].outcome"),
        ({"outcome": "accepted"}, "feedback[1].acceptedSuggestions"),
        ({"outcome": "accepted", "acceptedSuggestions": []}, "feedback[1].acceptedSuggestions"),
        ({"outcome": "accepted", "acceptedSuggestions": "s"}, "feedback[1].acceptedSuggestions"),
        ({"outcome": "accepted", "acceptedSuggestions": ["s"]}, "feedback[1].acceptedSuggestions[0].id"),
        ({"outcome": "accepted", "acceptedSuggestions": [{"id": "s"}, {}]}, "feedback[1].acceptedSuggestions[1].id"),
        ({"outcomeTimestamp": None}, "feedback[1].outcomeTimestamp"),
        ({"outcomeTimestamp": "2026-03-10T09:30:00"}, "feedback[1].outcomeTimestamp"),
        ({"outcomeTimestamp": "yesterday"}, "feedback[1].outcomeTimestamp"),
        ({"outcomeTimestamp": 1773135000}, "feedback[1].outcomeTimestamp"),
        ({"overrideReason": "r"}, "feedback[1].overrideReason"),
        ({"overrideReason": {"reason": "r"}}, "feedback[1].overrideReason.reason"),
        ({"overrideReason": {"reason": {}}}, "feedback[1].overrideReason.reason.code"),
        ({"overrideReason": {"reason": {"code": 5}}}, "feedback[1].overrideReason.reason.code"),
        ({"overrideReason": {"userComment": 5}}, "feedback[1].overrideReason.userComment"),
        ({"overrideReasons": [{"reason": {}}]}, "feedback[1].overrideReasons[0].reason.code"),
    ],
)
def test_a_wrong_item_is_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decoded(OVERRIDDEN, OVERRIDDEN | change)
    assert caught.value.place == place


@pytest.mark.parametrize("item", [None, "c", 1, []])
def test_an_item_that_is_no_object_is_named(item: Any) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decoded(item)
    assert caught.value.place == "feedback[0]"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b'{"feedback": [' + b"[" * 100_000, "body"),
        (b"[]", "feedback"),
        (b"null", "feedback"),
        (b"{}", "feedback"),
        (b'{"feedback": null}', "feedback"),
        (b'{"feedback": {}}', "feedback"),
        (b'{"feedback": [' + b"1," * MOST_ITEMS + b"1]}", "feedback"),
    ],
)
def test_a_body_that_is_no_feedback_is_named(body: bytes, place: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode_feedback(body)
    assert caught.value.place == place


def test_a_mark_of_byte_order_is_no_mistake() -> None:
    assert decode_feedback(b'\xef\xbb\xbf{"feedback": []}') == []
