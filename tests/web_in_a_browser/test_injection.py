"""Markup and Markdown in every text of a record and in every query, looked at with a real browser.

No script runs, nothing is asked of another host, no element of the sender's stands on a page. `opened` fails a test on
any dialog, console error, refused policy and foreign request.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from markdown_it import MarkdownIt
from playwright.sync_api import Page, expect

from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import wire
from tests.web_in_a_browser.conftest import serving

pytestmark = pytest.mark.browser

HOSTILE = (
    "\"'></textarea></script></title><script>alert(1)</script><img id=intruder src=https://evil.example/a "
    "onerror=alert(2)><svg onload=alert(3)><iframe id=intruder src=javascript:alert(4)></iframe>"
    "![a](https://evil.example/b) [a](javascript:alert(5)) <https://evil.example/c> {{7*7}}\n\n# intruder\n"
)
INTRUDERS = "#intruder, [onerror], [onload], iframe, a[href*=evil], a[href^=javascript], img[src*=evil]"
FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NOW = datetime(2026, 3, 10, 23, 59, tzinfo=UTC)
"""The day of the fixtures, on which each of these yields cards."""
YIELD_CARDS = (
    "patients/cramps-several-factors", "patients/spironolactone-high-potassium", "requests/order-sign-potassium",
)  # fmt: skip
# what a text is recognized by, and what is no text
KEPT = frozenset({
    "hook", "hookInstance", "patientId", "userId", "system", "code", "reference", "resourceType", "status", "intent",
    "url", "id", "gender", "type",
})  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with a report to show, on the day of the fixtures."""
    config = WebConfig(development=True, database=f"sqlite:///{tmp_path_factory.mktemp('memory')}/memory.sqlite3")
    wiring = msgspec.structs.replace(wire(config), now=lambda: NOW)
    with serving(create_app(config, wiring, make_log(io.BytesIO()))) as address:
        yield address


def poison(node: Any) -> Any:
    """The record with every text of it hostile at its end, and a text in every place that takes one."""
    if isinstance(node, list):
        return [poison(one) for one in node]
    if not isinstance(node, dict):
        return node
    poisoned = {
        key: value + HOSTILE if isinstance(value, str) and not _is_kept(key, value) else poison(value)
        for key, value in node.items()
    }
    if "resourceType" in node and node["resourceType"] != "Bundle":
        poisoned["text"] = {"status": "generated", "div": f"<div xmlns='http://www.w3.org/1999/xhtml'>{HOSTILE}</div>"}
        poisoned["note"] = [{"text": HOSTILE, "authorString": HOSTILE}]
        poisoned["identifier"] = [{"system": HOSTILE, "value": HOSTILE}]
    return poisoned


def _is_kept(key: str, value: str) -> bool:
    return key in KEPT or value[:4].isdigit()


def poisoned(name: str) -> str:
    return json.dumps(poison(json.loads((FIXTURES / f"{name}.json").read_text())))


def paste(page: Page, text: str) -> None:
    page.get_by_role("tab", name="Your own").click()
    page.locator("#text").fill(text)
    page.locator("form.paste button").click()
    page.wait_for_load_state("networkidle")


def check_no_intruder(page: Page) -> None:
    assert page.locator(INTRUDERS).count() == 0
    assert "49" not in page.title()


@pytest.mark.parametrize("name", YIELD_CARDS)
def test_a_poisoned_record_is_text_on_the_preview(opened: Any, name: str) -> None:
    page = opened().go()
    paste(page, poisoned(name))
    expect(page.locator("#results-title")).to_have_text("Your own record")
    for tab in page.get_by_role("tab").all():
        tab.click()
        check_no_intruder(page)


def test_what_cannot_be_read_at_all_is_text_too(opened: Any) -> None:
    watched = opened()
    watched.refusals_expected = True
    page = watched.go()
    for text in (HOSTILE, json.dumps({"resourceType": HOSTILE, HOSTILE: HOSTILE}), json.dumps({"hook": HOSTILE})):
        paste(page, text)
        check_no_intruder(page)


@pytest.mark.parametrize("name", YIELD_CARDS)
def test_a_poisoned_record_makes_cards_that_are_harmless_even_to_a_careless_client(opened: Any, name: str) -> None:
    """One that renders Markdown with raw HTML let through, and puts the other texts into its page as they are."""
    watched = opened()
    page = watched.page
    answer = page.request.post(
        f"{watched.base}/preview.json", data=poisoned(name), headers={"Content-Type": "application/json"}
    )
    cards = answer.json()["cards"]
    assert cards
    careless = MarkdownIt("commonmark", {"html": True}).enable("table")
    for card in cards:
        texts = [card["summary"], card["source"]["label"], *(one["label"] for one in card.get("suggestions", ()))]
        texts += [one["description"] for each in card.get("suggestions", ()) for one in each["actions"]]
        page.set_content("".join(f"<p>{text}</p>" for text in texts) + careless.render(card.get("detail", "")))
        check_no_intruder(page)
        assert "intruder" not in page.content()


ADDRESSES = (
    "/?example={}", "/?hook={}", "/rules?q={}", "/rules?topic={0}&indicator={0}&hook={0}&status={0}", "/rules/{}",
    "/rules/value-sets/k-wasting?q={}", "/rules/value-sets/{}", "/rules/gates/{}", "/handout?lines={}",
    "/handout?lang={}", "/handout?view={0}&format={0}", "/handout?lines=&lang=en&x={}", "/report?client={}",
    "/report?since={0}&until={0}", "/cds-services/{}", "/{}",
)  # fmt: skip


def test_a_hostile_address_is_text(opened: Any) -> None:
    watched = opened(extra_http_headers={"Accept": "text/html"})
    watched.refusals_expected = True
    for address in ADDRESSES:
        page = watched.go(address.format(quote(HOSTILE, safe="")))
        check_no_intruder(page)
