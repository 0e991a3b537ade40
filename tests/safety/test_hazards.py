"""The hazard log: complete, current, and every control and test that it names exists."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from cds_service import hazards
from cds_service.assess import Assessment, assess
from cds_service.cards.response import to_builtins
from cds_service.cards.select import ORDER_HOOKS
from cds_service.facts.reading import decode_request
from cds_service.fhir.prefetch import gather
from cds_service.hazards import COMMAND, TO_BE_SET, Control, Hazard, read_log, render
from cds_service.ruleset import load_ruleset
from tests.scenarios.shared import ROOT, fixture_scenarios, rule_scenarios, runner

DATA = ROOT / "rules" / "safety" / "hazards.yaml"
PAGE = ROOT / "docs" / "safety" / "hazard-log.md"
KNOWLEDGE = ROOT.parent / "shared" / "clinical-knowledge.md"
LOG = read_log(DATA)
HAZARDS = LOG.hazards
IDS = [hazard.id for hazard in HAZARDS]


# -- the data


def test_every_hazard_of_the_seed_stands_once_and_in_order() -> None:
    assert [f"HZ-{number:02}" for number in range(1, 65)] == IDS
    assert len({hazard.title for hazard in HAZARDS}) == 64


@pytest.mark.skipif(not KNOWLEDGE.exists(), reason="the clinical knowledge is not beside this checkout")
def test_severity_and_test_idea_are_those_of_the_seed() -> None:
    letters = {"Cat": "catastrophic", "Maj": "major", "Con": "considerable", "Sig": "significant", "Min": "minor"}
    rows = re.findall(r"^\| (HZ-\d\d) \|(.*)\|$", KNOWLEDGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [name for name, _ in rows] == IDS
    for hazard, (name, row) in zip(HAZARDS, rows, strict=True):
        _, severity, _, idea = (cell.strip() for cell in row.split("|"))
        assert hazard.severity == letters[severity], name
        spelled = idea.replace("`", "").replace("haemolysed", "hemolyzed")
        assert hazard.idea == spelled, name


@pytest.mark.parametrize("hazard", HAZARDS, ids=IDS)
def test_hazard_has_a_cause_a_harm_a_control_and_a_test(hazard: Hazard) -> None:
    assert hazard.cause
    assert hazard.harm
    assert hazard.mitigation
    assert hazard.tests
    assert hazard.idea


@pytest.mark.parametrize("hazard", HAZARDS, ids=IDS)
def test_what_is_the_officers_is_left_to_the_officer(hazard: Hazard) -> None:
    """Change this test together with the first rating, and name the officer in docs/safety."""
    assert set(msgspec.structs.asdict(hazard.rating).values()) == {None}


# -- what it names exists


@cache
def row_ids(file: str) -> frozenset[str]:
    return frozenset(
        row["id"] for row in yaml.safe_load((ROOT / "rules/safety" / file).read_text(encoding="utf-8"))["rows"]
    )


def exists(control: Control) -> bool:
    knowledge = runner().ruleset.knowledge
    terminology = runner().ruleset.terminology
    if control.kind == "gate":
        gate = knowledge.gates.get(control.name)
        return gate is not None and control.row in {row.id for row in gate.rows}
    if control.row:
        return False
    match control.kind:
        case "rule":
            return control.name in {rule.id for rule in knowledge.active_rules}
        case "fact":
            return control.name in knowledge.vocabulary.facts
        case "sweep":
            return control.name in row_ids("sweep.yaml")
        case "patient-gate":
            return control.name in row_ids("patient-gates.yaml")
        case "freeze":
            return (ROOT / "rules/safety" / control.name).is_file()
        case "order":
            return control.name in knowledge.orders
        case "handout":
            return knowledge.handout is not None and control.name in knowledge.handout.by_code()
        case "units":
            return control.name in terminology.units.analytes
        case "value-set":
            return control.name in terminology.titles
        case "code":
            return (ROOT / control.name).is_file()
    return False


@pytest.mark.parametrize("hazard", HAZARDS, ids=IDS)
def test_every_control_exists(hazard: Hazard) -> None:
    assert [text for text, control in zip(hazard.mitigation, hazard.controls, strict=True) if not exists(control)] == []


@pytest.mark.parametrize(
    "text",
    [
        *(
            "gate potassium-chloride GK99",
            "gate potassium GK1",
            "gate potassium-chloride",
            "rule no-such-rule",
            "fact no",
        ),
        *("sweep no", "patient-gate no", "freeze no.yaml", "order no", "handout H-99", "units no", "value-set no"),
        *("code no.py", "wish rule-r01", "rule lab-hypokalemia GK1"),
    ],
)
def test_a_control_that_does_not_exist_is_found_out(text: str) -> None:
    assert not exists(Control.read(text))


@cache
def scenario_names() -> frozenset[tuple[str, str]]:
    return frozenset((Path(scenario.file).stem, scenario.name) for scenario in fixture_scenarios())


@cache
def test_functions(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


test_functions.__test__ = False  # type: ignore[attr-defined]


def is_test(node: str) -> bool:
    file, _, name = node.partition("::")
    return file.startswith("tests/") and name.startswith("test_") and name in test_functions(file)


@pytest.mark.parametrize("hazard", HAZARDS, ids=IDS)
def test_every_named_test_exists(hazard: Hazard) -> None:
    assert [one for one in hazard.scenarios if one not in scenario_names()] == []
    assert [node for node in hazard.node_ids if not is_test(node)] == []
    assert len(hazard.scenarios) + len(hazard.node_ids) == len(hazard.tests)


def test_a_test_that_does_not_exist_is_found_out() -> None:
    assert not is_test("tests/safety/test_hazards.py::test_no_such")
    assert not is_test("tests/safety/test_no_such.py::test_x")
    assert not is_test("potassium 3.2")
    assert ("potassium-low", "no such name") not in scenario_names()


@pytest.mark.parametrize("hazard", HAZARDS, ids=IDS)
def test_named_scenarios_are_run_and_pass(hazard: Hazard) -> None:
    by_name = {(Path(scenario.file).stem, scenario.name): scenario for scenario in fixture_scenarios()}
    for one in hazard.scenarios:
        outcome = runner().run(by_name[one])
        assert outcome.passed, outcome.text()


def test_every_scenario_of_the_hazard_file_is_named_by_its_hazard() -> None:
    named = {(hazard.id, *one) for hazard in HAZARDS for one in hazard.scenarios}
    for scenario in fixture_scenarios():
        if Path(scenario.file).stem == "hazards":
            assert {(hazard, "hazards", scenario.name) for hazard in scenario.hazards} <= named


# -- the page


def test_page_is_made_from_the_data() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(LOG), f"run: {COMMAND}"


def test_page_shows_every_hazard_and_leaves_the_ratings_open() -> None:
    page = render(LOG)
    assert all(f"## {hazard.id} {hazard.title}" in page for hazard in HAZARDS)
    assert page.count(TO_BE_SET) >= 4 * 64


def test_a_changed_hazard_changes_the_page() -> None:
    first = msgspec.structs.replace(HAZARDS[0], harm="Something else")
    assert render(msgspec.structs.replace(LOG, hazards=(first, *HAZARDS[1:]))) != render(LOG)


@pytest.mark.parametrize("wrong", [{"severity": "terrible"}, {"likelyhood": "low"}, {"tests": 3}, {"rating": {}}])
def test_a_slip_of_the_pen_in_the_data_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    data = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    data["hazards"][0] |= wrong
    path = tmp_path / "hazards.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(msgspec.ValidationError):
        read_log(path)


def test_hazards_are_no_part_of_an_answer() -> None:
    """The loader takes the file and passes it over: the digest of the rules does not depend on it."""
    assert load_ruleset(ROOT / "rules").digest == runner().ruleset.digest
    assert "hazard" not in runner().ruleset.knowledge.vocabulary.facts
    assert hazards.__doc__ is not None
    assert COMMAND in hazards.__doc__


# -- test ideas of 4.2 that are about all cards


@cache
def every_answer() -> tuple[tuple[str, str, Assessment], ...]:
    """What the service says in every scenario there is: the hook, the name, the answer."""
    answers = []
    for scenario in (*fixture_scenarios(), *rule_scenarios()):
        if not set(scenario.requires) - runner().rules:
            answers.append((scenario.hook, scenario.title, runner().assess(runner().case(scenario))))
    return tuple(answers)


def test_quinine_is_never_offered() -> None:
    """HZ-39: no draft of it, no label that names it except to take it away, and no advice to take it."""
    advised = re.compile(r"\b(consider|try|start|offer|give|add|take)\s+(?:\w+\s+)?quinine\b", re.IGNORECASE)
    met = 0
    for _, title, answer in every_answer():
        for card in to_builtins(answer.cards):
            words = f"{card['summary']}\n{card.get('detail', '')}"
            met += "quinine" in words.lower()
            for found in advised.finditer(words):
                before = words[max(0, found.start() - 40) : found.start()].lower()
                assert re.search(r"not|never|no ", before), (
                    title,
                    words[max(0, found.start() - 60) : found.end() + 30],
                )
            for suggestion in card.get("suggestions", ()):
                for action in suggestion["actions"]:
                    if action["type"] == "create" and action["resource"]["resourceType"] == "MedicationRequest":
                        assert "quinine" not in json.dumps(suggestion).lower(), title
    assert met > 10


def test_nothing_is_stopped_while_a_chart_is_viewed() -> None:
    """HZ-47: a chart that is opened offers no stop of a medicine, only a review or words."""
    met = 0
    for hook, title, answer in every_answer():
        for card in answer.cards:
            for suggestion in card.suggestions:
                met += 1
                kinds = {action.type for action in suggestion.actions}
                assert kinds == {"create"} or hook in ORDER_HOOKS, title
                for action in suggestion.actions:
                    assert action.resource.get("status", "draft") == "draft", title
                    assert not action.resource.get("doNotPerform"), title
    assert met > 100


def test_a_contributor_medicine_is_never_named_without_a_word_against_stopping_it() -> None:
    """HZ-47: the summary card that names a LABA, statin, PPI or diuretic says so."""
    rules = {"laba-cramp", "statin-muscle", "ppi-hypomagnesemia", "diuretic-thiazide", "diuretic-loop"}
    met = 0
    for _, title, answer in every_answer():
        for card in answer.cards:
            named = rules & set(card.extension["org.legcramp.assessment"]["rules"])
            if card.source.topic.code == "crampreviewsummary" and named:
                met += 1
                assert "do not stop" in card.detail.lower(), title
    assert met > 10


def test_the_level_is_never_told_as_a_probability() -> None:
    """HZ-48: no "%" and no "risk of" in the words of the contributor level, whatever the case."""
    met = 0
    for _, title, answer in every_answer():
        for card in answer.cards:
            if card.source.topic.code in ("crampreviewsummary", "cramprisksummary"):
                assert not re.search(r"%|\brisk of\b|probab", card.summary, re.IGNORECASE), (title, card.summary)
            # published prevalence figures in the words of a rule may stay (section 3)
            lines = [line for line in card.detail.splitlines() if "contributor level" in line.lower()]
            met += len(lines)
            for line in lines:
                told = line.replace("It is not a probability", "")
                assert not re.search(r"%|\brisk of\b|probab", told, re.IGNORECASE), (title, line)
    assert met > 50


def test_every_critical_card_says_what_it_does_not_replace() -> None:
    """HZ-58: a supplement to, not a substitute for, the laboratory critical-value call."""
    seen = set()
    for _, title, answer in every_answer():
        for card in answer.cards:
            if card.indicator == "critical":
                seen.add(card.source.topic.code)
                assert "supplement to, not a substitute for, the laboratory critical-value call" in card.detail, title
    assert {"labhypokalemia", "labhyperkalemia", "dvtredflag", "acutelimbischemiaredflag"} <= seen


@pytest.mark.parametrize("how", ["null", "absent"])
@pytest.mark.parametrize("key", ["medications", "conditions", "observations"])
def test_a_medication_list_of_null_withholds_treatment_and_is_named(key: str, how: str) -> None:
    """HZ-57: on a request that would otherwise offer potassium."""
    case = runner().case(next(scenario for scenario in fixture_scenarios() if "T05" in scenario.cases))
    body: dict[str, Any] = case.request()
    encoded = msgspec.json.Encoder(decimal_format="number").encode

    def ask() -> Assessment:
        return assess(gather(decode_request(encoded(body))), runner().ruleset, case.settings, case.calendar.now)

    def drafts() -> bool:
        return '"MedicationRequest"' in json.dumps(
            [action.resource for card in ask().cards for one in card.suggestions for action in one.actions]
        )

    assert drafts()
    if how == "null":
        body["prefetch"][key] = None
    else:
        del body["prefetch"][key]
    assert not drafts()
    assert any(gap.what == key for gap in ask().data_gaps)
