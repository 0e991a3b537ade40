"""The report as people read it: with and without color, narrow, by keyboard, without JavaScript, on paper."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.web.test_feedback import Site
from tests.web_in_a_browser.conftest import serving
from tests.web_in_a_browser.test_preview_page import CONTRAST, UNNAMED, WIDER_THAN_THE_SCREEN
from tests.web_in_a_browser.test_rules_pages import HEADINGS, SEVERAL_OF_ONE_ID

pytestmark = pytest.mark.browser

DRAWN = "() => [...document.querySelectorAll('.chart img')].map((one) => one.complete && one.naturalWidth > 300)"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service that has shown something."""
    site = Site(tmp_path_factory.mktemp("report"), log=io.BytesIO())
    for at in range(21):
        site.override(site.cards(patient=f"pt-{at}")[0], "OR-monitor")
    with serving(site.app) as address:
        yield address
    site.store.database.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 768, 1280])
def test_it_can_be_read_at_every_width_in_light_and_dark(opened: Any, width: int, scheme: str) -> None:
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 900}).go("/report")
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate(HEADINGS) == []
    assert page.evaluate(SEVERAL_OF_ONE_ID) == []


def test_both_charts_are_drawn_under_the_security_policy(opened: Any) -> None:
    page = opened(java_script_enabled=True).go("/report")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(DRAWN) == [True, True]
    expect(page.get_by_role("img", name="Bars of the cards shown for each rule")).to_be_visible()
    expect(page.get_by_role("img", name="Lines of the cards shown")).to_be_visible()


def test_the_table_says_what_the_chart_shows(opened: Any) -> None:
    page = opened(viewport={"width": 320, "height": 800}).go("/report")
    row = page.get_by_role("table", name="Cards by rule").get_by_role("row", name="R01 Low potassium")
    expect(row.get_by_role("cell").nth(2)).to_have_text("21")
    expect(row.get_by_role("rowheader")).to_contain_text("Review:")


def test_days_are_chosen_by_keyboard_without_javascript(opened: Any) -> None:
    page = opened(java_script_enabled=False).go("/report")
    page.get_by_label("First day").fill("2020-01-01")
    page.get_by_label("Last day").fill("2020-01-31")
    page.get_by_label("Last day").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Cards from 2020-01-01 to 2020-01-31")
    expect(page.get_by_text("No card was shown in this time.")).to_be_visible()


def test_a_table_is_downloaded(opened: Any) -> None:
    page = opened().go("/report")
    with page.expect_download() as download:
        page.get_by_role("link", name="Rules as CSV").click()
    assert download.value.suggested_filename.startswith("legcramp-rules-")


def test_it_prints(opened: Any) -> None:
    page = opened().go("/report")
    page.emulate_media(media="print")
    expect(page.get_by_role("button", name="Show")).to_be_hidden()
    assert page.pdf(format="A4").startswith(b"%PDF")
