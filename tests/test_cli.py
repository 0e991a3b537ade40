"""The command line: what is printed, what is complained about, and how it ends."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.cli.explain import explain
from cds_service.ruleset import load_ruleset

ROOT = Path(__file__).resolve().parents[1]
PATIENTS, REQUESTS = ROOT / "fixtures" / "patients", ROOT / "fixtures" / "requests"
TODAY = ("--today", "2026-03-10")


LOADED = functools.cache(load_ruleset)
"""Each folder once a process."""


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds_service.cli.console.load_ruleset", LOADED)


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        full = f"{before} {name}".strip()
        found |= commands(command, full) if isinstance(command, click.Group) else {full: command}
    return found


def test_every_command_and_option_is_documented() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    for name, command in commands(main).items():
        assert re.search(rf"^## `legcramp {name}", text, re.MULTILINE), f"legcramp {name} is not documented"
        section = text.split(f"## `legcramp {name}", 1)[1].split("\n## ", 1)[0]
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                if option.startswith("--"):
                    assert f"`{option}" in section, f"legcramp {name} {option} is not documented"


def test_every_documented_command_exists() -> None:
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## `legcramp ([a-z -]+?)(?: [A-Z\[].*)?`", text, re.MULTILINE)) == set(commands(main))


# -- check


def test_a_clinician_reads_the_card() -> None:
    result = run("check", *TODAY, PATIENTS / "thiazide-low-potassium.json")
    assert result.exit_code == 0
    words = " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())
    assert "WARNING" in words
    assert "Potassium 3.2 mmol/L on 2026-03-05: low." in words
    assert "[ ] Potassium chloride ER 20 mEq once daily for 14 days" in words
    assert "Contributor level:" in words


def test_json_is_one_object_a_line() -> None:
    files = sorted(PATIENTS.glob("*.json"))
    result = run("check", "--json", *TODAY, *files)
    assert result.exit_code == 0
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["input"] for one in told] == [file.as_posix() for file in files]
    for one in told:
        assert list(one)[:6] == ["input", "now", "cards", "findings", "tier", "data_gaps"]
        assert one["now"] == "2026-03-10T23:59:59+00:00"
        assert all(finding["verdict"] in ("yes", "no", "unknown") for finding in one["findings"])
    low = next(one for one in told if "thiazide" in one["input"])
    finding = next(finding for finding in low["findings"] if finding["rule"] == "lab-hypokalemia")
    assert finding["verdict"] == "yes"
    assert "Observation/potassium-1" in finding["evidence"]


def test_a_hook_request_says_its_own_hook() -> None:
    told = json.loads(run("check", "--json", *TODAY, REQUESTS / "order-sign-potassium.json").stdout)
    assert [card["indicator"] for card in told["cards"]] == ["critical"]


def test_draft_orders_in_a_bundle_belong_to_an_order_hook(tmp_path: Path) -> None:
    request = json.loads((REQUESTS / "order-sign-potassium.json").read_bytes())
    bundle: dict[str, Any] = json.loads((PATIENTS / "spironolactone-high-potassium.json").read_bytes())
    bundle["entry"] += request["context"]["draftOrders"]["entry"]
    path = tmp_path / "with-draft.json"
    path.write_text(json.dumps(bundle))
    told = {
        hook: json.loads(run("check", "--json", *TODAY, "--hook", hook, path).stdout)
        for hook in ("patient-view", "order-sign")
    }
    assert [card["source"]["topic"]["code"] for card in told["order-sign"]["cards"]] == ["orderpotassiumunsafe"]
    assert [card["source"]["topic"]["code"] for card in told["patient-view"]["cards"]] == ["labhyperkalemia"]


BAD: dict[str, tuple[bytes, str]] = {
    "not-json": (b"{", "must be valid JSON"),
    "empty": (b"", "empty body"),
    "a-list": (b"[]", "must be a JSON object"),
    "something-else": (b'{"a": 1}', "is neither FHIR (no resourceType) nor a hook request (no hook)"),
    "xml": (b"\xef\xbb\xbf<Bundle/>", "is XML; only JSON is read"),
    "nobody": (b'{"resourceType": "Bundle", "type": "collection"}', "holds no Patient"),
    "two-patients": (
        b'{"resourceType":"Patient","id":"a"}\n{"resourceType":"Patient","id":"b"}',
        "holds 2 patients; check takes one at a time",
    ),
    "other-hook": (b'{"hook": "encounter-greeting", "context": {}}', "there is no service for it here"),
    "no-context": (b'{"hook": "patient-view", "hookInstance": "1"}', "context: is missing"),
    "latin-1": (b'{"resourceType":"Patient","id":"\xe9"}', "holds no Patient that can be read"),
    "deep": (b'{"resourceType":' + b"[" * 200_000, "must be valid JSON"),
}


@pytest.mark.parametrize(("name", "given"), BAD.items(), ids=BAD)
def test_a_bad_file_gets_one_clear_line(tmp_path: Path, name: str, given: tuple[bytes, str]) -> None:
    path = tmp_path / f"{name}.json"
    path.write_bytes(given[0])
    result = run("check", *TODAY, path)
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: ")


def test_bad_files_do_not_stop_the_good_ones(tmp_path: Path) -> None:
    result = run("check", "--json", *TODAY, tmp_path / "missing.json", tmp_path, PATIENTS / "healthy-adult.json")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    assert "No such file" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_ndjson_of_one_patient_is_one_record(tmp_path: Path) -> None:
    bundle = json.loads((PATIENTS / "thiazide-low-potassium.json").read_bytes())
    path = tmp_path / "record.ndjson"
    path.write_text("\n".join(json.dumps(entry["resource"]) for entry in bundle["entry"]))
    told = json.loads(run("check", "--json", *TODAY, path).stdout)
    whole = json.loads(run("check", "--json", *TODAY, PATIENTS / "thiazide-low-potassium.json").stdout)
    assert told["findings"] == whole["findings"]


def test_parts_of_a_record_are_taken_together(tmp_path: Path) -> None:
    bundle = json.loads((PATIENTS / "thiazide-low-potassium.json").read_bytes())
    for number, entries in enumerate((bundle["entry"][:2], bundle["entry"][2:])):
        (tmp_path / f"{number}.json").write_text(json.dumps({**bundle, "entry": entries}))
    result = run("check", "--json", "--together", *TODAY, tmp_path / "0.json", tmp_path / "1.json")
    assert json.loads(result.stdout)["cards"]


def test_today_means_the_end_of_the_day_in_the_configured_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGCRAMP_ZONE", "America/New_York")
    told = json.loads(run("check", "--json", *TODAY, PATIENTS / "healthy-adult.json").stdout)
    assert told["now"] == "2026-03-10T23:59:59-04:00"


def test_a_setting_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGCRAMP_ZONE", "Mars/Olympus")
    result = run("check", PATIENTS / "healthy-adult.json")
    assert result.exit_code == 3
    assert result.stderr.startswith("LEGCRAMP_ZONE: ")


def test_without_today_it_counts_from_now() -> None:
    assert json.loads(run("check", "--json", PATIENTS / "healthy-adult.json").stdout)["now"] > "2026"


# -- scenarios


def test_scenarios_run() -> None:
    result = run("scenarios", "run", "--match", "T05", "--verbose")
    assert result.exit_code == 0
    assert "passed   T05 hydrochlorothiazide, potassium 3.2" in result.output
    assert "1 passed, 0 failed, 0 waiting" in result.output


def test_a_failing_scenario_shows_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "about: wrong\ntoday: 2026-03-10\nscenarios:\n"
        "  - {name: a healthy adult is warned, default: true, expect: {cards: [{rule: lab-hypokalemia}]}}\n"
        "  - {name: later, requires: [no-such-rule], expect: {cards: none}}\n"
    )
    result = run("scenarios", "run", path)
    assert result.exit_code == 1
    assert f"{path}:4: a healthy adult is warned" in result.output
    assert "expected  lab-hypokalemia" in result.output
    assert "got       none" in result.output
    assert "0 passed, 1 failed, 1 waiting" in result.output


def test_scenario_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("about: [")
    result = run("scenarios", "run", path, tmp_path / "missing.yaml")
    assert result.exit_code == 1
    assert f"{path}:" in result.stderr
    assert "there is no such file or folder" in result.stderr


# -- rules


def test_rules_check_runs_every_rules_own_scenarios() -> None:
    result = run("rules", "check")
    assert result.exit_code == 0, result.output
    assert ", 0 wrong." in result.output


def test_rules_check_names_every_mistake_with_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", folder)
    rule = folder / "laboratory" / "lab-hypokalemia.yaml"
    text = rule.read_text(encoding="utf-8")
    rule.write_text(text.replace("\nwhen:", "\nwenn: 1\nwhen:", 1), encoding="utf-8")
    other = folder / "laboratory" / "lab-hyperkalemia.yaml"
    text = other.read_text(encoding="utf-8")
    other.write_text(text.replace("\nwhen:", "\nwann: 1\nwhen:", 1), encoding="utf-8")
    result = run("rules", "check", "--rules", folder)
    assert result.exit_code == 3
    assert re.search(r"^rules/laboratory/lab-hypokalemia.yaml:\d+: .*wenn", result.stderr, re.MULTILINE)
    assert re.search(r"^rules/laboratory/lab-hyperkalemia.yaml:\d+: .*wann", result.stderr, re.MULTILINE)


def test_rules_check_fails_when_an_own_scenario_does(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    shutil.copytree(ROOT / "rules", folder)
    rule = folder / "laboratory" / "lab-hypokalemia.yaml"
    text = rule.read_text(encoding="utf-8")
    rule.write_text(text.rstrip() + "\n  - {name: wrong on purpose, default: true, expect: fires}\n", encoding="utf-8")
    result = run("rules", "check", "--rules", folder)
    assert result.exit_code == 1
    assert "wrong on purpose" in result.output
    assert ", 0 wrong." not in result.output


def test_rules_list_and_show() -> None:
    listed = run("rules", "list")
    assert listed.exit_code == 0
    assert re.search(r"R01\s+lab-hypokalemia\s+critical, warning, info\s+Low potassium", listed.output)
    for name in ("lab-hypokalemia", "R01", "r01"):
        shown = run("rules", "show", name)
        assert shown.exit_code == 0
        for part in ("Fires when", "below 3.5 mmol/L", "Unless", "Gate potassium-chloride", "GK5", "Evidence"):
            assert part in shown.output


def test_every_rule_can_be_explained() -> None:
    ruleset = load_ruleset(ROOT / "rules")
    for rule in ruleset.knowledge.rules:
        assert len(list(explain(rule, ruleset))) > 10


def test_an_unknown_rule_is_said_to_be_unknown() -> None:
    result = run("rules", "show", "R99")
    assert result.exit_code == 1
    assert "there is no rule 'R99'" in result.stderr


# -- the program


def test_the_program_starts_and_helps() -> None:
    code = "from cds_service.cli import main; main(prog_name='legcramp')"
    result = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "Usage: legcramp" in result.stdout


def test_wrong_usage_ends_with_2() -> None:
    assert run("check").exit_code == 2
    assert run("check", "--hook", "encounter-greeting", "x.json").exit_code == 2
    assert run("check", "--today", "10.3.2026", "x.json").exit_code == 2
