"""The folder of a run: one run at a time, the plan it was begun with, and what it holds in the end."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec

from cds_service.screening.plan import Plan, read_plan
from cds_service.screening.spill import write_whole
from cds_service.screening.summary import Summary

FINDINGS, PATIENTS_TABLE, FINDINGS_TABLE, RUN = "findings.ndjson", "patients.parquet", "findings.parquet", "run.json"
WORK = "work"
_LOCK_SECONDS = 10.0


class ScreeningFailed(Exception):
    """A run that cannot begin or go on. The text says why and what to do, without any patient."""


class Watcher(Protocol):
    """Is told how a run goes on; the command line draws a bar of it."""

    def phase(self, name: str, total: float, unit: str) -> None: ...

    def advance(self, by: float) -> None: ...


class Silent:
    """A watcher that says nothing."""

    def phase(self, name: str, total: float, unit: str) -> None:
        pass

    def advance(self, by: float) -> None:
        pass


def settle(out: Path, plan: Plan, restart: bool, is_now_given: bool) -> Plan | Summary:
    """The plan to go on with: of a run that was killed its own, so that it ends as it began.

    Returns the summary of a run that is finished and would be the same. Raises `ScreeningFailed` when the folder holds
    a run of something else, unless `restart`.
    """
    out.mkdir(parents=True, exist_ok=True)
    finished, begun = out / RUN, out / WORK / "plan.json"
    if restart:
        with locked(out):
            shutil.rmtree(out / WORK, ignore_errors=True)
            for name in (FINDINGS, PATIENTS_TABLE, FINDINGS_TABLE, RUN):
                (out / name).unlink(missing_ok=True)
    for path in (begun, finished):
        if not path.exists():
            continue
        known = read_plan(path) if path is begun else _plan_of(path)
        if known is not None and not is_now_given:
            plan = msgspec.structs.replace(plan, now=known.now)
        if known is None or known.digest != plan.digest:
            raise ScreeningFailed(
                f"{out} holds a run over another export, ruleset, day or other options"
                f" ({', '.join(_differences(known, plan)) or 'of another version'});"
                " take another folder, or --restart to do away with it"
            )
        if path is finished:
            return msgspec.json.decode(finished.read_bytes(), type=Summary)
        return known
    (out / WORK).mkdir(exist_ok=True, mode=0o700)
    write_whole(begun, msgspec.json.encode(plan))
    return plan


def _plan_of(path: Path) -> Plan | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary).plan
    except msgspec.DecodeError:
        return None


def _differences(known: Plan | None, plan: Plan) -> list[str]:
    if known is None:
        return []
    names = [name for name in Plan.__struct_fields__ if name not in ("partitions", "block")]
    return [name for name in names if getattr(known, name) != getattr(plan, name)]


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Only one run at a time in a folder. Workers that outlive a killed run let go within a second or two."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        _wait_for(lock, out)
        yield


def _wait_for(lock: IO[str], out: Path) -> None:
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise ScreeningFailed(f"{out} is in use by another run") from None
            time.sleep(0.2)


def open_work(out: Path) -> Path:
    """The folder of what is being done, without what was left half-written."""
    work = out / WORK
    for name in ("spills", "parts"):
        (work / name).mkdir(parents=True, exist_ok=True)
    for left in work.rglob("*.tmp"):
        left.unlink()
    return work


def seal(out: Path, summary: Summary) -> Summary:
    """Writes run.json, which says that the run is finished, and does away with the folder of the work."""
    write_whole(out / RUN, msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n")
    shutil.rmtree(out / WORK)
    return summary
