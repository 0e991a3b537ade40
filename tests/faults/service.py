"""`legcramp serve` as it is run, on a free port, with what tests do to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.web.fakes import hook_request
from tests.web.test_real_rules import PREFETCH, RESULTS, bundle

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "/cds-services/leg-cramp-patient-view"
FEEDBACK = f"{SERVICE}/feedback"
PATIENCE_SECONDS = 60.0
_NONE: Mapping[str, str] = {}


_LEGCRAMP = (sys.executable, "-c", "from cds_service.cli import main; main()")


class Service:
    """A context manager. The whole process group is killed at its end, if it still lives."""

    def __init__(self, folder: Path, workers: int = 2, **settings: str) -> None:
        own = {"DEVELOPMENT": "1", "DATABASE": f"sqlite:///{folder / 'memory.sqlite3'}"} | settings
        self.log = folder / f"log-{time.monotonic_ns()}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*_LEGCRAMP, "serve", "--port", "0", "--workers", str(workers)],
                cwd=ROOT, env=_environ(own), stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        until(lambda: self._listening() or self.process.poll() is not None)
        self.port = int(self._listening()[0]["addresses"][0].rpartition(":")[2])

    @staticmethod
    def command(*arguments: str, **settings: str) -> str:
        """Another command of `legcramp` with these settings; what it prints. It must succeed."""
        environ = _environ({"DEVELOPMENT": "1"} | settings)
        done = subprocess.run([*_LEGCRAMP, *arguments], cwd=ROOT, env=environ, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def _listening(self) -> list[dict[str, Any]]:
        lines = (line for line in self.log.read_text().splitlines() if line.startswith('{"event":"listening"'))
        return [json.loads(line) for line in lines]

    @property
    def workers(self) -> list[int]:
        master = self.process.pid
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    def ask(
        self, method: str, path: str, document: Any = None, headers: Mapping[str, str] = _NONE, port: int = 0
    ) -> tuple[int, bytes]:
        """Raises OSError or HTTPException where there is no answer. `port` is that of a proxy before it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=60)) as connection:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            return response.status, response.read()

    def cards(self) -> list[dict[str, Any]]:
        """Of a patient with a low potassium of yesterday."""
        status, answer = self.ask("POST", SERVICE, invocation())
        assert status == 200, answer
        cards: list[dict[str, Any]] = json.loads(answer)["cards"]
        return cards

    def tell(self, card: str, overridden: str = "") -> int:
        """Feedback on a card: accepted, or overridden for this reason. The status."""
        item: dict[str, Any] = {"card": card, "outcomeTimestamp": datetime.now(UTC).isoformat()}
        if overridden:
            reason = {"system": "https://legcramp.example.org/CodeSystem/override-reasons", "code": overridden}
            item |= {"outcome": "overridden", "overrideReason": {"reason": reason}}
        else:
            item |= {"outcome": "accepted", "acceptedSuggestions": [{"id": card}]}
        return self.ask("POST", FEEDBACK, {"feedback": [item]})[0]

    def ready(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.ask("GET", "/readyz")[1])
        return told

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0


def _environ(settings: dict[str, str]) -> dict[str, str]:
    others = {name: value for name, value in os.environ.items() if not name.startswith("LEGCRAMP_")}
    return others | {f"LEGCRAMP_{name}": value for name, value in settings.items()}


def invocation() -> dict[str, Any]:
    dated = {"effectiveDateTime": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    prefetch = PREFETCH | {"observations": bundle(*(one | dated for one in RESULTS))}
    return hook_request(context={"userId": "Practitioner/1", "patientId": "pt-4711"}, prefetch=prefetch)


def until(is_so: Callable[[], Any]) -> None:
    limit = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.05)
