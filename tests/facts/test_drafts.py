"""Draft orders: whose they are, which of them a hook is about, and which a delete action may name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cds_service.facts.decode import build_facts
from cds_service.facts.model import Medication
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import gather
from cds_service.ruleset import load_ruleset
from cds_service.settings import Settings

RULESET = load_ruleset()
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def draft(id_: str | None = "kcl1", subject: str | None = "Patient/1") -> dict[str, Any]:
    order: dict[str, Any] = {"resourceType": "MedicationRequest", "status": "draft", "intent": "order"}
    if id_ is not None:
        order["id"] = id_
    if subject is not None:
        order["subject"] = {"reference": subject}
    return order | {"medicationCodeableConcept": {"coding": [{"system": RXNORM, "code": "8591"}]}}


def drafts_of(*orders: dict[str, Any], selections: list[str] | None = None) -> tuple[list[Medication], set[str]]:
    context: dict[str, Any] = {"userId": "Practitioner/1", "patientId": "1"}
    context["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": order} for order in orders]}
    if selections is not None:
        context["selections"] = selections
    hook = "order-sign" if selections is None else "order-select"
    patient = {"resourceType": "Patient", "id": "1", "birthDate": "1960-01-01"}
    body = {"hook": hook, "hookInstance": "x", "context": context, "prefetch": {"patient": patient}}
    gathered = gather(decode_request(json.dumps(body).encode()))
    facts = build_facts(gathered, RULESET.terminology, Settings(), datetime(2026, 6, 15, tzinfo=UTC))
    return [m for m in facts.medications if m.draft], {gap.kind for gap in facts.gaps}


@pytest.mark.parametrize("subject", ["Patient/1", None, "urn:uuid:1", "#pat", "Patient?identifier=1", "patient/1"])
def test_only_a_reference_that_names_another_patient_excludes_a_draft(subject: str | None) -> None:
    assert len(drafts_of(draft(subject=subject))[0]) == 1


def test_a_draft_of_another_patient_is_ignored_and_told() -> None:
    drafts, gaps = drafts_of(draft(subject="Patient/2"))
    assert not drafts
    assert "wrong-patient" in gaps


def test_selections_choose_what_the_hook_is_about() -> None:
    drafts, gaps = drafts_of(draft("a"), draft("b"), selections=["MedicationRequest/b"])
    assert [one.reference for one in drafts if one.selected] == ["MedicationRequest/b"]
    assert "not-understood" not in gaps


def test_a_bare_id_selects_as_well() -> None:
    drafts, _ = drafts_of(draft("a"), draft("b"), selections=["b"])
    assert [one.reference for one in drafts if one.selected] == ["MedicationRequest/b"]


def test_selections_that_name_no_draft_select_them_all_and_say_so() -> None:
    drafts, gaps = drafts_of(draft("a"), draft("b"), selections=["MedicationRequest/zzz"])
    assert all(one.selected for one in drafts)
    assert "not-understood" in gaps


@pytest.mark.parametrize("selections", [[], ["NutritionOrder/1"], ["ServiceRequest/1", "MedicationRequest/zzz"]])
def test_nothing_or_another_kind_of_order_selected_selects_no_medication(selections: list[str]) -> None:
    assert not [one for one in drafts_of(draft("a"), selections=selections)[0] if one.selected]


@pytest.mark.parametrize(
    ("id_", "nameable"),
    [
        ("kcl1", True),
        ("A-1.b", True),
        ("x" * 194, True),
        (None, False),
        ("x/../y", False),
        ("<b>", False),
        ("a b", False),
    ],
)
def test_a_delete_action_names_only_ids_that_fhir_allows(id_: str | None, nameable: bool) -> None:
    (one,) = drafts_of(draft(id_))[0]
    assert one.has_id is nameable
