"""A real server in a process of its own: `legcramp serve` with one worker, as `make serve` starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.attack.target import Fault

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """`legcramp serve` in the development profile without a memory, one worker, on a free port."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.log = folder / "server.log"
        given = {"LEGCRAMP_DEVELOPMENT": "1", "LEGCRAMP_DATABASE": "none", "LEGCRAMP_WORKERS": "1"} | environment
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from cds_service.cli import main; main()", "serve", "--port", "0"],
                cwd=ROOT, env={**os.environ, **given}, stdout=log, stderr=log,
            )  # fmt: skip
        self.port = self._wait_for_port()

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log.read_bytes().splitlines():
                if b'"listening"' in line:
                    return int(json.loads(line)["addresses"][0].rpartition(":")[2])
            time.sleep(0.05)
        self.process.kill()
        raise Fault(f"the server did not start: {self.log.read_text()[-1000:]}")

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def resident_kb(self) -> int:
        """Of all its workers, what they share with the master included."""
        kb = 0
        for pid in self.workers():
            found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
            kb += int(found[1]) if found else 0
        return kb

    def descriptors(self) -> int:
        """Open files and sockets of all its workers."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in self.workers())

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Fault("the server does not stop") from None


@contextmanager
def running(**environment: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name), **environment)
        try:
            yield server
        finally:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()
