"""A site's folder laid over the rules: what it may change, what it is told when it may not, and who sees it."""

from __future__ import annotations

import functools
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cds_service.catalogue import Catalogue
from cds_service.cli import main
from cds_service.engine.loader import load_knowledge
from cds_service.engine.model import Rule
from cds_service.engine.site import Site, read_site
from cds_service.ruleset import Ruleset, RulesetError, load_ruleset
from cds_service.scenarios import Runner, checked
from cds_service.web.config import WebConfig
from cds_service.web.wiring import wire

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "rules"
PAGE = ROOT / "docs" / "site-overrides.md"


@functools.cache
def published() -> Ruleset:
    return load_ruleset(RULES)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example of the page, as files."""
    folder = tmp_path_factory.mktemp("example")
    for name, text in re.findall(r"```yaml\n# (site/\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "site"


@pytest.fixture(scope="module")
def changed(example: Path) -> Ruleset:
    return load_ruleset(RULES, site=example)


def legcramp(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def refused(tmp_path: Path, name: str, *changes: str, more: str = "") -> str:
    """What the author of a site's file with these changes is told."""
    path = tmp_path / "site" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "\n".join(f"  - {{{change}}}" for change in changes)
    path.write_text(f"because: a test\nchanges:\n{lines}\n{more}", encoding="utf-8")
    with pytest.raises(RulesetError) as caught:
        knowledge(tmp_path / "site")
    return str(caught.value)


def knowledge(site: Path) -> Site:
    """The rules with the site's files, compiled with the value sets that are loaded already."""
    found, known = read_site(RULES, site), published().knowledge.vocabulary
    load_knowledge(RULES, known.value_sets, known.to_si, known.upper_limits, found.documents)
    return found


def published_rule(number: str) -> Rule:
    return next(one for one in published().knowledge.rules if one.number == number)


# -- the worked example


def test_the_worked_example_passes_its_check(changed: Ruleset) -> None:
    assert [one for rule in changed.site.documents for one in changed.site.of(rule)] == list(changed.site.changes)
    runner = Runner(changed)
    (rule,) = [one for one in changed.knowledge.rules if one.number == "R18"]
    outcomes = [runner.run(scenario) for scenario in runner.of_rule(rule)]
    assert len(outcomes) == len(published_rule("R18").data["scenarios"]) + 1
    assert [one.text() for one in outcomes if not one.passed] == []


@pytest.mark.heavy
def test_the_commands_of_the_worked_example(example: Path) -> None:
    result = legcramp("rules", "check", "--site", example, "--record")
    assert result.exit_code == 0, result.output
    assert "0 wrong" in result.output
    assert "with 4 changes of the site" in result.output
    wiring = wire(WebConfig(rules=RULES, site_rules=example, development=True, database="none"))
    assert wiring.ruleset.digest == load_ruleset(RULES, site=example).digest
    assert checked.is_recorded(load_ruleset(RULES, site=example))
    assert not (set(load_ruleset(RULES).digest.split()) & set((example / "checked.txt").read_text().split()))


def test_a_scenario_that_the_change_breaks_is_told(example: Path, tmp_path: Path) -> None:
    site = shutil.copytree(example, tmp_path / "site")
    file = site / "medication" / "ppi-hypomagnesemia.yaml"
    file.write_text(file.read_text().split("scenarios:")[0])
    runner = Runner(load_ruleset(RULES, site=site))
    (rule,) = [one for one in runner.ruleset.knowledge.rules if one.number == "R18"]
    failed = [one.scenario.name for one in map(runner.run, runner.of_rule(rule)) if not one.passed]
    assert failed == ["364 days is quiet", "cramps, omeprazole since 364 days ago, no other results"]


def test_the_digest_tells_the_site(changed: Ruleset) -> None:
    assert changed.digest != published().digest


def test_the_site_is_seen_in_the_commands(example: Path) -> None:
    listed = legcramp("rules", "list", "--site", example).output
    words = " ".join(listed.split())
    assert words.count("changed by") == 2
    assert "(retired," in words
    shown = legcramp("rules", "show", "R18", "--site", example).output
    assert "365 days -> 180 days (Magnesium after 180 days of a PPI" in " ".join(shown.split())


@pytest.mark.heavy
def test_diff_tells_what_the_site_changes(example: Path) -> None:
    result = legcramp("rules", "diff", RULES, RULES, "--site", example)
    assert result.exit_code == 1
    assert "365 days is now 180 days" in result.output
    assert "active is now retired" in result.output


def test_the_catalogue_marks_what_the_site_changed(changed: Ruleset) -> None:
    told = {one.number: [(change.before, change.after) for change in one.site] for one in Catalogue(changed).rules}
    assert told["R18"] == [("365 days", "180 days")] * 2
    assert told["R01"] == []


def test_an_order_carries_the_code_of_the_site(changed: Ruleset) -> None:
    codes = [coding["code"] for coding in changed.knowledge.orders["magnesium-level"]["resources"][0]["code"]["coding"]]
    assert codes == ["19123-9", "LAB1045"]


