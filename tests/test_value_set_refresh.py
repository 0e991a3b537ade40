"""`legcramp value-sets refresh` against a terminology server on a loopback socket."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cds_service.cli import main
from cds_service.facts.value_sets import load_value_sets

RULES = Path(__file__).resolve().parents[1] / "rules"
SNOMED = "http://snomed.info/sct"
Answer = Callable[[int, int], tuple[int, Any]]


class TerminologyServer(ThreadingHTTPServer):
    """Answers each page with `answer(offset, count)`; None is answered when the test ends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server_port}/fhir"
        self.answer: Answer = lambda offset, count: (200, None)
        self.asked: list[dict[str, Any]] = []
        self.stopping = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: TerminologyServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = {one["name"]: one for one in body["parameter"]}
        self.server.asked.append({"path": self.path, "valueSet": told["valueSet"]["resource"]})
        status, answer = self.server.answer(told["offset"]["valueInteger"], told["count"]["valueInteger"])
        if answer is None:
            self.server.stopping.wait(30)
            return
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[TerminologyServer]:
    with TerminologyServer() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield one
        one.stopping.set()
        one.shutdown()
        thread.join()


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A folder with one intensional set."""
    folder = tmp_path / "rules"
    (folder / "value-sets" / "snomed-ct").mkdir(parents=True)
    (folder / "value-sets" / "condition").mkdir()
    shutil.copy(RULES / "value-sets" / "snomed-ct" / "aki-snomed-ct.json", folder / "value-sets" / "snomed-ct")
    shutil.copy(RULES / "value-sets" / "condition" / "aki.json", folder / "value-sets" / "condition")
    (folder / "intensional.yaml").write_text('aki: "<< 14669001"\n')
    return folder


def value_set(codes: dict[str, str], **more: Any) -> dict[str, Any]:
    contains = [{"system": SNOMED, "code": code, "display": name} for code, name in codes.items()]
    return {"resourceType": "ValueSet", "expansion": {"contains": contains, **more}}


def refresh(server: TerminologyServer, rules: Path, *options: str, answer: str = "") -> Result:
    arguments = ["value-sets", "refresh", "--tx", server.base, "--rules", str(rules), *options]
    return CliRunner().invoke(main, arguments, input=answer)


def codes(rules: Path) -> set[str]:
    return {one.code for part in load_value_sets(rules / "value-sets")["aki"].includes for one in part.concept}


NEW = {"999000001": "A new kidney injury", "14669001": "Acute kidney injury"}


def test_the_difference_is_shown_and_nothing_is_written_unasked(server: TerminologyServer, rules: Path) -> None:
    server.answer = lambda offset, count: (200, value_set(NEW, total=2))
    before = codes(rules)
    result = refresh(server, rules, answer="n\n")
    assert result.exit_code == 0
    assert "+ 999000001 A new kidney injury" in result.output
    assert "Nothing written." in result.output
    assert codes(rules) == before
    (include,) = server.asked[0]["valueSet"]["compose"]["include"]
    assert include["filter"] == [{"property": "constraint", "op": "=", "value": "<< 14669001"}]
    assert server.asked[0]["path"] == "/fhir/ValueSet/$expand"


@pytest.mark.parametrize(("options", "answer"), [(["--yes"], ""), ([], "y\n")])
def test_new_codes_are_added_and_old_ones_stay(
    server: TerminologyServer, rules: Path, options: list[str], answer: str
) -> None:
    server.answer = lambda offset, count: (200, value_set(NEW, total=2))
    before = codes(rules)
    assert refresh(server, rules, *options, answer=answer).exit_code == 0
    assert codes(rules) == before | NEW.keys()
    assert "0 new" in refresh(server, rules, "--yes").output


@pytest.mark.parametrize("tells_total", [True, False])
def test_pages_are_followed_to_the_end(server: TerminologyServer, rules: Path, tells_total: bool) -> None:
    everything = {str(number): "x" for number in range(700000000, 700002500)}

    def page(offset: int, count: int) -> tuple[int, Any]:
        part = dict(list(everything.items())[offset : offset + count])
        return 200, value_set(part, **({"total": len(everything)} if tells_total else {}))

    server.answer = page
    assert refresh(server, rules, "--yes").exit_code == 0
    assert everything.keys() <= codes(rules)
    assert len(server.asked) == 3


OUTCOME = {"resourceType": "OperationOutcome", "issue": [{"code": "too-costly", "diagnostics": "too many codes"}]}


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (422, OUTCOME, "aki: HTTP 422: too many codes"),
        (200, OUTCOME, "too many codes"),
        (502, b"<html>", "HTTP 502, and no JSON"),
        (302, {}, "HTTP 302"),
        (200, {"resourceType": "Bundle"}, "no expanded ValueSet"),
        (200, value_set({}), "the expansion is empty"),
        (200, value_set({}, total=7), "tells of 7 codes and sent 0"),
        (200, value_set(NEW, total=7), "the same page again"),
        (200, None, "no answer within 0.3 s"),
    ],
)
def test_a_set_that_is_not_expanded_whole_is_told_and_stays(
    server: TerminologyServer, rules: Path, status: int, answer: Any, told: str
) -> None:
    server.answer = lambda offset, count: (status, answer)
    before = codes(rules)
    result = refresh(server, rules, "--yes", "--timeout", "0.3" if answer is None else "20")
    assert result.exit_code == 1
    assert told in result.output
    assert codes(rules) == before


def test_a_set_without_an_expression_is_told(server: TerminologyServer, rules: Path) -> None:
    result = refresh(server, rules, "--set", "no-such")
    assert result.exit_code == 1
    assert "no-such is no intensional set" in result.output


def test_every_expression_belongs_to_a_file() -> None:
    lines = [line for line in (RULES / "intensional.yaml").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 40
    for line in lines:
        assert (RULES / "value-sets" / "snomed-ct" / f"{line.partition(':')[0]}-snomed-ct.json").is_file()
