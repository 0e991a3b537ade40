"""Every test that docs/security.md names is there, and no row of its table is without one."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", GUIDE)


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 40
    for file, name in NAMED:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"


def test_every_threat_names_a_test() -> None:
    rows = GUIDE.split("## Threats")[1].split("\n## ")[0].splitlines()
    threats = [row for row in rows if row.startswith("| ")][1:]
    assert len(threats) > 30
    assert [row for row in threats if "::test_" not in row.split("|")[3]] == []


def test_the_way_to_report_is_linked_both_ways() -> None:
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text()
    assert "../SECURITY.md" in GUIDE
