"""What is downloaded opens in a spreadsheet: no cell of it is a formula, and none holds what a client sent."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.attack.hostile import CANARY
from tests.web.test_feedback import Site

FORMULA = f"=cmd|'/C {CANARY}'!A0"


@pytest.mark.parametrize("kind", ["rules", "topics", "time"])
def test_no_cell_of_a_download_is_a_formula_or_a_word_of_a_client(tmp_path: Path, kind: str) -> None:
    site = Site(tmp_path, feedback_comments=True)
    uuid = site.cards()[0]["uuid"]
    reason = {"reason": {"system": FORMULA, "code": FORMULA, "display": FORMULA}, "userComment": FORMULA}
    told = {"card": uuid, "outcome": "overridden", "outcomeTimestamp": site.now.isoformat(), "overrideReason": reason}
    assert site.tell(told, told | {"card": FORMULA}).status_code == 200
    client = site.app.test_client()
    table = client.get(f"/report/{kind}.csv").text
    assert CANARY not in table + client.get("/report").text
    rows = list(csv.reader(io.StringIO(table)))
    assert len(rows) > 1
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
