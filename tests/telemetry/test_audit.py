"""The audit trail as a file, as FHIR AuditEvents, and as `legcramp audit export` writes it."""

from __future__ import annotations

import gzip
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from fhir.resources.R4B.auditevent import AuditEvent

from cds_service.cli import main
from cds_service.telemetry.audit import AskedFor, AuditFile, Entry, Fired, read_entries
from cds_service.telemetry.audit_events import as_audit_event

AT = datetime(2026, 3, 10, 9, 30, 0, 125_000, UTC)
SITE = "https://cds.example.org"
WHOLE = Entry(
    at=AT,
    request_id="0a1b2c3d4e5f6071",
    action="invocation",
    status=200,
    service="leg-cramp-patient-view",
    hook="patient-view",
    client="north",
    user="a" * 64,
    patient="b" * 64,
    instance="c" * 64,
    rules=(Fired("lab-hypokalemia", "warning"), Fired("monitoring-gap")),
    cards=1,
    fetched=(AskedFor("observations", "ok", 12), AskedFor("procedures", "timeout")),
    ruleset="f00d",
    knowledge="1.2.3",
)
ENTRIES = {
    "answered": WHOLE,
    "without a user": msgspec.structs.replace(WHOLE, user="", patient="", instance=""),
    "denied": Entry(at=AT, request_id="1", action="invocation", status=401, denied="expired", service="s"),
    "unknown service": Entry(at=AT, request_id="2", action="invocation", status=404),
    "fault": Entry(at=AT, request_id="3", action="invocation", status=500, client="north"),
    "feedback": Entry(at=AT, request_id="4", action="feedback", status=200, service="s", client="north"),
}


def details(event: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["type"], one["valueString"]) for one in event["entity"][-1]["detail"]]


@pytest.mark.parametrize("kind", ENTRIES)
def test_every_entry_is_a_valid_audit_event(kind: str) -> None:
    event = as_audit_event(ENTRIES[kind], SITE)
    read = AuditEvent.model_validate_json(msgspec.json.encode(event))
    assert read.recorded == AT
    assert read.source.site == SITE
    assert [agent.requestor for agent in read.agent].count(True) == 1


def test_an_audit_event_says_who_asked_about_whom_which_rules_fired_and_what_was_fetched() -> None:
    event = as_audit_event(WHOLE, SITE)
    assert [agent["who"]["identifier"]["value"] for agent in event["agent"]] == ["north", "a" * 64]
    patient, service = event["entity"]
    assert patient["what"]["identifier"]["value"] == "b" * 64
    assert service["name"] == "leg-cramp-patient-view"
    assert service["what"]["identifier"]["value"] == "c" * 64
    assert details(event) == [
        ("hook", "patient-view"),
        ("knowledge", "1.2.3"),
        ("ruleset", "f00d"),
        ("rule", "lab-hypokalemia warning"),
        ("rule", "monitoring-gap"),
        ("fetched", "observations ok 12"),
        ("fetched", "procedures timeout 0"),
        ("cards", "1"),
    ]


@pytest.mark.parametrize(("kind", "outcome"), [("answered", "0"), ("feedback", "0"), ("denied", "4"), ("fault", "8")])
def test_an_audit_event_says_how_it_ended(kind: str, outcome: str) -> None:
    event = as_audit_event(ENTRIES[kind], SITE)
    assert event["outcome"] == outcome
    assert event["outcomeDesc"].startswith(f"HTTP {ENTRIES[kind].status}")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = AuditFile(tmp_path / "audit")
    for entry in ENTRIES.values():
        file.write(entry)
    file.close()
    assert list(read_entries(tmp_path / "audit")) == list(ENTRIES.values())
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600


