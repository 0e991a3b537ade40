"""docs/validation.md against the report it speaks of, and the report against the survey where that is at hand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cds_service.cli.validate_tier import validate_tier

ROOT = Path(__file__).resolve().parents[2]
PAGE, REPORT = ROOT / "docs" / "validation.md", ROOT / "docs" / "validation" / "report.md"
SURVEY = ROOT.parent / "shared" / "nhanes" / "nhanes_2005-2006_adults.csv.gz"
VERSION = "contributor-level-nhanes-2005"
needs_survey = pytest.mark.skipif(not SURVEY.exists(), reason="the public survey file is not beside the checkout")


def test_every_interval_on_the_page_stands_in_the_report() -> None:
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    report = REPORT.read_text(encoding="utf-8")
    quoted = re.findall(r"[+-]?\d+\.\d+%? \([+-]?\d+\.\d+ to [+-]?\d+\.\d+\)", page)
    assert len(quoted) > 40
    assert [one for one in quoted if one not in report] == []


def test_the_page_names_the_command_that_makes_the_report() -> None:
    (command,) = re.findall(
        r"^legcramp validate-tier nhanes_2005-2006.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert command.split()[3:] == ["--tier", VERSION, "--out", "docs/validation"]


@pytest.mark.heavy
@needs_survey
def test_the_report_is_what_the_command_makes_of_the_survey(tmp_path: Path) -> None:
    done = CliRunner().invoke(validate_tier, [str(SURVEY), "--tier", VERSION, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == REPORT.read_text(encoding="utf-8")


@pytest.mark.heavy
@needs_survey
def test_the_second_version_is_what_the_command_proposes(tmp_path: Path) -> None:
    made = tmp_path / f"{VERSION}.yaml"
    done = CliRunner().invoke(validate_tier, [str(SURVEY), "--propose", str(made), "--replicates", "50"])
    assert done.exit_code == 0, done.output
    assert made.read_text(encoding="utf-8") == (ROOT / "rules" / "tiers" / made.name).read_text(encoding="utf-8")
