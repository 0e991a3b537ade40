"""Requests per second under gunicorn, as production sets it up with one worker: the service, and in turns with it a
Flask view that reads the body and returns a constant.

Run as a module it is one of these two servers: ``python -m tests.benchmarks.serving service|constant``.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from flask import Flask, Response, request

from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.server import run
from tests.benchmarks.hook_requests import make_hook_request

PATHS = {"service": "/cds-services/leg-cramp-patient-view", "constant": "/constant"}
_START_SECONDS = 60
_INPUTS = 500
_TICKS = os.sysconf("SC_CLK_TCK")


class Throughput(NamedTuple):
    """One server with some number of callers: the median over the rounds, latencies over all of them."""

    a_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms: float
    """CPU time of the worker for one request, the server's own work included."""
    requests: int


def serve(kind: str) -> None:
    run(create_app(WebConfig(development=True)) if kind == "service" else _constant_app(), "127.0.0.1", 0, workers=1)


def _constant_app() -> Flask:
    app = Flask(__name__)

    @app.post(PATHS["constant"])
    def constant() -> Response:
        request.get_data(cache=False)
        return Response(b'{"cards":[]}', content_type="application/json")

    return app


class Server:
    """A server in a process of its own. Its log goes into a file, as a supervisor would have it."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._log = folder / f"{kind}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.serving", kind], stdout=log, stderr=log
            )
        self.port = self._wait_for_port()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with self._log.open() as log:
                port = _announced_port(log)
            if port is not None:
                return port
            time.sleep(0.05)
        self._process.kill()
        raise SystemExit(f"The {self.kind} server did not start:\n{self._log.read_text()[-2000:]}")

    def cpu_seconds(self) -> float:
        """CPU time its workers have used so far."""
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total = 0
        for worker in workers:
            fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS


def _announced_port(log: TextIO) -> int | None:
    line = log.readline()
    if not line.endswith("\n") or "listening" not in line:
        return None
    return int(json.loads(line)["addresses"][0].rpartition(":")[2])


def measure_throughput(
    resources: int, callers: tuple[int, ...], rounds: int, seconds: float
) -> dict[int, dict[str, Throughput]]:
    """For each number of callers, each server's figures; the windows of the two take turns."""
    windows: dict[tuple[int, str], list[_Window]] = {}
    with tempfile.TemporaryDirectory() as name, ExitStack() as servers:
        folder = Path(name)
        bodies = folder / "bodies"
        now = datetime.now(UTC)
        bodies.write_bytes(b"\n".join(make_hook_request(resources, now, seed) for seed in range(_INPUTS)))
        running = [servers.enter_context(Server(kind, folder)) for kind in PATHS]
        for turn in range(rounds + 1):
            for count in callers:
                for server in running if turn % 2 else reversed(running):
                    window = _call(server, count, seconds if turn else 0.5, bodies)
                    if turn:  # the first is a warm-up
                        windows.setdefault((count, server.kind), []).append(window)
    return {count: {kind: _sum_up(windows[count, kind]) for kind in PATHS} for count in callers}


class _Window(NamedTuple):
    seconds: float
    cpu_seconds: float
    all_requests: int
    latencies_ms: list[float]


def _call(server: Server, callers: int, seconds: float, bodies: Path) -> _Window:
    program = Path(__file__).with_name("callers.py")
    before = server.cpu_seconds()
    command = [sys.executable, "-S", program, server.port, PATHS[server.kind], callers, seconds, bodies]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"Calling the {server.kind} server failed: {done.stderr.strip()}")
    told: dict[str, Any] = json.loads(done.stdout)
    return _Window(told["seconds"], server.cpu_seconds() - before, told["requests"], told["latencies_ms"])


def _sum_up(windows: list[_Window]) -> Throughput:
    latencies = sorted(latency for window in windows for latency in window.latencies_ms)
    cuts = statistics.quantiles(latencies, n=100)
    return Throughput(
        statistics.median(len(window.latencies_ms) / window.seconds for window in windows),
        cuts[49],
        cuts[94],
        cuts[98],
        sum(window.cpu_seconds for window in windows) / sum(window.all_requests for window in windows) * 1e3,
        len(latencies),
    )


if __name__ == "__main__":
    serve(sys.argv[1])
