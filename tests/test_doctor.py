"""`legcramp doctor`: what it finds in sound and in broken deployments, and how it ends."""

from __future__ import annotations

import functools
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from werkzeug.serving import make_server

from cds_service.cli import examine, main
from cds_service.cli.certificate import examine_certificate
from cds_service.cli.examine import Examination
from cds_service.cli.examine_database import examine_database
from cds_service.cli.finding import Finding
from cds_service.cli.order_codes import ordered_items
from cds_service.clients.profiles import PREFERENCE_LIST_ITEM
from cds_service.feedback import migrate
from cds_service.feedback.database import open_database
from cds_service.ruleset import load_ruleset
from cds_service.settings import Settings
from cds_service.web.config import WebConfig
from tests.clients.signing import KeyServer, key_set, public_jwk
from tests.web.fakes import make_app

LOADED = functools.cache(load_ruleset)


@pytest.fixture(autouse=True)
def _load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "load_ruleset", LOADED)


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer().running() as running:
        yield running


def look(tmp_path: Path, text: str | None, offline: bool = True, **config: Any) -> list[Finding]:
    """The findings of a deployment with this file of clients."""
    if text is not None:
        (tmp_path / "clients.toml").write_text(text)
        config["clients"] = tmp_path / "clients.toml"
    base = config.pop("base", "https://cds.example.org")
    return list(Examination(WebConfig(settings=Settings(public_base_url=base), **config), offline).findings())


def of(findings: list[Finding], about: str) -> list[Finding]:
    return [finding for finding in findings if finding.about == about]


def client(keys: str, more: str = "") -> str:
    return f'[[client]]\nid = "ehr"\nissuer = "https://ehr.example.org"\n{keys}\n{more}'


def files(tmp_path: Path, content: bytes = b"") -> str:
    (tmp_path / "keys.json").write_bytes(content or key_set(public_jwk("k1")))
    return 'key_file = "keys.json"'


# -- rules, profile, clients


def test_a_sound_deployment_has_no_failure(tmp_path: Path) -> None:
    found = look(tmp_path, client(files(tmp_path), 'fhir_servers = ["https://ehr.example.org/fhir"]'))
    assert {finding.level for finding in found if finding.about != "database"} == {"ok"}
    (rules,) = of(found, "rules")
    assert LOADED(None, False).digest[:12] in rules.what
    assert next(finding.what for finding in of(found, "client ehr")).endswith("1 usable (ES384)")


def test_broken_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examine, "load_ruleset", load_ruleset)
    (found,) = of(look(tmp_path, client(files(tmp_path)), rules=tmp_path), "rules")
    assert (found.level, "legcramp rules check" in found.mend) == ("fail", True)


def test_without_snomed(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, client(files(tmp_path)), snomed=False), "snomed")
    assert (found.level, "LEGCRAMP_SNOMED" in found.mend) == ("warn", True)


def test_no_clients(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, None), "clients")
    assert (found.level, "LEGCRAMP_CLIENTS" in found.what) == ("fail", True)


def test_development_says_so(tmp_path: Path) -> None:
    found = look(tmp_path, None, development=True, base="http://127.0.0.1:8080")
    assert [finding.level for finding in (*of(found, "profile"), *of(found, "clients"))] == ["warn", "warn"]
    assert not of(found, "public address")


def test_mistakes_of_the_file_are_all_told(tmp_path: Path) -> None:
    (found,) = of(look(tmp_path, client('jku = "x"', 'replay = "no"')), "clients")
    assert found.level == "fail"
    assert "clients.toml:4" in found.what
    assert "clients.toml:5" in found.what


def test_what_a_client_gives_away(tmp_path: Path) -> None:
    found = of(look(tmp_path, client(files(tmp_path), 'replay = "accept"\nsilent = true')), "client ehr")
    words = " ".join(finding.what for finding in found if finding.level == "warn")
    for part in ("stolen token", "silent", "no FHIR server"):
        assert part in words


def test_orders_without_a_code(tmp_path: Path) -> None:
    some = f'"http://loinc.org|24321-2" = {{system = "{PREFERENCE_LIST_ITEM}", code = "1"}}\n'
    some += f'"http://loinc.org|no-such" = {{system = "{PREFERENCE_LIST_ITEM}", code = "2"}}\n'
    text = client(files(tmp_path), f'profile = "epic"\n[client.switches.orderables]\n{some}')
    words = [finding.what for finding in of(look(tmp_path, text), "client ehr")]
    wanted = sum(not item.is_medication for item in ordered_items(LOADED(None, False)))
    assert any(f"{wanted - 1} of {wanted} orders" in one for one in words)
    assert any("http://loinc.org|no-such" in one for one in words)


