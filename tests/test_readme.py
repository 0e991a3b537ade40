"""README.md keeps its word: its request is answered with the card that it shows, and its links lead somewhere."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cds_service.web.app import create_app
from cds_service.web.config import WebConfig

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    """The first card that the request of README gets."""
    (path, body) = re.findall(r"^curl -s http://127\.0\.0\.1:8080(\S+) .*?<<EOF\n(.*?)^EOF$", README, re.M | re.S)[0]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    client = create_app(WebConfig(development=True)).test_client()
    answer = client.post(path, data=body.replace("$(date -u +%FT%TZ)", now), content_type="application/json")
    assert answer.status_code == 200, answer.text
    first: dict[str, Any] = json.loads(answer.data)["cards"][0]
    return first


@pytest.fixture(scope="module")
def shown() -> list[str]:
    (text,) = re.findall(r"^The card that comes back .*?```text\n(.*?)```", README, re.M | re.S)
    return str(text).splitlines()


def test_the_request_is_answered_with_the_card_that_is_shown(card: dict[str, Any], shown: list[str]) -> None:
    def undated(text: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\d", "<day>", text)

    assert undated(shown[0]) == undated(f"{card['indicator'].upper()}  {card['summary']}")


def test_the_suggestions_are_those_that_are_shown(card: dict[str, Any], shown: list[str]) -> None:
    assert [line.removeprefix("  [ ] ") for line in shown[1:]] == [one["label"] for one in card["suggestions"]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_to_files_lead_to_files(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_the_files_that_the_table_names_are_there() -> None:
    table = [line for line in README.splitlines() if line.startswith("|")]
    named = [name for line in table for name in re.findall(r"`([\w./-]+/[\w./-]*)`", line)]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
