"""What the service is made of can be told (`make sbom`), and an audit that learned nothing says so (`make audit`)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.audit import CLEAN, UNKNOWN, WEAK, judge

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "runtime.txt"


def locked() -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^ ;\\]+)", LOCK.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """As `make sbom` writes it; cyclonedx validates it against its own schema."""
    made = tmp_path_factory.mktemp("sbom") / "sbom.json"
    recipe = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx-py" in line)
    arguments = recipe.split("cyclonedx-py")[1].replace("$@", str(made)).split()
    module = [sys.executable, "-m", "cyclonedx_py"]
    subprocess.run([*module, *arguments], cwd=ROOT, check=True, capture_output=True)
    document: dict[str, Any] = json.loads(made.read_text())
    return document


def test_the_bill_of_materials_holds_every_locked_package_with_its_hashes(bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "leg-cramp-cds"
    told = {one["name"]: one for one in bill["components"]}
    assert {name: one["version"] for name, one in told.items()} == locked()
    for one in told.values():
        assert one["purl"].startswith(f"pkg:pypi/{one['name'].lower().replace('_', '-')}@")
        assert any(reference.get("hashes") for reference in one["externalReferences"]), one["name"]


def test_every_lock_is_hashed() -> None:
    for lock in LOCK.parent.glob("*.txt"):
        for entry in re.split(r"\n(?=[A-Za-z0-9])", lock.read_text())[1:]:
            assert "--hash=sha256:" in entry, entry.splitlines()[0]


PACKAGE = {"name": "flask", "version": "3.1.0", "vulns": []}
WEAKNESS = {"id": "PYSEC-2026-1", "fix_versions": ["3.1.1"]}


@pytest.mark.parametrize(
    ("packages", "code", "line"),
    [
        ([PACKAGE], CLEAN, "1 packages, none with a known weakness."),
        ([PACKAGE | {"vulns": [WEAKNESS]}], WEAK, "flask 3.1.0: PYSEC-2026-1, mended in 3.1.1"),
        ([PACKAGE, {"name": "x", "skip_reason": "not on PyPI"}], UNKNOWN, "1 of 2 packages could not be looked up."),
        ([], UNKNOWN, "0 of 0 packages could not be looked up."),
    ],
)
def test_an_audit_gives_the_all_clear_only_where_every_package_was_looked_up(
    packages: list[dict[str, Any]], code: int, line: str
) -> None:
    assert judge({"dependencies": packages, "fixes": []}) == (code, [line])