def test_orders_that_all_have_a_code(tmp_path: Path) -> None:
    items = [item for item in ordered_items(LOADED(None, False)) if not item.is_medication]
    lines = "".join(f'"{item.keys[0]}" = {{system = "{PREFERENCE_LIST_ITEM}", code = "1"}}\n' for item in items)
    text = client(files(tmp_path), f'profile = "epic"\n[client.switches.orderables]\n{lines}')
    found = of(look(tmp_path, text), "client ehr")
    assert any(finding.level == "ok" and finding.what.startswith("all ") for finding in found)


# -- keys and FHIR servers


@pytest.mark.parametrize("content", [b"{}", b"-----BEGIN", key_set({"kty": "oct", "kid": "a", "k": "x"})])
def test_a_key_file_that_cannot_be_used(tmp_path: Path, content: bytes) -> None:
    found = of(look(tmp_path, client(files(tmp_path, content))), "client ehr")
    assert any(finding.level == "fail" and "key set" in finding.what and finding.mend for finding in found)


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    found = of(look(tmp_path, client('key_file = "none.json"')), "client ehr")
    assert any(finding.level == "fail" and "No such file" in finding.what for finding in found)


def asked(tmp_path: Path, server: KeyServer, more: str = "") -> list[Finding]:
    return look(tmp_path, client(f'jku = ["{server.url}"]', more), False, development=True, base=server.url)


def test_a_key_set_over_the_network(tmp_path: Path, server: KeyServer) -> None:
    assert of(asked(tmp_path, server), "client ehr")[-1].level == "ok"
    server.answer = lambda: (500, {}, b"")
    broken = of(asked(tmp_path, server), "client ehr")[-1]
    assert (broken.level, "status 500" in broken.what) == ("fail", True)


def test_a_key_set_that_nobody_serves(tmp_path: Path) -> None:
    with KeyServer().running() as gone:
        pass
    found = of(asked(tmp_path, gone), "client ehr")[-1]
    assert (found.level, "no connection" in found.what) == ("fail", True)


@pytest.mark.parametrize(
    ("status", "body", "level", "word"),
    [
        (200, b'{"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}', "ok", "4.0.1"),
        (200, b'{"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}', "warn", "3.0.2"),
        (200, b"<html>", "warn", "status 200"),
        (404, b"", "warn", "status 404"),
        (401, b"", "ok", "asks for a token"),
    ],
)
def test_a_fhir_server(tmp_path: Path, server: KeyServer, status: int, body: bytes, level: str, word: str) -> None:
    server.answer = lambda: (status, {}, body)
    found = of(asked(tmp_path, server, f'fhir_servers = ["{server.url}"]'), "client ehr")[-1]
    assert (found.level, word in found.what) == (level, True)


# -- the database


def kept(address: str) -> Finding:
    return examine_database(address, offline=False)


