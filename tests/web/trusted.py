"""The service with clients that have to prove who they are: keys at hand, a clock that stands still, its log."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import msgspec

from cds_service.clients.keys import KeyStore
from cds_service.clients.model import Client
from cds_service.clients.replay import InMemoryReplayStore
from cds_service.clients.tokens import Verifier
from cds_service.settings import Settings
from cds_service.telemetry import log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring
from tests.clients.signing import BASE, ISSUER, NOW, SERVICE, FakeKeys, public_jwk
from tests.web.fakes import Assessor, encode, hook_request

JKU = "https://ehr.example.org/jwks.json"
EVIL = "https://evil.example.org/jwks.json"
EHR = Client(id="ehr", issuer=ISSUER, jku=frozenset({JKU}))
CALL = f"/cds-services/{SERVICE}"


def seconds(ahead: float) -> int:
    return int(NOW.timestamp() + ahead)


class Site:
    """The service with its clients, their keys at hand, and its log."""

    def __init__(self, *clients: Client, keys: FakeKeys | None = None, assess: Any = None, **config: Any) -> None:
        self.keys = keys or FakeKeys(**{JKU: [public_jwk("k1")]})
        store = KeyStore()
        store.load = self.keys.load  # type: ignore[method-assign]
        self.now = NOW
        self.log = io.BytesIO()
        self.assess = assess or Assessor()
        clients = clients or (EHR,)
        settings = Settings(public_base_url=BASE)
        self.app = create_app(
            WebConfig(settings=settings, **config),
            Wiring(
                ruleset=SimpleNamespace(digest="f00d", knowledge_version="0.1.0"),
                assess=self.assess,
                encode_response=encode,
                clients=clients,
                settings={one.id: msgspec.structs.replace(settings, client=one.profile) for one in clients},
                verifier=Verifier(clients, store, InMemoryReplayStore(now=lambda: self.now), now=lambda: self.now),
            ),
            log.make_log(self.log),
        )

    def call(self, authorization: str | None, path: str = CALL, **members: Any) -> Any:
        headers = {} if authorization is None else {"Authorization": authorization}
        return self.app.test_client().post(path, json=hook_request(**members), headers=headers)

    def bearer(self, made: str, path: str = CALL) -> Any:
        return self.call(f"Bearer {made}", path)

    @property
    def last_line(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.log.getvalue().splitlines()[-1])
        return line
