"""What an access token may read, in either version of SMART scopes."""

from __future__ import annotations

import pytest

from cds_service.fhir.scopes import read_scopes

LAB, VITALS = "laboratory", "vital-signs"


@pytest.mark.parametrize(
    ("scope", "type_name", "interaction", "category", "cover"),
    [
        ("patient/*.read", "Observation", "s", LAB, "all"),
        ("user/*.*", "Patient", "r", "", "all"),
        ("system/Observation.rs", "Observation", "s", LAB, "all"),
        ("patient/Observation.cruds", "Observation", "s", LAB, "all"),
        ("patient/Observation.read", "Condition", "s", "", "none"),
        ("patient/Observation.write", "Observation", "s", LAB, "none"),
        ("patient/Observation.cud", "Observation", "s", LAB, "none"),
        ("patient/Observation.r", "Observation", "s", LAB, "none"),
        ("patient/Patient.r patient/Observation.s", "Patient", "r", "", "all"),
        ("patient/Observation.rs?category=laboratory", "Observation", "s", LAB, "all"),
        ("patient/Observation.rs?category=http://x.example/c|laboratory", "Observation", "s", LAB, "all"),
        ("patient/Observation.rs?category=laboratory", "Observation", "s", VITALS, "none"),
        (
            "user/*.s?category=laboratory user/*.s?category=vital-signs",
            "Observation",
            "s",
            VITALS,
            "all",
        ),
        ("patient/Condition.rs?category=problem-list-item", "Condition", "s", "", "part"),
        ("patient/Observation.rs?category=laboratory&status=final", "Observation", "s", LAB, "part"),
        # nothing that is about data, or words that only this EHR understands: the server decides
        ("", "Condition", "s", "", "all"),
        ("openid fhirUser launch/patient", "Condition", "s", "", "all"),
        ("epic.something.read", "Condition", "s", "", "all"),
        ("patient/Observation.read epic.something", "Condition", "s", "", "all"),
        ("patient/Observation.", "Condition", "s", "", "all"),
        ("openid patient/Observation.read launch", "Condition", "s", "", "none"),
    ],
)
def test_cover(scope: str, type_name: str, interaction: str, category: str, cover: str) -> None:
    assert read_scopes(scope).cover(type_name, interaction, category) == cover  # type: ignore[arg-type]


def test_patient_scopes_of_another_patient_cover_nothing() -> None:
    assert read_scopes("patient/*.rs", of_another=True).cover("Patient", "r") == "none"
    assert read_scopes("patient/*.rs user/Condition.rs", of_another=True).cover("Condition", "s") == "all"
