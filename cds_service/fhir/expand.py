"""Asks a FHIR terminology server for all codes of an expression: ValueSet/$expand, page by page, within a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import requests

SNOMED = "http://snomed.info/sct"
_PAGE = 1000
_MOST_CODES = 50_000
_MOST_BYTES = 32 * 1024 * 1024
_CHUNK = 64 * 1024
_LONGEST_WORDS = 300


class ExpandFailed(Exception):
    """Why a server gave no expansion, in one line."""


class Expander:
    """One terminology server; `base` is its FHIR base URL, `seconds` the time for each expansion as a whole."""

    def __init__(self, base: str, seconds: float, session: requests.Session | None = None) -> None:
        self.base, self.seconds = base.rstrip("/"), seconds
        self.session = session or requests.Session()

    def expand(self, expression: str) -> dict[str, str]:
        """Code to display of every active concept. Raises ExpandFailed, never with a part of the codes."""
        until = time.monotonic() + self.seconds
        found: dict[str, str] = {}
        passed = 0
        while True:
            expansion = self._page(expression, passed, until)
            page = list(_concepts(expansion.get("contains", ())))
            fresh = {code: display for code, display in page if code not in found}
            if page and not fresh:
                raise ExpandFailed("the server sends the same page again")
            found |= fresh
            passed += len(page)
            total = expansion.get("total")
            if len(found) > _MOST_CODES:
                raise ExpandFailed(f"more than {_MOST_CODES} codes")
            if not page or (passed >= total if isinstance(total, int) else len(page) < _PAGE):
                if isinstance(total, int) and passed < total:
                    raise ExpandFailed(f"the server tells of {total} codes and sent {passed}")
                return found

    def _page(self, expression: str, offset: int, until: float) -> dict[str, Any]:
        include = {"system": SNOMED, "filter": [{"property": "constraint", "op": "=", "value": expression}]}
        value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}
        parameters = {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "valueSet", "resource": value_set},
                {"name": "offset", "valueInteger": offset},
                {"name": "count", "valueInteger": _PAGE},
                {"name": "activeOnly", "valueBoolean": True},
            ],
        }
        status, body = self._post(msgspec.json.encode(parameters), until)
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise ExpandFailed(f"HTTP {status}, and no JSON") from None
        answer = answer if isinstance(answer, dict) else {}
        if answer.get("resourceType") == "OperationOutcome" or status != requests.codes.ok:
            raise ExpandFailed(f"HTTP {status}: {_words(answer)}")
        expansion = answer.get("expansion")
        if answer.get("resourceType") != "ValueSet" or not isinstance(expansion, dict):
            raise ExpandFailed("the answer is no expanded ValueSet")
        return expansion

    def _post(self, body: bytes, until: float) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
        left = until - time.monotonic()
        if left <= 0:
            raise ExpandFailed(f"no answer within {self.seconds:g} s")
        try:
            with self.session.post(
                f"{self.base}/ValueSet/$expand",
                data=body,
                headers=headers,
                timeout=left,
                allow_redirects=False,
                stream=True,
            ) as answer:
                read = bytearray()
                for chunk in answer.iter_content(_CHUNK):
                    read += chunk
                    if time.monotonic() > until or len(read) > _MOST_BYTES:
                        raise ExpandFailed("the answer is too slow or too large")
                return answer.status_code, bytes(read)
        except requests.Timeout:
            raise ExpandFailed(f"no answer within {self.seconds:g} s") from None
        except requests.RequestException as error:
            raise ExpandFailed(f"not reached ({type(error).__name__})") from None


def _concepts(contains: Any) -> Iterator[tuple[str, str]]:
    """The concepts of an expansion at any depth, without headings that are no codes and without inactive ones."""
    for one in contains:
        if one.get("code") and not one.get("abstract") and not one.get("inactive"):
            if one.get("system", SNOMED) != SNOMED:
                raise ExpandFailed("the expansion holds codes of another system")
            yield str(one["code"]), str(one.get("display", ""))
        yield from _concepts(one.get("contains", ()))


def _words(outcome: dict[str, Any]) -> str:
    for issue in outcome.get("issue", ()):
        text = issue.get("diagnostics") or issue.get("details", {}).get("text") or issue.get("code", "")
        return " ".join(str(text).split())[:_LONGEST_WORDS]
    return "no OperationOutcome"
