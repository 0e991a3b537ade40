"""Small exports and runs over them, for the tests of screening."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cds_service.ruleset import Ruleset, load_ruleset
from cds_service.screening.export import find_export
from cds_service.screening.folder import Silent, settle
from cds_service.screening.local import screen
from cds_service.screening.plan import Cut, frame_of, make_plan
from cds_service.screening.summary import Summary
from cds_service.settings import Settings
from tests.screening.generate import ROOT

NOW = datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC)
Json = dict[str, Any]


@cache
def ruleset() -> Ruleset:
    return load_ruleset(ROOT / "rules")


def run(folder: Path, out: Path, **options: Any) -> Summary:
    """A whole run in this process and its workers.

    `options`: now, since, restart, engine (called as the local one), watcher, and those of `Cut`.
    """
    now, since = options.pop("now", NOW), options.pop("since", None)
    restart, engine = options.pop("restart", False), options.pop("engine", screen)
    watcher = options.pop("watcher", Silent())
    cut = Cut(**{"workers": 2, **options})
    export = find_export(folder)
    plan = make_plan(export, ruleset(), Settings(), now, since, cut)
    settled = settle(out, plan, restart, is_now_given=True)
    if isinstance(settled, Summary):
        return settled
    return engine(folder, out, export, settled, frame_of(settled, export, folder, ruleset()), cut, watcher)


def rows(out: Path) -> dict[str, Json]:
    """The rows of a run by patient."""
    lines = (out / "findings.ndjson").read_bytes().splitlines()
    return {row["patient"]: row for row in map(json.loads, lines)}


def write(path: Path, *lines: Json | str | bytes) -> None:
    """NDJSON; a string or bytes stand as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(_encoded(line) + b"\n" for line in lines))


def _encoded(line: Json | str | bytes) -> bytes:
    if isinstance(line, bytes):
        return line
    return line.encode() if isinstance(line, str) else json.dumps(line).encode()


def fired(row: Json) -> set[str]:
    return {finding["rule"] for finding in row["findings"] if finding["verdict"] == "yes"}


if __name__ == "__main__":  # a run that another process can kill: python -m tests.screening.running EXPORT OUT
    run(Path(sys.argv[1]), Path(sys.argv[2]), block=6_000, partitions=48)
