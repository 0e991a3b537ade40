"""`make attack`: all campaigns and the attack over sockets, as a table of figures. Exits with 1 on any fault.

ARGS: ``--seed N``, ``--scale 0.1``, ``--only CAMPAIGN``, ``--case NUMBER`` (repeats one attempt), ``--json FILE``.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.attack.campaigns import prepare
from tests.attack.run import Figures, run
from tests.attack.sockets import attack_server

_OVER_SOCKETS = 4_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="make attack", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--case", type=int)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    console = Console(highlight=False)
    began = time.monotonic()
    every: list[Figures] = []
    with tempfile.TemporaryDirectory() as name:
        for figures in run(prepare(Path(name)), asked.seed, asked.scale, asked.only, asked.case):
            every.append(_told(figures, console))
    if asked.only in ("", "sockets"):
        every.append(_told(attack_server(asked.seed, max(1, round(_OVER_SOCKETS * asked.scale))), console))
    console.print(_table(every))
    faults = [fault for figures in every for fault in figures.faults]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    total = sum(figures.attempts for figures in every)
    console.print(
        f"{total:,} attempts with seed {asked.seed} in {time.monotonic() - began:.0f} s, {len(faults)} faults; "
        f"the most memory of this process: {peak} MB"
    )
    if asked.json:
        asked.json.write_bytes(msgspec.json.encode(every))
    return 1 if faults else 0


def _told(figures: Figures, console: Console) -> Figures:
    console.print(f"{figures.name}: {figures.attempts:,} in {figures.seconds:.0f} s, {len(figures.faults)} faults")
    for fault in figures.faults:
        console.print(f"FAULT {fault.campaign} --case {fault.case}: {fault.what}", markup=False)
    return figures


def _table(every: list[Figures]) -> Table:
    table = Table(title="Attacks")
    for name in ("campaign", "attempts", "faults", "slowest ms", "memory kB", "objects", "kept"):
        table.add_column(name, justify="left" if name == "campaign" else "right")
    table.add_column("outcomes")
    for one in every:
        outcomes = ", ".join(f"{outcome} {count:,}" for outcome, count in one.outcomes.most_common(7))
        table.add_row(
            one.name, f"{one.attempts:,}", str(len(one.faults)), f"{one.slowest_ms:,.0f}", f"{one.growth_kb:+,}",
            f"{one.growth_objects:+,}", str(one.kept or ""), outcomes,
        )  # fmt: skip
    return table


if __name__ == "__main__":
    sys.exit(main())
