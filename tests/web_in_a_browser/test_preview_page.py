"""The preview page as people use it: by keyboard, without JavaScript, on a narrow screen, in the dark, on paper."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.fakes import PATIENT, bundle

pytestmark = pytest.mark.browser

INJECTION = "<script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>"
WITH_CARDS = "/?example=patients/cramps-several-factors"
FOCUSED = "document.activeElement.id || document.activeElement.name || document.activeElement.textContent"

# Every text on the page against what is painted behind it; colors here are all opaque.
CONTRAST = """() => {
  const parse = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("svg, option")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(ratio.toFixed(2) + " " + walk.currentNode.textContent.trim().slice(0, 40));
  }
  return bad;
}"""
WIDER_THAN_THE_SCREEN = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
# What a screen reader would call each control
UNNAMED = """() => [...document.querySelectorAll("input, select, textarea, button, a, [role=region]")]
  .filter((e) => e.checkVisibility() && !(e.labels?.length || e.getAttribute("aria-label") || e.textContent.trim()))
  .map((e) => e.outerHTML)"""


def tab_to(page: Page, wanted: str, most: int = 40) -> None:
    """Presses Tab until the focus is on an element of this selector."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", wanted):
            return
    raise AssertionError(f"no way to {wanted} by Tab; the focus is on {page.evaluate(FOCUSED)}")


def test_an_example_by_keyboard_alone(opened: Any) -> None:
    page = opened().go()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to choosing a patient")).to_be_in_viewport()
    tab_to(page, "#filter")
    page.keyboard.type("t05")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    expect(page.locator("article.card").first).to_be_visible()
    expect(page.get_by_role("status").first).to_have_text(re.compile(r"1 card: 1 warning"))
    assert "example=potassium-low" in page.url
    tab_to(page, "#tab-cards")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tabpanel", name="Why")).to_be_visible()
    expect(page.get_by_role("heading", name="Treatment gates")).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_role("region", name="response.json")).to_be_visible()
    page.keyboard.press("Home")
    tab_to(page, "#narrow")
    page.keyboard.press("Space")
    assert page.locator("#ehr").bounding_box()["width"] <= 320  # type: ignore[index]
    tab_to(page, ".action-list summary")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Action as JSON").first).to_be_visible()
    tab_to(page, ".override select")


def test_moving_through_the_list_shows_each(opened: Any) -> None:
    page = opened().go()
    page.locator("input[name=example]").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#results-title")).to_have_text("Thiazide low potassium")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#results-title")).to_have_text("Spironolactone high potassium")
    assert page.evaluate("document.activeElement.name") == "example"
    page.locator("#tab-why").click()
    page.locator("input[name=example]:checked").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#results-title")).to_have_text("Cramps several factors")
    expect(page.get_by_role("tab", name="Why")).to_have_attribute("aria-selected", "true")


def test_finding_an_example(opened: Any) -> None:
    page = opened().go()
    page.get_by_label("Find").fill("order-sign potassium")
    shown = page.locator(".option:visible")
    assert 0 < shown.count() < 60
    assert all("order-sign" in text for text in shown.all_inner_texts())
    page.get_by_label("Find").fill("no such thing")
    expect(shown).to_have_count(0)
    expect(page.locator("#filter-count")).to_have_text(re.compile("^0 of"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["/", WITH_CARDS, "/?example=patients/child", "/?example=requests/one-unreadable-result"]
)
def test_text_can_be_read_and_controls_have_names(opened: Any, scheme: str, path: str) -> None:
    page = opened(color_scheme=scheme, reduced_motion="reduce").go(path)
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNNAMED) == []
    for tab in page.get_by_role("tab").all():
        tab.click()
        assert page.evaluate(CONTRAST) == []
        assert page.evaluate(UNNAMED) == []


@pytest.mark.parametrize("width", [320, 768, 1920])
@pytest.mark.parametrize("path", ["/", WITH_CARDS, "/?example=requests/one-unreadable-result"])
def test_no_width_scrolls_sideways(opened: Any, width: int, path: str) -> None:
    page = opened(viewport={"width": width, "height": 800}).go(path)
    assert not page.evaluate(WIDER_THAN_THE_SCREEN)
    for tab in page.get_by_role("tab").all():
        tab.click()
        assert not page.evaluate(WIDER_THAN_THE_SCREEN), tab.inner_text()


