"""Counts for Prometheus. Every label has a closed list of values, and none of them comes from a request.

Where `PROMETHEUS_MULTIPROC_DIR` is set, which `prepare` does before the library is first imported, each process writes
into files there and any worker can tell the sum of all of them; elsewhere the counts are those of this process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_RESOURCES = (10, 30, 100, 300, 1000, 3000, 10_000)


class Counted(Protocol):
    """A card: which rule it is about, and how urgent it is."""

    @property
    def rule(self) -> str: ...
    @property
    def indicator(self) -> str: ...


class Asked(Protocol):
    """One question to a FHIR server, and what became of it."""

    @property
    def key(self) -> str: ...
    @property
    def outcome(self) -> str: ...
    @property
    def duration_ms(self) -> float: ...


def prepare(parent: str | None = None) -> str:
    """Makes a fresh private folder for the counts of all worker processes. To be called before `Metrics` is made."""
    folder = tempfile.mkdtemp(prefix="legcramp-metrics-", dir=parent)
    os.environ[FOLDER] = folder
    return folder


def forget_process(pid: int) -> None:
    """Removes what only a living process says. Its counts stay: a counter that fell would look like a restart."""
    if FOLDER in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Metrics:
    """The counts of one application, in a registry of its own."""

    def __init__(self, version: str, knowledge: str, digest: str) -> None:
        # imported here, because the library decides where counts are kept when it is first imported
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = registry = CollectorRegistry()
        known: dict[tuple[Any, ...], Any] = {}
        """Children by metric and labels: looking one up here costs a third of what the library's own way does."""
        self._known = known

        def counter(name: str, text: str, *labels: str) -> Any:
            return Counter(f"legcramp_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Any:
            return Histogram(f"legcramp_{name}", text, labels, buckets=buckets, registry=registry)

        self._requests = counter("requests", "Requests answered", "endpoint", "service", "status")
        self._duration = histogram("request_duration_seconds", "Time until an answer was ready", _SECONDS, "endpoint")
        self._resources = histogram("request_resources", "FHIR resources of an invocation", _RESOURCES)
        self._cards = counter("cards", "Cards by the rule they are about", "rule", "indicator", "shown")
        self._held_back = counter("cards_held_back", "Cards that stayed back because they were overridden before")
        self._gaps = counter("data_gaps", "What could not be read, by kind of gap", "kind")
        self._fetches = counter("fetches", "Questions to FHIR servers", "key", "outcome")
        self._fetch_duration = histogram("fetch_duration_seconds", "Time of one question to a FHIR server", _SECONDS)
        self._denied = counter("denied", "Requests without a valid token, by coarse reason", "reason")
        self._events = counter("memory_events", "What happened to the database", "event")
        self._unaudited = counter("audit_lost", "Requests that the audit trail could not take down")
        self._reloads = counter("reloads", "Times that rules and settings were read anew, by outcome", "outcome")
        # there from the start, or the first failure would be no increase
        self._reloads.labels("failed")
        info = Gauge(
            "legcramp_ruleset_info", "The rules that answer", ("version", "knowledge", "digest"), registry=registry,
            multiprocess_mode="livemax",
        )  # fmt: skip
        self._info = info.labels(version, knowledge, digest)
        self._info.set(1)

    def answered(self, endpoint: str, service: str, status: int, seconds: float) -> None:
        """One answer. `endpoint` is a name of our own, `service` a service id or empty."""
        self._child(self._requests, endpoint, service, status).inc()
        self._child(self._duration, endpoint).observe(seconds)

    def assessed(
        self, resources: int, cards: Iterable[Counted], silent: Iterable[Counted], gaps: Iterable[Any], held_back: int
    ) -> None:
        """One assessment: cards that were sent, those that were only recorded, what was missing."""
        self._resources.observe(resources)
        for card in cards:
            self._child(self._cards, card.rule, card.indicator, "yes").inc()
        for card in silent:
            self._child(self._cards, card.rule, card.indicator, "silent").inc()
        for gap in gaps:
            self._child(self._gaps, gap.kind).inc()
        if held_back:
            self._held_back.inc(held_back)

    def fetched(self, questions: Iterable[Asked]) -> None:
        for one in questions:
            self._child(self._fetches, one.key, one.outcome).inc()
            self._fetch_duration.observe(one.duration_ms / 1000)

    def denied(self, reason: str) -> None:
        self._child(self._denied, reason).inc()

    def happened(self, event: str, count: int = 1) -> None:
        """A listener of `feedback.events.Events`."""
        self._child(self._events, event).inc(count)

    def unaudited(self) -> None:
        self._unaudited.inc()

    def reloaded(self, outcome: str) -> None:
        """`done` or `failed`."""
        self._child(self._reloads, outcome).inc()

    def hand_over(self, following: Metrics) -> None:
        """From here on the rules of `following` answer, in this process."""
        self._info.set(0)
        following._info.set(1)

    def text(self) -> bytes:
        """All counts in Prometheus' text form: those of every process where there are several."""
        from prometheus_client import generate_latest

        return generate_latest(self._everywhere())

    def _everywhere(self) -> CollectorRegistry:
        if FOLDER not in os.environ:
            return self.registry
        from prometheus_client import CollectorRegistry, multiprocess

        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _child(self, metric: Any, *labels: Any) -> Any:
        key = (metric, *labels)
        child = self._known.get(key)
        if child is None:
            child = self._known[key] = metric.labels(*labels)
        return child
