"""The handout on paper, on a telephone and without JavaScript."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.scenarios.shared import runner
from tests.web_in_a_browser.test_preview_page import CONTRAST, WIDER_THAN_THE_SCREEN

pytestmark = pytest.mark.browser


def longest() -> str:
    """More than any patient gets: every line, in its longest version."""
    handout = runner().ruleset.knowledge.handout
    assert handout is not None
    words = handout.texts["en"].lines
    return ",".join(max(line.versions, key=lambda one: len(words[one.code].lead)).code for line in handout.lines)


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_longest_sheet_prints_on_two_pages_in_type_of_12_points(opened: Any, language: str, paper: str) -> None:
    watched = opened(java_script_enabled=False)
    page = watched.go(f"/handout?lines={longest()}&lang={language}")
    pdf = page.pdf(format=paper)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 2


def test_printed_sheet_is_large_and_has_no_navigation(opened: Any) -> None:
    page = opened().go("/handout")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('.lines li')).fontSize") == "16px"  # 12 points
    assert not page.locator("nav").is_visible()
    assert page.locator(".emergency").is_visible()


@pytest.mark.parametrize(
    "query", ["", f"?lines={'H-02,H-22'}", "?view=clinician", "?lang=es&view=clinician", "?lines=H-99"]
)
@pytest.mark.parametrize("width", [320, 1280])
def test_page_can_be_read_at_any_width(opened: Any, query: str, width: int) -> None:
    watched = opened(java_script_enabled=True, viewport={"width": width, "height": 800})
    watched.refusals_expected = True
    page = watched.go(f"/handout{query}")
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)
    assert not page.evaluate(CONTRAST)


def test_emergency_box_comes_first_and_other_forms_are_one_click_away(opened: Any) -> None:
    page = opened(java_script_enabled=False).go("/handout?lines=H-02,H-09R")
    assert page.locator("section").first.get_attribute("class") == "emergency"
    page.get_by_role("link", name="Español").click()
    assert "no añada potasio" in page.inner_text("main")
    page.get_by_role("link", name="Pruebas de cada línea").click()
    assert page.locator("article#H-09R").is_visible()
    page.get_by_role("link", name="Hoja para el paciente").click()
    assert "no añada potasio" in page.inner_text("main")
