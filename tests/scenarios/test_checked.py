"""A rule whose own scenarios fail stops the start; rules that were not edited start without running them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.cli.examine_rules import examine_scenarios
from cds_service.ruleset import Ruleset, RulesetError, load_ruleset
from cds_service.scenarios import check_rules, checked
from cds_service.web.config import WebConfig
from cds_service.web.server import serve
from cds_service.web.wiring import wire

ROOT = Path(__file__).resolve().parents[2]
RULE = "laboratory/lab-hypokalemia.yaml"
DEVELOPMENT = {"development": True, "database": "none"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Ruleset:
    """The rules as they are shipped, without a record."""
    folder = tmp_path_factory.mktemp("shipped") / "rules"
    shutil.copytree(ROOT / "rules", folder)
    (folder / "checked.txt").unlink(missing_ok=True)
    return load_ruleset(folder)


@pytest.fixture
def rules(tmp_path: Path, shipped: Ruleset) -> Path:
    """A folder of its own for each test; its files are links, which `edit` replaces."""
    folder = tmp_path / "rules"
    shutil.copytree(shipped.folder, folder, copy_function=os.link)
    return folder


def edit(folder: Path, old: str, new: str, name: str = RULE, count: int = 1) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).unlink()
    (folder / name).write_text(text.replace(old, new, count), encoding="utf-8")


def legcramp(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_shipped_record_is_current() -> None:
    """After an edit of `rules/`: `legcramp rules check --record`."""
    for without_snomed in (False, True):
        assert checked.is_recorded(load_ruleset(ROOT / "rules", without_snomed)), "run: legcramp rules check --record"


def test_what_is_recorded_is_not_run_again(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = load_ruleset(rules)
    assert not checked.is_recorded(ruleset)
    assert checked.ensure_checked(ruleset), "without a record they are run"
    checked.record([ruleset])
    monkeypatch.setattr(checked, "check_rules", lambda _: pytest.fail("they were run again"))
    assert not checked.ensure_checked(load_ruleset(rules))


def test_a_comment_decides_nothing(rules: Path, shipped: Ruleset) -> None:
    edit(rules, "lines:\n", "lines:\n  # no words\n", "handout/text/en.yaml")
    assert load_ruleset(rules).digest == shipped.digest


def test_the_record_is_no_part_of_the_digest_and_neither_is_the_place(rules: Path, tmp_path: Path) -> None:
    before = load_ruleset(rules)
    checked.record([before])
    shutil.copytree(rules, tmp_path / "elsewhere" / "renamed")
    moved = load_ruleset(tmp_path / "elsewhere" / "renamed")
    assert load_ruleset(rules).digest == moved.digest == before.digest
    assert checked.is_recorded(moved), "the record goes along with the folder"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (RULE, "override_reasons: [", "override_reasons:  [OR-declined, "),
        (RULE, "{name: ", "{note: said anew, name: "),
        ("gates/potassium-chloride.yaml", "within: 14 days", "within: 13 days"),
        ("facts/renal-block.yaml", "within: 730 days", "within: 729 days"),
        ("safety/sweep.yaml", "no indication, and", "no indication and"),
        ("tiers/contributor-level.yaml", "medicines: ", "medicines: 1"),
        ("output.yaml", "not_automatic: ", "not_automatic: Indeed, "),
        ("orders/magnesium-level.yaml", "label: ", "label: Really, "),
        ("handout/text/en.yaml", "emergency: Get help now", "emergency: Get help at once"),
        ("units/potassium.yaml", "plausible:", "plausible: "),
        ("value-sets/class/loop-diuretic.json", '"resourceType"', ' "resourceType"'),
    ],
)
def test_the_digest_knows_what_decides_an_answer(rules: Path, shipped: Ruleset, name: str, old: str, new: str) -> None:
    edit(rules, old, new, name)
    assert load_ruleset(rules).digest != shipped.digest


def test_another_version_of_the_service_runs_them_again(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ruleset = load_ruleset(rules)
    checked.record([ruleset])
    monkeypatch.setattr(checked, "__version__", "99.0.0")
    assert not checked.is_recorded(ruleset)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"ruleset everything\n"])
def test_a_record_that_cannot_be_read_counts_for_nothing(rules: Path, content: bytes) -> None:
    (rules / "checked.txt").write_bytes(content)
    assert not checked.is_recorded(load_ruleset(rules))


# -- the start


def broken(rules: Path) -> int:
    """Moves every threshold of one band; returns the line of the rule's scenarios."""
    edit(rules, "below: 3.0 mmol/L", "below: 2.9 mmol/L", count=-1)
    lines = (rules / RULE).read_text(encoding="utf-8").splitlines()
    return lines.index("scenarios:") + 1


