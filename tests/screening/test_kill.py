"""A run that is killed, workers and all, at any moment goes on to the very same output, doing nothing twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.screening.generate import FIXTURES, ROOT, Copies, records, write_export
from tests.screening.running import run

PEOPLE = 240
_LIMIT_SECONDS = 120.0
OUTPUTS = ("findings.ndjson", "patients.parquet", "findings.parquet")


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    copies = Copies(records(FIXTURES))
    write_export(folder, (line for number in range(PEOPLE) for line in copies.lines_of(number)))
    return folder


@pytest.fixture(scope="module")
def undisturbed(export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert run(export, out).patients == PEOPLE
    return {name: (out / name).read_bytes() for name in OUTPUTS}


def start(export: Path, out: Path) -> subprocess.Popen[bytes]:
    """A run in a process group of its own."""
    command = [sys.executable, "-m", "tests.screening.running", str(export), str(out)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE)


def done_files(out: Path) -> dict[str, tuple[int, int]]:
    """What is done in the folder of a run, each file with what would change if it were written again.

    A part is done when its `.json` is there; findings without one are written again.
    """
    found = {}
    parts = {path.stem for path in (out / "work").rglob("parts/*.json")}
    for path in (out / "work").rglob("*"):
        is_of_done_part = path.suffix == ".ndjson" and path.stem.rpartition("-")[0] in parts
        if path.suffix == ".spill" or is_of_done_part or path.match("parts/*.json"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def kill_when(out: Path, process: subprocess.Popen[bytes], files: int) -> bool:
    """Kills the group once so many files are done; False when the run ended before."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while len(done_files(out)) < files and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not go on"
        time.sleep(0.002)
    was_running = process.poll() is None
    if was_running:
        os.killpg(process.pid, signal.SIGKILL)
    _, complaint = process.communicate(timeout=_LIMIT_SECONDS)
    assert was_running or process.returncode == 0, complaint.decode()
    return was_running


def kill_and_go_on(export: Path, out: Path, undisturbed: dict[str, bytes], times: int, chance: random.Random) -> int:
    """Kills a run up to `times` times at random moments, lets it end, and compares. Returns how often it was killed."""
    killed, before = 0, {}
    for _ in range(times):
        most = len(before) + 60
        if not kill_when(out, start(export, out), chance.randrange(len(before), most)):
            break
        killed += 1
        after = done_files(out)
        assert before.items() <= after.items(), "what was done is not done again"
        before = after
    last = start(export, out)
    _, complaint = last.communicate(timeout=_LIMIT_SECONDS)
    assert last.returncode == 0, complaint.decode()
    assert {name: (out / name).read_bytes() for name in OUTPUTS} == undisturbed
    assert not (out / "work").exists()
    return killed


def test_killed_three_times(export: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    assert kill_and_go_on(export, tmp_path / "out", undisturbed, 3, random.Random(6)) >= 2


@pytest.mark.heavy
def test_killed_twenty_times(export: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    chance, killed, turn = random.Random(2026), 0, 0
    while killed < 20:
        turn += 1
        killed += kill_and_go_on(export, tmp_path / f"out-{turn}", undisturbed, min(5, 20 - killed), chance)


def test_workers_end_with_a_run_that_was_killed_alone(export: Path, tmp_path: Path) -> None:
    """Not the group but the first process only: its workers notice, and the next run can begin."""
    process = start(export, tmp_path / "out")
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not done_files(tmp_path / "out") and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=_LIMIT_SECONDS)  # its pipe closes only when every worker is gone
    assert run(export, tmp_path / "out", block=6_000, partitions=48).patients == PEOPLE


def test_a_worker_whose_run_was_killed_before_it_began_ends(tmp_path: Path) -> None:
    """Forked, and its run gone before its first step: who is its parent now is not who forked it."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    program = f"import time; from cds_service.screening.local import _start; _start(None, {gone.pid}); time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=30).returncode == 1
