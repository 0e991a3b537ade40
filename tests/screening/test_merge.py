"""Sorted parts become one sorted file, however many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from cds_service.screening import finish
from cds_service.screening.finish import merge_parts, patient_of
from cds_service.screening.rows import PatientRow, encode_row


@pytest.mark.parametrize("at_once", [2, 3, 100])
def test_more_parts_than_may_be_open_are_merged_in_rounds(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "_AT_ONCE", at_once)
    ids = [f"{number * 7919 % 1000:03}.-{number % 3}" for number in range(100)]
    for part in range(11):
        rows = [encode_row(PatientRow(id_, "assessed")) + b"\n" for id_ in sorted(ids[part::11])]
        (tmp_path / f"part-{part:05}-0000.ndjson").write_bytes(b"".join(rows))
    names = [path.name for path in tmp_path.iterdir()]
    merged = list(merge_parts(tmp_path, names, "lines"))
    assert [patient_of(line).decode() for line in merged] == sorted(ids)
    assert list(merge_parts(tmp_path, names, "tables")) == merged
