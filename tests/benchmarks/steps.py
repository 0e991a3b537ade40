"""The road from bytes to bytes, cut into its steps, and what it is measured against."""

from __future__ import annotations

import gc
import io
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import orjson
from fhir.resources.R4B.bundle import Bundle
from flask import Flask

from cds_service.assess import Assessment, assess_facts
from cds_service.cards.response import encode_response
from cds_service.engine.context import Context
from cds_service.engine.evaluate import evaluate_findings
from cds_service.facts.decode import build_facts
from cds_service.facts.gathered import Gathered
from cds_service.facts.model import Facts
from cds_service.facts.reading import decode_request
from cds_service.facts.terminology import Terminology
from cds_service.fhir.context import check_request
from cds_service.fhir.prefetch import gather
from cds_service.ruleset import Ruleset
from cds_service.settings import Settings
from cds_service.telemetry.log import make_log
from cds_service.web.app import create_app
from cds_service.web.config import WebConfig
from cds_service.web.wiring import wire
from tests.benchmarks.hook_requests import Detail, bundles_of, make_hook_request
from tests.benchmarks.measuring import Call, Timing, measure, timing_of

NOW = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)
"""The instant of every assessment here, except under gunicorn, where the real clock runs."""
HOOK = "patient-view"
_DISCARD = open(os.devnull, "wb")  # noqa: SIM115 - as long as the process
ORJSON, FHIR_RESOURCES = "orjson.loads", "fhir.resources (R4B)"
ROAD, WSGI = "whole road, bytes to bytes", "whole request, through WSGI"
_LOADED_RESOURCES = 20_000
"""About so many resources of each size are made, as different requests that take turns."""
_LEAST_INPUTS = 4


class Answer(NamedTuple):
    """What a request of some size yields, shown beside its times."""

    body_bytes: int
    response_bytes: int
    cards: int
    findings: int
    data_gaps: int
    garbage: int
    """Objects in circles, which only the collector frees; until then they hold on to the whole request."""


