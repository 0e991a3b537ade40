"""The checker itself: a golden answer passes, and each broken one is caught."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.web.cds_hooks import check_cards, check_discovery

GOLDEN: dict[str, Any] = {
    "cards": [
        {
            "uuid": "8b1d8a0e-52a6-4f5e-9d0b-6f1f3c1a7a10",
            "summary": "No recent magnesium: check level",
            "detail": "**Why:** no result was found, and 3 < 4.",
            "indicator": "warning",
            "source": {
                "label": "Test",
                "url": "https://cds.example.org/about",
                "icon": "https://cds.example.org/static/icon.png",
                "topic": {"system": "https://cds.example.org/topics", "code": "magnesium"},
            },
            "selectionBehavior": "any",
            "suggestions": [
                {
                    "uuid": "0f4c7f0b-7a53-4a06-8a0b-0b0f4e7a9b11",
                    "label": "Order magnesium",
                    "isRecommended": True,
                    "actions": [
                        {
                            "type": "create",
                            "description": "Order magnesium",
                            "resource": {
                                "resourceType": "ServiceRequest",
                                "id": "5d0c9a0e-3b7e-4a56-9b59-3d6c0f2f7c12",
                                "status": "draft",
                                "intent": "proposal",
                                "code": {
                                    "coding": [{"system": "http://loinc.org", "code": "19123-9"}],
                                    "text": "Magnesium",
                                },
                                "subject": {"reference": "Patient/12345"},
                            },
                        }
                    ],
                }
            ],
            "overrideReasons": [{"system": "https://cds.example.org/r", "code": "done", "display": "Done"}],
            "links": [{"label": "Why", "type": "absolute", "url": "https://cds.example.org/rules/r"}],
            "extension": {"org.legcramp.assessment": {"rules": ["r"], "knowledge": "0.1.0", "ruleset": "f00d"}},
        }
    ]
}
REQUEST = {"context": {"patientId": "12345"}}
SUGGESTION = ("suggestions", 0)
ACTION = (*SUGGESTION, "actions", 0)
RESOURCE = (*ACTION, "resource")
MISSING = object()


def test_golden_answer_passes() -> None:
    check_cards(json.dumps(GOLDEN).encode(), REQUEST)
    check_cards(b'{"cards":[]}')


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("uuid",), "8B1D8A0E-52A6-4F5E-9D0B-6F1F3C1A7A10", "CARD-1"),
        (("uuid",), "0f4c7f0b-7a53-4a06-8a0b-0b0f4e7a9b11", "occurs twice"),
        (("summary",), "x" * 140, "CARD-2"),
        (("detail",), "<b>bold</b>", "CARD-3"),
        (("detail",), "", "JSON-2"),
        (("indicator",), "hard-stop", "CARD-4"),
        (("source",), MISSING, "CARD-5"),
        (("source", "topic", "code"), "leg-cramp", "SRC-4"),
        (("source", "icon"), "/static/icon.png", "SRC-3"),
        (("selectionBehavior",), MISSING, "CARD-7"),
        (("suggestions",), MISSING, "CARD-7"),
        (("suggestions",), [], "JSON-2"),
        ((*SUGGESTION, "label"), MISSING, "SUGG-1"),
        ((*SUGGESTION, "actions"), MISSING, "SUGG-4"),
        ((*SUGGESTION, "actionSelectionBehavior"), "all", "SUGG-5"),
        ((*ACTION, "type"), "CREATE", "ACT-1"),
        ((*ACTION, "description"), MISSING, "ACT-2"),
        ((*ACTION, "resource"), "{}", "ACT-3"),
        ((*ACTION, "type"), "delete", "ACT-5"),
        ((*RESOURCE, "id"), "urn:uuid:5d0c9a0e-3b7e-4a56-9b59-3d6c0f2f7c12", "ACT-6"),
        ((*RESOURCE, "status"), "active", "ACT-7"),
        ((*RESOURCE, "status"), 7, "ACT-3"),
        ((*RESOURCE, "subject"), {"reference": "Patient/2"}, "another subject"),
        ((*RESOURCE, "note"), [], "JSON-2"),
        (("links", 0, "type"), MISSING, "LINK-1"),
        (("links", 0, "appContext"), "x", "LINK-3"),
        (("links", 0, "url"), "https://cds.example.org/?p=12345", "LINK-6"),
        (("overrideReasons", 0, "display"), MISSING, "OVR"),
        (("extension",), {"assessment": {"a": 1}}, "EXT-2"),
        (("systemActions",), [{"type": "create"}], "unknown members"),
    ],
)
def test_broken_answers_are_caught(path: tuple[Any, ...], value: Any, rule: str) -> None:
    answer = copy.deepcopy(GOLDEN)
    holder = answer["cards"][0]
    for step in path[:-1]:
        holder = holder[step]
    if value is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    with pytest.raises(AssertionError, match=rule):
        check_cards(json.dumps(answer).encode(), REQUEST)


@pytest.mark.parametrize(
    "body", [b'{"cards":[],"systemActions":[]}', b'{"cards":null}', b"[]", b'{"cards":[],"cards":[]}']
)
def test_broken_frames_are_caught(body: bytes) -> None:
    with pytest.raises(AssertionError):
        check_cards(body)


def test_a_medication_needs_its_test() -> None:
    answer = copy.deepcopy(GOLDEN)
    resource = answer["cards"][0]["suggestions"][0]["actions"][0]["resource"]
    resource["resourceType"] = "MedicationRequest"
    resource["medicationCodeableConcept"] = resource.pop("code")
    with pytest.raises(AssertionError, match="P4"):
        check_cards(json.dumps(answer).encode())


def test_broken_discovery_is_caught() -> None:
    with pytest.raises(AssertionError, match="DISC-6"):
        check_discovery(
            b'{"services":[{"hook":"patient-view","id":"a","name":"A","description":"d","version":"2.0.1"}]}'
        )