def test_a_database_with_its_tables(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/memory.sqlite3"
    missing = kept(address)
    assert (missing.level, "not there yet" in missing.what) == ("warn", True)
    assert not list(tmp_path.iterdir()), "looking makes no file"
    database = open_database(address)
    with database.durable.connect():
        pass
    assert "no tables yet" in kept(address).what
    migrate.upgrade(database)
    database.close()
    assert kept(address).level == "ok"


@pytest.mark.parametrize("address", ["", "none"])
def test_no_database(address: str) -> None:
    assert (kept(address).level, "LEGCRAMP_DATABASE" in kept(address).mend) == ("warn", True)


@pytest.mark.parametrize(
    "address",
    ["nonsense", "mysql://a/b", "sqlite://", "postgresql://127.0.0.1:1/x"],
)
def test_a_database_that_cannot_be_used(address: str) -> None:
    assert kept(address).level == "fail"
    assert kept(address).mend


def test_a_database_whose_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert kept(f"sqlite:///{tmp_path}/file/memory.sqlite3").level == "fail"
    assert kept(f"sqlite:///{tmp_path}/new/folder/memory.sqlite3").level == "warn"
    assert not (tmp_path / "new").exists()


def test_the_password_of_a_database_is_not_shown() -> None:
    assert "s3cret" not in repr(kept("postgresql://user:s3cret@127.0.0.1:1/x"))


def test_offline_asks_no_server() -> None:
    assert examine_database("postgresql://127.0.0.1:1/x", offline=True).level == "ok"


# -- the clock


@pytest.mark.parametrize(("ahead", "level"), [(0, "ok"), (40, "warn"), (-40, "warn"), (90, "fail"), (-90, "fail")])
def test_the_clock(tmp_path: Path, server: KeyServer, ahead: int, level: str) -> None:
    told = datetime.now(UTC) + timedelta(seconds=ahead)
    with KeyServer().running() as own:  # the public address: another host than that of the keys
        server.answer = lambda: (200, {"Date": format_datetime(told, usegmt=True)}, key_set(public_jwk("k1")))
        text = client(f'jku = ["{server.url}"]')
        found = look(tmp_path, text, False, development=True, base=own.url)
    (clock,) = of(found, "clock")
    assert clock.level == level
    assert bool(clock.mend) == (level != "ok")


# -- the public address


@pytest.fixture
def service() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, make_app(development=True), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_service_that_answers(tmp_path: Path, service: str) -> None:
    found = look(tmp_path, None, False, development=True, base=service)
    (address,) = of(found, "public address")
    assert (address.level, "services" in address.what) == ("ok", True)
    assert any("answers with ruleset f00d" in finding.what for finding in of(found, "rules")), "another ruleset runs"


def test_something_else_answers(tmp_path: Path, server: KeyServer) -> None:
    (address,) = of(look(tmp_path, None, False, development=True, base=server.url), "public address")
    assert (address.level, "something else" in address.what) == ("fail", True)


def test_a_redirect(tmp_path: Path, server: KeyServer) -> None:
    server.answer = lambda: (308, {"Location": "/cds-services/"}, b"")
    (address,) = of(look(tmp_path, None, False, development=True, base=server.url), "public address")
    assert (address.level, "redirect" in address.what) == ("fail", True)


@pytest.mark.parametrize("base", ["http://cds.example.org", "https://localhost", "http://127.0.0.1:8080"])
def test_an_address_that_no_ehr_can_use_safely(tmp_path: Path, base: str) -> None:
    found = of(look(tmp_path, client(files(tmp_path)), base=base), "public address")
    assert found
    assert {finding.level for finding in found} == {"fail"}
    assert all("LEGCRAMP_PUBLIC_BASE_URL" in finding.mend for finding in found)


# -- TLS


def _certificate(tmp_path: Path, days: int, name: str = "127.0.0.1") -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private


@pytest.mark.parametrize(
    ("days", "name", "level", "word"),
    [
        (90, "127.0.0.1", "ok", "90 more days"),
        (5, "127.0.0.1", "warn", "5 days"),
        (-2, "127.0.0.1", "fail", "expired"),
        (90, "127.0.0.2", "fail", "not accepted"),
    ],
)
def test_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, name: str, level: str, word: str
) -> None:
    certificate, private = _certificate(tmp_path, days, name)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    server = make_server("127.0.0.1", 0, make_app(), ssl_context=context)
    server.log = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        found = examine_certificate("127.0.0.1", server.server_port, 10)
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
    assert found[0] == level
    assert word in found[1]


def test_no_tls(server: KeyServer) -> None:
    level, what, mend = examine_certificate("127.0.0.1", server.port, 10)
    assert (level, "no TLS" in what, bool(mend)) == ("fail", True, True)


# -- the command


def run(tmp_path: Path, *arguments: str, **environ: str) -> Any:
    return CliRunner().invoke(main, ["doctor", *arguments], env={f"LEGCRAMP_{key}": environ[key] for key in environ})


def test_the_command_ends_with_1_when_something_fails(tmp_path: Path) -> None:
    (tmp_path / "clients.toml").write_text(client(files(tmp_path)))
    sound = {"CLIENTS": str(tmp_path / "clients.toml"), "PUBLIC_BASE_URL": "https://cds.example.org"}
    result = run(tmp_path, "--offline", **sound)
    assert result.exit_code == 0
    assert "0 fail" in result.output
    broken = run(tmp_path, "--offline", **(sound | {"CLIENTS": ""}))
    assert broken.exit_code == 1
    assert "LEGCRAMP_CLIENTS" in broken.output


def test_the_command_as_json(tmp_path: Path) -> None:
    result = run(tmp_path, "--json", "--offline", CLIENTS=str(tmp_path / "none.toml"))
    told = json.loads(result.output)
    assert told["failed"] is True
    assert result.exit_code == 1
    for finding in told["findings"]:
        assert finding["level"] in ("ok", "warn", "fail")
        assert finding["about"]
        assert finding["what"]


def test_a_variable_that_cannot_be_used_is_a_finding(tmp_path: Path) -> None:
    result = run(tmp_path, "--offline", ZONE="Nowhere")
    assert result.exit_code == 1
    assert "LEGCRAMP_ZONE" in result.output
