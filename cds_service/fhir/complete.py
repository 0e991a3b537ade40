"""What prefetch left out is fetched: every question at once, under one deadline, and never a failure for it.

`FhirAccess.complete` is called between the decoding of a request and `prefetch.gather`, which reads what comes back
by the same code as the prefetch itself. Where everything was prefetched it asks nothing.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeAlias
from urllib.parse import quote

import msgspec
import requests

from cds_service.clients.model import Client
from cds_service.facts import wire
from cds_service.facts.gathered import bare_id, open_bundles
from cds_service.facts.model import DataGap
from cds_service.facts.reading import HookRequest
from cds_service.facts.wire import Bundle, Entry, Resource
from cds_service.fhir.access import Access, NoAccess, Policy, find_access
from cds_service.fhir.client import Asking, Budget
from cds_service.fhir.deadline import Deadline
from cds_service.fhir.examine import Question
from cds_service.fhir.ledger import LISTS
from cds_service.fhir.outcomes import SUPPRESSED, Fetched, failure, with_outcome
from cds_service.fhir.prefetch import MAX_RESOURCES, cut_answers, missing_queries, values_about
from cds_service.fhir.queries import Query
from cds_service.fhir.referred import REFERRED, Referred, is_search
from cds_service.fhir.servers import next_target
from cds_service.fhir.transport import make_adapter, make_session

SECONDS = 1.5
_FOR_READING = 0.05
"""The part of the time that is kept for reading what came, so that pages that did come are not lost."""
_Running: TypeAlias = dict[Future[tuple[Resource, Fetched]], Question]


class Completion(msgspec.Struct, frozen=True):
    """What `prefetch.gather` takes beside the request, and the record of it. `why` is empty where access was usable."""

    values: dict[str, Resource | None] = {}
    gaps: tuple[DataGap, ...] = ()
    fetched: tuple[Fetched, ...] = ()
    why: str = ""


NOTHING_TO_ADD = Completion()


class FhirAccess:
    """FHIR servers as one worker process asks them: its connections and its threads, made when first used."""

    def __init__(
        self,
        policy: Policy,
        seconds: float = SECONDS,
        adapter: requests.adapters.BaseAdapter | None = None,
        threads: int = 96,
        most_bytes: int = 10 * 1024 * 1024,
        most_resources: int = MAX_RESOURCES,
        ca_file: str | None = None,
    ) -> None:
        self._policy, self._seconds = policy, seconds
        self._most_bytes, self._most_resources = most_bytes, most_resources
        self._session = make_session(adapter or make_adapter(threads), ca_file)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="fhir")

    def complete(self, request: HookRequest, client: Client, deadline: Deadline | None = None) -> Completion:
        """Fetches what `request` lacks, within the time set and within `deadline`. Raises nothing."""
        aliases = client.profile.prefetch_keys
        missing, cut = missing_queries(request, aliases), cut_answers(request, aliases)
        try:
            access = find_access(request, client, self._policy)
        except NoAccess as error:
            if not missing and not cut:
                return NOTHING_TO_ADD
            text = f"What was not prefetched could not be fetched: {error}."
            return Completion(gaps=(DataGap("not-supplied", "fhirServer", text),), why=str(error))
        plan = _Plan(request, access, values_about(request, "medications", aliases))
        plan.add_missing(missing)
        plan.add_cut(cut)
        if not plan.questions:
            left_out = plan.completion()
            return left_out if left_out.gaps else NOTHING_TO_ADD
        until = deadline.sooner(self._seconds) if deadline is not None else Deadline(self._seconds)
        return self._fetch(plan, access, until)

    def close(self) -> None:
        """Ends threads and connections."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._session.close()

    def _fetch(self, plan: _Plan, access: Access, deadline: Deadline) -> Completion:
        asking = deadline.sooner(deadline.left() * (1 - _FOR_READING))
        budget = Budget(self._most_bytes, max(0, self._most_resources - plan.resources))
        running: _Running = {}

        def start(questions: list[Question]) -> None:
            for question in questions:
                one = Asking(self._session, access, question, asking, budget)
                running[self._threads.submit(one.answer)] = question

        start(plan.questions)
        while running:
            done = wait(running, timeout=deadline.left(), return_when=FIRST_COMPLETED).done
            if not done:
                break
            for future in done:
                question = running.pop(future)
                start(plan.take(question, *future.result()))
        for future, question in running.items():
            future.cancel()
            late = Fetched(key=question.name, outcome="timeout", duration_ms=round(self._seconds * 1000, 2))
            plan.take(question, with_outcome(question.begun, failure("timeout")), late)
        return plan.completion()


