"""The report of a run: counts that are right, and what few people stand behind hidden for good."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cds_service.cli import main
from cds_service.screening.report.compare import compare_runs
from cds_service.screening.report.content import Writer
from cds_service.screening.report.count import count_burden
from cds_service.screening.report.make import make_report, read_rows, read_summary
from cds_service.screening.report.model import HIDDEN, Table
from cds_service.screening.report.render import as_markdown
from cds_service.screening.report.suppress import hidden_cells, hidden_parts
from cds_service.screening.rows import CardRow, FindingRow, GapRow, PatientRow
from tests.facts.building import order, patient, result
from tests.screening.running import NOW, ruleset, run, write

TITLES = {"rule-a": "Rule A", "rule-b": "Rule B"}


def row(id_: str, *cards: tuple[str, str], mode: str = "full", sex: str = "female", **more: object) -> PatientRow:
    made = tuple(CardRow(rule, indicator, "SECRET") for rule, indicator in cards)  # type: ignore[arg-type]
    findings = tuple(FindingRow(card.rule, "1", "yes", "", card.indicator, shown=True) for card in made)
    told = {"cards": made, "findings": findings, "age_band": "60-69", "sex": sex, "mode": mode} | more
    return PatientRow(id_, "assessed", **told)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    people = [patient(id=f"p{at:02}") for at in range(12)]
    results = [
        result(f"k{at}", value=2.4 if at < 7 else 4.2, at="2026-03-05T08:00:00Z")
        | {"subject": {"reference": f"Patient/p{at:02}"}}
        for at in range(12)
    ]
    write(folder / "e" / "Patient.ndjson", *people)
    write(folder / "e" / "Observation.ndjson", *results)
    write(folder / "e" / "MedicationRequest.ndjson", order("m", subject={"reference": "Patient/p00"}))
    run(folder / "e", folder / "out")
    return folder / "out"


def tables(report: object, title: str) -> list[Table]:
    return [
        part
        for section in report.sections  # type: ignore[attr-defined]
        if section.title == title
        for part in section.parts
        if isinstance(part, Table)
    ]


# -- hiding


def test_a_small_count_is_hidden_with_its_neighbor() -> None:
    assert hidden_parts([3, 40, 9], 5) == {0, 2}
    assert hidden_parts([0, 40, 9], 5) == frozenset()
    assert hidden_parts([3, 40, 9], 0) == frozenset()


def test_two_small_ones_that_are_few_together_take_a_third_along() -> None:
    assert hidden_parts([1, 2, 30, 8], 5) == {0, 1, 3}


@given(
    st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=3), min_size=2, max_size=3).filter(
        lambda rows: len({len(row) for row in rows}) == 1
    )
)
def test_no_small_count_can_be_had_by_subtraction(cells: list[list[int]]) -> None:
    """Small counts are hidden, and no line of the table leaves exactly one to be worked out."""
    threshold = 4
    table = [[*row, sum(row)] for row in cells]
    table.append([sum(column) for column in zip(*table, strict=True)])
    hidden = hidden_cells(table, threshold)
    for row, line in enumerate(table):
        for column, count in enumerate(line):
            assert not 0 < count < threshold or (row, column) in hidden
    height, width = len(table), len(table[0])
    lines = [[(row, column) for column in range(width)] for row in range(height)]
    lines += [[(row, column) for row in range(height)] for column in range(width)]
    for line in lines:
        gone = [cell for cell in line if cell in hidden]
        assert len(gone) != 1 or table[gone[0][0]][gone[0][1]] >= threshold, (
            "one hidden count in a line is the rest of it"
        )


# -- what is counted


def test_cards_by_rule_indicator_and_people() -> None:
    rows = [row(f"p{at}", ("rule-a", "warning"), ("rule-b", "info"), sex="male") for at in range(20)]
    rows += [row(f"q{at}", mode="quiet") for at in range(30)]
    burden = count_burden(rows)
    assert burden.patients == 50
    assert burden.cards["rule-a", "warning", "60-69", "male", "full"] == 20
    assert burden.both["rule-a", "rule-b"] == 20
    assert burden.cards_each == {2: 20, 0: 30}


def test_what_few_people_have_is_told_nowhere(finished: Path) -> None:
    summary = read_summary(finished)
    rows = [row(f"p{at}", ("rule-a", "warning")) for at in range(40)]
    rows += [row(f"q{at}", ("rule-b", "critical"), ("rule-a", "warning")) for at in range(3)]
    rows += [row("z", gaps=(GapRow("conflict", "medications", "SECRET", "MedicationRequest/SECRET"),))]
    hiding = Writer(summary, count_burden(rows), TITLES, 5).report()
    (by_rule,) = tables(hiding, "By rule")
    assert next(line for line in by_rule.rows if "rule-b" in line[0])[1] == HIDDEN
    shown = Writer(summary, count_burden(rows), TITLES, 0).report()
    assert next(line for line in tables(shown, "By rule")[0].rows if "rule-b" in line[0])[1] == "3"
    for report in (hiding, shown):
        assert "SECRET" not in as_markdown(report, "charts")


def test_many_cards_of_few_people_are_hidden_too(finished: Path) -> None:
    rows = [row(f"p{at}", ("rule-a", "warning"), ("rule-b", "warning"), sex="male") for at in range(4)]
    rows += [row(f"q{at}", ("rule-a", "warning")) for at in range(30)]
    report = Writer(read_summary(finished), count_burden(rows), TITLES, 5).report()
    by_sex = tables(report, "By age, sex and mode")[1]
    male = next(line for line in by_sex.rows if line[0] == "male")
    assert set(male[1:]) == {HIDDEN}, "eight warnings of four men"


def test_a_report_is_written_as_html_and_markdown_with_charts(finished: Path) -> None:
    result_ = CliRunner().invoke(main, ["screen", "report", str(finished)])
    assert result_.exit_code == 0, result_.output
    text, page = (finished / "report.md").read_text(), (finished / "report.html").read_text()
    assert "lab-hypokalemia" in text
    for chart in re.findall(r"\]\((report-charts/[a-z-]+\.svg)\)", text):
        assert (finished / chart).read_text().startswith("<?xml")
    assert page.count("<svg") == text.count(".svg)") >= 4
    assert "<script" not in page
    assert not re.search(r"\bp\d\d\b", text), "no patient is named in a report"
    before = (finished / "report.html").read_bytes()
    make_report(finished, None, {rule.id: rule.title for rule in ruleset().knowledge.rules}, 5, 5)
    assert (finished / "report.html").read_bytes() == before


# -- two runs


def test_two_runs_tell_who_gains_and_loses_a_card() -> None:
    before = [row("a"), row("b", ("rule-a", "info")), row("c", ("rule-a", "info")), row("d")]
    after = [row("b", ("rule-a", "warning")), row("c"), row("d", ("rule-b", "info")), row("e")]
    changes = compare_runs(before, after, 5)
    assert (changes.both, changes.only_before, changes.only_after, changes.unchanged) == (3, 1, 1, 0)
    assert changes.cards == {("rule-a", "info to warning"): 1, ("rule-a", "gone"): 1, ("rule-b", "new"): 1}
    assert changes.examples["rule-b", "new"] == ["d"]


def test_examples_stand_in_the_list_for_the_reviewer_only(finished: Path, tmp_path: Path) -> None:
    run(finished.parent / "e", tmp_path / "later", now=NOW.replace(year=2027))
    titles = {rule.id: rule.title for rule in ruleset().knowledge.rules}
    make_report(tmp_path / "later", finished, titles, 5, 3)
    assert "as of" in (tmp_path / "later" / "report.md").read_text()
    told = (tmp_path / "later" / "examples-for-the-reviewer.md").read_text()
    assert re.search(r"Patient/p\d\d", told)
    assert not re.search(r"Patient/p\d\d", (tmp_path / "later" / "report.md").read_text())


def test_a_folder_without_a_run_is_said_so(tmp_path: Path) -> None:
    result_ = CliRunner().invoke(main, ["screen", "report", str(tmp_path)])
    assert result_.exit_code == 1
    assert "no finished run" in result_.stderr


def test_rows_come_back_as_they_were_written(finished: Path) -> None:
    for one in read_rows(finished):
        assert msgspec.json.decode(msgspec.json.encode(one), type=PatientRow) == one