# -- mistakes


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "medication/no-such-rule.yaml",
            "at: status, is: active, becomes: retired",
            ":1: there is no rules/medication/no",
        ),
        ("gates/potassium-chloride.yaml", "at: title, is: a, becomes: b", ":1: a site changes files of laboratory"),
        ("facts/renal-block.yaml", "at: title, is: a, becomes: b", ":1: a site changes files of"),
        ("safety/sweep.yaml", "at: title, is: a, becomes: b", ":1: a site changes files of"),
        (
            "medication/laba-cramp.yaml",
            "at: wen, is: a, becomes: b",
            ":3: wen: there is no 'wen' here, only id, number",
        ),
        ("medication/laba-cramp.yaml", "at: 'when[9].x', is: a, becomes: b", ":3: when[9].x: there is no 9 here"),
        ("medication/laba-cramp.yaml", "at: 'when..x', is: a, becomes: b", ":3: 'when..x' is no place"),
        (
            "medication/laba-cramp.yaml",
            "at: status, is: draft, becomes: retired",
            ":3: status is now 'active', not 'draft'",
        ),
        ("medication/laba-cramp.yaml", "at: status, is: active, becomes: off", ":3: 'off' is not one of"),
        ("medication/laba-cramp.yaml", "at: status, was: active, becomes: off", ":3: the key 'was' is not known here"),
        ("medication/laba-cramp.yaml", "at: title, adds: x", ":3: title is no list"),
        (
            "medication/ppi-hypomagnesemia.yaml",
            'at: "bands[2].if.observation.below", is: 0.70 mmol/L | 1.7 mg/dL, becomes: 0.70 mmol/L',
            ":3:",
        ),
        ("medication/ppi-hypomagnesemia.yaml", 'at: "hooks[0]", is: patient-view, becomes: patient-vew', ":3:"),
    ],
)
def test_a_mistake_is_told_where_the_site_made_it(tmp_path: Path, name: str, change: str, told: str) -> None:
    assert f"site/{name}{told}" in refused(tmp_path, name, change)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    refused(tmp_path, "gates/calcium.yaml", "at: title, is: a, becomes: b")
    assert len(refused(tmp_path, "medication/laba-cramp.yaml", "at: wen, is: a, becomes: b").splitlines()) == 2


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RulesetError, match="there is no such folder"):
        load_ruleset(RULES, site=tmp_path / "nowhere")


# -- what a site may not do

SERIOUS = "guards against serious harm"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("laboratory/lab-hyperkalemia.yaml", "at: status, is: active, becomes: retired", SERIOUS),
        ("condition/motor-neuron-red-flag.yaml", "at: status, is: active, becomes: retired", SERIOUS),
        (
            "laboratory/lab-hypomagnesemia.yaml",
            'at: "bands[0].if.observation.below", is: 0.40 mmol/L | 1.0 mg/dL, becomes: 0.30 mmol/L | 0.7 mg/dL',
            SERIOUS,
        ),
        (
            "laboratory/lab-hypomagnesemia.yaml",
            'at: "bands[0].if.observation.below", is: 0.40 mmol/L | 1.0 mg/dL, becomes: 0.50 mmol/L | 0.9 mg/dL',
            SERIOUS,
        ),
        ("laboratory/lab-hypomagnesemia.yaml", 'at: "bands[0].indicator", is: critical, becomes: warning', SERIOUS),
        ("laboratory/lab-hypomagnesemia.yaml", "at: card.red_flags, is: x, becomes: y", SERIOUS),
        (
            "laboratory/lab-vitamin-d-deficiency.yaml",
            "at: status, is: active, becomes: retired",
            "asks for its finding",
        ),
        ("laboratory/lab-vitamin-d-deficiency.yaml", "at: number, is: R08, becomes: R80", "does not change `number`"),
        (
            "laboratory/lab-vitamin-d-deficiency.yaml",
            'at: "suggestions[0].gate", is: vitamin-d, becomes: x',
            "stays as it is",
        ),
        (
            "laboratory/lab-vitamin-d-deficiency.yaml",
            "at: suggestions, adds: {order: potassium-chloride-er}",
            "stays as it is",
        ),
        (
            "laboratory/lab-vitamin-d-deficiency.yaml",
            'at: "bands[0].indicator", is: warning, becomes: critical',
            "adds none",
        ),
        (
            "orders/potassium-chloride-er.yaml",
            'at: "products[0].strength", is: 20 meq, becomes: 40 meq',
            "the label and",
        ),
        ("orders/potassium-chloride-er.yaml", 'at: "products[0].code.coding[0]", is: a, becomes: b', "the codes stay"),
        (
            "orders/potassium-chloride-er.yaml",
            'at: "products[0].code.coding", adds: {system: "http://snomed.info/sct", code: "1", display: x}',
            "codes of its own systems only",
        ),
    ],
)
def test_what_protects_is_not_weakened(tmp_path: Path, name: str, change: str, told: str) -> None:
    assert told in refused(tmp_path, name, change)


def test_no_rule_with_a_critical_band_is_switched_off(tmp_path: Path) -> None:
    serious = [one for one in published().knowledge.rules if "critical" in {band.indicator for band in one.bands}]
    assert len(serious) > 15
    for rule in serious:
        name = rule.file.partition("/")[2]
        site = tmp_path / rule.id
        (site / name).parent.mkdir(parents=True)
        (site / name).write_text("because: a test\nchanges:\n  - {at: status, is: active, becomes: retired}\n")
        with pytest.raises(RulesetError, match=SERIOUS):
            read_site(RULES, site)


def test_a_protected_rule_may_fire_sooner(tmp_path: Path) -> None:
    path = tmp_path / "site" / "laboratory" / "lab-hypomagnesemia.yaml"
    path.parent.mkdir(parents=True)
    change = "is: 0.40 mmol/L | 1.0 mg/dL, becomes: 0.45 mmol/L | 1.1 mg/dL"
    path.write_text(
        "because: a test\nchanges:\n"
        f'  - {{at: "when.any[0].observation.below", {change}}}\n'
        f'  - {{at: "bands[0].if.observation.below", {change}}}\n'
    )
    assert len(knowledge(tmp_path / "site").changes) == 2


def test_notes_beside_the_files_are_no_mistake(example: Path) -> None:
    (example / "README.md").write_text("who decides")
    assert len(read_site(RULES, example).changes) == 4