class Service:
    """The service as production has it, but for a clock that stands still and a log that goes nowhere."""

    def __init__(self) -> None:
        config = WebConfig(development=True)
        wiring = msgspec.structs.replace(wire(config), now=lambda: NOW)
        assert isinstance(wiring.ruleset, Ruleset)
        self.ruleset: Ruleset = wiring.ruleset
        self.settings: Settings = config.settings
        self.new_id: Callable[[], str] = wiring.new_id
        self.app: Flask = create_app(config, wiring, make_log(_DISCARD))
        freeze()

    def gathered(self, body: bytes) -> Gathered:
        request = decode_request(body)
        check_request(request, HOOK)
        return gather(request)

    def facts(self, gathered: Gathered) -> Facts:
        return build_facts(gathered, self.ruleset.terminology, self.settings, NOW)

    def assessment(self, facts: Facts) -> Assessment:
        return assess_facts(facts, self.ruleset, self.settings)

    def encoded(self, assessment: Assessment) -> bytes:
        return encode_response(assessment.cards, self.new_id)

    def answer(self, body: bytes) -> bytes:
        return self.encoded(self.assessment(self.facts(self.gathered(body))))

    def answer_over_wsgi(self, body: bytes) -> bytes:
        environ = _ENVIRON | {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        started: list[str] = []
        answer = self.app(environ, lambda status, headers, error=None: started.append(status))  # type: ignore[arg-type]
        sent = b"".join(answer)
        if started != ["200 OK"]:
            raise SystemExit(f"The service answered {started} to a request of the benchmark: {sent[:300]!r}")
        return sent


_ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "PATH_INFO": f"/cds-services/leg-cramp-{HOOK}",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "8080",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
    "HTTP_HOST": "127.0.0.1:8080",
    "HTTP_ACCEPT": "application/json",
    "CONTENT_TYPE": "application/json",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.errors": io.StringIO(),
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def freeze() -> None:
    """The garbage collector as in production: on, and never walking what was loaded before the first request."""
    gc.collect()
    gc.freeze()


def make_bodies(resources: int, detail: Detail = "usual") -> list[bytes]:
    inputs = max(_LEAST_INPUTS, _LOADED_RESOURCES // resources)
    return [make_hook_request(resources, NOW, seed, detail) for seed in range(inputs)]


def describe(service: Service, body: bytes) -> Answer:
    """One request looked at: it must yield cards, or nothing here would be worth its time."""
    facts = service.facts(service.gathered(body))
    assessment = service.assessment(facts)
    if not assessment.cards:
        raise SystemExit("The benchmark's request yields no card: the figures would be those of an idle service.")
    positive = [finding for finding in assessment.findings if finding.verdict == "yes"]
    return Answer(
        len(body),
        len(service.encoded(assessment)),
        len(assessment.cards),
        len(positive),
        len(assessment.data_gaps),
        _garbage(service, body),
    )


def measure_steps(service: Service, bodies: list[bytes], rounds: int, validations: int) -> dict[str, Timing]:
    """The road and its steps, in turns with what the service is measured against."""
    laps = Laps(service)
    bundles = [bundles_of(body) for body in bodies[:validations]]
    calls: dict[str, Call] = {
        ORJSON: _each(bodies, orjson.loads),
        ROAD: _each(bodies, laps.run),
        WSGI: _each(bodies, service.answer_over_wsgi),
    }
    if validations:
        calls[FHIR_RESOURCES] = _each(bundles, _validate)
    freeze()
    timings = measure(calls, rounds, {FHIR_RESOURCES: validations}, laps.after_sample)
    gc.unfreeze()
    return timings | laps.timings()


def _garbage(service: Service, body: bytes) -> int:
    gc.collect()
    gc.disable()
    try:
        service.answer(body)
        return gc.collect()
    finally:
        gc.enable()


class Laps:
    """The road with a look at the clock after each step.

    Steps are not timed on inputs that stand ready: strings that were met before know their hash, and that flatters.
    """

    STEPS = ("decode", "gather", "facts", "assess", "encode")

    def __init__(self, service: Service) -> None:
        self.service = service
        self._laps: list[tuple[float, ...]] = []
        self._samples: list[list[float]] = []

    def run(self, body: bytes) -> bytes:
        clock, service = time.process_time, self.service
        start = clock()
        request = decode_request(body)
        check_request(request, HOOK)
        decoded = clock()
        gathered = gather(request)
        flat = clock()
        facts = service.facts(gathered)
        read = clock()
        assessment = service.assessment(facts)
        assessed = clock()
        sent = service.encoded(assessment)
        end = clock()
        self._laps.append((decoded - start, flat - decoded, read - flat, assessed - read, end - assessed))
        return sent

    def after_sample(self, name: str) -> None:
        if name == ROAD:
            self._samples.append([statistics.fmean(lap) for lap in zip(*self._laps, strict=True)])
            self._laps.clear()

    def timings(self) -> dict[str, Timing]:
        samples = self._samples[1:]  # the first holds the warm-up
        return {step: timing_of([sample[at] for sample in samples]) for at, step in enumerate(self.STEPS)}


def measure_details(service: Service, resources: int, rounds: int) -> dict[str, tuple[int, dict[str, Timing]]]:
    """The whole road at one size on records of other weight: size of the body and times by level of detail."""
    found = {}
    for detail in ("lean", "usual", "rich"):
        bodies = make_bodies(resources, detail)
        calls = {ORJSON: _each(bodies, orjson.loads), ROAD: _each(bodies, service.answer)}
        freeze()
        found[detail] = (len(bodies[0]), measure(calls, rounds))
        gc.unfreeze()
    return found


def measure_rules(service: Service, bodies: list[bytes], rounds: int) -> dict[int, Timing]:
    """All rules on ready Facts, with every active rule there once, twice, four and eight times."""
    facts = [service.facts(service.gathered(body)) for body in bodies]
    names = service.ruleset.analyte_names
    calls: dict[str, Call] = {}
    for times in (1, 2, 4, 8):
        knowledge = _knowledge_with_copies(service.ruleset, times)

        def evaluate(one: Facts, knowledge: Any = knowledge) -> None:
            evaluate_findings(Context(one, service.settings), knowledge, names)

        calls[str(len(knowledge.active_rules))] = _each(facts, evaluate)
    freeze()
    timings = measure(calls, rounds)
    gc.unfreeze()
    return {int(rules): timing for rules, timing in timings.items()}


def measure_value_sets(service: Service, bodies: list[bytes], rounds: int) -> dict[int, Timing]:
    """Facts from gathered resources, with code tables of their own size and filled up to three and nine times that."""
    gathered = [service.gathered(body) for body in bodies]
    calls: dict[str, Call] = {}
    for times in (1, 3, 9):
        terminology, size = _terminology_filled_up(service.ruleset.terminology, times)

        def build(one: Gathered, terminology: Terminology = terminology) -> Facts:
            return build_facts(one, terminology, service.settings, NOW)

        calls[str(size)] = _each(gathered, build)
    freeze()
    timings = measure(calls, rounds)
    gc.unfreeze()
    return {int(codes): timing for codes, timing in timings.items()}


def _knowledge_with_copies(ruleset: Ruleset, times: int) -> Any:
    knowledge = _shallow_copy(ruleset.knowledge)
    knowledge.rules = tuple(
        rule if copy == 0 else msgspec.structs.replace(rule, id=f"{rule.id}-{copy}")
        for copy in range(times)
        for rule in ruleset.knowledge.rules
    )
    return knowledge


def _shallow_copy(one: Any) -> Any:
    other = object.__new__(type(one))
    other.__dict__.update(one.__dict__)
    return other


def _terminology_filled_up(terminology: Terminology, times: int) -> tuple[Terminology, int]:
    """Tables of `times` the number of codes; those that are added are never asked for. Equal tables stay one."""
    filled: dict[int, dict[str, Any]] = {}
    for table in terminology.codes.values():
        if id(table) not in filled:
            filled[id(table)] = table | {
                f"{code}~{copy}": match for copy in range(1, times) for code, match in table.items()
            }
    codes = {system: filled[id(table)] for system, table in terminology.codes.items()}
    return msgspec.structs.replace(terminology, codes=codes), sum(len(table) for table in filled.values())


def _each(inputs: list[Any], call: Callable[[Any], object]) -> Call:
    count = len(inputs)
    return lambda number: call(inputs[number % count])


def _validate(bundles: list[bytes]) -> None:
    for bundle in bundles:
        Bundle.model_validate_json(bundle)
