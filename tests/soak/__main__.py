"""`make soak`: a server under mixed traffic for some minutes; memory, descriptors and answers must stay as they are.

It keeps a memory (SQLite), an audit trail and its counts, as in production. Exits with 1 when anything grows or fails.
ARGS: ``--seconds 180``, ``--requests N`` (ends there), ``--callers 8``, ``--seed N``, ``--json FILE``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.attack.server import Server
from tests.soak.judge import Sample, complaints
from tests.soak.traffic import Traffic

_SAMPLES = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, help="without --requests: 180")
    parser.add_argument("--requests", type=int)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    if asked.seconds is None:
        asked.seconds = 180.0 if asked.requests is None else float("inf")
    with tempfile.TemporaryDirectory() as name:
        samples, failures = soak(Path(name), asked.requests, asked.seconds, asked.callers, asked.seed)
    Console(highlight=False, width=110).print(_table(samples, asked.seed))
    wrong = failures + complaints(samples)
    for one in wrong:
        print(f"FAULT {one}")
    if asked.json:
        asked.json.write_bytes(msgspec.json.encode({"samples": samples, "faults": wrong}))
    return 1 if wrong else 0


def soak(folder: Path, requests: int | None, seconds: float, callers: int, seed: int) -> tuple[list[Sample], list[str]]:
    """What was measured on the way, and what went wrong."""
    server = Server(
        folder,
        LEGCRAMP_DATABASE=f"sqlite:///{folder / 'memory.sqlite3'}",
        LEGCRAMP_AUDIT_FILE=str(folder / "audit.ndjson"),
        LEGCRAMP_PATIENT_HASH_KEY="soak" * 8,
    )
    try:
        traffic = Traffic(server.port, requests or sys.maxsize, time.monotonic() + seconds, seed)
        workers, began, samples = server.workers(), time.monotonic(), list[Sample]()
        threads = traffic.run(callers)
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
            passed = time.monotonic() - began
            if max(traffic.total / traffic.requests, passed / seconds) * _SAMPLES >= len(samples) + 1:
                samples.append(_sample(server, traffic, passed))
        failures = list(traffic.failures)
        if server.workers() != workers:
            failures.append("a worker died")
        if server.stop() != 0:
            failures.append("the server did not end well")
        failures += _errors(server.log)
        return samples, failures
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def _errors(log: Path) -> list[str]:
    """The first lines that a service which is well never writes."""
    lines = log.read_text().splitlines()
    wrong = [
        line for line in lines if "Traceback" in line or ('"level":"error"' in line and '"status":503' not in line)
    ]
    return wrong[:3]


def _sample(server: Server, traffic: Traffic, seconds: float) -> Sample:
    slowest, traffic.slowest = traffic.slowest, 0.0
    return Sample(
        seconds, traffic.total, server.resident_kb(), server.descriptors(), round(slowest * 1e3), dict(traffic.answered)
    )


def _table(samples: list[Sample], seed: int) -> Table:
    table = Table(title=f"Soak, seed {seed}")
    for name in ("seconds", "answered", "memory MB", "descriptors", "slowest ms"):
        table.add_column(name, justify="right")
    table.add_column("statuses")
    for one in samples:
        statuses = ", ".join(f"{status} {count:,}" for status, count in sorted(one.statuses.items()))
        table.add_row(
            f"{one.seconds:,.0f}", f"{one.answered:,}", f"{one.resident_kb / 1024:.1f}", str(one.descriptors),
            f"{one.slowest_ms:,}", statuses,
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
