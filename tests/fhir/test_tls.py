"""https to an EHR: certificates are checked, a site may bring its own, and the deadline holds there as well."""

from __future__ import annotations

import ipaddress
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cds_service.clients.model import Client
from cds_service.fhir.access import Policy
from cds_service.fhir.complete import FhirAccess
from tests.fhir import ehr_server as ehr
from tests.fhir.ehr_record import EhrRecord
from tests.fhir.ehr_server import EhrServer, Fault
from tests.fhir.fake_ehr import outcomes, request_of

RECORD = EhrRecord([{"resourceType": "Patient", "id": "1", "gender": "female", "birthDate": "1950-02-03"}])
LONG = 20.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate of 127.0.0.1 in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ehr test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "ehr.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


def fetch(certificate: Path, ca_file: str | None, seconds: float, faults: dict[str, Fault]) -> dict[str, str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    access = FhirAccess(Policy(), seconds, ca_file=ca_file)
    try:
        with EhrServer(RECORD, faults, context) as server:
            client = Client(id="ehr", fhir_servers=frozenset({server.base}))
            found = outcomes(access.complete(request_of(server.record, None), client))
            assert ca_file is not None or server.seen == []
            return found
    finally:
        access.close()


def test_a_certificate_that_the_site_trusts(certificate: Path) -> None:
    assert set(fetch(certificate, str(certificate), LONG, {}).values()) == {"ok"}


def test_a_certificate_that_nobody_trusts(certificate: Path) -> None:
    assert set(fetch(certificate, None, LONG, {}).values()) == {"unreachable"}


@pytest.mark.parametrize("fault", [ehr.dead, ehr.drip_body, ehr.drip_headers])
def test_the_deadline_holds_under_tls(certificate: Path, fault: Fault) -> None:
    started = time.monotonic()
    assert fetch(certificate, str(certificate), 1.0, {"Patient": fault})["patient"] == "timeout"
    assert time.monotonic() - started < LONG
