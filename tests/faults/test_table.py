"""docs/faults.md names, for every fault, a test that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLES = (ROOT / "docs/faults.md").read_text(encoding="utf-8").partition("## Database")[2]
ROWS = [line for line in TABLES.splitlines() if line.startswith("| ") and not line.startswith("| fault ")]


@pytest.mark.parametrize("row", ROWS, ids=[row.split("|")[1].strip() for row in ROWS])
def test_the_tests_of_a_row_exist(row: str) -> None:
    *_, cell, _ = row.split("|")
    for told in cell.split(";"):
        file, _, words = told.strip().partition(": ")
        names = re.findall(r"^def (test_\w+)", (ROOT / file).read_text(encoding="utf-8"), re.M)
        assert words
        for word in words.split(", "):
            assert any(word in name for name in names), word