def test_threads_and_files_that_write_at_once_never_mix_lines(tmp_path: Path) -> None:
    """Two files on one path are what two worker processes have."""
    files = [AuditFile(tmp_path / "audit") for _ in range(2)]
    ready = threading.Barrier(8)

    def write(at: int) -> None:
        ready.wait()
        for _ in range(50):
            files[at % 2].write(WHOLE)

    threads = [threading.Thread(target=write, args=(at,)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bad: list[int] = []
    assert list(read_entries(tmp_path / "audit", bad=bad.append)) == [WHOLE] * 400
    assert not bad


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_after_a_rotation_a_new_file_begins(tmp_path: Path, how: str) -> None:
    path = tmp_path / "audit"
    file = AuditFile(path)
    file.write(WHOLE)
    if how == "renamed":
        path.rename(tmp_path / "audit.1")
    else:
        path.unlink()
    file.write(ENTRIES["denied"])
    assert list(read_entries(path)) == [ENTRIES["denied"]]
    if how == "renamed":
        assert list(read_entries(tmp_path / "audit.1")) == [WHOLE]


@pytest.mark.parametrize(
    ("what", "why"), [("folder", "directory"), ("pipe", "No such device"), ("none/file", "No such file")]
)
def test_only_a_file_will_do_and_nothing_waits(tmp_path: Path, what: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=why):
        AuditFile(tmp_path / what).check()


def test_a_pipe_with_a_reader_will_not_do_either(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(OSError, match="regular"):
            AuditFile(path).check()
    finally:
        os.close(reader)


def test_a_line_that_a_full_disk_cut_off_takes_no_other_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = AuditFile(tmp_path / "audit")
    file.write(WHOLE)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:20]))
    with pytest.raises(OSError, match="part"):
        file.write(WHOLE)
    monkeypatch.undo()
    file.write(ENTRIES["denied"])
    bad: list[int] = []
    assert list(read_entries(tmp_path / "audit", bad=bad.append)) == [WHOLE, ENTRIES["denied"]]
    assert bad == [2]


# -- the command


def export(*arguments: str | Path, **environment: str) -> Result:
    environment = {
        "LEGCRAMP_DEVELOPMENT": "1",
        "LEGCRAMP_PUBLIC_BASE_URL": SITE,
        "LEGCRAMP_AUDIT_FILE": "",
    } | environment
    return CliRunner(env=environment).invoke(main, ["audit", "export", *map(str, arguments)])


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """One entry on each of four days."""
    file = AuditFile(tmp_path / "audit.ndjson")
    for day in range(4):
        file.write(msgspec.structs.replace(WHOLE, at=AT + timedelta(days=day), request_id=str(day)))
    file.close()
    return tmp_path / "audit.ndjson"


def ids(result: Result) -> list[str]:
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


def test_the_configured_trail_is_exported_as_ndjson(trail: Path) -> None:
    result = export(LEGCRAMP_AUDIT_FILE=str(trail))
    assert result.exit_code == 0, result.output
    assert ids(result) == ["0", "1", "2", "3"]
    for line in result.stdout.splitlines():
        assert AuditEvent.model_validate_json(line).source.site == SITE


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (["--since", "2026-03-11"], ["1", "2", "3"]),
        (["--until", "2026-03-11"], ["0", "1"]),
        (["--since", "2026-03-11", "--until", "2026-03-11"], ["1"]),
        (["--since", "2027-01-01"], []),
    ],
)
def test_days_are_whole_and_inclusive(trail: Path, days: list[str], expected: list[str]) -> None:
    assert ids(export(*days, trail)) == expected


def test_files_that_a_rotation_put_aside_and_compressed(trail: Path) -> None:
    old = trail.with_name("audit.ndjson.1.gz")
    old.write_bytes(gzip.compress(trail.read_bytes()))
    assert ids(export(old, trail)) == ["0", "1", "2", "3"] * 2


def test_a_line_that_cannot_be_read_is_named_and_the_rest_is_written(trail: Path) -> None:
    with trail.open("ab") as lines:
        lines.write(b'{"at":"Zaphod"}\n\xff\n')
    result = export(trail)
    assert (result.exit_code, ids(result)) == (1, ["0", "1", "2", "3"])
    assert ":5: is no entry" in result.stderr
    assert ":6: is no entry" in result.stderr
    assert "Zaphod" not in result.output


@pytest.mark.parametrize("name", ["none", "broken.gz", "cut.gz"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, name: str) -> None:
    if name == "broken.gz":
        (tmp_path / name).write_bytes(b"no gzip")
    elif name == "cut.gz":
        (tmp_path / name).write_bytes(gzip.compress(msgspec.json.encode(WHOLE))[:-20])
    result = export(tmp_path / name)
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert "Traceback" not in result.output


def test_without_a_trail_or_with_days_the_wrong_way_round() -> None:
    assert "LEGCRAMP_AUDIT_FILE" in export().stderr
    assert export().exit_code == 3
    assert export("--since", "2026-03-02", "--until", "2026-03-01", "x").exit_code == 2
