"""compose, proxies and unit: nothing is misspelt that a test can see without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cds_service.cli import main
from cds_service.web.server import KEEP_ALIVE_SECONDS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_what_a_service_needs_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name


def test_the_service_waits_for_its_tables_and_a_database_that_answers() -> None:
    assert SERVICES["service"]["depends_on"]["migrations"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrations"]["depends_on"]["database"] == {"condition": "service_healthy"}
    assert "test" in SERVICES["database"]["healthcheck"]


def test_no_secret_stands_in_the_file() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|TOKEN", key):
                assert str(value).startswith("/run/secrets/"), (name, key)


@pytest.mark.parametrize("name", ["service", "migrations"])
def test_ours_runs_shut_in(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    user = re.search(r"^USER (\S+)$", (DEPLOY / "Containerfile").read_text(), re.M)
    assert user
    assert service["user"] == user[1]


@pytest.mark.parametrize("name", ["service", "migrations"])
def test_the_commands_exist(name: str) -> None:
    assert main.get_command(None, SERVICES[name]["command"][0]) is not None  # type: ignore[arg-type]


def test_the_entry_point_puts_secrets_where_the_service_reads_them(tmp_path: Path) -> None:
    """Run by a real shell, as compose would hand it over: `$$` there is `$` here."""
    shell, flags, script, *rest = SERVICES["service"]["entrypoint"]
    for name in COMPOSE["secrets"]:
        (tmp_path / name).write_text(f"{name}-of-this-test\n")
    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path)).replace("exec legcramp", "exec env #")
    told = subprocess.run([shell, flags, script, *rest, "serve"], capture_output=True, text=True, check=True).stdout
    assert "LEGCRAMP_DATABASE=postgresql://legcramp:postgresql-password-of-this-test@database/legcramp\n" in told
    assert "LEGCRAMP_PATIENT_HASH_KEY=patient-hash-key-of-this-test\n" in told
    assert "LEGCRAMP_PAGES_TOKEN=pages-token-of-this-test\n" in told


def test_proxies_let_go_of_a_connection_before_the_service_does() -> None:
    haproxy = re.search(r"timeout http-keep-alive (\d+)s", (DEPLOY / "haproxy.cfg").read_text())
    nginx = re.search(r"keepalive_timeout (\d+)s", (DEPLOY / "nginx.conf").read_text())
    assert haproxy
    assert nginx
    assert max(int(haproxy[1]), int(nginx[1])) < KEEP_ALIVE_SECONDS


def test_haproxy_takes_its_file() -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("haproxy is not installed; `make deployment` installs it on Debian")
    environ = {
        "CDS_LISTEN": "127.0.0.1:1",
        "CDS_ONE": "127.0.0.1:2",
        "CDS_TWO": "127.0.0.1:3",
        "CDS_THREE": "127.0.0.1:4",
    }
    checked = subprocess.run(
        [shutil.which("haproxy") or "", "-c", "-f", str(DEPLOY / "haproxy.cfg")], env=environ, capture_output=True,
        check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr.decode()


def test_nginx_takes_its_file(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed; `make deployment` installs it on Debian")
    site = (DEPLOY / "nginx.conf").read_text()
    # names that no server of this machine knows would stop the check
    (tmp_path / "site.conf").write_text(re.sub(r"cds-\d\.example\.org", "127.0.0.1", site))
    whole = f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ include {tmp_path}/site.conf; }}"
    (tmp_path / "nginx.conf").write_text(whole)
    checked = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    unit = (DEPLOY / "systemd/legcramp.service").read_text().replace("/opt/legcramp/bin/legcramp", "/bin/true")
    (tmp_path / "legcramp.service").write_text(unit)
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "legcramp.service")], capture_output=True, text=True, check=False
    )
    ours = [line for line in checked.stderr.splitlines() if "legcramp.service:" in line]
    assert ours == []
