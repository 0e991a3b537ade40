"""Every item of the lay article is answered by a rule, gate, order, fact or handout line that exists (section 1)."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.scenarios.shared import ROOT, runner

ITEMS: list[dict[str, Any]] = yaml.safe_load((ROOT / "rules/seed-coverage.yaml").read_text(encoding="utf-8"))["items"]
KNOWLEDGE = ROOT.parent / "shared" / "clinical-knowledge.md"
GROUPS = ("rules", "facts", "gates", "orders", "handout")
IDS = [item["item"] for item in ITEMS]
NUMBERS = {"C1a", "C1b", "F4a", "F4b", "S0", "S0b"} | {
    f"{letter}{number}"
    for letter, last in (("C", 5), ("D", 8), ("F", 5), ("T", 4), ("P", 6))
    for number in range(1, last + 1)
    if f"{letter}{number}" not in ("C1", "F4")
}


def test_every_item_stands_once() -> None:
    assert sorted(IDS) == sorted(f"Seed-{number}" for number in NUMBERS)


@pytest.mark.skipif(not KNOWLEDGE.exists(), reason="the clinical knowledge is not beside this checkout")
def test_every_row_of_section_1_is_answered_by_what_it_names() -> None:
    rows = re.findall(r"^\| (Seed-\w+) \|(.*)$", KNOWLEDGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    by_id = {item["item"]: item for item in ITEMS}
    assert [name for name, _ in rows] == IDS
    for name, row in rows:
        does = row.split("|")[1]
        for number in set(re.findall(r"\bR\d\d\b", does)):
            # "R12-R17" names the ends, "R01-R08" too; both ends are enough to find the list
            assert number in by_id[name].get("rules", {}), (name, number)
        for line in set(re.findall(r"\bH-\d\dR?\b", does)):
            assert line in by_id[name].get("handout", ()), (name, line)


@pytest.mark.parametrize("item", ITEMS, ids=IDS)
def test_item_is_answered(item: dict[str, Any]) -> None:
    assert set(item) <= {"item", "says", "strength", *GROUPS}
    assert item["says"]
    assert item["strength"]
    assert any(item.get(group) for group in GROUPS)


@pytest.mark.parametrize("item", ITEMS, ids=IDS)
def test_what_answers_it_exists(item: dict[str, Any]) -> None:
    knowledge = runner().ruleset.knowledge
    assert knowledge.handout is not None
    assert set(item.get("gates", ())) <= knowledge.gates.keys()
    assert set(item.get("orders", ())) <= knowledge.orders.keys()
    assert set(item.get("facts", ())) <= knowledge.vocabulary.facts.keys()
    codes = knowledge.handout.by_code()
    assert set(item.get("handout", ())) <= codes.keys()
    for code in item.get("handout", ()):
        assert item["item"] in codes[code][0].seed, code
    numbers = {rule.id: rule.number for rule in knowledge.active_rules}
    waiting = [rule for rule in item.get("rules", {}).values() if rule not in numbers]
    if waiting and len(numbers) < 64:
        pytest.skip(f"waiting for {', '.join(waiting)}")
    assert all(numbers[rule] == number for number, rule in item.get("rules", {}).items())


def test_every_handout_line_says_which_items_it_covers() -> None:
    handout = runner().ruleset.knowledge.handout
    assert handout is not None
    covered = {(name, line.id) for line in handout.lines for name in line.seed}
    listed = {(item["item"], code[:4]) for item in ITEMS for code in item.get("handout", ())}
    assert covered == listed
