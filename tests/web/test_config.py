"""The environment is read in one place, and a wrong value is said in words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cds_service.web import config
from cds_service.web.config import BadConfiguration, WebConfig, config_from


def test_defaults() -> None:
    assert config_from({}) == WebConfig()
    assert not WebConfig().development


def test_every_variable() -> None:
    found = config_from(
        {
            "LEGCRAMP_DEVELOPMENT": "1",
            "LEGCRAMP_CLIENTS": "/etc/legcramp/clients.toml",
            "LEGCRAMP_DISCOVERY": "guarded",
            "LEGCRAMP_PAGES_TOKEN": "open the pages please",
            "LEGCRAMP_PROXY_USER_HEADER": "X-Forwarded-User",
            "LEGCRAMP_TRUSTED_PROXIES": "10.1.2.3, 10.2.0.0/16,fd00::/8",
            "LEGCRAMP_RULE_PAGES": "guarded",
            "LEGCRAMP_METRICS": "0",
            "LEGCRAMP_AUDIT_FILE": "/var/log/legcramp/audit.ndjson",
            "LEGCRAMP_CORS_ORIGINS": "https://a.example, http://b.example:8080/",
            "LEGCRAMP_MAX_BODY_BYTES": "1000",
            "LEGCRAMP_MAX_RESOURCES": "10",
            "LEGCRAMP_FHIR_DEADLINE_MS": "700",
            "LEGCRAMP_FHIR_SERVERS": "https://EHR.example.org/r4/, http://127.0.0.1:8090/fhir",
            "LEGCRAMP_FHIR_CA_FILE": __file__,
            "LEGCRAMP_RULES": "/srv/rules",
            "LEGCRAMP_PUBLIC_BASE_URL": "https://cds.example.org/base/",
            "LEGCRAMP_SNOMED": "0",
            "LEGCRAMP_ZONE": "Europe/London",
            "LEGCRAMP_REGION": "uk",
            "LEGCRAMP_RISK_SUMMARY": "off",
            "LEGCRAMP_DATABASE": "sqlite:////srv/memory.sqlite3",
            "LEGCRAMP_PATIENT_HASH_KEY": "nobody can guess this",
            "LEGCRAMP_FEEDBACK_COMMENTS": "1",
            "LEGCRAMP_HOLD_BACK_DAYS": "30",
            "LEGCRAMP_RETENTION_DAYS": "400",
            "LEGCRAMP_WORKERS": "3",
            "LEGCRAMP_THREADS": "4",
        }
    )
    assert found.development
    assert found.cors_origins == {"https://a.example", "http://b.example:8080"}
    assert (found.max_body_bytes, found.max_resources, found.workers, found.threads) == (1000, 10, 3, 4)
    assert (found.clients, found.discovery) == (Path("/etc/legcramp/clients.toml"), "guarded")
    assert (found.pages_token, found.proxy_user_header) == ("open the pages please", "X-Forwarded-User")
    assert [str(one) for one in found.trusted_proxies] == ["10.1.2.3/32", "10.2.0.0/16", "fd00::/8"]
    assert (found.rule_pages, found.metrics) == ("guarded", False)
    assert found.audit_file == Path("/var/log/legcramp/audit.ndjson")
    assert not found.snomed
    assert found.fhir_servers == {"https://ehr.example.org/r4", "http://127.0.0.1:8090/fhir"}
    assert (found.fhir_deadline_ms, found.fhir_ca_file) == (700, __file__)
    assert (found.database, found.patient_hash_key) == ("sqlite:////srv/memory.sqlite3", "nobody can guess this")
    assert (found.feedback_comments, found.retention_days) == (True, 400)
    assert found.settings.hold_back_at_most == timedelta(days=30)
    assert found.rules == Path("/srv/rules")
    assert found.settings.public_base_url == "https://cds.example.org/base"
    assert str(found.settings.zone) == "Europe/London"
    assert (found.settings.region, found.settings.risk_summary) == ("uk", "off")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEVELOPMENT", "maybe"),
        ("CORS_ORIGINS", "*"),
        ("MAX_BODY_BYTES", "10MB"),
        ("MAX_RESOURCES", "-1"),
        ("PUBLIC_BASE_URL", "cds.example.org"),
        ("ZONE", "Nowhere/Else"),
        ("ZONE", "../etc/passwd"),
        ("REGION", "fr"),
        ("DISCOVERY", "closed"),
        ("RISK_SUMMARY", "on"),
        ("PATIENT_HASH_KEY", "too short"),
        ("HOLD_BACK_DAYS", "soon"),
        ("RETENTION_DAYS", "0"),
        ("THREADS", "0"),
        ("MAX_BODY_BYTES", "0"),
        ("FHIR_DEADLINE_MS", "1.5"),
        ("FHIR_SERVERS", "https://user@ehr.example.org/r4"),
        ("FHIR_CA_FILE", "/no/such/file.pem"),
    ],
)
def test_wrong_values_name_their_variable(name: str, value: str) -> None:
    with pytest.raises(BadConfiguration, match=f"LEGCRAMP_{name}"):
        config_from({f"LEGCRAMP_{name}": value})


def test_only_development_has_a_database_that_nobody_named() -> None:
    assert config_from({"LEGCRAMP_DEVELOPMENT": "1"}).database == "sqlite:///.data/legcramp.sqlite3"
    assert config_from({}).database == ""


def test_every_variable_is_documented() -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "integrating.md").read_text()
    variables = [line.split("|")[1].strip() for line in (config.__doc__ or "").splitlines() if line.startswith("| LEG")]
    assert len(variables) > 25
    for variable in variables:
        assert variable in guide
