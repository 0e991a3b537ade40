"""The patient handout: who is shown which line, and that every line can be read, printed and translated."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cds_service.assess import Assessment
from cds_service.cards.handout import address, choose
from cds_service.engine.context import Context
from cds_service.engine.handout import Handout
from cds_service.engine.handout import handout as load_handout
from cds_service.engine.source import read_document
from cds_service.facts.decode import build_facts
from cds_service.facts.model import Measurement
from cds_service.scenarios import Case, Scenario
from tests.scenarios.shared import fixture_scenarios, rule_scenarios, runner

TODAY = date(2026, 3, 10)


@cache
def handout() -> Handout:
    loaded = runner().ruleset.knowledge.handout
    assert loaded is not None
    return loaded


def case(**told: Any) -> Case:
    told = {"default": True, "symptoms": True, **told}
    return runner().case(Scenario(name="handout", told=told, today=TODAY, file="test_handout.py", line=1))


def chosen(one: Case) -> set[str]:
    facts = build_facts(one.gathered(), runner().ruleset.terminology, one.settings, one.calendar.now)
    return set(choose(Context(facts, one.settings), handout()))


def shown(**told: Any) -> set[str]:
    """The codes for patient D of section 7 with cramps, changed as told."""
    return chosen(case(**told))


# ---- who is shown which line ------------------------------------------------------------------------------------

ALWAYS = {"H-01", "H-06", "H-10", "H-13", "H-15", "H-17", "H-20", "H-21", "H-30", "H-31", "H-32"}
STRETCH = {"H-02", "H-02A", "H-08", "H-08A"}
HEAT = {"H-05", "H-16"}
R41 = STRETCH | HEAT | {"H-04", "H-14", "H-18", "H-26"}
"""What a possible clot, limb ischemia or compartment syndrome takes away."""
GROUPS = {"ALWAYS": ALWAYS, "HEAT": HEAT, "R41": R41}


def expanded(names: Iterable[str]) -> set[str]:
    return set().union(*(GROUPS.get(name, {name}) for name in names))


def read_cases() -> Iterable[tuple[str, dict[str, Any], set[str], set[str]]]:
    for row in read_document(Path(__file__).with_name("handout-cases.yaml"), "handout-cases.yaml").data:
        told = {key: value for key, value in row.items() if key not in ("name", "shown", "not_shown")}
        yield row["name"], told, expanded(row.get("shown", ())), expanded(row.get("not_shown", ()))


GATES = tuple(read_cases())


@pytest.mark.parametrize(("told", "there", "absent"), [row[1:] for row in GATES], ids=[row[0] for row in GATES])
def test_line_is_shown_to_whom_it_is_for(told: dict[str, Any], there: set[str], absent: set[str]) -> None:
    codes = shown(**told)
    assert there <= codes
    assert not absent & codes


@pytest.mark.parametrize(("index", "diseased"), [("0.90", True), ("0.91", False), (None, True)])
def test_ankle_brachial_index_decides_on_arterial_disease(index: str | None, diseased: bool) -> None:
    """A site configures its code, so the result is put in as the engine sees it; None is one that cannot be read."""
    one = case()
    facts = build_facts(one.gathered(), runner().ruleset.terminology, one.settings, one.calendar.now)
    value = Decimal(index) if index is not None else None
    result = Measurement(
        "Observation/abi", "ankle-brachial-index", frozenset(), facts.now, facts.now, False,
        None if index is not None else "no-value", "{ratio}", value, value,
    )  # fmt: skip
    facts = msgspec.structs.replace(facts, results={**facts.results, "ankle-brachial-index": (result,)})
    codes = set(choose(Context(facts, one.settings), handout()))
    assert ("H-02A" in codes) is diseased
    assert bool((HEAT | {"H-07"}) & codes) is not diseased


def test_what_was_not_supplied_shows_only_what_suits_everybody() -> None:
    codes = shown(
        default=False, symptoms=False, not_supplied=["medications", "conditions", "observations", "procedures"]
    )
    always = {line.versions[-1].code for line in handout().lines if line.show is None}
    assert codes == always
    assert {"H-03S", "H-09R", "H-11L", "H-12", "H-24"} <= codes


@pytest.mark.parametrize("kind", ["medications", "conditions", "observations"])
def test_taking_data_away_never_adds_a_permissive_line(kind: str) -> None:
    """Only lines that warn, or are for everybody, may take the place of what can no longer be known."""
    careful = {"H-02A", "H-03S", "H-08A", "H-09R", "H-11L", "H-12", "H-24", "H-23C"}
    for row in GATES:
        told = row[1]
        gone = {"medications": "on", "conditions": "conditions", "observations": "results"}[kind]
        less = {key: value for key, value in told.items() if key != gone}
        if kind == "conditions":
            less |= {"symptoms": False}
        if kind == "observations":
            less = {key: value for key, value in less.items() if key != "without"} | {"default": False}
        assert shown(**less, not_supplied=[kind]) - shown(**told) <= careful, row[0]


def test_every_line_and_version_is_reached_by_a_case() -> None:
    seen: set[str] = set()
    for row in GATES:
        seen |= shown(**row[1])
    assert seen == set(handout().by_code())


def test_every_gated_line_is_also_seen_absent() -> None:
    everywhere = set.intersection(*({code[:4] for code in shown(**row[1])} for row in GATES))
    gated = {line.id for line in handout().lines if line.show is not None}
    assert not everywhere & gated
    assert everywhere == {line.id for line in handout().lines if line.show is None}


# ---- beside the rules -------------------------------------------------------------------------------------------


@cache
def _all_cases() -> tuple[tuple[str, set[str], Assessment], ...]:
    cases = []
    for scenario in (*fixture_scenarios(), *rule_scenarios()):
        if not set(scenario.requires) - runner().rules:
            one = runner().case(scenario)
            cases.append((scenario.title, chosen(one), runner().assess(one)))
    return tuple(cases)


@pytest.mark.parametrize(
    ("rule", "never"),
    [
        ("dvt-red-flag", R41),
        ("acute-limb-ischemia-red-flag", R41 | {"H-07"}),
        ("pad-claudication-mimic", HEAT | {"H-07", "H-26", "H-02", "H-08"}),
        ("lab-hyperkalemia", {"H-09"}),
        ("diuretic-potassium-sparing", {"H-09"}),
        ("ckd-cramps", {"H-09"}),
        ("dialysis-cramps", {"H-09", "H-27", "H-11", "H-19"}),
    ],
)
def test_handout_never_contradicts_a_finding(rule: str, never: set[str]) -> None:
    """4.1, the columns of the handout: over every scenario there is."""
    if rule not in runner().rules:
        pytest.skip(f"waiting for {rule}")
    met = 0
    for title, codes, assessment in _all_cases():
        if any(finding.rule.id == rule and finding.fired for finding in assessment.findings):
            met += 1
            assert not codes & never, title
    assert met


def test_link_stands_on_the_summary_card_with_the_lines_of_this_patient() -> None:
    one = case(conditions=["I73.9", "I83.90"], on=["hydrochlorothiazide"])
    links = [link.url for card in runner().assess(one).cards for link in card.links if "handout" in link.url]
    assert links
    query = re.fullmatch(r"http://127\.0\.0\.1:8080/handout\?lines=((?:H-\d\d[A-Z]?,?)+)&lang=en", links[0])
    assert query is not None
    assert set(query[1].split(",")) == chosen(one)


def test_no_link_where_no_rule_offers_the_handout() -> None:
    one = case(
        hook="order-sign", drafting=["hydrochlorothiazide 25 mg 1/day"], results=["potassium 3.2 mmol/L 5 days ago"]
    )
    cards = runner().assess(one).cards
    assert cards
    assert not [link for card in cards for link in card.links if "handout" in link.url]


def test_address_holds_codes_and_a_language_and_nothing_else() -> None:
    assert (
        address("https://cds.example.org", ["H-01", "H-02A"], "en")
        == "https://cds.example.org/handout?lines=H-01,H-02A&lang=en"
    )


# ---- completeness -----------------------------------------------------------------------------------------------


def test_every_line_of_section_5_is_here_once() -> None:
    wanted = {f"H-{number:02}" for number in (*range(1, 28), 30, 31, 32)}
    ids = [line.id for line in handout().lines]
    assert len(ids) == len(set(ids))
    assert set(ids) == wanted
    assert "H-09R" in handout().by_code()


def test_handout_is_part_of_the_digest() -> None:
    sources = runner().ruleset.knowledge.sources
    assert {"handout/lines.yaml", "handout/text/en.yaml", "handout/text/es.yaml"} <= sources.keys()


def test_every_line_tells_its_evidence_from_a_known_source() -> None:
    references = runner().ruleset.knowledge.references
    for line in handout().lines:
        assert set(line.cites) <= references.keys()
        assert line.evidence
        assert line.correction
        assert all(version.strength in handout().texts["en"].strengths for version in line.versions)


def test_texts_lie_in_files_of_their_language() -> None:
    folder = Path(runner().ruleset.folder) / "handout" / "text"
    assert {path.stem for path in folder.glob("*.yaml")} == set(handout().texts)


# ---- mistakes of an author --------------------------------------------------------------------------------------


def mistakes(tmp_path: Path, file: str, old: str, new: str) -> list[str]:
    """What the loader says when one file of the handout is changed."""
    source = runner().ruleset.folder / "handout"
    texts = [source / "text" / "en.yaml", source / "text" / "es.yaml"]
    documents = []
    for path in (source / "lines.yaml", *texts):
        text = path.read_text(encoding="utf-8")
        if path.name == file:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
        documents.append(read_document(tmp_path / path.name, path.name))
    knowledge = runner().ruleset.knowledge
    made, errors = load_handout(documents[0], documents[1:], knowledge.vocabulary, knowledge.references)
    assert (made is None) is bool(errors)
    return [str(error) for error in errors]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("es.yaml", "  H-25: ", "  H-28: ", "es.yaml:47: without words: H-25"),
        ("es.yaml", "  attack: ", "  attacks: ", "without words: attack"),
        ("en.yaml", "({emergency})", "({number})", "{number} is filled by nothing here; known are emergency"),
        ("en.yaml", "Drink less alcohol", "Drink less {drug}", "{drug} is filled by nothing here"),
        ("lines.yaml", "cites: [hal12, cos21]", "cites: [hal12, cos12]", "there is no reference 'cos12'"),
        ("lines.yaml", "section: attack", "section: atack", "there is no section 'atack'"),
        ("lines.yaml", "fact: heat-unsafe", "fact: heat-safe", "there is no fact 'heat-safe'"),
        ("lines.yaml", "code: H-02A", "code: H-02", "the code H-02 stands twice"),
        ("lines.yaml", "when: Pregnancy, if: {fact: pregnancy}", "when: Pregnancy", "the last version, and no other"),
        ("lines.yaml", "default_language: en", "default_language: fr", "there is no text in this language"),
        ("lines.yaml", "{in: alcohol-dependence}", "{in: alcohol}", "there is no value set 'alcohol'"),
    ],
)
def test_mistake_is_told_with_its_place(tmp_path: Path, file: str, old: str, new: str, said: str) -> None:
    errors = mistakes(tmp_path, file, old, new)
    assert any(said in error for error in errors), errors
    assert all(re.match(r"[\w.]+:\d+: ", error) for error in errors)


def test_no_mistake_in_the_handout_as_it_is(tmp_path: Path) -> None:
    assert mistakes(tmp_path, "en.yaml", "language: en", "language: en") == []
