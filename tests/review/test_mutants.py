"""Slips in the rules: which there are, that a scenario notices them, and what is said of one that none notices."""

from __future__ import annotations

import functools
import random
from pathlib import Path

import pytest

from cds_service.engine.source import Document, read_document
from cds_service.review.bench import documents_of, prepare, scenarios_of
from cds_service.review.equivalents import Equivalent, read_equivalents, report_on
from cds_service.review.mutants import Mutant, mutants_of, mutated
from cds_service.review.trial import Court, Verdict
from cds_service.ruleset import Ruleset, load_ruleset

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENTS = ROOT / "tests/review/equivalent-mutants.yaml"
RULE = """\
id: sample
when: {observation: {in: potassium, below: 3.5 mmol/L, within: 90 days}}
unless: [{condition: {in: palliative-care}, because: comfort}]
bands:
  - id: severe
    if: {observation: {of: potassium, in: potassium, below: 0.70 mmol/L | 1.7 mg/dL}}
    indicator: critical
    points: 4
  - {id: mild, indicator: info}
card: {summary: "of 3.5 nobody asks"}
"""
GATE = """\
gate: sample
rows:
  - {id: G1, if: {fact: renal-block}, forbid: Kidney}
  - {id: G2, if: {fact: weakness}, forbid: Weak}
  - {id: G3, if: {age: {at_least: 75}}, allow: {order: potassium-chloride-er, dose: 10 meq, times_a_day: 1, days: 14}}
"""


def slips(folder: Path, name: str, text: str) -> tuple[Document, list[Mutant]]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    document = read_document(path, f"rules/{name}")
    return document, list(mutants_of({name: document}, folder))


def test_the_slips_of_a_rule(tmp_path: Path) -> None:
    _, found = slips(tmp_path, "laboratory/sample.yaml", RULE)
    assert [f"{one.kind}: {one.slip}" for one in found] == [
        "threshold: when > observation > below: 3.5 mmol/L -> 3.6 mmol/L",
        "threshold: when > observation > below: 3.5 mmol/L -> 3.4 mmol/L",
        "comparison: when > observation > below: below -> at_most",
        "duration: when > observation > within: 90 days -> 91 days",
        "duration: when > observation > within: 90 days -> 89 days",
        "unless: unless: unless removed",
        "band: bands > severe: band removed",
        "band: bands > mild: band removed",
        "threshold: bands > severe > if > observation > below: 0.70 mmol/L | 1.7 mg/dL -> 0.71 mmol/L | 1.7 mg/dL",
        "threshold: bands > severe > if > observation > below: 0.70 mmol/L | 1.7 mg/dL -> 0.69 mmol/L | 1.7 mg/dL",
        "threshold: bands > severe > if > observation > below: 0.70 mmol/L | 1.7 mg/dL -> 0.70 mmol/L | 1.8 mg/dL",
        "threshold: bands > severe > if > observation > below: 0.70 mmol/L | 1.7 mg/dL -> 0.70 mmol/L | 1.6 mg/dL",
        "comparison: bands > severe > if > observation > below: below -> at_most",
        "band: bands > severe > indicator: critical -> warning",
        "points: bands > severe > points: 4 -> 5",
        "points: bands > severe > points: 4 -> 3",
        "band: bands > mild > indicator: info -> warning",
    ]


def test_rows_that_both_forbid_are_not_exchanged_and_doses_move(tmp_path: Path) -> None:
    _, found = slips(tmp_path, "gates/sample.yaml", GATE)
    told = [one.slip for one in found]
    assert "rows > G2: swapped with G3" in told
    assert "rows > G1: swapped with G2" not in told
    assert {"rows > G1: row removed", "rows > G2: row removed", "rows > G3: row removed"} <= set(told)
    assert "rows > G3 > allow > dose: 10 meq -> 11 meq" in told
    assert "rows > G3 > allow > days: 14 -> 13" in told


