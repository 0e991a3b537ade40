"""The set-up sheets in docs/ say what the service says of itself."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from werkzeug.serving import make_server

from cds_service.cli import main
from cds_service.cli.sheets import SHEETS
from cds_service.clients.file import read_clients
from cds_service.clients.profiles import PROFILES
from cds_service.fhir.queries import TEMPLATES
from tests.web.fakes import make_app

DOCS = Path(__file__).resolve().parents[1] / "docs"


def written(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["setup-sheet", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("kind", SHEETS)
def test_the_sheet_in_docs_is_current(kind: str) -> None:
    again = f"legcramp setup-sheet {kind} > docs/setup-{kind}.md"
    assert (DOCS / f"setup-{kind}.md").read_text(encoding="utf-8") == written(kind), f"run: {again}"


@pytest.mark.parametrize("kind", SHEETS)
def test_a_sheet_holds_all_of_discovery(kind: str) -> None:
    sheet = (DOCS / f"setup-{kind}.md").read_text(encoding="utf-8")
    services = json.loads(make_app().test_client().get("/cds-services").data)["services"]
    for service in services:
        assert f"`https://cds.example.org/cds-services/{service['id']}`" in sheet
        for key, template in service["prefetch"].items():
            assert f"| `{key}` | `{template}` |" in sheet


@pytest.mark.parametrize("kind", SHEETS)
def test_the_entry_for_our_side_can_be_used(kind: str, tmp_path: Path) -> None:
    sheet = (DOCS / f"setup-{kind}.md").read_text(encoding="utf-8")
    shown = re.search(r"```toml\n(.*?)```", sheet, re.DOTALL)
    assert shown is not None
    file = tmp_path / "clients.toml"
    file.write_text(shown[1])
    (client,) = read_clients(file, TEMPLATES)
    assert client.profile == PROFILES[SHEETS[kind].profile]


def test_the_public_address_is_put_in() -> None:
    sheet = written("epic", "--base-url", "https://cds.hospital.example/legcramp/")
    assert "`https://cds.hospital.example/legcramp/cds-services/leg-cramp-patient-view`" in sheet
    assert "allow this host" in sheet
    assert "`cds.hospital.example`" in sheet
    assert "cds.example.org" not in sheet


def test_live_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGCRAMP_DEVELOPMENT", "1")
    server = make_server("127.0.0.1", 0, make_app(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    try:
        assert written("standard", "--base-url", base, "--live") == written("standard", "--base-url", base)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    result = CliRunner().invoke(main, ["setup-sheet", "standard", "--base-url", base, "--live"])
    assert result.exit_code == 1
