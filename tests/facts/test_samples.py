"""Published records: nothing raises, and what each is known for is found."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path

import msgspec
import pytest

from cds_service.facts.decode import build_facts
from cds_service.facts.gathered import Gathered, gathered_from_bundle, gathered_from_request
from cds_service.facts.model import Facts
from cds_service.facts.reading import HookRequest, MalformedRequest, decode_document, decode_resource
from cds_service.settings import Settings
from tests.facts.building import NOW, SAMPLES, bundle, order, patient, result, terminology

FILES = sorted(path for path in SAMPLES.rglob("*.*") if path.suffix in {".json", ".xml", ".ndjson"})
REFUSED = {"patient-view-not-valid-json.json", "observation-with-trailing-dot.json", "dstu2-patient.xml"}
needs_samples = pytest.mark.skipif(not FILES, reason=f"the published samples are not there ({SAMPLES})")


def gathered(body: bytes) -> Gathered:
    document = decode_document(body)
    if isinstance(document, HookRequest):
        return gathered_from_request(document, (document.prefetch or {}).values())
    return gathered_from_bundle([document])


def facts(body: bytes) -> Facts:
    return build_facts(gathered(body), terminology(), Settings(), NOW)


def sample(name: str) -> Facts:
    return facts((SAMPLES / name).read_bytes())


@needs_samples
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_answer_or_a_clear_error(path: Path) -> None:
    if path.suffix == ".ndjson":
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
        assert all(not isinstance(decode_resource(line), type(None)) for line in lines)
        build_facts(gathered_from_bundle(map(decode_resource, lines)), terminology(), Settings(), NOW)
    elif path.name in REFUSED:
        with pytest.raises(MalformedRequest):
            facts(path.read_bytes())
    else:
        assert facts(path.read_bytes()).now == NOW


@needs_samples
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("synthea/thiazide.json", "hydrochlorothiazide"),
        ("synthea/loop-diuretic-heart-failure.json", "furosemide"),
        ("synthea/laba-inhaler-copd.json", "salmeterol"),
        ("synthea/combination-tablet.json", "hydrochlorothiazide"),
        ("synthea/hypothyroid.json", "levothyroxine"),
        ("hooks/order-sign-stu3-search-bundles.json", "ciclosporin"),
    ],
)
def test_drugs_of_the_samples(name: str, expected: str) -> None:
    found = {ingredient.id for one in sample(name).medications for ingredient in one.ingredients}
    assert expected in found


@needs_samples
def test_people_of_the_samples() -> None:
    assert sample("synthea/deceased.json").patient.deceased
    assert any("pregnancy" in one.sets for one in sample("synthea/pregnant.json").conditions)
    assert sample("weird/Bundle-medication-not-requested.json").medications == ()


@needs_samples
def test_every_unit_of_the_samples_is_understood_but_one() -> None:
    """mL/min without the body surface is another quantity (rules/units/egfr.yaml)."""
    found = {
        (analyte, one.problem)
        for path in FILES
        if path.parent.name == "synthea"
        for analyte, results in facts(path.read_bytes()).results.items()
        for one in results
        if one.problem in {"unknown-unit", "no-unit", "unit-contradicts-code"}
    }
    assert found <= {("egfr", "unknown-unit")}


def test_facts_are_free_of_text_of_the_record() -> None:
    marked = result("k", note=[{"text": "SECRET"}], valueQuantity={"value": 4.2, "unit": "SECRET"})
    named = order("m", None, medicationCodeableConcept={"text": "furosemide SECRET"})
    made = facts(bundle(patient(name=[{"family": "SECRET"}]), marked, named))
    assert b"SECRET" not in msgspec.json.encode(made)
    assert json.loads(msgspec.json.encode(made))["medications"]


def test_nothing_holds_on_to_a_request() -> None:
    """No circle of objects keeps a request alive until the collector comes."""
    from cds_service.facts.decode import _Build

    body = bundle(patient(), result("k"), order("m"))
    gc.collect()
    gc.disable()
    try:
        build = _Build(gathered(body), terminology(), Settings().zone, NOW)
        watched = weakref.ref(build)
        build.facts()
        del build
        assert watched() is None
    finally:
        gc.enable()
