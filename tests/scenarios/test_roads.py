"""One assessment, several roads: the prefetch of a request, a bundle on the command line, HTTP. Findings agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cds_service.assess import Assessment
from cds_service.cards.response import encode_response
from cds_service.cli import main
from cds_service.cli.check import finding_data
from cds_service.fhir.context import HOOKS
from cds_service.scenarios import Case, Scenario
from cds_service.scenarios.case import encoded
from cds_service.settings import Settings
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import fits_a_bundle, fixture_scenarios, ids_of, runner

PLAIN = tuple(filter(fits_a_bundle, fixture_scenarios()))


def by_request(case: Case) -> Assessment:
    return runner().assess(case)


def comparable(assessment: Assessment) -> list[dict[str, Any]]:
    return [finding_data(finding) for finding in assessment.findings]


@pytest.mark.parametrize("scenario", PLAIN, ids=ids_of(PLAIN))
def test_a_bundle_says_what_a_request_says(scenario: Scenario) -> None:
    case = runner().case(scenario)
    request, bundle = by_request(case), runner().assess(case, case.gathered_from_file())
    assert comparable(bundle) == comparable(request)
    assert bundle.cards == request.cards
    assert bundle.data_gaps == request.data_gaps


def test_the_command_line_says_what_a_request_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All bundles of one hook in one call, as a site would check a folder."""
    monkeypatch.setattr("cds_service.cli.console.load_ruleset", lambda *_, **__: runner().ruleset)
    for hook in HOOKS:
        cases = [runner().case(scenario) for scenario in PLAIN if scenario.hook == hook]
        files = [tmp_path / f"{hook}-{number:03}.json" for number in range(len(cases))]
        for file, case in zip(files, cases, strict=True):
            file.write_bytes(encoded(case.bundle()))
        if not files:
            continue
        arguments = ["check", "--json", "--hook", hook, "--today", "2026-03-10", *map(str, files)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        assert len(answers) == len(cases)
        for case, answer in zip(cases, answers, strict=True):
            assert answer["findings"] == comparable(by_request(case)), case.scenario.place


@pytest.mark.parametrize("scenario", fixture_scenarios(), ids=ids_of(fixture_scenarios()))
def test_http_says_what_a_request_says(scenario: Scenario) -> None:
    """The finished bytes too: equal but for the identifiers, which are handed in."""
    case = runner().case(scenario)
    if "patient" in case.not_supplied:
        pytest.skip("without a patient the answer is a 412")
    seen: list[Assessment] = []

    def assess(gathered: Any, ruleset: Any, settings: Settings, now: Any, *_: Any) -> Assessment:
        assert settings == case.settings
        seen.append(runner().assess(case, gathered))
        return seen[-1]

    wiring = Wiring(
        ruleset=runner().ruleset,
        assess=assess,
        encode_response=encode_response,
        now=lambda: case.calendar.now,
        new_id=lambda: "the-id",
    )
    client = create_app(WebConfig(settings=case.settings), wiring).test_client()
    answer = client.post(
        f"/cds-services/leg-cramp-{scenario.hook}", data=encoded(case.request()), content_type="application/json"
    )
    assert answer.status_code == 200, answer.data
    assert comparable(seen[0]) == comparable(by_request(case))
    assert answer.data == encode_response(by_request(case).cards, lambda: "the-id")