def test_a_rule_whose_own_scenario_fails_stops_the_start_with_what_differs(
    rules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cds_service.web.server.run", lambda *_: pytest.fail("it started"))
    first = broken(rules)
    with pytest.raises(SystemExit) as stopped:
        serve(config=WebConfig(rules=rules, metrics=False, **DEVELOPMENT))
    told = str(stopped.value)
    assert told.startswith("Not started.\nrules/laboratory/lab-hypokalemia.yaml:")
    assert int(told.split(":")[1]) > first, "the line of the scenario"
    assert "expected" in told
    assert "got" in told
    assert "facts used: Potassium" in told


def test_an_edited_rule_that_passes_its_scenarios_starts(rules: Path) -> None:
    edit(rules, "title: Low potassium", "title: A low potassium")
    wiring = wire(WebConfig(rules=rules, **DEVELOPMENT))
    assert isinstance(wiring.ruleset, Ruleset)


def test_the_rules_as_shipped_are_ready_without_their_scenarios(rules: Path) -> None:
    rulesets = [load_ruleset(rules)]
    checked.record(rulesets)
    begun = time.perf_counter()
    assert not checked.ensure_checked(rulesets[0])
    assert time.perf_counter() - begun < 0.5


def test_the_same_on_a_site_without_snomed_ct(rules: Path) -> None:
    """Cases told with SNOMED CT codes wait; every other passes, told with the codes that are there."""
    ruleset = load_ruleset(rules, without_snomed=True)
    told = check_rules(ruleset)
    assert told.failures == ()
    assert 0 < told.waiting < told.run / 20
    broken(rules)
    with pytest.raises(RulesetError):
        checked.ensure_checked(load_ruleset(rules, without_snomed=True))


def test_doctor_says_whether_the_service_would_start(rules: Path) -> None:
    ruleset = load_ruleset(rules)
    found = examine_scenarios(ruleset)
    assert (found.level, "each start runs them" in found.what) == ("ok", True)
    checked.record([ruleset])
    assert "recorded" in examine_scenarios(ruleset).what
    broken(rules)
    found = examine_scenarios(load_ruleset(rules))
    assert (found.level, "lab-hypokalemia.yaml:" in found.what) == ("fail", True)


# -- the command


def test_rules_check_notes_what_passed_with_and_without_snomed_ct(rules: Path) -> None:
    said = legcramp("rules", "check", "--rules", rules, "--record")
    assert said.exit_code == 0, said.output
    assert said.output.count("0 wrong") == 2
    for without_snomed in (False, True):
        assert checked.is_recorded(load_ruleset(rules, without_snomed))


def test_rules_check_notes_nothing_when_one_fails(rules: Path) -> None:
    broken(rules)
    said = legcramp("rules", "check", "--rules", rules, "--record")
    assert said.exit_code == 1
    assert "rules/laboratory/lab-hypokalemia.yaml:" in said.output
    assert not (rules / "checked.txt").exists()


def test_rules_check_says_when_it_may_not_write(rules: Path) -> None:
    (rules / "checked.txt").mkdir()
    said = legcramp("rules", "check", "--rules", rules, "--record")
    assert (said.exit_code, "cannot note it" in said.stderr) == (1, True)
