"""Bulk Data exports of any size, made by multiplying records: published ones when they are beside the checkout, else
the invented ones of fixtures/. What is made is never committed.

    python -m tests.screening.generate FOLDER --patients 10000 [--gzip|--zstd] [--files 4]
"""

from __future__ import annotations

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "samples" / "synthea"
FIXTURES = ROOT / "fixtures" / "patients"
_MOST = {"Observation": 30, "Condition": 12, "MedicationRequest": 12}
"""So many of a type are taken for each copy: with the published records 10,000 patients are about 500 MB."""
_PATIENT, _ID = b"@patient@", b"@id@"

Json = dict[str, Any]


def records(folder: Path | None = None) -> list[list[Json]]:
    """The resources of each patient, one list a patient."""
    source = folder or (SAMPLES if SAMPLES.is_dir() else FIXTURES)
    found = []
    for path in sorted(source.glob("*.json")):
        resources = [entry["resource"] for entry in json.loads(path.read_bytes()).get("entry", ())]
        if any(one["resourceType"] == "Patient" for one in resources):
            found.append(resources)
    return found


def histories() -> list[list[Json]]:
    """Conditions and orders of the published Bulk Data export, one list a patient; none where it is not there."""
    found: defaultdict[str, list[Json]] = defaultdict(list)
    for path in sorted((SAMPLES.parent / "bulk").glob("*.0*.ndjson")):
        for one in map(json.loads, path.read_bytes().splitlines()):
            subject = subject_of(one)
            if subject is not None and one["resourceType"] in ("Condition", "MedicationRequest"):
                found[subject["reference"]].append(one)
    return list(found.values())


def subject_of(resource: Json) -> Json | None:
    found: Json | None = resource.get("subject") or resource.get("patient")
    return found


def as_export(resources: list[Json], patient_id: str, prefix: str = "") -> Iterator[Json]:
    """A bundle's resources as an export holds them: references by type and id."""
    for at, one in enumerate(resources):
        copy = dict(one)
        if copy["resourceType"] == "Patient":
            copy["id"] = patient_id
        else:
            copy["id"] = f"{prefix}{copy.get('id') or at}"
            for name in ("subject", "patient"):
                if name in copy:
                    copy[name] = {"reference": f"Patient/{patient_id}"}
        yield copy


class Copies:
    """Many patients of few: each copy takes its own pick of a record's resources."""

    def __init__(self, people: list[list[Json]], seed: int = 0, histories: list[list[Json]] | None = None) -> None:
        """`histories` are lists of resources of which each copy gets one besides its own."""
        self._random = random.Random(seed)
        self._people = [self._templates(person) for person in people]
        self._histories = [self._templates(person) for person in histories or []]

    def _templates(self, person: list[Json]) -> dict[str, list[bytes]]:
        by_type: defaultdict[str, list[bytes]] = defaultdict(list)
        for one in as_export(person, _PATIENT.decode(), ""):
            if one["resourceType"] != "Patient":
                one["id"] = _ID.decode()
            by_type[one["resourceType"]].append(json.dumps(one, separators=(",", ":"), ensure_ascii=False).encode())
        return by_type

    def lines_of(self, number: int) -> Iterator[tuple[str, bytes]]:
        """Type and line of each resource of one copy."""
        person = self._random.choice(self._people)
        history = self._random.choice(self._histories) if self._histories else {}
        patient = b"p%07d" % number
        at = 0
        for kind, own in person.items():
            templates = own + history.get(kind, [])
            most = _MOST.get(kind, len(templates))
            for template in self._random.sample(templates, min(most, len(templates))):
                at += 1
                yield kind, template.replace(_PATIENT, patient).replace(_ID, b"%b-%d" % (patient, at))


def write_export(
    folder: Path, lines: Iterator[tuple[str, bytes]], files: int = 1, pack: str = "", shuffle: int | None = None
) -> int:
    """Writes lines by type, each type over `files` files in turns. Returns the bytes before packing."""
    folder.mkdir(parents=True, exist_ok=True)
    opened: dict[str, Any] = {}
    written = 0
    counts: defaultdict[str, int] = defaultdict(int)
    if shuffle is not None:
        every = list(lines)
        random.Random(shuffle).shuffle(every)
        lines = iter(every)
    for kind, line in lines:
        name = f"{kind}.{counts[kind] % files:03}.ndjson{pack}"
        counts[kind] += 1
        if name not in opened:
            opened[name] = _open(folder / name, pack)
        opened[name].write(line + b"\n")
        written += len(line) + 1
    for file in opened.values():
        file.close()
    return written


def _open(path: Path, pack: str) -> Any:
    if pack == ".gz":
        return gzip.open(path, "wb", compresslevel=1)
    if pack == ".zst":
        import zstandard

        return zstandard.ZstdCompressor(level=1).stream_writer(path.open("wb"), closefd=True)
    return path.open("wb")


def generate(folder: Path, patients: int, files: int = 2, pack: str = "", seed: int = 0) -> int:
    """An export of so many patients. Returns its bytes before packing."""
    copies = Copies(records(), seed, histories())
    lines = (line for number in range(patients) for line in copies.lines_of(number))
    return write_export(folder, lines, files, pack)


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--patients", default=1_000)
@click.option("--files", default=2, help="Files of each type.")
@click.option("--gzip", "pack", flag_value=".gz")
@click.option("--zstd", "pack", flag_value=".zst")
def main(folder: Path, patients: int, files: int, pack: str | None) -> None:
    size = generate(folder, patients, files, pack or "")
    click.echo(f"{patients:,} patients, {size / 1e6:,.1f} MB")


if __name__ == "__main__":
    main(prog_name="python -m tests.screening.generate")
