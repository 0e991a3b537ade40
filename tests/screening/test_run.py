"""A run of the local engine: what it reads, what it tells apart, and that its output is always the same."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

from cds_service.screening.export import NoExport, find_export, what_is_missing
from cds_service.screening.folder import ScreeningFailed
from tests.facts.building import condition, order, patient, result
from tests.screening.generate import FIXTURES, Copies, Json, generate, records, write_export
from tests.screening.running import NOW, fired, rows, run, write

PEOPLE = 60


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    copies = Copies(records(FIXTURES))
    write_export(folder, (line for number in range(PEOPLE) for line in copies.lines_of(number)), files=2)
    return folder


@pytest.fixture(scope="module")
def plain(export: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("plain")
    assert run(export, out).patients == PEOPLE
    return (out / "findings.ndjson").read_bytes()


def about(resource: Json, id_: str = "p") -> Json:
    return resource | {"subject": {"reference": f"Patient/{id_}"}}


def low_potassium(**more: object) -> Json:
    return result("k", value=3.1, at="2026-03-05T08:00:00Z", **more)


def diuretic() -> Json:
    return order("m", authoredOn="2026-02-20")


# -- the same output, whatever the input lies like


def test_rows_are_sorted_and_each_patient_has_one(plain: bytes) -> None:
    ids = [json.loads(line)["patient"] for line in plain.splitlines()]
    assert ids == sorted(set(ids))
    assert len(ids) == PEOPLE


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("block", [3_000, 50_000])
def test_workers_and_blocks_change_nothing(
    workers: int, block: int, export: Path, plain: bytes, tmp_path: Path
) -> None:
    run(export, tmp_path, workers=workers, block=block, partitions=5, budget=20_000)
    assert (tmp_path / "findings.ndjson").read_bytes() == plain


@pytest.mark.parametrize("pack", [".gz", ".zst"])
def test_compression_changes_nothing(pack: str, export: Path, plain: bytes, tmp_path: Path) -> None:
    for path in export.iterdir():
        data = path.read_bytes()
        packed = gzip.compress(data) if pack == ".gz" else zstandard.compress(data)
        (tmp_path / "packed").mkdir(exist_ok=True)
        (tmp_path / "packed" / (path.name + pack)).write_bytes(packed)
    run(tmp_path / "packed", tmp_path / "out", block=20_000)
    assert (tmp_path / "out" / "findings.ndjson").read_bytes() == plain


def test_the_order_of_files_and_lines_changes_nothing(export: Path, plain: bytes, tmp_path: Path) -> None:
    lines = [line for path in sorted(export.iterdir()) for line in path.read_bytes().splitlines()]
    random.Random(4).shuffle(lines)
    for number in range(7):
        write(tmp_path / "mixed" / f"part-{number}.ndjson", *lines[number::7])
    run(tmp_path / "mixed", tmp_path / "out", block=10_000)
    assert (tmp_path / "out" / "findings.ndjson").read_bytes() == plain


def test_parquet_holds_the_same_in_the_same_order(export: Path, plain: bytes, tmp_path: Path) -> None:
    run(export, tmp_path)
    told = [json.loads(line) for line in plain.splitlines()]
    patients = pq.read_table(tmp_path / "patients.parquet").to_pylist()
    findings = pq.read_table(tmp_path / "findings.parquet").to_pylist()
    assert [one["patient"] for one in patients] == [row["patient"] for row in told]
    assert [(one["patient"], one["rule"], one["verdict"]) for one in findings] == [
        (row["patient"], finding["rule"], finding["verdict"]) for row in told for finding in row.get("findings", ())
    ]
    assert sum(one["cards_critical"] + one["cards_warning"] + one["cards_info"] for one in patients) == sum(
        len(row.get("cards", ())) for row in told
    )


# -- what an export may hold


def test_broken_lines_are_named_by_file_and_line_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    lost = '{"resourceType":"Observation","SECRET":1,"subject":{"reference":"Patient/p"},'
    write(tmp_path / "e" / "Observation.ndjson", low_potassium(), lost, "", "SECRET", low_potassium() | {"id": "k2"})
    summary = run(tmp_path / "e", tmp_path / "out", block=100)
    assert [(one.file, one.line, one.patient_known) for one in summary.broken] == [
        ("Observation.ndjson", 2, True),
        ("Observation.ndjson", 4, False),
    ]
    assert b"SECRET" not in (tmp_path / "out" / "run.json").read_bytes()
    gaps = rows(tmp_path / "out")["p"]["gaps"]
    assert "unreadable" in {gap["kind"] for gap in gaps}


def test_a_patient_without_a_patient_resource_is_told_not_dropped(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    write(tmp_path / "e" / "Observation.ndjson", low_potassium(), about(result("k9"), "other"))
    summary = run(tmp_path / "e", tmp_path / "out")
    assert summary.statuses == {"assessed": 1, "no-patient-resource": 1}
    assert rows(tmp_path / "out")["other"]["status"] == "no-patient-resource"


def test_a_patient_with_too_many_resources_is_told_not_assessed(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    write(tmp_path / "e" / "Observation.ndjson", *(result(f"k{at}") for at in range(20)))
    run(tmp_path / "e", tmp_path / "out", most_resources=10)
    assert rows(tmp_path / "out")["p"]["status"] == "too-many-resources"


def test_kinds_that_no_file_holds_are_unknown_and_not_empty(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    write(tmp_path / "e" / "MedicationRequest.ndjson", diuretic())
    run(tmp_path / "e", tmp_path / "out")
    gaps = {(gap["kind"], gap["what"]) for gap in rows(tmp_path / "out")["p"]["gaps"]}
    assert ("not-supplied", "observations") in gaps


def test_a_manifest_tells_what_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    write(
        tmp_path / "e" / "manifest.json",
        {
            "transactionTime": "2026-03-10T00:00:00Z",
            "request": "https://ehr.example.org/fhir/$export?_type=Patient,Observation,Condition",
            "output": [{"type": "Patient", "url": "https://ehr.example.org/files/Patient.ndjson"}],
        },
    )
    assert what_is_missing(find_export(tmp_path / "e"), ["Patient"]).not_supplied == {
        "medications", "procedures", "allergies", "service-requests",
    }  # fmt: skip


def test_errors_of_the_export_are_a_gap_of_every_patient(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}
    write(tmp_path / "e" / "errors.ndjson", outcome, outcome)
    summary = run(tmp_path / "e", tmp_path / "out")
    assert summary.export_errors == 2
    gaps = {(gap["kind"], gap["what"]) for gap in rows(tmp_path / "out")["p"]["gaps"]}
    assert ("fetch-failed", "medications") in gaps


def deletion(*urls: str) -> Json:
    entries = [{"request": {"method": "DELETE", "url": url}} for url in urls]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def test_deleted_resources_and_patients_are_gone(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient(), patient(id="q"))
    write(tmp_path / "e" / "MedicationRequest.ndjson", diuretic())
    write(tmp_path / "e" / "Observation.ndjson", low_potassium())
    run(tmp_path / "e", tmp_path / "before")
    assert "lab-hypokalemia" in fired(rows(tmp_path / "before")["p"])
    write(tmp_path / "e" / "deleted.ndjson", deletion("Observation/k", "Patient/q"))
    run(tmp_path / "e", tmp_path / "after")
    after = rows(tmp_path / "after")
    assert after.keys() == {"p"}
    assert "lab-hypokalemia" not in fired(after["p"])


def test_what_was_written_anew_after_the_deletion_stays(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient())
    write(tmp_path / "e" / "Observation.ndjson", low_potassium(meta={"lastUpdated": "2026-03-09T00:00:00Z"}))
    write(tmp_path / "e" / "old" / "gone.ndjson", deletion("Observation/k"))
    write(
        tmp_path / "e" / "old" / "manifest.json",
        {
            "transactionTime": "2026-03-08T00:00:00Z",
            "output": [],
            "deleted": [{"type": "Bundle", "url": "https://ehr.example.org/1/gone.ndjson"}],
        },
    )
    run(tmp_path / "e", tmp_path / "out")
    assert "lab-hypokalemia" in fired(rows(tmp_path / "out")["p"])


def test_of_several_versions_the_latest_stands_in_whatever_file(tmp_path: Path) -> None:
    old = low_potassium(meta={"lastUpdated": "2026-03-05T09:00:00+02:00"})
    new = result("k", value=4.4, at="2026-03-05T08:00:00Z", meta={"lastUpdated": "2026-03-05T08:30:00Z"})
    for name, lines in (("a", (old, new)), ("b", (new, old))):
        write(tmp_path / name / "Patient.ndjson", patient())
        write(tmp_path / name / "Observation.1.ndjson", lines[0])
        write(tmp_path / name / "Observation.2.ndjson", lines[1])
        run(tmp_path / name, tmp_path / f"out-{name}")
        row = rows(tmp_path / f"out-{name}")["p"]
        assert "lab-hypokalemia" not in fired(row)
        assert "conflict" not in {gap["kind"] for gap in row["gaps"]}


def test_shared_medications_are_found_by_reference(tmp_path: Path) -> None:
    shared = {"resourceType": "Medication", "id": "furo", "code": order("x")["medicationCodeableConcept"]}
    holder = {
        "resourceType": "Medication",
        "id": "kit",
        "ingredient": [{"itemReference": {"reference": "Medication/furo"}}],
    }
    orders = []
    for id_, medication in (("p", "furo"), ("q", "kit"), ("r", "nowhere")):
        made = about(
            diuretic() | {"id": f"m-{id_}", "medicationReference": {"reference": f"Medication/{medication}"}}, id_
        )
        del made["medicationCodeableConcept"]
        orders.append(made)
    write(tmp_path / "e" / "Patient.ndjson", *(patient(id=id_) for id_ in "pqr"))
    write(tmp_path / "e" / "MedicationRequest.ndjson", *orders)
    write(tmp_path / "e" / "Medication.ndjson", shared, holder, shared | {"id": "unused"})
    run(tmp_path / "e", tmp_path / "out", block=150, partitions=3)
    found = rows(tmp_path / "out")
    assert "diuretic-loop" in fired(found["p"])
    assert "diuretic-loop" in fired(found["q"])
    assert "unidentified-medication" in {gap["kind"] for gap in found["r"]["gaps"]}


def test_since_assesses_only_patients_with_changes(tmp_path: Path) -> None:
    late, early = {"lastUpdated": "2026-03-09T12:00:00Z"}, {"lastUpdated": "2026-03-01T12:00:00Z"}
    write(tmp_path / "e" / "Patient.ndjson", *(patient(id=id_, meta=early) for id_ in "pqr"))
    write(
        tmp_path / "e" / "Observation.ndjson",
        about(low_potassium(meta=early), "p") | {"id": "k1"},
        about(low_potassium(meta=late), "q") | {"id": "k2"},
    )
    shared = {"resourceType": "Medication", "id": "furo", "meta": late, "code": order("x")["medicationCodeableConcept"]}
    made = about(diuretic() | {"meta": early, "medicationReference": {"reference": "Medication/furo"}}, "r")
    del made["medicationCodeableConcept"]
    write(tmp_path / "e" / "MedicationRequest.ndjson", made)
    write(tmp_path / "e" / "Medication.ndjson", shared)
    summary = run(tmp_path / "e", tmp_path / "out", since=datetime(2026, 3, 9, tzinfo=UTC))
    found = rows(tmp_path / "out")
    assert found.keys() == {"q", "r"}
    assert summary.left_out == 1
    assert "lab-hypokalemia" in fired(found["q"]), "a changed patient is assessed with all there is"


def test_codes_and_units_that_no_value_set_knows_are_counted_without_text(tmp_path: Path) -> None:
    write(tmp_path / "e" / "Patient.ndjson", patient(), patient(id="q"))
    local = condition("c", "SECRET name of somebody", system="urn:local")
    write(
        tmp_path / "e" / "Observation.ndjson",
        result("a", "99999-9"),
        about(result("b", "99999-9"), "q"),
        result("c", unit="dram/pint", at="2026-03-01"),
    )
    write(tmp_path / "e" / "Condition.ndjson", local, condition("d"))
    summary = run(tmp_path / "e", tmp_path / "out")
    told = {(where, code): (patients, resources) for where, _, code, patients, resources in summary.unmapped}
    assert told["Observation", "99999-9"] == (2, 2)
    assert told["unit of potassium", "dram/pint"] == (1, 1)
    assert told["Condition", "(not shaped as a code)"] == (1, 1)
    assert b"SECRET" not in (tmp_path / "out" / "run.json").read_bytes()


# -- a folder is one run


def test_a_finished_run_is_not_done_again(export: Path, tmp_path: Path) -> None:
    first = run(export, tmp_path)
    before = (tmp_path / "findings.ndjson").stat().st_mtime_ns
    assert run(export, tmp_path) == first
    assert (tmp_path / "findings.ndjson").stat().st_mtime_ns == before
    assert not (tmp_path / "work").exists(), "no line of a record stays behind"


def test_another_day_or_a_changed_export_is_refused_or_restarted(export: Path, tmp_path: Path) -> None:
    shutil.copytree(export, tmp_path / "e")
    run(tmp_path / "e", tmp_path / "out")
    with pytest.raises(ScreeningFailed, match="now"):
        run(tmp_path / "e", tmp_path / "out", now=NOW.replace(day=11))
    with (tmp_path / "e" / "Patient.000.ndjson").open("ab") as file:
        file.write(json.dumps(patient(id="zzz")).encode() + b"\n")
    with pytest.raises(ScreeningFailed, match="export"):
        run(tmp_path / "e", tmp_path / "out")
    assert run(tmp_path / "e", tmp_path / "out", restart=True).patients == PEOPLE + 1


def test_a_folder_without_an_export_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NoExport):
        find_export(tmp_path)


def test_a_file_cut_short_is_told_and_the_rest_goes_on(export: Path, tmp_path: Path) -> None:
    (tmp_path / "e").mkdir()
    for path in export.iterdir():
        (tmp_path / "e" / (path.name + ".gz")).write_bytes(gzip.compress(path.read_bytes()))
    cut = tmp_path / "e" / "Observation.000.ndjson.gz"
    cut.write_bytes(cut.read_bytes()[:-200])
    summary = run(tmp_path / "e", tmp_path / "out")
    assert summary.unreadable_files == ("Observation.000.ndjson.gz: is damaged or cut short",)
    assert summary.patients == PEOPLE


def test_generated_exports_are_what_they_say(tmp_path: Path) -> None:
    size = generate(tmp_path, 30)
    assert size == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert find_export(tmp_path).outputs
