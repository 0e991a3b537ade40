"""The report page: what is asked for, what is shown, and what is told when it cannot be."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cds_service.clients.model import Client
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from tests.web.cds_hooks import check_outcome
from tests.web.fakes import make_app
from tests.web.test_feedback import Site, plain
from tests.web.test_real_rules import NOW

MARCH = "since=2026-03-01&until=2026-03-31"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.store.database.close()


@pytest.fixture
def overridden_often(site: Site) -> Site:
    """Twenty-one patients with low potassium, each card overridden."""
    for at in range(21):
        site.override(site.cards(patient=f"pt-{at}")[0], "OR-monitor")
    return site


def get(site: Site, path: str) -> Any:
    return site.app.test_client().get(path)


def cells(html: str, row: str) -> list[str]:
    """The cells of the table row whose head holds these words."""
    found = next(one for one in re.findall(r"<tr role=\"row\".*?</tr>", html, re.DOTALL) if row in one)
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", found, re.DOTALL)]


def test_the_last_ninety_days_are_shown_unless_others_are_asked_for(overridden_often: Site) -> None:
    page = get(overridden_often, "/report")
    assert page.status_code == 200
    until = NOW.date()
    assert f"Cards from {until - timedelta(days=89)} to {until}" in page.text
    assert cells(page.text, "R01 Low potassium")[:4] == ["21", "0", "21", "0"]
    assert "No card was shown in this time." in get(overridden_often, "/report?since=2020-01-01&until=2020-01-31").text


def test_a_rule_beyond_the_limits_is_marked_and_leads_to_its_rule(overridden_often: Site) -> None:
    text = get(overridden_often, "/report").text
    review = text[text.index('id="review"') : text.index('id="rules"')]
    assert '<a href="/rules/lab-hypokalemia">R01 Low potassium</a>: overridden more than 80%' in review
    assert "Will monitor 21" in text


def test_one_client_is_shown_apart(tmp_path: Path) -> None:
    site = Site(tmp_path, (Client(id="north", issuer="https://n.example.org"),))
    site.cards()
    assert '<option value="north">north</option>' in get(site, "/report").text
    assert "R01" in get(site, "/report?client=north").text
    assert "No card was shown" in get(site, "/report?client=south").text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", "A day is written as 2026-03-31."),
        ("until=2026-02-30", "A day is written as 2026-03-31."),
        ("until=0001-01-01", "A day is written as 2026-03-31."),
        ("since=2026-02-02&until=2026-02-01", "The first day lies after the last."),
        ("since=1990-01-01&until=2026-02-01", "Ten years at once are the most."),
        ("since=9999-12-01&until=9999-12-31", "That day is too far ahead."),
    ],
)
def test_days_that_cannot_be_are_told_and_not_repeated(site: Site, query: str, said: str) -> None:
    page = get(site, f"/report?{query}&client=<script>")
    assert page.status_code == 200
    assert said in page.text
    assert "yesterday" not in page.text
    assert "<script>" not in page.text


@pytest.mark.parametrize("name", ["rules", "time"])
def test_a_chart_is_a_document_of_its_own(overridden_often: Site, name: str) -> None:
    answer = get(overridden_often, f"/report/{name}.svg?{MARCH}")
    assert answer.content_type == "image/svg+xml"
    assert b"<svg" in answer.data
    assert b"<script" not in answer.data
    page = get(overridden_often, "/report").text
    assert re.search(rf'<img src="/report/{name}\.svg[^"]*" alt="[^"]{{40,}}"', page), "it is told in words"


@pytest.mark.parametrize("name", ["rules", "topics", "time"])
def test_a_table_can_be_downloaded(overridden_often: Site, name: str) -> None:
    answer = get(overridden_often, f"/report/{name}.csv")
    assert answer.content_type == "text/csv; charset=utf-8"
    assert f"legcramp-{name}-" in answer.headers["Content-Disposition"]
    shown = [int(row["shown"]) for row in csv.DictReader(io.StringIO(answer.text))]
    assert sum(shown) == len(overridden_often.rows_shown())


def test_nothing_of_a_patient_is_in_the_report(overridden_often: Site) -> None:
    answers = [get(overridden_often, path).text for path in ("/report", "/report/rules.csv", "/report/rules.svg")]
    assert not [text for text in answers if "pt-1" in text or "Zaphod" in text]


def test_no_script_or_style_stands_in_the_page(overridden_often: Site) -> None:
    page = get(overridden_often, "/report").text
    assert not re.search(r"<script(?! src)|<style| style=| on\w+=", page)


def test_a_database_that_does_not_answer_is_told(site: Site, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "memory.sqlite3") as connection:
        connection.execute("DROP TABLE feedback")
    connection.close()
    page = get(site, "/report")
    assert (page.status_code, "does not answer" in page.text) == (503, True)
    assert "SELECT" not in page.text
    chart = get(site, "/report/rules.svg")
    assert chart.status_code == 503
    check_outcome(chart.data)


def test_without_a_memory_the_page_says_so() -> None:
    app = create_app(WebConfig(development=True), plain(), make_log(io.BytesIO()))
    page = app.test_client().get("/report")
    assert (page.status_code, "LEGCRAMP_DATABASE" in page.text) == (200, True)
    assert app.test_client().get("/report/rules.csv").status_code == 404


def test_outside_development_nothing_of_it_is_shown(site: Site) -> None:
    wiring = msgspec.structs.replace(plain(), store=site.store)
    app = create_app(WebConfig(), wiring, make_log(io.BytesIO()))
    for path in ("/report", "/report/rules.svg", "/report/rules.csv"):
        assert app.test_client().get(path).status_code == 404
    assert make_app().test_client().get("/report").status_code == 404


def test_pages_lead_to_the_report_where_somebody_can_open_it(site: Site) -> None:
    assert '<a href="/report">' in get(site, "/rules").text
    assert '<a href="/rules">' in get(site, "/report").text
    shut = WebConfig(database="none", patient_hash_key="nobody can guess this")
    for config, leads in ((shut, False), (msgspec.structs.replace(shut, pages_token="open the pages please"), True)):
        app = create_app(config, site.app.extensions["wiring"], make_log(io.BytesIO()))
        assert ('href="/report"' in app.test_client().get("/rules").text) is leads
    site.app.extensions["wiring"] = msgspec.structs.replace(site.app.extensions["wiring"], store=None)
    assert 'href="/report"' not in get(site, "/rules").text