def test_without_javascript(opened: Any) -> None:
    page = opened(java_script_enabled=False).go()
    page.get_by_label("Thiazide low potassium").check(force=True)
    page.locator("form.choose button").click()
    expect(page.locator("article.card")).to_have_count(1)
    for name in ("Cards", "Why", "Request", "Response"):
        expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
    page.locator("#narrow").check()
    assert page.locator("#ehr").bounding_box()["width"] <= 320  # type: ignore[index]
    page.locator("#text").fill(json.dumps(bundle(PATIENT)))
    page.locator("form.paste button").click()
    expect(page.get_by_text("No cards:")).to_be_visible()
    assert json.dumps(bundle(PATIENT)) in page.locator("#text").input_value()


def test_a_pasted_record_is_text_only(opened: Any) -> None:
    record = bundle(
        {**PATIENT, "name": [{"text": INJECTION}]},
        {
            "resourceType": "MedicationRequest", "id": "m", "status": "active", "intent": "order",
            "subject": {"reference": "Patient/1"}, "medicationCodeableConcept": {"text": f"furosemide {INJECTION}"},
        },
        {
            "resourceType": "Observation", "id": "k", "status": "final", "subject": {"reference": "Patient/1"},
            "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3", "display": INJECTION}]},
            "effectiveDateTime": "2026-01-02", "valueQuantity": {"value": 2.1, "unit": INJECTION},
        },
    )  # fmt: skip
    watched = opened()
    page = watched.go()
    page.get_by_role("tab", name="Your own").click()
    page.get_by_label("A FHIR R4 bundle").fill(json.dumps(record))
    page.locator("form.paste button").click()
    expect(page.locator("#results-title")).to_have_text("Your own record")
    for tab in page.get_by_role("tab").all():
        tab.click()
    assert page.locator("#results script, #results img[src=x], #results svg[onload]").count() == 0
    page.get_by_role("tab", name="Request").click()
    expect(page.get_by_role("region", name="request.json", exact=True)).to_contain_text("<script>alert(1)</script>")
    assert page.url == watched.base + "/"


def test_a_mistake_is_shown_with_its_place(opened: Any) -> None:
    watched = opened()
    watched.refusals_expected = True
    page = watched.go(WITH_CARDS)
    page.get_by_role("tab", name="Your own").click()
    page.get_by_label("A FHIR R4 bundle").fill('{\n "hook": "patient-view",\n "context": }')
    page.locator("form.paste button").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("line 3, column 13: must be valid JSON.")
    expect(page.locator("article.card")).to_have_count(0)
    page.get_by_role("button", name="Go to line 3").click()
    text = page.locator("#text")
    expect(text).to_be_focused()
    assert text.evaluate("(e) => e.value.slice(e.selectionStart, e.selectionEnd)") == "}"


def test_a_file_is_chosen_or_dropped(opened: Any, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text(json.dumps(bundle(PATIENT)))
    page = opened().go()
    page.get_by_role("tab", name="Your own").click()
    page.get_by_label("Or a file").set_input_files(file)
    page.locator("form.paste button").click()
    expect(page.get_by_text("No cards:")).to_be_visible()
    dropped = page.evaluate_handle(
        "(text) => { const d = new DataTransfer(); d.items.add(new File([text], 'r.json')); return d; }",
        json.dumps(bundle({**PATIENT, "birthDate": "2015-01-01"})),
    )
    page.dispatch_event("#text", "drop", {"dataTransfer": dropped})
    expect(page.get_by_text("younger than 18")).to_be_visible()


def test_a_lost_service_is_no_all_clear(opened: Any) -> None:
    watched = opened()
    watched.refusals_expected = True
    page = watched.go(WITH_CARDS)
    page.route("**/*", lambda route: route.abort())
    page.locator("input[name=example]").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#results-title")).to_have_text("Not assessed")
    expect(page.locator("article.card")).to_have_count(0)


def test_the_request_can_be_copied_as_curl(opened: Any) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"]).go(WITH_CARDS)
    page.get_by_role("tab", name="Request").click()
    page.get_by_role("button", name="Copy as curl").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    command, _, rest = copied.partition("<<'JSON'\n")
    assert command.startswith("curl -s http://127.0.0.1:")
    assert "/cds-services/leg-cramp-patient-view" in command
    assert json.loads(rest.removesuffix("\nJSON\n"))["hook"] == "patient-view"


def test_on_paper_cards_and_reasons_without_the_rest(opened: Any) -> None:
    page = opened().go(WITH_CARDS)
    page.emulate_media(media="print")
    expect(page.locator("article.card").first).to_be_visible()
    expect(page.locator("#why")).to_be_visible()
    expect(page.locator("#input")).to_be_hidden()
    expect(page.locator("#request")).to_be_hidden()
