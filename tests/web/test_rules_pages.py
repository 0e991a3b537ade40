"""The catalogue: every rule, gate and value set with what its file holds, and no link that leads nowhere."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from flask.testing import FlaskClient

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.catalogue import Catalogue
from cds_service.catalogue.hazards import LOG, guarded_by
from cds_service.catalogue.phrasing import amount
from cds_service.engine.model import Rule
from cds_service.hazards import read_log
from cds_service.ruleset import Ruleset
from cds_service.scenarios import Runner
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig, config_from
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import runner
from tests.web.cds_hooks import check_outcome

PEOPLE = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
RULES = runner().ruleset.knowledge.rules
GATES = tuple(runner().ruleset.knowledge.gates)


def make_client(ruleset: Ruleset | None = None, log: Any = None, **config: Any) -> FlaskClient:
    wiring = Wiring(ruleset=ruleset or runner().ruleset, assess=assess, encode_response=encode_response)
    app = create_app(WebConfig(**config), wiring, make_log(log or io.BytesIO()))
    if ruleset is None:
        app.extensions["catalogue"] = catalogue()
    return app.test_client()


@cache
def catalogue() -> Catalogue:
    return Catalogue(runner().ruleset)


@cache
def client() -> FlaskClient:
    """As in production: the catalogue needs no switch."""
    return make_client()


@cache
def page(address: str) -> str:
    answer = client().get(address, headers=PEOPLE)
    assert answer.status_code == 200, address
    assert answer.content_type == "text/html; charset=utf-8"
    return answer.text


def text(source: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", source)))


def tight(words: str) -> str:
    """Words without the spaces that tags between them leave."""
    return re.sub(r"\s+", "", words)


def thresholds(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("below", "at_least", "above", "at_most") and isinstance(value, str) and " " in value:
                yield amount(value)
            elif key not in ("scenarios", "rise", "fall"):
                yield from thresholds(value)
    elif isinstance(node, list):
        for one in node:
            yield from thresholds(one)


# -- every page holds what its file holds


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_a_rule(rule: Rule) -> None:
    source = page(f"/rules/{rule.id}")
    words = tight(text(source))
    knowledge = runner().ruleset.knowledge
    assert f"{rule.number}{tight(rule.title)}" in words
    assert rule.version in words
    assert rule.file in words
    for threshold in thresholds(rule.data):
        assert tight(threshold) in words
    for band in rule.bands:
        assert f'id="band-{band.id}"' in source
    for one in rule.evidence:
        for part in (one.claim, one.strength, knowledge.references[one.cites].citation):
            assert tight(part) in words
        if url := knowledge.references[one.cites].url:
            assert f'href="{html.escape(url)}"' in source
    for reason in rule.override_reasons:
        assert tight(knowledge.override_reasons[reason]) in words
    for told in (rule.card.why, rule.card.follow_up, rule.card.red_flags):
        assert tight(re.sub(r"\{[^}]+\}.*", "", told)) in words
    for one in rule.data["scenarios"]:
        assert tight(one["name"]) in words
    if rule.status == "active":
        count = len(rule.data["scenarios"])
        assert tight(f"{count} of {count} pass") in words
        assert "not run" not in text(source)


@pytest.mark.parametrize("gate_id", GATES)
def test_a_gate(gate_id: str) -> None:
    source = page(f"/rules/gates/{gate_id}")
    gate = runner().ruleset.knowledge.gates[gate_id]
    data = runner().ruleset.knowledge.sources[f"gates/{gate_id}.yaml"]
    words = tight(text(source))
    for row in gate.rows:
        assert f'id="row-{row.id}"' in source
        assert tight(re.sub(r"\{[^}]+\}.*", "", row.forbid)) in words
    for threshold in thresholds(data):
        assert tight(threshold) in words
    for rows in (*gate.then.values(), gate.advice):
        for then in rows:
            assert tight(str(then.value.get("text", ""))) in words


def test_low_potassium() -> None:
    words = text(page("/rules/lab-hypokalemia"))
    assert "below 3.5 mmol/L" in words
    assert "preliminary results count" in words
    for number in range(18):
        assert f" GK{number} " in words
    assert "Potassium chloride ER 20 mEq twice a day for 7 days" in words
    assert "https://pubmed.ncbi.nlm.nih.gov/29494072/" in page("/rules/lab-hypokalemia")
    assert "at most 30 days old" in words
    assert "Approved as printed" in words


def test_the_index() -> None:
    source = page("/rules")
    words = text(source)
    ruleset = runner().ruleset
    assert ruleset.digest in words
    assert ruleset.knowledge_version in words
    for rule in RULES:
        assert f'href="/rules/{rule.id}"' in source
    for gate_id in GATES:
        assert f'href="/rules/gates/{gate_id}"' in source
    for row in ruleset.knowledge.sweep:
        assert row.id in words
    for gate in ruleset.knowledge.patient_gates:
        assert gate.id in words
    for code, reason in ruleset.knowledge.override_reasons.items():
        assert f"{code} {reason}" in words
    for reference in ruleset.knowledge.references.values():
        assert tight(reference.citation) in tight(words)
    assert ruleset.knowledge.tier is not None
    assert tight(ruleset.knowledge.tier.is_not) in tight(words)


def test_every_value_set_and_every_link() -> None:
    """From the index, by the links of the pages, to everything there is."""
    seen: dict[str, str] = {}
    waiting = {"/rules"}
    fragments: set[tuple[str, str]] = set()
    statics: set[str] = set()
    while waiting:
        address = waiting.pop()
        source = seen[address] = "" if "page=" in address else page(address)
        for link in re.findall(r'(?:href|src)="([^"]+)"', source):
            parts = urlsplit(html.unescape(link))
            if parts.scheme:
                assert parts.scheme == "https", link
                continue
            query = f"?{parts.query}" if parts.query else ""
            target = parts.path + query or address
            if parts.path.startswith("/static/"):
                statics.add(target)
                continue
            assert not parts.path or parts.path.startswith("/rules"), link
            if target not in seen:
                waiting.add(target)
            if parts.fragment:
                fragments.add((target, parts.fragment))
    for target in statics:
        with client().get(target) as answer:
            assert answer.status_code == 200, target
    for target, fragment in fragments:
        if seen.get(target):
            assert f'id="{unquote(fragment)}"' in seen[target], (target, fragment)
    sets = {address.rsplit("/", 1)[-1] for address in seen if re.fullmatch(r"/rules/value-sets/[^?]+", address)}
    used = {one.id for rule in catalogue().rules for one in rule.uses.value_sets}
    assert used <= sets
    assert all("Codes" in seen[f"/rules/value-sets/{one}"] for one in sets)


def test_no_page_has_scripts_or_styles_of_its_own_nor_says_a_thing_twice() -> None:
    for address in ("/rules", *(f"/rules/{rule.id}" for rule in RULES), *(f"/rules/gates/{one}" for one in GATES)):
        source = page(address)
        assert not re.search(r"<style|\sstyle=|<script(?! src)|\son\w+=", source)
        ids = re.findall(r'\sid="([^"]+)"', source)
        assert len(ids) == len(set(ids)), [one for one in ids if ids.count(one) > 1]
        assert "Undefined" not in source
        assert "None" not in text(source)


# -- finding


def test_finding_a_rule_without_javascript() -> None:
    found = page("/rules?q=furosemide&indicator=critical")
    assert 'value="furosemide"' in found
    assert re.search(r"<h2[^>]*>\d+ rules found</h2>", found)
    assert 'href="/rules/order-diuretic-low-potassium"' in found
    assert 'href="/rules/smoking"' not in found
    assert "No rules found" in page("/rules?q=zzz")
    assert "&lt;script&gt;" in page("/rules?q=%3Cscript%3E")
    assert "<script>" not in page("/rules?q=%3Cscript%3E")
    assert page("/rules?topic=nonsense&hook=%00") != page("/rules")


def test_finding_a_code() -> None:
    all_codes, found = page("/rules/value-sets/k-wasting"), page("/rules/value-sets/k-wasting?q=furosemide+20")
    assert "Page 1 of" in text(all_codes)
    assert re.search(r"\d+ of [\d,]+ found", text(found))
    assert "Furosemide 20" in found or "furosemide 20" in found
    second = page("/rules/value-sets/k-wasting?page=2")
    assert 'rel="prev"' in second
    for odd in ("0", "-1", "99999", "x"):
        assert page(f"/rules/value-sets/k-wasting?page={odd}")
    assert "0 of" in text(page("/rules/value-sets/k-wasting?q=zzz"))


def test_a_number_leads_to_its_rule() -> None:
    for name in ("R01", "r01", "LAB-HYPOKALEMIA"):
        answer = client().get(f"/rules/{name}", headers=PEOPLE)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/rules/lab-hypokalemia")
    assert client().get("/rules/").status_code == 200


@pytest.mark.parametrize("kind", ["", "gates/", "value-sets/"])
def test_an_unknown_name(kind: str) -> None:
    for name in ("potassium-none", "%3Cimg%20src=x%3E", "R99", "x" * 500):
        shown = client().get(f"/rules/{kind}{name}", headers=PEOPLE)
        assert shown.status_code == 404
        assert "There is no such" in shown.text
        assert 'type="search"' in shown.text
        assert "<img src=x>" not in shown.text
        assert "Accept" in ", ".join(shown.headers.getlist("Vary"))
        for accept in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
            refused = client().get(f"/rules/{kind}{name}", headers=accept)
            assert refused.status_code == 404
            assert check_outcome(refused.data)["issue"][0]["code"] == "not-found"
    assert "R01" in client().get("/rules/hypokalemia", headers=PEOPLE).text


# -- where it is shown, and what it tells


def test_shown_in_production_the_preview_is_not() -> None:
    token = "open the pages please"
    opened = {"Authorization": f"Bearer {token}"}
    for config, preview in (
        ({}, False),
        ({"preview": True, "pages_token": token}, True),
        ({"development": True}, True),
    ):
        one = make_client(**config)
        assert one.get("/rules").status_code == 200
        assert (one.get("/", headers=opened).status_code == 200) is preview
        assert ('href="/"' in one.get("/rules").text) is preview
    assert make_client(development=True, preview=False).get("/").status_code == 404


def test_the_preview_switch() -> None:
    assert not config_from({}).preview
    assert config_from({"LEGCRAMP_DEVELOPMENT": "1"}).preview
    assert config_from({"LEGCRAMP_PREVIEW": "1"}).preview
    assert not config_from({"LEGCRAMP_DEVELOPMENT": "1", "LEGCRAMP_PREVIEW": "0"}).preview
    with pytest.raises(Exception, match="LEGCRAMP_PREVIEW"):
        config_from({"LEGCRAMP_PREVIEW": "maybe"})


def test_a_search_is_not_logged() -> None:
    log = io.BytesIO()
    one = make_client(log=log)
    one.get("/rules?q=Jane+Doe")
    one.get("/rules/Jane-Doe", headers=PEOPLE)
    assert b"Jane" not in log.getvalue()
    assert log.getvalue().count(b"\n") == 2


def test_scenarios_are_run_and_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    run = Runner.run
    monkeypatch.setattr(Runner, "run", lambda self, scenario: runs.append(scenario.name) or run(self, scenario))
    one = make_client()
    for _ in range(2):
        assert one.get("/rules/smoking").status_code == 200
    assert len(runs) == len(set(runs)) > 3


def test_a_scenario_that_differs_is_told() -> None:
    """A ruleset whose rule was changed in memory: what stands in its file no longer holds."""
    ruleset = runner().ruleset
    knowledge = ruleset.knowledge
    smoking = next(rule for rule in knowledge.rules if rule.id == "smoking")
    silent = msgspec.structs.replace(smoking, when=lambda _: 0)
    changed = object.__new__(type(knowledge))
    changed.__dict__ |= knowledge.__dict__ | {
        "rules": tuple(silent if rule is smoking else rule for rule in knowledge.rules)
    }
    one = make_client(msgspec.structs.replace(ruleset, knowledge=changed))
    words = text(one.get("/rules/smoking").text)
    assert "differs" in words
    assert "expected fires, got quiet" in words


def test_a_scenario_that_cannot_be_run_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ValueError("Jane Doe")

    monkeypatch.setattr(Runner, "run", broken)
    words = text(make_client().get("/rules/smoking").text)
    assert "cannot be run" in words
    assert "0 of" in words
    assert "Jane" not in words


def test_a_rule_shows_the_hazards_that_it_and_its_gates_keep_away() -> None:
    text = page("/rules/lab-hypokalemia")
    assert "HZ-03 Potassium with amiloride or triamterene" in text
    assert "gate potassium-chloride, row GK5" in text
    assert "furosemide, eGFR 24, potassium 3.2" in text  # the scenario that proves HZ-02
    assert 'id="hazards"' not in page("/rules/smoking")


def test_every_hazard_with_a_rule_or_its_gate_as_control_stands_on_a_page() -> None:
    folder = runner().ruleset.folder
    shown = {one.hazard.id for rule in catalogue().rules for one in guarded_by(rule, folder)}
    wanted = {
        hazard.id
        for hazard in read_log(folder / LOG).hazards
        if any(control.kind == "rule" for control in hazard.controls)
    }
    assert wanted
    assert wanted <= shown
