"""Spark in local mode, for real: the same bytes as the local engine, and nothing of a patient on the driver."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.facts.building import order, patient, result
from tests.screening.generate import FIXTURES, ROOT, Copies, Json, records, write_export
from tests.screening.running import run, write

pytestmark = pytest.mark.heavy
pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
PEOPLE = 150
OUTPUTS = ("findings.ndjson", "patients.parquet", "findings.parquet")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything at once: many files, packed ones, shared Medications, deletions, versions, broken lines, and one
    patient with far more than the others."""
    folder = tmp_path_factory.mktemp("export")
    copies = Copies(records(FIXTURES))
    write_export(folder / "a", (line for at in range(PEOPLE // 2) for line in copies.lines_of(at)), files=3)
    later = (line for at in range(PEOPLE // 2, PEOPLE) for line in copies.lines_of(at))
    write_export(folder / "b", later, pack=".gz")
    write(
        folder / "c" / "Patient.ndjson", patient(id="skewed"), patient(id="med"), patient(id="kit"), patient(id="gone")
    )
    many = [result(f"s{at}", at=f"2026-{at % 2 + 1:02}-{at % 28 + 1:02}") for at in range(3_000)]
    random.Random(3).shuffle(many)
    write(folder / "c" / "Observation.1.ndjson", *(about(one, "skewed") for one in many))
    old, new = (
        about(result("k", value=value, at="2026-03-01", meta={"lastUpdated": at}), "med")
        for value, at in ((3.0, "2026-03-01T00:00:00Z"), (4.4, "2026-03-02T00:00:00Z"))
    )
    write(
        folder / "c" / "Observation.2.ndjson",
        new,
        '{"resourceType":"Observation","subject":{"reference":"Patient/med"},',
    )
    write(folder / "c" / "Observation.3.ndjson", old, "nothing")
    code = order("x")["medicationCodeableConcept"]
    holder = {
        "resourceType": "Medication",
        "id": "kit",
        "ingredient": [{"itemReference": {"reference": "Medication/m1"}}],
    }
    write(folder / "d" / "Medication.ndjson", {"resourceType": "Medication", "id": "m1", "code": code}, holder)
    requests = []
    for id_, named in (("med", "m1"), ("kit", "kit")):
        made = about(order(f"r-{id_}", authoredOn="2026-02-20"), id_)
        del made["medicationCodeableConcept"]
        requests.append(made | {"medicationReference": {"reference": f"Medication/{named}"}})
    write(folder / "d" / "MedicationRequest.ndjson", *requests)
    entries = [{"request": {"method": "DELETE", "url": "Patient/gone"}}]
    write(folder / "d" / "deleted.ndjson", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return folder


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    from cds_service.screening.spark import connect

    made = connect("local[2]")
    yield made
    made.stop()


def about(resource: Json, id_: str) -> Json:
    return resource | {"subject": {"reference": f"Patient/{id_}"}}


def run_on_spark(session: Any, export: Path, out: Path, **options: Any) -> Any:
    from cds_service.screening.spark import screen_on_spark

    def engine(folder: Path, out: Path, found: Any, plan: Any, frame: Any, cut: Any, watcher: Any) -> Any:
        return screen_on_spark(session, folder, out, found, plan, ROOT / "rules", False, watcher)

    return run(export, out, engine=engine, **options)


def same(one: Path, other: Path) -> None:
    assert (one / "findings.ndjson").read_bytes() == (other / "findings.ndjson").read_bytes()
    for name in OUTPUTS[1:]:
        assert pq.read_table(one / name).to_pylist() == pq.read_table(other / name).to_pylist()


@pytest.mark.parametrize("block", [400_000, 16_000_000])
def test_the_same_bytes_as_the_local_engine(block: int, session: Any, export: Path, tmp_path: Path) -> None:
    local = run(export, tmp_path / "local", block=block)
    spark = run_on_spark(session, export, tmp_path / "spark", block=block)
    assert spark.patients == local.patients == PEOPLE + 3
    same(tmp_path / "local", tmp_path / "spark")
    assert not (tmp_path / "spark" / "work").exists()
    for name in ("types", "broken", "unmapped", "statuses", "left_out", "lines", "resources", "not_supplied"):
        assert getattr(spark, name) == getattr(local, name), name


def test_since_gives_the_same_bytes_too(session: Any, export: Path, tmp_path: Path) -> None:
    since = datetime(2026, 3, 2, tzinfo=UTC)
    for path in export.rglob("*.ndjson*"):
        path.touch()
    run(export, tmp_path / "local", since=since)
    run_on_spark(session, export, tmp_path / "spark", since=since)
    same(tmp_path / "local", tmp_path / "spark")


def test_a_run_that_stopped_goes_on_with_the_parts_that_are_done(session: Any, export: Path, tmp_path: Path) -> None:
    run(export, tmp_path / "local", partitions=6)
    with pytest.raises(OSError, match="stopped"):
        run_on_spark(session, export, tmp_path / "spark", partitions=6, watcher=Stopping())
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "spark" / "work" / "parts").iterdir()}
    assert len([name for name in done if name.endswith(".json")]) == 6
    run_on_spark(session, export, tmp_path / "spark", partitions=6)
    same(tmp_path / "local", tmp_path / "spark")


class Stopping:
    """A watcher that ends the run before it writes."""

    def phase(self, name: str, total: float, unit: str) -> None:
        if name == "Writing":
            raise OSError("stopped")

    def advance(self, by: float) -> None:
        pass


def test_the_driver_sees_counts_only(
    session: Any, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes back to the driver is looked at: no line and no id of a patient is in it."""
    from pyspark import RDD

    seen: list[bytes] = []
    collect = RDD.collect

    def watched(self: Any) -> Any:
        found = collect(self)
        seen.append(repr(found).encode())
        return found

    monkeypatch.setattr(RDD, "collect", watched)
    run_on_spark(session, export, tmp_path / "spark")
    assert len(seen) >= 2
    ids = {json.loads(line)["patient"] for line in (tmp_path / "spark" / "findings.ndjson").read_bytes().splitlines()}
    told = b"".join(seen).decode()
    assert not [id_ for id_ in ids if f"Patient/{id_}" in told or f"'{id_}'" in told]
    assert "resourceType" not in told


def test_the_command_line_runs_it(export: Path, tmp_path: Path) -> None:
    run(export, tmp_path / "local")
    command = [sys.executable, "-m", "cds_service.screening.job", "screen", str(export)]
    command += ["--out", str(tmp_path / "spark")]
    command += ["--engine", "spark", "--master", "local[2]", "--today", "2026-03-10"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert told.returncode == 1, told.stderr  # two lines are broken
    assert "Observation.3.ndjson:2" in told.stderr
    same(tmp_path / "local", tmp_path / "spark")
