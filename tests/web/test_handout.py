"""The handout page: chosen lines, two languages, three forms, and an address that leaks nothing."""

from __future__ import annotations

import io
import re
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cds_service.assess import assess
from cds_service.cards.response import encode_response
from cds_service.settings import Settings
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.scenarios.shared import runner

LOG = io.BytesIO()


def make(config: WebConfig) -> Flask:
    wiring = Wiring(ruleset=runner().ruleset, assess=assess, encode_response=encode_response)
    return create_app(config, wiring, make_log(LOG))


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return make(WebConfig()).test_client()


def words(html: str) -> str:
    body = html.split("<main>", 1)[1]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def page(client: FlaskClient, query: str = "", status: int = 200) -> str:
    response = client.get(f"/handout{query}")
    assert response.status_code == status
    return response.get_data(as_text=True)


def test_general_sheet_has_the_lines_for_everybody(client: FlaskClient) -> None:
    text = words(page(client))
    for said in (
        "it is not a fit",
        "Do not prick the muscle with a needle",
        "Wear shoes",
        "Call emergency services (911)",
    ):
        assert said in text
    for gated in (
        "Straighten your knee",
        "warm towel",
        "Eat many kinds",
        "do not add potassium",
        "pickle",
        "pregnancy cramps",
    ):
        assert gated not in text
    assert "This is the general sheet." in text


def test_chosen_lines_in_the_order_of_the_page(client: FlaskClient) -> None:
    text = words(page(client, "?lines=H-22,H-09R,H-02A&lang=en"))
    places = [
        text.index(said) for said in ("Straighten your knee", "do not add potassium", "Some medicines are linked")
    ]
    assert places == sorted(places)
    assert "Stop if the stretch brings on more pain" in text
    assert "it is not a fit" not in text
    assert "general sheet" not in text


def test_emergency_box_and_clinic_box_are_on_every_sheet(client: FlaskClient) -> None:
    text = words(page(client, "?lines=H-02"))
    assert (
        text.index("Call emergency services")
        < text.index("Straighten your knee")
        < text.index("Call your clinic this week")
    )


def test_every_code_can_be_shown_in_every_language(client: FlaskClient) -> None:
    handout = runner().ruleset.knowledge.handout
    assert handout is not None
    for language, texts in handout.texts.items():
        for code in handout.by_code():
            html = page(client, f"?lines={code}&lang={language}")
            assert f'<html lang="{language}" dir="ltr">' in html
            assert texts.lines[code].lead.split("{")[0].strip() in words(html)


def test_no_drug_is_named_but_there_is_a_line_to_write_it_on(client: FlaskClient) -> None:
    assert "Medicine to ask about:" in words(page(client, "?lines=H-22"))
    assert "Medicine to ask about:" not in words(page(client, "?lines=H-24"))


def test_emergency_number_of_the_region() -> None:
    client = make(WebConfig(settings=Settings(region="uk"))).test_client()
    assert "Call emergency services (999)" in words(page(client))


def test_plain_text(client: FlaskClient) -> None:
    response = client.get("/handout?lines=H-02,H-09&format=text")
    assert response.content_type == "text/plain; charset=utf-8"
    text = response.get_data(as_text=True)
    assert text.startswith("Leg cramps: what helps, what does not\n=====")
    assert "* Straighten your knee and pull your toes" in text
    assert "Call emergency services (911) for:\n  * one leg that is swollen" in text
    assert "<" not in text


def test_clinicians_version_tells_the_evidence_of_every_line(client: FlaskClient) -> None:
    handout = runner().ruleset.knowledge.handout
    assert handout is not None
    html = page(client, "?view=clinician")
    text = words(html)
    for line in handout.lines:
        assert line.evidence in text
        assert line.correction in text
        for version in line.versions:
            assert f'<article id="{version.code}">' in html
    assert 'href="https://doi.org/10.1002/14651858.CD009402.pub3"' in html
    assert "Seed-F4b" in text
    assert text.index("Lines not on this sheet") < text.index("Straighten your knee")


def test_links_keep_the_lines(client: FlaskClient) -> None:
    html = unescape(page(client, "?lines=H-02,H-09R"))
    for query in (
        "lines=H-02,H-09R&lang=es",
        "lines=H-02,H-09R&lang=en&format=text",
        "lines=H-02,H-09R&view=clinician&lang=en",
    ):
        link = next(
            link
            for link in re.findall(r'href="(/handout[^"]+)"', html)
            if set(link.split("?")[1].split("&")) == set(query.split("&"))
        )
        assert client.get(link).status_code == 200


# ---- addresses that ask for what there is not -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?lines=H-01,H-99", "Item 2 of the list"),
        ("?lines=", "Item 1 of the list"),
        ("?lines=H-01,,H-02", "Item 2 of the list"),
        ("?lines=h-01", "Item 1 of the list"),
        ("?lines=H-09,H-01,H-09R", "Items 1 and 3 of the list"),
        ("?lang=xx", "no sheet in this language"),
        ("?view=doctor", '"view" can only be "clinician"'),
        ("?format=pdf", '"format" can only be "text"'),
        ("?format=text&view=clinician", "Mend it"),
    ],
)
def test_address_that_cannot_be_shown_says_how_to_mend_it(client: FlaskClient, query: str, said: str) -> None:
    text = words(page(client, query, 400))
    assert said in text
    assert "Mend it:" in text
    assert "H-09R" in text


def test_mend_is_told_in_the_language_of_the_page(client: FlaskClient) -> None:
    html = page(client, "?lang=es&lines=H-99", 400)
    assert '<html lang="es"' in html
    assert "Para corregirlo" in words(html)


@pytest.mark.parametrize("key", ["lines", "lang", "view", "format"])
def test_nothing_sent_comes_back_or_is_logged(client: FlaskClient, key: str) -> None:
    LOG.seek(0)
    LOG.truncate()
    html = page(client, f"?{key}=Smith-4711<script>", 400)
    assert "4711" not in html
    assert b"4711" not in LOG.getvalue()
    assert b'"route":"/handout"' in LOG.getvalue()


def test_a_repeated_line_and_spaces_are_no_mistake(client: FlaskClient) -> None:
    assert page(client, "?lines=H-01, H-01 ,H-02").count("Straighten your knee") == 1


# ---- what a browser is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "?view=clinician", "?format=text", "?lines=H-99"])
def test_nothing_is_stored_and_nothing_runs(client: FlaskClient, query: str) -> None:
    response = client.get(f"/handout{query}")
    html = response.get_data(as_text=True)
    assert "Set-Cookie" not in response.headers
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|javascript:|<form|<iframe", html)
    for address in re.findall(r'(?:src|href)="([^"]+)"', html.split("<main>")[0]):
        assert address.startswith("/")
        with client.get(unescape(address)) as fetched:
            assert fetched.status_code == 200


def test_other_methods_are_refused(client: FlaskClient) -> None:
    assert client.post("/handout", data={"lines": "H-01"}).status_code == 405
