"""The value sets under rules/value-sets: valid, consistent, without forbidden or damaged codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from fhir.resources.R4B.valueset import ValueSet

from tests.rules.value_set_files import (
    ATC,
    BASE,
    DMD,
    FILES,
    FOLDER,
    ICD10,
    ICD10CM,
    LOINC,
    NDC,
    RXNORM,
    SNOMED,
    concepts,
    expansion,
    includes,
    ingredients,
    load,
    loinc_check,
    members,
    prefixes,
    read,
    snomed_check,
    terminology,
)


def test_check_digits_of_known_codes() -> None:
    assert snomed_check("449918009")
    assert not snomed_check("449918008")
    assert loinc_check("2823-3")
    assert not loinc_check("2823-4")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_file_is_a_valid_value_set(path: Path) -> None:
    resource = read(path)
    ValueSet.model_validate(resource)
    assert resource["id"] == path.stem
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", resource["id"])
    assert resource["url"] == f"{BASE}/ValueSet/{path.stem}"
    assert resource["title"]
    assert resource["description"]
    codes = concepts(resource)
    assert len(codes) == len(set(codes)), "a code is listed twice"
    headers = prefixes(resource)
    assert len(headers) == len(set(headers))
    assert not set(codes) & set(headers)
    if codes or headers:
        assert resource["copyright"]
    for system, code in headers:
        assert system in (ICD10CM, ICD10, ATC)
        pattern = r"[A-Z]\d\d([A-Z]{1,2}(\d\d)?)?" if system == ATC else r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?"
        assert re.fullmatch(pattern, code), code
    for system, code in codes:
        assert code
        assert code == code.strip()
        if system in (SNOMED, DMD):
            assert snomed_check(code), code
        elif system == LOINC and not code.startswith("LA"):
            assert loinc_check(code), code
        elif system == RXNORM:
            assert code.isdigit()
        elif system == NDC:
            assert re.fullmatch(r"\d{9}", code)
        elif system == ICD10CM:
            assert re.fullmatch(r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{1,4})?", code), code


def test_snomed_codes_stand_apart() -> None:
    for path in FILES:
        systems = {system for system, _ in concepts(read(path)) + prefixes(read(path))}
        if path.parent.name == "snomed-ct":
            assert systems == {SNOMED}, path
            (extension,) = read(path)["extension"]
            assert extension["url"] == f"{BASE}/StructureDefinition/extends-value-set"
            load(extension["valueCanonical"].rsplit("/", 1)[1])
        else:
            assert SNOMED not in systems, path


def test_ids_are_unique_and_members_exist() -> None:
    ids = [path.stem for path in FILES]
    assert len(ids) == len(set(ids))
    for path in FILES:
        for member in members(read(path)):
            assert member in ids, f"{path.stem} names {member}"
        assert path.stem not in ingredients(path.stem) if members(read(path)) else True


@pytest.mark.parametrize(
    ("set_id", "system", "code"),
    [
        ("furosemide", RXNORM, "315971"),
        ("furosemide", RXNORM, "4603"),
        ("hydrochlorothiazide", RXNORM, "316049"),
        ("hydrochlorothiazide", RXNORM, "999967"),
        ("olmesartan", RXNORM, "999967"),
        ("salmeterol", RXNORM, "896209"),
        ("loop-diuretic", RXNORM, "315971"),
        ("k-wasting", RXNORM, "999967"),
        ("raasi", RXNORM, "999967"),
        ("laba", RXNORM, "896209"),
        ("quinine", RXNORM, "9071"),
        ("vka", RXNORM, "11289"),
        ("potassium-product", RXNORM, "8591"),
        ("furosemide", ATC, "C03CA01"),
        ("indapamide", ATC, "C09BA04"),
        ("hydrochlorothiazide", ATC, "C09DX01"),
        ("leg-cramp-symptom", SNOMED, "449918009"),
        ("leg-cramp-symptom", ICD10CM, "G47.62"),
        ("potassium-accepted", LOINC, "2823-3"),
        ("smoking-status-value-positive", SNOMED, "449868002"),
        ("pregnancy-status-value-positive", LOINC, "LA15173-0"),
        ("dialysis-procedure", SNOMED, "265764009"),
    ],
)
def test_known_code_lands(set_id: str, system: str, code: str) -> None:
    assert (system, code) in expansion(set_id)


@pytest.mark.parametrize(
    ("set_id", "system", "code"),
    [
        ("egfr-accepted", LOINC, "48643-1"),
        ("egfr-accepted", LOINC, "88293-6"),
        ("vitamin-d-25oh-accepted", LOINC, "49054-0"),
        ("potassium-accepted", LOINC, "2828-2"),
        ("potassium-accepted", LOINC, "2829-0"),
        ("potassium-accepted", LOINC, "2824-1"),
        ("potassium-accepted", LOINC, "29349-8"),
        ("calcium-ionized-accepted", LOINC, "13959-2"),
        ("quinine", RXNORM, "9068"),
        ("quinine", RXNORM, "2393"),
        ("furosemide", RXNORM, "38413"),
        ("torsemide", RXNORM, "4603"),
        ("chlorothiazide", RXNORM, "5487"),
        ("leg-cramp-symptom", SNOMED, "84757009"),
        ("cai", ATC, "S01EC03"),
        ("long-qt", ICD10CM, "R94.31"),
        ("alcohol-r52", ICD10CM, "F10.21"),
        ("k-wasting", RXNORM, "38404"),
        ("nsaid", RXNORM, "1191"),
    ],
)
def test_forbidden_code_is_absent(set_id: str, system: str, code: str) -> None:
    assert (system, code) not in expansion(set_id)


def test_mra_and_enac_are_apart() -> None:
    assert not ingredients("mra") & ingredients("enac")
    assert ingredients("k-sparing") >= ingredients("mra") | ingredients("enac") | {"mra", "enac"}


def test_weak_members_are_never_potassium_wasting() -> None:
    assert not {"topiramate", "zonisamide"} & ingredients("k-wasting")


# Codes of problem lists that hold SNOMED CT and nothing else (hostile review, F09, F13).
SNOMED_ONLY = {
    "adrenal-insufficiency": "363732003 386584007 373662000 237785004 766986002",
    "hypoaldosteronism": "236464008 60086000",
    "type-4-rta": "236463002",
    "tumor-lysis": "277605001",
    "periodic-paralysis": "82732003 30967002 304737009",
    "rhabdomyolysis": "240131006 89010004 23697004",
    "tetany": "10629009 190869004",
    "bowel-obstruction": "81060008 55525008 710572000 281255004 235833007",
    "malnutrition": "190606006 238108007",
    "anorexia-nervosa": "56882008",
    "gi-fluid-loss": "62315008 25374005 422400008 34095006 16932000 409966000",
    "muscle-weakness": "26544005 13791008",
    "av-block-2-3": "27885002 195042002 28189009 54016002",
    "pacemaker": "441509002",
    "myasthenia-gravis": "91637004",
    "gastroparesis": "235675006",
    "esophageal-stricture-achalasia": "45564002 63305008",
    "swallowing-disorder": "40739000",
    "crohn-disease": "34000006",
    "gi-ulcer-or-bleed": "13200003 397825006 51868009 74474003 2901004 8765009",
    "sarcoidosis": "31541009",
    "granulomatous-disease": "31541009 56717001",
    "primary-hyperparathyroidism": "36348003",
    "hypercalcemia": "66931009",
    "kidney-stones": "95570007 95566004",
    "renal-block-condition": "431857002 433146000 46177005",
    "aki-renal-block": "14669001",
    "dialysis-r36": "46177005",
    "cirrhosis-r37": "19943007",
    "pregnancy-fact": "77386006",
    "dvt-r41": "128053003 404223003",
    "acute-limb-ischemia": "233962007",
    "cauda-equina": "192970008",
    "ischemic-heart-disease": "53741008 22298006 194828000",
    "ventricular-arrhythmia": "25569003 71908006",
    "cardiac-risk-condition": "49436004 42343007 53741008",
    "malaria": "61462000",
    "g6pd-deficiency": "62403005",
    "optic-neuritis": "66760008",
    "tinnitus": "60862001",
    "neuropathy-r44": "302226006",
    "hemorrhoids-r48": "70153002",
    "restless-legs": "32914008",
    "venous-disease-r38": "72866009",
    "stroke": "230690007",
    "seizure": "84757009",
}


@pytest.mark.parametrize(
    ("set_id", "code"), [(set_id, code) for set_id, codes in SNOMED_ONLY.items() for code in codes.split()]
)
def test_a_condition_is_known_by_snomed_alone(set_id: str, code: str) -> None:
    assert set_id in terminology().sets(SNOMED, code)


@pytest.mark.parametrize(
    ("set_id", "system", "code"),
    [
        ("renal-block-condition", ICD10CM, "I12.0"),
        ("renal-block-condition", ICD10CM, "I13.11"),
        ("renal-block-condition", ICD10CM, "I13.2"),
        ("renal-block-condition", ICD10CM, "N19"),
        ("renal-block-condition", ICD10, "I13.1"),
        ("rhabdomyolysis", ICD10CM, "T79.6XXA"),
        ("rhabdomyolysis", ICD10, "T79.6"),
        ("bowel-obstruction", ICD10CM, "K91.32"),
        ("av-block-2-3", ICD10CM, "I44.30"),
        ("gi-ulcer-or-bleed", ICD10CM, "K29.01"),
    ],
)
def test_icd_codes_of_the_same_state_close_too(set_id: str, system: str, code: str) -> None:
    assert set_id in terminology().sets(system, code)


@pytest.mark.parametrize(
    ("set_id", "code"),
    [("renal-block-condition", "I12.9"), ("renal-block-condition", "I13.0"), ("renal-block-condition", "I13.10")],
)
def test_icd_codes_of_a_lesser_state_do_not(set_id: str, code: str) -> None:
    assert set_id not in terminology().sets(ICD10CM, code)


def test_exact_observation_lists() -> None:
    assert {code for _, code in expansion("creatinine-accepted")} == {"2160-0", "14682-9"}
    assert {code for _, code in expansion("albumin-accepted")} == {"1751-7", "61151-7", "61152-5", "54347-0"}


def test_no_host_or_machine_path_in_any_file() -> None:
    for path in [*FILES, FOLDER / "ingredient-names.json", FOLDER / "routes.yaml", FOLDER / "NOTICE.md"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/tmp/|/home/|file://|localhost", text), path


def test_routes_are_complete() -> None:
    routes = yaml.safe_load((FOLDER / "routes.yaml").read_text(encoding="utf-8"))
    known = set(routes["words"]) | {"enteral"}
    assert set(routes["systemic"]) <= known
    for codes in routes["codes"].values():
        assert set(codes.values()) <= known
    for code in routes["codes"][SNOMED]:
        assert snomed_check(str(code)), code
    for name, entry in routes["local_routes_that_count"].items():
        load(name)
        assert set(entry["routes"]) <= known
        assert entry["source"]
    used = {
        one["valueCode"]
        for path in FILES
        for item in includes(read(path))
        for one in item.get("extension", [])
        if one["url"].endswith("/route")
    }
    assert used <= known | {"any", "unspecified"}


def test_whole_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 12_000_000
