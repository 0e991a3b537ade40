"""The catalogue as people use it: narrow and wide, light and dark, by keyboard, without JavaScript, on paper."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.web_in_a_browser.test_preview_page import CONTRAST, UNNAMED, WIDER_THAN_THE_SCREEN

pytestmark = pytest.mark.browser

RULE = "/rules/lab-hypokalemia"
PAGES = [
    "/rules",
    "/rules?q=furosemide",
    RULE,
    "/rules/order-potassium-unsafe",
    "/rules/cramp-risk-summary",
    "/rules/gates/calcium",
    "/rules/value-sets/loop-diuretic",
    "/rules/value-sets/potassium-accepted",
]
SEVERAL_OF_ONE_ID = (
    """() => [...document.querySelectorAll("[id]")].map((e) => e.id).filter((id, at, all) => all.indexOf(id) !== at)"""
)
# A heading may not skip a level
HEADINGS = """() => [...document.querySelectorAll("h1, h2, h3, h4")].map((e) => +e.tagName[1])
  .filter((level, at, all) => at && level > all[at - 1] + 1)"""


@pytest.mark.parametrize("width", [320, 768, 1920])
@pytest.mark.parametrize("path", PAGES)
def test_no_width_scrolls_sideways(opened: Any, width: int, path: str) -> None:
    page = opened(viewport={"width": width, "height": 800}).go(path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)
    assert page.evaluate(HEADINGS) == []
    assert page.evaluate(SEVERAL_OF_ONE_ID) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("path", PAGES)
def test_text_can_be_read_and_controls_have_names(opened: Any, scheme: str, width: int, path: str) -> None:
    page = opened(color_scheme=scheme, viewport={"width": width, "height": 800}).go(path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNNAMED) == []


def test_a_page_that_is_not_there(opened: Any) -> None:
    watched = opened(viewport={"width": 320, "height": 800})
    watched.refusals_expected = True
    page = watched.go("/rules/potassium")
    expect(page.get_by_role("heading", name="There is no such rule")).to_be_visible()
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)
    page.get_by_label("Find a rule").fill("R01")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Low potassium").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("R01 Low potassium"))


def test_finding_by_keyboard_alone(opened: Any) -> None:
    page = opened().go("/rules")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("trimethoprim")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="rules found")).to_be_visible()
    expect(page.get_by_role("link", name="Trimethoprim ordered with")).to_be_visible()


def test_a_fact_opens_where_it_is_named(opened: Any) -> None:
    """A link to a folded fact shows it, without a script of ours."""
    page = opened(java_script_enabled=False).go(RULE)
    fact = page.locator("#fact-renal-block")
    expect(fact).to_be_hidden()
    page.get_by_role("link", name="eGFR below 30, CKD 4 or 5").first.click()
    expect(fact).to_be_visible()
    expect(fact).to_be_in_viewport()


def test_tables_keep_their_meaning_when_stacked(opened: Any) -> None:
    page = opened(viewport={"width": 320, "height": 800}).go(RULE)
    table = page.get_by_role("table", name="Rows of the gate Potassium chloride")
    row = table.get_by_role("row", name=re.compile("^GK14"))
    expect(row.get_by_role("rowheader")).to_have_text("GK14")
    expect(row.get_by_role("cell").nth(1)).to_contain_text("10 mEq once a day")


def test_on_paper(opened: Any) -> None:
    page = opened().go(RULE)
    assert not page.get_by_text("Approved as printed").is_visible()
    page.emulate_media(media="print")
    for gone in ("On this page", "Where you are", "Other rules"):
        expect(page.get_by_role("navigation", name=gone)).to_be_hidden()
    expect(page.get_by_text("Approved as printed")).to_be_visible()
    expect(page.get_by_text("Signature")).to_be_visible()
    assert re.search(
        r"R01 Low potassium, version [\d.]+, knowledge \S+, ruleset \w{16}; printed on", page.inner_text("main")
    )
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#fact-renal-block")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_from_a_card_to_its_rule(opened: Any) -> None:
    page = opened().go("/?example=patients/thiazide-low-potassium")
    address = page.get_by_role("link", name="About this rule").first.get_attribute("href")
    assert address is not None
    page.goto(opened().base + re.sub(r"^https?://[^/]+", "", address))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Run by this service with these rules")).to_be_visible()
