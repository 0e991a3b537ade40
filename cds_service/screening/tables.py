"""The rows as Parquet: one table of patients, one of findings, both in the order of findings.ndjson."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from cds_service.screening.rows import PatientRow

_PATIENTS_AT_ONCE = 5_000
_INDICATORS = ("critical", "warning", "info")
_TEXT, _LIST = pa.string(), pa.list_(pa.string())

PATIENTS = pa.schema(
    {
        **dict.fromkeys(("patient", "status", "sex", "age_band", "mode", "gate", "tier"), _TEXT),
        "points": pa.int32(),
        "resources": pa.int64(),
        **{f"cards_{indicator}": pa.int32() for indicator in _INDICATORS},
        "gaps": _LIST,
    }
)
FINDINGS = pa.schema(
    {
        **dict.fromkeys(("patient", "rule", "version", "verdict", "band", "indicator"), _TEXT),
        "points": pa.int32(),
        "shown": pa.bool_(),
        "held_back": pa.bool_(),
        "silenced": _TEXT,
        "evidence": _LIST,
        "missing": _LIST,
    }
)


def write_tables(rows: Iterable[PatientRow], patients: Path, findings: Path) -> None:
    """Writes both files, each under another name and then renamed into its place."""
    targets = [(patients, PATIENTS), (findings, FINDINGS)]
    waiting = [path.with_name(path.name + ".tmp") for path, _ in targets]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
            for path, (_, schema) in zip(waiting, targets, strict=True)
        ]
        for batch in _batches(rows):
            writers[0].write_table(_patients(batch))
            writers[1].write_table(_findings(batch))
    for path, (target, _) in zip(waiting, targets, strict=True):
        path.replace(target)


def _batches(rows: Iterable[PatientRow]) -> Iterator[list[PatientRow]]:
    left = iter(rows)
    while batch := list(islice(left, _PATIENTS_AT_ONCE)):
        yield batch


def _patients(batch: list[PatientRow]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in batch]
        for name in ("patient", "status", "sex", "age_band", "mode", "gate", "tier", "points", "resources")
    }
    for indicator in _INDICATORS:
        columns[f"cards_{indicator}"] = [sum(card.indicator == indicator for card in row.cards) for row in batch]
    columns["gaps"] = [[f"{gap.kind}: {gap.what}" for gap in row.gaps] for row in batch]
    return pa.table(columns, schema=PATIENTS)


def _findings(batch: list[PatientRow]) -> pa.Table:
    pairs = [(row.patient, finding) for row in batch for finding in row.findings]
    columns: dict[str, list[Any]] = {"patient": [patient for patient, _ in pairs]}
    for name in FINDINGS.names[1:]:
        columns[name] = [getattr(finding, name) for _, finding in pairs]
    return pa.table(columns, schema=FINDINGS)