class _Plan:
    """The questions of one request, and what has come of them."""

    def __init__(self, request: HookRequest, access: Access, about_medications: list[Resource | None]) -> None:
        self._access = access
        self._patient_id = bare_id(request.context.patientId) if request.context else ""
        self._referred = Referred(access)
        self._medications: list[Entry] = []
        self._values: dict[str, Resource | None] = {}
        self._fetched: list[Fetched] = []
        self.gaps: list[DataGap] = []
        self._prefetch = request.prefetch or {}
        context = request.context
        self._orders = (context.draftOrders, context.medications) if context else ()
        # only these are looked through: where all was prefetched, this is the whole cost of having access
        self.questions: list[Question] = self._referred.questions((*about_medications, *self._orders))

    @property
    def resources(self) -> int:
        """How many the request brought."""
        return sum(1 for _ in open_bundles((*self._prefetch.values(), *self._orders), {}))

    def add_missing(self, queries: tuple[Query, ...]) -> None:
        """A question for each query that the token covers; a named gap for each that it does not."""
        for query in queries:
            type_name, _, parameters = query.template.partition("?")
            type_name = type_name.partition("/")[0]
            category = parameters.partition("category=")[2].partition("&")[0]
            is_read = query.kind == "patient"
            covered = self._access.scopes.cover(type_name, "r" if is_read else "s", category)
            if covered == "none":
                text = f"{LISTS[query.kind]}: {query.key} was not asked for, the scope granted does not cover it."
                self.gaps.append(DataGap("not-supplied", query.kind, text))
                self._fetched.append(Fetched(key=query.key, outcome="not-granted"))
                continue
            path = query.template.replace("{{context.patientId}}", quote(self._patient_id, safe=""))
            self.questions.append(
                Question(
                    key=query.key,
                    name=query.key,
                    url=f"{self._access.server.base}/{path}",
                    expects=getattr(wire, type_name),
                    patient_id=self._patient_id,
                    ids=frozenset({self._patient_id}) if is_read else frozenset(),
                    in_part=covered == "part",
                )
            )

    def add_cut(self, cut: dict[str, tuple[Query | None, str]]) -> None:
        """A question for the next page of each prefetched answer that has one on the same server."""
        for key, (query, link) in cut.items():
            begun = self._prefetch[key]
            target = next_target(self._access.server, self._access.server.base + "/", link)
            if target is None or not isinstance(begun, Bundle):
                continue
            expects = getattr(wire, query.template.partition("?")[0].partition("/")[0]) if query else None
            self.questions.append(
                Question(
                    key=key,
                    name=query.key if query else "other",
                    url=target,
                    expects=expects,
                    patient_id=self._patient_id,
                    begun=begun,
                )
            )

    def completion(self) -> Completion:
        gaps, values = list(self.gaps), dict(self._values)
        if self._medications:
            values[REFERRED] = Bundle(entry=tuple(self._medications))
        if self._referred.not_granted:
            text = "Medicines that orders only refer to were not asked for, the scope granted does not cover them."
            gaps.append(DataGap("not-supplied", "medications", text))
        return Completion(values, tuple(gaps), tuple(self._fetched))

    def take(self, question: Question, value: Resource, fetched: Fetched) -> list[Question]:
        """Keeps an answer. Returns the questions that follow from it."""
        self._fetched.append(fetched)
        if question.key != REFERRED:
            if question.in_part and isinstance(value, Bundle):
                value = with_outcome(value, SUPPRESSED)
            self._values[question.key] = value
            return self._referred.questions((value,))
        if isinstance(value, Bundle):
            self._medications += value.entry
        elif is_search(question) and fetched.outcome in ("not-found", "not-supported", "error", "refused"):
            return list(self._referred.reads(sorted(question.ids)))
        return []
