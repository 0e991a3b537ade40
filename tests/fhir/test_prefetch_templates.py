"""The templates ask only what CDS Hooks 2.0.1 allows and US Core servers must answer (PREF-2 to PREF-6)."""

from __future__ import annotations

import re

import pytest

from cds_service.fhir.queries import QUERIES, TEMPLATES, Query

TOKEN = re.compile(r"\{\{([^{}]*)\}\}")
# Root-level primitive context fields that every one of our hooks requires; `encounterId` is optional in all of them.
TOKENS = {"context.patientId"}
SEARCH = re.compile(r"[A-Z][A-Za-z]+\?[^?\s]+")
READ = re.compile(r"[A-Z][A-Za-z]+/\{\{context\.patientId\}\}")
# R4 search parameters, of those in the allowed subset: references, tokens, dates
PARAMETERS = {
    "MedicationRequest": {"patient", "intent", "status", "code", "authoredon"},
    "MedicationStatement": {"patient", "status", "code", "effective"},
    "MedicationDispense": {"patient", "status", "code", "type"},
    "Condition": {"patient", "category", "clinical-status", "code", "onset-date", "recorded-date"},
    "Observation": {"patient", "category", "code", "date", "status"},
    "AllergyIntolerance": {"patient", "clinical-status"},
    "Procedure": {"patient", "code", "date", "status"},
    "ServiceRequest": {"patient", "category", "code", "authored", "status"},
}
SORTS = {"Observation": {"-date"}, "Procedure": {"-date"}, "ServiceRequest": {"-authored"}}
# What US Core servers SHALL answer; keys that ask for more must be optional.
US_CORE = {
    "MedicationRequest": {"patient", "intent"},
    "Condition": {"patient"},
    "Observation": {"patient", "category"},
    "AllergyIntolerance": {"patient"},
    "Procedure": {"patient"},
    "ServiceRequest": {"patient"},
    "MedicationDispense": {"patient"},
}


def problems(template: str) -> list[str]:
    """What breaks the rules of prefetch templates."""
    found = [f"PREF-2: token {token}" for token in TOKEN.findall(template) if token not in TOKENS]
    bare = TOKEN.sub("ID", template)
    if "{" in bare or "}" in bare:
        found.append("PREF-2: braces")
    if READ.fullmatch(template):
        return found
    if not SEARCH.fullmatch(bare):
        return [*found, "PREF-4: neither a read nor a type search"]
    resource, _, query = bare.partition("?")
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if not value:
            found.append(f"PREF-4: {name} has no value")
        if name == "_count":
            found += [] if value.isdecimal() else ["PREF-4: _count"]
        elif name == "_sort":
            found += [] if value in SORTS.get(resource, ()) else [f"PREF-5: _sort={value}"]
        elif name not in PARAMETERS.get(resource, ()):
            found.append(f"PREF-4, PREF-5: {resource}?{name}")
    return found


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.key)
def test_template(query: Query) -> None:
    assert re.fullmatch(r"[a-z][a-z-]*", query.key), "PREF-16: a short key"
    assert problems(query.template) == []


@pytest.mark.parametrize(
    "template",
    [
        "Patient/{{Patient.id}}",
        "Patient/{{context.encounterId}}",
        "Encounter?_id={{context.encounterId}}",
        "Observation?patient={{context.patientId}}&date=gt{{today()}}",
        "MedicationRequest?patient={{context.patientId}}&_include=MedicationRequest:medication",
        "MedicationRequest?patient={{context.patientId}}&status:not=completed",
        "Observation?patient={{context.patientId}}&sort:desc=date",
        "Condition?patient={{context.patientId}}&status=active",
        "Condition?patient={{context.patientId}}&_count=many",
        "Condition?subject:Patient.name={{context.patientId}}",
        "Patient/{{context.patientId}}/$everything",
    ],
)
def test_linter_catches(template: str) -> None:
    assert problems(template) != []


@pytest.mark.parametrize("query", [query for query in QUERIES if query.needed != "optional"], ids=lambda q: q.key)
def test_needed_keys_ask_only_what_us_core_servers_must_answer(query: Query) -> None:
    resource, _, parameters = query.template.partition("?")
    names = {part.partition("=")[0] for part in parameters.split("&")} - {"_count", "_sort", ""}
    assert names <= US_CORE.get(resource, set())
    if resource == "MedicationRequest":
        assert "intent" in names, "a search without intent is not guaranteed"


def test_no_query_hides_what_a_gate_needs() -> None:
    assert all("status=" not in template for template in TEMPLATES.values()), "on-hold and still supplied drugs"
    assert "category" not in TEMPLATES["conditions"], "problem list and encounter diagnoses"
    assert "plan" in TEMPLATES["medications"], "patient-reported medicines of US Core"
    assert all("_count=" in template for template in TEMPLATES.values() if "?" in template), "one large page"


def test_no_codes_in_templates() -> None:
    assert all("code=" not in template for template in TEMPLATES.values())
