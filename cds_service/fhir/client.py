"""One question to a FHIR server: asked, paged through, examined, and answered in the words of prefetch.

A failure comes back as the OperationOutcome that an EHR would have put into the prefetch, an answer cut short as what
there is of it with such an outcome among its entries. Nothing is raised for what a server does.
"""

from __future__ import annotations

import http.client
import threading
import time
from typing import Any

import requests
import urllib3

from cds_service.facts.reading import MalformedRequest, decode_resource
from cds_service.facts.wire import Bundle, Entry, Medication, OperationOutcome, Patient, Resource, Unread
from cds_service.fhir.access import Access
from cds_service.fhir.deadline import Deadline
from cds_service.fhir.examine import Question, examine, identity_of
from cds_service.fhir.outcomes import MILD, Fetched, Outcome, failure, outcome_of_error, outcome_of_status
from cds_service.fhir.servers import next_target
from cds_service.fhir.transport import Within

MOST_PAGES = 20
_MOST_BYTES_OF_AN_ERROR = 64 * 1024
_CHUNK = 64 * 1024


class Budget:
    """What all answers of one request may hold together. Shared by threads."""

    def __init__(self, most_bytes: int, most_resources: int) -> None:
        self._lock = threading.Lock()
        self._bytes, self._resources = most_bytes, most_resources

    def takes(self, count: int = 0, resources: int = 0) -> bool:
        """Whether so many bytes and resources more are within the budget; then they are spent."""
        with self._lock:
            if count > self._bytes or resources > self._resources:
                return False
            self._bytes -= count
            self._resources -= resources
            return True


class Asking:
    """One question on its way through the pages of its answer."""

    def __init__(
        self, session: requests.Session, access: Access, question: Question, deadline: Deadline, budget: Budget
    ) -> None:
        self._session, self._access, self._question = session, access, question
        self._deadline, self._budget = deadline, budget
        self._headers = {"Authorization": f"Bearer {access.token}"} if access.token else {}
        self._status: int | None = None
        self._pages = self._bytes = 0

    def answer(self) -> tuple[Resource, Fetched]:
        """The answer as prefetch would have brought it, and the record of it."""
        started = time.perf_counter()
        value, outcome = self._collect()
        entries = value.entry if isinstance(value, Bundle) else ()
        return value, Fetched(
            key=self._question.name,
            outcome=outcome,
            status=self._status,
            pages=self._pages,
            resources=len(entries) if isinstance(value, Bundle) else int(type(value) is not OperationOutcome),
            bytes=self._bytes,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
        )

    def _collect(self) -> tuple[Resource, Outcome]:
        question = self._question
        first: Bundle | None = question.begun
        entries: list[Entry] = list(first.entry) if first else []
        url, seen = question.url, {question.url}
        met = {identity_of(entry.resource) for entry in entries}
        outcome: Outcome = "too-large"  # where the pages do not end
        for _ in range(MOST_PAGES):
            body, outcome = self._get(url)
            if outcome != "ok":
                break
            page = _decode(body)
            if page is None:
                outcome = "unreadable"
                break
            if not isinstance(page, Bundle):
                if first is None and type(page) is OperationOutcome:
                    return page, "ok"
                page = Bundle(entry=(Entry(resource=page),))
            kept, outcome = examine(page, question)
            if not self._budget.takes(resources=len(kept)):
                outcome = "too-large"
                break
            first = first or page
            entries += kept
            link = next((one.url for one in page.link if one.relation == "next" and one.url), None)
            if link is None or outcome != "ok":
                break
            target = next_target(self._access.server, url, link)
            identities = {identity_of(entry.resource) for entry in kept}
            if target is None:
                outcome = "other-origin"
            elif target in seen or (identities and identities <= met):
                outcome = "loop"
            if outcome != "ok" or target is None:
                break
            met |= identities
            seen.add(target)
            url, outcome = target, "too-large"
        return self._as_value(first, entries, outcome), outcome

    def _as_value(self, first: Bundle | None, entries: list[Entry], outcome: Outcome) -> Resource:
        if outcome == "not-found" and not self._question.begun:
            # of a search, 404 says that the server does not know the type; of a read, that there is no such resource
            return failure("error" if self._question.expects in (Patient, Medication) else "not-supported")
        if outcome != "ok":
            if not entries:
                return failure(outcome)
            entries = [*entries, Entry(resource=failure(outcome, outcome in MILD))]
        if first is None:
            return failure("unreadable")
        # a total that servers count over all pages; of an answer cut short the outcome among the entries tells
        total = first.total if outcome == "ok" else None
        return Bundle(id=first.id, type=first.type, total=total, entry=tuple(entries))

    # -- one page

    def _get(self, url: str) -> tuple[bytes, Outcome]:
        if self._deadline.passed:
            return b"", "timeout"
        self._pages += 1
        within: Any = Within(self._deadline)  # the stubs of requests know no Timeout of urllib3
        try:
            with self._session.get(
                url, headers=self._headers, timeout=within, allow_redirects=False, stream=True
            ) as response:
                self._status = response.status_code
                outcome = outcome_of_status(response.status_code)
                most = None if outcome == "ok" else _MOST_BYTES_OF_AN_ERROR
                body, is_whole = (b"", True) if outcome == "redirect" else self._read(response, most)
        except requests.Timeout:
            return b"", "timeout"
        except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError) as error:
            return b"", "timeout" if self._deadline.passed else outcome_of_error(error)
        if outcome == "ok":
            return body, "ok" if is_whole else "too-large"
        return b"", "not-supported" if _says_not_supported(body) else outcome

    def _read(self, response: requests.Response, most: int | None) -> tuple[bytes, bool]:
        """The body, and whether it is whole; with `most` a longer one is cut, without it the budget decides."""
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(_CHUNK):
            size += len(part)
            self._bytes += len(part)
            if (most is not None and size > most) or not self._budget.takes(len(part)):
                response.close()
                return b"".join(parts), False
            if self._deadline.passed:
                raise requests.Timeout
            parts.append(part)
        return b"".join(parts), True


def _decode(body: bytes) -> Resource | None:
    try:
        resource = decode_resource(body)
    except MalformedRequest:
        return None
    return None if isinstance(resource, Unread) else resource


def _says_not_supported(body: bytes) -> bool:
    resource = _decode(body) if body else None
    return (
        isinstance(resource, OperationOutcome)
        and bool(resource.issue)
        and all(issue.code == "not-supported" for issue in resource.issue)
    )
