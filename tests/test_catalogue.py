"""The catalogue's words: complete, true to the files, and the same in the terminal as on the pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from cds_service.catalogue import Catalogue, RuleView, Said, plain
from cds_service.catalogue.criteria import COMPARISONS, CRITERIA, Sayer
from cds_service.catalogue.phrasing import amount, in_sentence, listed, wording
from cds_service.catalogue.scenarios import scenario
from cds_service.cli.explain import explain
from cds_service.engine.compiler import BUILDERS, QUALIFIERS
from tests.scenarios.shared import ROOT, runner

COMBINATIONS = {"all", "any", "not", "at_least"}
RULES = tuple(rule.id for rule in runner().ruleset.knowledge.rules)


@cache
def catalogue() -> Catalogue:
    return Catalogue(runner().ruleset)


def rule(name: str) -> RuleView:
    found = catalogue().rule(name)
    assert found is not None
    return found


def lines(said: Said) -> Iterator[str]:
    yield said.text
    for part in said.parts:
        yield from lines(part)


def say(node: dict[str, Any]) -> list[str]:
    return list(lines(Sayer(runner().ruleset).say(node)))


def criteria_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every criterion of a file that is none of a combination."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in CRITERIA and not (key == "order" and isinstance(value, str)) and key != "age":
                yield {key: value}
            elif key not in ("scenarios", "resources"):
                yield from criteria_in(value)
    elif isinstance(node, list):
        for one in node:
            yield from criteria_in(one)


# -- nothing without words


def test_every_criterion_has_words() -> None:
    assert CRITERIA.keys() | COMBINATIONS == BUILDERS.keys()


# The words each modifier adds; a modifier that the schema allows and this list lacks fails the test below.
MODIFIERS: dict[str, dict[str, tuple[Any, str]]] = {
    "medication": {
        "not_in": ("furosemide", "except furosemide"),
        "count": (2, "2 or more different"),
        "for_at_least": ("30 days", "for at least 30 days"),
        "started_before": ("3 days", "started more than 3 days ago"),
        "started_within": ("9 days", "started in the last 9 days"),
        "daily_amount": ({"above": "325 mg"}, "above 325 mg a day"),
        "single_amount": ({"above": "20 meq"}, "above 20 mEq in one dose"),
        "scheduled": (True, "not only as needed"),
        "form": ("solid", "in solid form"),
        "indication": ("diabetes", "given for"),
        "with_ingredient": ("raasi", "in one product with"),
        "unlike": ("draft", "another ingredient than that of the draft"),
        "renewals": ("apart", ""),
        "drafts": ("apart", "drafts left aside"),
        "unknown_start": ("counts", ""),
        "unknown_form": ("counts", ""),
    },
    "observation": {
        "of": ("potassium", "this potassium"),
        "below": ("3.5 mmol/L", "below 3.5 mmol/L"),
        "at_least": ("3.5 mmol/L", "at least 3.5 mmol/L"),
        "above": ("3.5 mmol/L", "above 3.5 mmol/L"),
        "at_most": ("3.5 mmol/L", "at most 3.5 mmol/L"),
        "within": ("9 days", "in the last 9 days"),
        "preliminary": ("counts", "preliminary results count"),
        "hemolyzed": ("apart", "hemolyzed samples left aside"),
        "worse_of": (2, "worse of the two newest"),
        "any_of": (2, "one of the two newest"),
        "value_in": ("smoking-status-value-positive", "answered as"),
        "times_upper_limit": ({"above": 10}, "above 10 times its upper limit of normal"),
        "not_older_than": ("creatinine", "not older than the newest creatinine"),
    },
    "condition": {
        "within": ("9 days", "noted or begun in the last 9 days"),
        "possible": ("counts", "possible ones count"),
        "history": ("counts", "past ones count"),
        "count": (2, "2 or more different of"),
        "or_active": (True, ""),
        "new": (True, "just put on the problem list"),
    },
    "no_result": {
        "within": ("9 days", "in the last 9 days"),
        "since": ({"in": "gi-fluid-loss", "within": "14 days"}, "that was noted in the last 14 days"),
        "not_older_than": ("creatinine", "not older than the newest creatinine"),
    },
}
MODIFIERS["order"] = {key: value for key, value in MODIFIERS["medication"].items() if key not in ("unlike", "renewals")}
BASES = {"medication": "loop-diuretic", "order": "loop-diuretic", "observation": "potassium", "condition": "diabetes"}


@pytest.mark.parametrize("criterion", MODIFIERS)
def test_every_modifier_of_the_schema_has_words(criterion: str) -> None:
    schema = json.loads((ROOT / "rules" / "schema" / "rules.schema.json").read_text())
    allowed = schema["$defs"]["criterion"]["properties"][criterion]["properties"].keys() - {"in"}
    assert allowed <= MODIFIERS[criterion].keys()
    for modifier in allowed:
        value, words = MODIFIERS[criterion][modifier]
        (said,) = say({criterion: {"in": BASES.get(criterion, "potassium"), modifier: value}})
        assert words in said


# Criteria whose parts are all required, or said in one sentence.
WHOLE: dict[str, dict[str, Any]] = {
    "doubtful": {"in": "potassium", "conflict": {"within": "14 days", "apart": "24 hours", "differ_by": "1.0 mmol/L"}},
    "conflict": {"in": "potassium", "within": "14 days", "apart": "24 hours", "differ_by": "1.0 mmol/L"},
    "unreadable": {"in": "potassium", "within": "90 days", "below": "2.5 mmol/L", "at_least": "6.0 mmol/L"},
    "hemolyzed": {"of": "potassium"},
    "preliminary": {"of": "potassium"},
    "rise": {"in": "creatinine", "within": "7 days", "above_lowest_of": "48 hours", "at_least": "26.5 umol/L"},
    "fall": {"in": "egfr", "of": "730 days", "apart": "180 days", "more_than": "5 mL/min", "a": "365 days"},
    "ever": {"in": "potassium", "below": "1 mmol/L", "at_least": "2 mmol/L", "above": "3 mmol/L", "at_most": "4 mmol/L",
             "within": "9 days", "same_day_as": "sodium"},
    "persists": {"in": "potassium", "below": "1 mmol/L", "at_least": "2 mmol/L", "above": "3 mmol/L",
                 "at_most": "4 mmol/L", "apart": "9 days"},
    "procedure": {"in": "dialysis-procedure", "within": "90 days"},
    "allergy": {"in": "quinine-allergy"},
    "due_date": {"in": "delivery-date", "in_the_next": "300 days"},
    "age": {"at_least": 12, "below": 56, "possible": "counts"},
    "tier": {"at_least": "high"},
    "contributors": {"at_least": 2, "outside": "background"},
    "shown": {"at_least": "warning"},
}  # fmt: skip


SPOKEN = {
    "counts": "possible",
    "egfr": "eGFR",
    "dialysis-procedure": "Dialysis procedure",
    "quinine-allergy": "Previous quinine reaction",
    "delivery-date": "estimated delivery date",
}


def test_every_criterion_says_all_its_parts() -> None:
    schema = json.loads((ROOT / "rules" / "schema" / "rules.schema.json").read_text())
    for name, form in schema["$defs"]["criterion"]["properties"].items():
        forms = [form, *form.get("anyOf", ())]
        allowed = next((one["properties"].keys() for one in forms if "properties" in one), None)
        if allowed is None or name in (*MODIFIERS, *COMBINATIONS, "finding", "setting"):
            continue
        assert allowed == WHOLE[name].keys(), name
        (said,) = say({name: WHOLE[name]})
        for value in leaves(WHOLE[name]):
            assert SPOKEN.get(value, value) in said, (name, value)


def leaves(node: Any) -> Iterator[str]:
    for value in node.values():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield str(value)


def test_modifiers_that_speak_together() -> None:
    (said,) = say({"medication": {"in": "ppi", "for_at_least": "365 days", "unknown_start": "counts"}})
    assert said.endswith("for at least 365 days or since an unknown day")
    (said,) = say({"order": {"in": "potassium-product", "form": "solid", "unknown_form": "counts"}})
    assert said.endswith("in solid form or in a form not stated")
    (said,) = say({"medication": {"in": "potassium-product", "unlike": "draft", "renewals": "apart"}})
    assert "the order that this draft renews unchanged" in said
    (said,) = say({"condition": {"in": "leg-cramp-symptom", "within": "365 days", "or_active": True}})
    assert said.endswith("in the last 365 days or stated to be active")


def test_a_criterion_of_the_future_is_told_as_written() -> None:
    assert say({"moon_phase": {"in": "full", "not_before": "9 days"}}) == ["moon phase: in full, not before 9 days"]


def test_combinations_and_qualifiers() -> None:
    node = {"any": [{"sex": "female"}, {"not": {"any": [{"mode": "full"}, {"age": "unknown"}]}}], "reads": "cautious"}
    assert say(node) == [
        "any of (read cautiously: possible and drafted count, doubt is unknown)",
        "female",
        "not any of",
        "leg cramps are on record",
        "age not known",
    ]
    node = {"at_least": {"count": 2, "of": [{"sex": "male"}, {"deceased": True}]}}
    assert say(node) == ["at least 2 of", "male", "deceased"]
    node = {"allergy": {"in": "quinine-allergy"}, "when_not_supplied": "no"}
    assert say(node) == ["on record: Previous quinine reaction (counts as absent if not supplied)"]


def test_small_words() -> None:
    assert amount("0.70 mmol/L | 1.7 mg/dL") == "0.70 mmol/L (1.7 mg/dL)"
    assert amount("0.90 {ratio}") == "0.90"
    assert [in_sentence(name) for name in ("Loop diuretics", "eGFR", "HbA1c", "ACE inhibitors", "Vitamin B12")] == [
        "loop diuretics", "eGFR", "HbA1c", "ACE inhibitors", "vitamin B12",
    ]  # fmt: skip
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a or b", "a, b or c"]
    assert plain(wording("{drug}: {potassium} on {potassium.date}")) == "[drug]: [potassium] on [date of potassium]"
    assert plain(wording("eGFR below 30 mL/min/{1.73_m2}")) == "eGFR below 30 mL/min/{1.73_m2}"


# -- true to the files


@pytest.mark.parametrize("rule_id", RULES)
def test_a_rule_says_all_of_its_file(rule_id: str) -> None:
    view, data = rule(rule_id), next(r.data for r in runner().ruleset.knowledge.rules if r.id == rule_id)
    told = "\n".join(everything(view))
    for node in criteria_in(data):
        ((name, value),) = node.items()
        for key in COMPARISONS:
            if isinstance(value, dict) and isinstance(value.get(key), str) and name in ("observation", "ever"):
                assert f"{COMPARISONS[key]} {amount(value[key])}" in told
        if isinstance(value, dict) and isinstance(value.get("within"), str):
            assert value["within"] in told
    assert [band.id for band in view.bands] == [band["id"] for band in data.get("bands", [{"id": "found"}])]
    assert [one.source.id for one in view.evidence] == [one["cites"] for one in data["evidence"]]
    assert [one.name for one in view.scenarios] == [one["name"] for one in data["scenarios"]]
    assert [one.code for one in view.overrides] == data["override_reasons"]
    assert len(view.offers) == len(data.get("suggestions", ()))
    for key, text in data["card"].items():
        assert plain(getattr(view, key)).count("[") == len(re.findall(r"\{[a-z_.]+\}", text))


def everything(view: RuleView) -> Iterator[str]:
    for said in (view.when, *view.unless, *([view.shown_if] if view.shown_if else [])):
        yield from lines(said)
    offers = [*view.offers, *(offer for band in view.bands for offer in band.offers or ())]
    for said in [*(band.when for band in view.bands), *(offer.only_if for offer in offers)]:
        yield from lines(said) if said else ()


def test_gate_k() -> None:
    gate = catalogue().gate("potassium-chloride")
    assert gate is not None
    ids = [row.id for row in gate.rows]
    assert [one for one in ids if re.fullmatch(r"GK\d+", one)] == [f"GK{n}" for n in range(17)] + ["GK17"]
    doses = {row.id: row.allow for row in gate.rows if row.allow}
    assert doses["GK14"] == "Potassium chloride ER 10 mEq once a day for 14 days"
    assert doses["GK17b"] == "Potassium chloride ER 20 mEq twice a day for 7 days"
    assert all(bool(row.allow) != bool(row.forbid) for row in gate.rows)
    assert [one.number for one in gate.used_by] == ["R01", "R56"]
    assert {"kcl", "midamor"} <= {one.id for one in gate.sources}
    calcium = catalogue().gate("calcium")
    assert calcium is not None
    assert "Calcium citrate 1900 mg twice a day for 30 days" in [row.allow for row in calcium.rows]
    assert catalogue().gate("none") is None


def test_every_name_leads_somewhere() -> None:
    ruleset = runner().ruleset
    for view in (*catalogue().rules, *catalogue().gates):
        facts = {one.id for one in view.uses.facts}
        for fact in view.uses.facts:
            for run in fact.said.runs():
                assert run.to != "fact" or run.id in facts
                assert run.to != "value-set" or run.id in ruleset.terminology.titles
        assert {key for fact in view.uses.facts for key in fact.cites} <= {one.id for one in view.sources}
    for one in catalogue().sources:
        assert one.id in ruleset.knowledge.references
        assert all(link.url.startswith("https://") for link in one.links)


def test_the_tier_is_made_of_the_rules_points() -> None:
    tier = catalogue().tables.tier
    assert tier is not None
    told = {one.rule.id: dict(one.bands) for group in tier.groups for one in group.rules}
    assert told == {
        one.id: {band.id: band.points for band in one.bands if band.points}
        for one in runner().ruleset.knowledge.rules
        if any(band.points for band in one.bands)
    }


def test_what_shows_without_recorded_cramps() -> None:
    """Order hooks have no quiet mode (`cards.select`)."""
    assert "Only" not in rule("order-potassium-unsafe").shown
    assert rule("order-potassium-unsafe").shown.startswith("When an order is written all of it shows")
    assert rule("lab-hypokalemia").shown.startswith("Only its warnings and criticals have a card")
    assert rule("smoking").shown.startswith("Only its criticals have a card")
    assert rule("cramp-risk-summary").shown == ""


# -- value sets


def test_codes_are_those_that_are_matched() -> None:
    terminology = runner().ruleset.terminology
    found = catalogue().value_set("k-wasting", "furosemide rxnorm")
    assert found is not None
    assert found.codes
    for code in found.codes:
        assert "k-wasting" in terminology.sets("http://www.nlm.nih.gov/research/umls/rxnorm", code.code)
    whole = catalogue().value_set("k-wasting")
    assert whole is not None
    assert whole.total == len(whole.codes) > len(found.codes)
    assert "loop-diuretic" in [one.id for one in whole.parts]
    assert "R01" in [use.named.number for use in whole.used_by]
    assert catalogue().value_set("none") is None


def test_a_code_left_out_is_not_shown() -> None:
    """An exclusion of the file holds, however the code came in."""
    value_sets = runner().ruleset.terminology.index.value_sets
    for one in value_sets.values():
        left_out = {concept.code for exclude in one.excludes for concept in exclude.concept}
        view = catalogue().value_set(one.id) if left_out else None
        if view is not None:
            listed_here = {concept.code for include in one.includes for concept in include.concept}
            assert not {code.code for code in view.codes} & (left_out - listed_here)


# -- search


def test_search() -> None:
    def numbers(query: str = "", **narrow: str) -> list[str]:
        return [one.number for one in catalogue().search(query, **narrow)]

    assert len(numbers()) == len(RULES)
    assert numbers() == sorted(numbers())
    assert "R14" in numbers("furosemide")
    assert "R01" in numbers("low POTASSIUM", indicator="critical")
    assert numbers("R30") == ["R30"] or "R30" in numbers("R30")
    assert "R58" in numbers("E87.6")
    assert set(numbers(topic="order")) == {f"R{n}" for n in range(56, 64)}
    assert numbers("", hook="order-sign") == numbers(topic="order")
    assert numbers("", status="retired") == []
    assert numbers("zzz") == []


# -- one description


def test_the_terminal_says_what_the_pages_say() -> None:
    ruleset = runner().ruleset
    for view in catalogue().rules:
        shown = "\n".join(
            str(getattr(line, "renderable", line))
            for line in explain(next(one for one in ruleset.knowledge.rules if one.id == view.id), ruleset)
        )
        for text in everything(view):
            assert text in shown


def test_scenarios_in_words() -> None:
    told = {
        "name": "all of it", "hook": "order-sign", "today": "2026-03-10", "patient": {"sex": "female", "born": None},
        "default": True, "symptoms": True, "on": ["furosemide", {"drug": "digoxin", "status": "on-hold"}],
        "results": [{"analyte": "potassium", "value": "<2.5", "unit": "mmol/L"}, {"analyte": "potassium", "value": 2}],
        "not_supplied": ["conditions"], "settings": {"region": "uk"}, "note": "once seen", "weather": {"rain": True},
        "expect": "fires", "band": "severe", "indicator": "critical", "points": 1, "offers": ["ecg"],
        "not_offers": ["handout", "potassium"], "summary_contains": "call",
    }  # fmt: skip
    view = scenario(told)
    assert view.case == (
        "at order-sign", "on 2026-03-10", "patient: sex female, born not given", "leg cramps on record",
        "takes: furosemide; digoxin (status on-hold)", "results: potassium <2.5 mmol/L; potassium 2 without a unit",
        "not supplied: conditions", "all other results fresh and normal", "settings: region uk", "once seen",
        "weather: rain yes",
    )  # fmt: skip
    assert view.expected == (
        "fires", "band severe", "critical", "1 point", "offers ecg", "does not offer handout or potassium",
        "says “call”",
    )  # fmt: skip
    assert scenario({"name": "x", "expect": {"tier": "low"}, "points": 2}).expected == ("tier low", "2 points")


assert set(QUALIFIERS) == {"as", "reads", "when_not_supplied", "because", "cites"}