def test_a_slip_changes_one_place_and_leaves_the_original_alone(tmp_path: Path) -> None:
    document, found = slips(tmp_path, "gates/sample.yaml", GATE)
    by_text = {one.slip: one for one in found}
    removed = mutated(document, by_text["rows > G1: row removed"])
    assert [row["id"] for row in removed.data["rows"]] == ["G2", "G3"]
    swapped = mutated(document, by_text["rows > G2: swapped with G3"])
    assert [row["id"] for row in swapped.data["rows"]] == ["G1", "G3", "G2"]
    renamed = mutated(document, by_text["rows > G3 > if > age > at_least: 75 -> 76"])
    assert renamed.data["rows"][2]["if"] == {"age": {"at_least": 76}}
    assert [row["id"] for row in document.data["rows"]] == ["G1", "G2", "G3"]


def test_one_anchor_is_one_slip(tmp_path: Path) -> None:
    text = "fact: sample\nany:\n  - all: [&low {age: {below: 40}}, {sex: male}]\n  - all: [*low, {sex: female}]\n"
    document, found = slips(tmp_path, "facts/sample.yaml", text)
    moved = [one for one in found if one.change == "40 -> 41"]
    assert [len(one.edits) for one in moved] == [2]
    assert str(mutated(document, moved[0]).data).count("41") == 2


# -- the rules as they are ---------------------------------------------------------------------------------------------


@functools.cache
def ruleset() -> Ruleset:
    return load_ruleset(ROOT / "rules")


@functools.cache
def court_of_the_potassium_gate() -> Court:
    """All slips, before the scenarios of one gate only."""
    told = scenarios_of(ruleset(), [ROOT / "fixtures/scenarios/gate-potassium.yaml"])
    return Court(ruleset(), prepare(ruleset(), [one for one in told if not one.rule]))


def judged(court: Court, file: str, slip: str) -> Verdict:
    return court.judge(next(i for i, one in enumerate(court.mutants) if (one.name, one.slip) == (file, slip)))


def test_a_slip_is_noticed_and_by_whom() -> None:
    court = court_of_the_potassium_gate()
    verdict = judged(court, "gates/potassium-chloride.yaml", "rows > GK5: row removed")
    assert verdict.outcome == "killed"
    assert verdict.by in {one.scenario.title for one in court.trial.prepared}


def test_a_slip_that_no_scenario_asks_survives() -> None:
    verdict = judged(court_of_the_potassium_gate(), "gates/compression.yaml", "rows > GC2: row removed")
    assert (verdict.outcome, verdict.asked) == ("survived", 0)


@pytest.mark.heavy
def test_of_a_large_sample_of_slips_none_goes_unnoticed() -> None:
    """`make mutate` tries them all."""
    everybody = Court(ruleset(), prepare(ruleset(), scenarios_of(ruleset(), [ROOT / "fixtures/scenarios"])))
    assert everybody.trial.failing == []
    chosen = random.Random(2).sample(range(len(everybody.mutants)), 300)
    report = report_on(everybody.mutants, map(everybody.judge, chosen), read_equivalents(EQUIVALENTS))
    assert [mutant.text for mutant, _ in report.survivors] == []
    assert [f"{mutant.text}: noticed by {verdict.by}" for mutant, verdict in report.contradicted] == []


# -- what is reported --------------------------------------------------------------------------------------------------


def test_the_report_tells_survivors_equivalents_contradictions_and_stale_entries(tmp_path: Path) -> None:
    _, found = slips(tmp_path, "gates/sample.yaml", GATE)
    verdicts = [
        Verdict(0, "killed", "a scenario"),
        Verdict(1, "survived"),
        Verdict(2, "survived"),
        Verdict(3, "refused"),
    ]
    known = [
        Equivalent(found[0].name, found[0].slip, "wrongly listed"),
        Equivalent(found[1].name, f"{found[1].where}: *", "changes no answer"),
        Equivalent("gates/gone.yaml", "*", "no such file"),
    ]
    report = report_on(found, reversed(verdicts), known)
    assert [mutant for mutant, _ in report.contradicted] == [found[0]]
    assert report.equivalents == [found[1]]
    assert [mutant for mutant, _ in report.survivors] == [found[2]]
    assert report.stale == [known[2]]
    assert (report.killed, report.refused, report.is_good) == (1, 1, False)


def test_every_listed_equivalent_has_its_reason_and_fits_a_slip() -> None:
    known = read_equivalents(EQUIVALENTS)
    assert [one.slip for one in known if len(one.because) < 30] == []
    mutants = list(mutants_of(documents_of(ruleset()), ruleset().folder))
    assert report_on(mutants, [], known).stale == []
