"""A key server that sends a byte now and then holds nobody up: the time of a fetch is the time of all of it."""

from __future__ import annotations

import time

import pytest

from cds_service.clients.fetch import fetch, open_session
from tests.fhir.ehr_record import EhrRecord
from tests.fhir.ehr_server import EhrServer, Fault, dead, drip_body, drip_headers

RECORD = EhrRecord([{"resourceType": "Patient", "id": str(at)} for at in range(50)])


@pytest.mark.parametrize("fault", [dead, drip_headers, drip_body])
def test_a_fetch_ends_in_time_however_slowly_the_server_sends(fault: Fault) -> None:
    with EhrServer(RECORD, {"jwks": fault}) as server:
        began = time.monotonic()
        with pytest.raises(OSError, match=r"."):
            fetch(open_session(), f"{server.base}/jwks.json", http_allowed=True, seconds=0.5)
        assert time.monotonic() - began < 5
