"""The loader is strict, and its errors are written for the author: `file:line: what to mend`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cds_service.engine.knowledge import Knowledge
from cds_service.engine.source import RulesetError

Load = Callable[..., Knowledge]
_ALIASES = f"[&a0 [{', '.join('x' * 30)}], &a1 [{', '.join(['*a0'] * 30)}], [{', '.join(['*a1'] * 30)}]]"
"""27,000 words in 400 characters; one level more each time makes thirty times as many."""


def test_the_tiny_folder_loads(load: Load) -> None:
    knowledge = load()
    assert [rule.id for rule in knowledge.rules] == ["low"]
    assert knowledge.rules[0].topic == "low"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("{in: potassium,", "{in: potasium,", 8, "there is no analyte 'potasium'"),
        ("below: 3.5 mmol/L", "below: 3.5 mg/dL", 8, "compared in mmol/L"),
        ("{in: potassium, below: 3.5 mmol/L}", "{in: magnesium, below: 0.7 mmol/L}", 8, "write one cut-off for each"),
        ("below: 3.5 mmol/L", "below: 3.5", 8, "'3.5' does not match"),
        ("below: 3.5 mmol/L", "lower: 3.5 mmol/L", 8, "the key 'lower' is not known here"),
        ("{potassium}", "{potasium}", 10, "{potasium} is not bound here"),
        ("{potassium}", "{potassium.datum}", 10, "known are"),
        ("when: {", "wenn: {", 8, "the key 'wenn' is not known here"),
        ("title: Low potassium\n", "", 1, "'title' is a required property"),
        ("cites: src", "cites: nowhere", 7, "there is no reference 'nowhere'"),
        ("[OR-managed]", "[OR-nonsense]", 11, "there is no override reason"),
        ("indicator: warning\n", "", 1, "either `bands` or one `indicator`"),
        ("indicator: warning", "indicator: hard-stop", 9, "is not one of"),
        ("id: low", "id: other", 1, "must equal the file name"),
        ("version: 1.0.0", "version: one", 4, "does not match"),
        ("status: active", "status: active\nstatus: draft", 6, "stands twice"),
        ("when: {observation", "when: {not: {observation", 9, "not valid YAML"),
        ("title: Low potassium", f"title: {_ALIASES}", 3, "use no aliases within aliases"),
        (
            "when: {observation: {in: potassium, below: 3.5 mmol/L}, as: potassium}",
            "when: {all: [{not: {observation: {in: potassium, below: 3.5 mmol/L}}}], as: potassium}",
            8,
            "write the opposite comparison",
        ),
        (
            "when: {observation: {in: potassium, below: 3.5 mmol/L}, as: potassium}",
            "when: {medication: {in: nothing}, as: potassium}",
            8,
            "there is no value set 'nothing'",
        ),
        (
            "when: {observation: {in: potassium, below: 3.5 mmol/L}, as: potassium}",
            "when: {fact: nothing, as: potassium}",
            8,
            "there is no fact 'nothing'",
        ),
        (
            "when: {observation: {in: potassium, below: 3.5 mmol/L}, as: potassium}",
            "when: {medication: {in: wasting, for_at_least: 3 parsecs}, as: potassium}",
            8,
            "does not match",
        ),
        ("indicator: warning", "indicator: warning\npoints: 2", 1, "needs the `group`"),
        ("override_reasons", "suggestions: [{order: nothing}]\noverride_reasons", 11, "there is no order 'nothing'"),
        ("override_reasons", "suggestions: [{gate: nothing}]\noverride_reasons", 11, "there is no gate 'nothing'"),
        ("override_reasons", "unless: [{finding: nothing}]\noverride_reasons", 11, "there is no rule 'nothing'"),
        ("override_reasons", "unless: [{finding: {id: low, band: x}}]\noverride_reasons", 11, "has no band 'x'"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_mend(
    load: Load, rule_text: str, old: str, new: str, line: int, says: str
) -> None:
    with pytest.raises(RulesetError) as raised:
        load({"laboratory/low.yaml": rule_text.replace(old, new, 1)})
    first = raised.value.errors[0]
    assert (first.file, first.line) == ("rules/laboratory/low.yaml", line)
    assert says in first.message


def test_all_mistakes_of_a_folder_are_told_at_once(load: Load, rule_text: str) -> None:
    broken = {
        "laboratory/low.yaml": rule_text.replace("{in: potassium,", "{in: nothing,"),
        "laboratory/high.yaml": rule_text.replace("id: low", "id: high")
        .replace("R01", "R02")
        .replace("as: pot", "as: x"),
    }
    with pytest.raises(RulesetError) as raised:
        load(broken)
    assert {error.file for error in raised.value.errors} == {"rules/laboratory/low.yaml", "rules/laboratory/high.yaml"}


def test_two_rules_cannot_share_a_number(load: Load, rule_text: str) -> None:
    with pytest.raises(RulesetError, match="number of"):
        load({"laboratory/high.yaml": rule_text.replace("id: low", "id: high")})


def test_facts_that_refer_to_each_other_in_a_circle_are_refused(load: Load) -> None:
    with pytest.raises(RulesetError, match="circle"):
        load({"facts/one.yaml": "{fact: one, all: [{fact: two}]}", "facts/two.yaml": "{fact: two, all: [{fact: one}]}"})


def test_a_band_that_takes_everything_must_stand_last(load: Load, rule_text: str) -> None:
    bands = "bands: [{id: all, indicator: info}, {id: never, indicator: warning}]"
    with pytest.raises(RulesetError, match="must stand last"):
        load({"laboratory/low.yaml": rule_text.replace("indicator: warning", bands)})


def test_a_gate_row_either_forbids_or_allows(load: Load) -> None:
    gate = "{gate: g, title: G, treats: potassium, monitoring: panel, rows: [{id: G1}]}"
    with pytest.raises(RulesetError, match="either forbids or allows"):
        load({"gates/g.yaml": gate})
