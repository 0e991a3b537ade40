"""The integrator's guide says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cds_service.fhir.queries import QUERIES
from cds_service.web.discovery import SERVICES
from tests.web.cds_hooks import check_cards, check_outcome
from tests.web.fakes import hook_request, make_app

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "integrating.md").read_text(encoding="utf-8")


def test_every_key_and_service_is_in_the_guide() -> None:
    for query in QUERIES:
        assert f"| `{query.key}` | `{query.template}` |" in GUIDE
    for service in SERVICES.values():
        assert f"| `{service.hook}` | `{service.id}` |" in GUIDE


def test_the_shown_error_is_the_one_that_comes_back() -> None:
    shown = json.loads(re.search(r"```json\n(\{\"resourceType\".*?)```", GUIDE, re.S)[1])  # type: ignore[index]
    response = make_app().test_client().post("/cds-services/leg-cramp-patient-view", json=hook_request(prefetch=None))
    assert check_outcome(response.data) == shown


def test_the_shown_request_is_answered() -> None:
    found = re.search(r"curl .* (http\S+8080)(/\S+) -d '(.*?)'\n```", GUIDE, re.S)
    assert found is not None
    response = make_app().test_client().post(found[2], data=found[3], content_type="application/json")
    assert response.status_code == 200
    check_cards(response.data, json.loads(found[3]))


def test_every_status_is_explained() -> None:
    for status in (400, 404, 405, 412, 413, 415, 500):
        assert f"| {status} |" in GUIDE
