"""A screening from a server: a real process that speaks Bulk Data and SMART Backend Services, on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cds_service.cli import main
from cds_service.screening.backend_services import Identity, is_private
from cds_service.screening.bulk_client import Exporter, ExportFailed, Order
from cds_service.screening.folder import Silent
from tests.screening.bulk_server import CLIENT
from tests.screening.generate import FIXTURES, ROOT, Copies, records, write_export
from tests.screening.running import ruleset, run

PEOPLE = 40
Start = Callable[..., str]


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cds_service.cli.console.load_ruleset", lambda *_, **__: ruleset())


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    copies = Copies(records(FIXTURES))
    write_export(folder, (line for number in range(PEOPLE) for line in copies.lines_of(number)), files=2)
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "other"):
        key = ec.generate_private_key(ec.SECP384R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.pem").write_bytes(private)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(public)
    return folder


@pytest.fixture
def start(export: Path, keys: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> str:
        command = [sys.executable, "-m", "tests.screening.bulk_server", str(export), str(keys / "ours.pub"), *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}/fhir"

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def screen(base: str, out: Path, key: Path, *more: str) -> Result:
    command = ["screen", "--from-server", base, "--client-id", CLIENT, "--key", str(key), "--out", str(out)]
    result = CliRunner().invoke(main, [*command, "--today", "2026-03-10", "--workers", "1", *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def log(base: str) -> list[str]:
    told: list[str] = requests.get(f"{base.removesuffix('/fhir')}/log", timeout=10).json()
    return told


@pytest.mark.parametrize("group", [(), ("--group", "g1")])
def test_an_export_is_asked_for_and_screened(
    group: tuple[str, ...], start: Start, export: Path, keys: Path, tmp_path: Path
) -> None:
    base = start()
    result = screen(base, tmp_path / "out", keys / "ours.pem", *group)
    assert result.exit_code == 0, result.output
    run(export, tmp_path / "direct")
    direct = json.loads((tmp_path / "direct" / "findings.ndjson").read_bytes().splitlines()[0])
    told = json.loads((tmp_path / "out" / "findings.ndjson").read_bytes().splitlines()[0])
    for name in ("patient", "findings", "cards", "tier"):
        assert told.get(name) == direct.get(name)
    asked = log(base)
    assert ("GET /fhir/Group/g1/$export" if group else "GET /fhir/$export") in asked
    assert asked[-1] == "DELETE /fhir/status/1"
    manifest = json.loads((tmp_path / "out" / "export" / "manifest.json").read_bytes())
    assert "_type=Patient" in manifest["request"]


def test_a_download_that_breaks_goes_on_where_it_broke(start: Start, export: Path, keys: Path, tmp_path: Path) -> None:
    base = start("--break-after", "2000")
    assert screen(base, tmp_path / "out", keys / "ours.pem").exit_code == 0
    ranges = [line for line in log(base) if "bytes=" in line]
    assert len(ranges) >= 2
    got = sorted(path.read_bytes() for path in (tmp_path / "out" / "export").glob("*.ndjson"))
    assert got == sorted(path.read_bytes() for path in export.glob("*.ndjson"))
    assert not list((tmp_path / "out" / "export").glob("*.part"))


def test_files_that_come_packed_are_read(start: Start, export: Path, keys: Path, tmp_path: Path) -> None:
    result = screen(start("--pack"), tmp_path / "out", keys / "ours.pem")
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out" / "export").glob("*.ndjson.gz"))) == len(list(export.glob("*.ndjson")))
    assert len((tmp_path / "out" / "findings.ndjson").read_bytes().splitlines()) == PEOPLE


def test_tokens_that_run_out_are_renewed(start: Start, keys: Path, tmp_path: Path) -> None:
    base = start("--short-tokens")
    assert screen(base, tmp_path / "out", keys / "ours.pem").exit_code == 0
    assert log(base).count("POST /token") > 2


class Stopped(Exception):
    pass


class StopAfter(Silent):
    """Ends the program after so many files, as a kill would."""

    def __init__(self, files: int) -> None:
        self.left = files
        self.counting = False

    def phase(self, name: str, total: float, unit: str) -> None:
        self.counting = unit == "files"

    def advance(self, by: float) -> None:
        self.left -= self.counting
        if self.left == 0:
            raise Stopped


def test_a_stopped_export_is_gone_on_with(start: Start, export: Path, keys: Path, tmp_path: Path) -> None:
    base = start()
    order, identity = Order(server=base), Identity(client_id=CLIENT, key_file=keys / "ours.pem")
    with pytest.raises(Stopped):
        Exporter(order, identity, tmp_path, StopAfter(3), 60).run()
    Exporter(order, identity, tmp_path, Silent(), 60).run()
    asked = log(base)
    assert asked.count("GET /fhir/$export") == 1
    files = [line for line in asked if line.startswith("GET /fhir/files/")]
    assert len(files) == len(set(files)) == len(list(export.glob("*.ndjson"))), "no file is fetched twice"


def test_another_order_in_the_same_folder_is_refused(start: Start, keys: Path, tmp_path: Path) -> None:
    base = start()
    identity = Identity(client_id=CLIENT, key_file=keys / "ours.pem")
    with pytest.raises(Stopped):
        Exporter(Order(server=base), identity, tmp_path, StopAfter(1), 60).run()
    with pytest.raises(ExportFailed, match="another order"):
        Exporter(Order(server=base, group="g1"), identity, tmp_path, Silent(), 60).run()


def test_a_wrong_key_is_told_in_one_line(start: Start, keys: Path, tmp_path: Path) -> None:
    result = screen(start(), tmp_path / "out", keys / "other.pem")
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("the token endpoint answered 400")
    assert "BEGIN" not in result.output


def test_no_token_goes_to_another_server_or_in_the_clear(start: Start, keys: Path, tmp_path: Path) -> None:
    assert not is_private("http://ehr.example.org/fhir")
    assert is_private("https://ehr.example.org/fhir")
    identity = Identity(client_id=CLIENT, key_file=keys / "ours.pem")
    with pytest.raises(ExportFailed, match="https"):
        Exporter(Order(server="http://ehr.example.org/fhir"), identity, tmp_path, Silent(), 60)
    exporter = Exporter(Order(server=start()), identity, tmp_path, Silent(), 60)
    with pytest.raises(ExportFailed, match="another one"):
        exporter._request("GET", "https://elsewhere.example.org/file")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    for arguments in ([], ["--from-server", "https://ehr.example.org/fhir"]):
        result = CliRunner().invoke(main, ["screen", "run", *arguments, "--out", str(tmp_path)])
        assert result.exit_code == 2
