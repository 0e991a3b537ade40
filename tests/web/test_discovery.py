"""Discovery, operations and the icon: all that needs no request body."""

from __future__ import annotations

import struct
import zlib

import pytest

from cds_service.fhir.queries import TEMPLATES
from tests.web.cds_hooks import check_discovery, empties
from tests.web.draw_icon import PATH, SIZE, pixels
from tests.web.fakes import make_app

VERSIONS = {
    "patient-view": "1.0",
    "order-select": "1.0",
    "order-sign": "1.0",
    "encounter-start": "1.0",
    "encounter-discharge": "1.0",
    "medication-refill": "0.1.0",
    "problem-list-item-create": "0.1.0",
}
"""As the hook library publishes them."""


@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/"])
def test_discovery(path: str) -> None:
    response = make_app().test_client().get(path)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    services = check_discovery(response.data)["services"]
    assert {service["hook"]: service["hookVersion"] for service in services} == VERSIONS
    for service in services:
        assert service["id"] == f"leg-cramp-{service['hook']}"
        assert service["version"] == "2.0.1"
        assert service["prefetch"] == TEMPLATES
        assert "412" in service["usageRequirements"]


def test_discovery_may_be_cached() -> None:
    assert "max-age" in make_app().test_client().get("/cds-services").headers["Cache-Control"]


def test_every_service_can_be_called() -> None:
    client = make_app().test_client()
    for service in client.get("/cds-services").json["services"]:
        assert client.post(f"/cds-services/{service['id']}", json={}).status_code == 400


def test_liveness_and_readiness() -> None:
    client = make_app().test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    ready = client.get("/readyz").json
    assert (ready["status"], ready["ruleset"], ready["knowledge"]) == ("ready", "f00d", "0.1.0")
    assert not list(empties(ready))


def test_icon_is_a_100_by_100_png_without_alpha() -> None:
    response = make_app().test_client().get("/static/icon.png", buffered=True)
    assert response.content_type == "image/png"
    image = response.data
    assert image == PATH.read_bytes()
    width, height, depth, color = struct.unpack(">IIBB", image[16:26])
    assert (width, height, depth, color) == (SIZE, SIZE, 8, 2)
    length = struct.unpack(">I", image[33:37])[0]
    assert zlib.decompress(image[41 : 41 + length]) == pixels(), "run tests/web/draw_icon.py"
