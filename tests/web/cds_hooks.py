"""Is this what CDS Hooks 2.0.1 (and our own promises) allow? Every test that gets an answer calls one of these.

`check_cards`, `check_discovery` and `check_outcome` take the bytes of a body, raise AssertionError with every
problem found, and return the parsed body. Ids such as CARD-2 are those of the conformance reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from fhir.resources.R4B import get_fhir_model_class

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SEMVER = re.compile(r"\d+\.\d+\.\d+(-[\w.]+)?")
REVERSE_DNS = re.compile(r"[a-z][a-z0-9-]*(\.[A-Za-z0-9_-]+){2,}")
HTML_TAG = re.compile(r"<\s*[A-Za-z/!]")
REFERENCE = re.compile(r"[A-Z]\w+/[A-Za-z0-9\-.]+")
MAY_BE_EMPTY = {"cards", "services"}
CARD_MEMBERS = {
    "uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior", "overrideReasons", "links",
    "extension",
}  # fmt: skip
Problems = list[str]


def parse(body: bytes) -> Any:
    """JSON without NaN and without a name twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"names more than once in {names}"
        return dict(pairs)

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(body.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)


def check_cards(body: bytes, request: dict[str, Any] | None = None) -> dict[str, Any]:
    """Checks an answer to an invocation; with the request, also that nothing of it leaks or is claimed anew."""
    answer = parse(body)
    problems = list(empties(answer))
    if not isinstance(answer, dict) or not isinstance(answer.get("cards"), list):
        raise AssertionError("RESP-1: no array of cards")
    if set(answer) - {"cards", "extension"}:
        problems.append(f"RESP-1, SYS-2: unexpected members {set(answer) - {'cards', 'extension'}}")
    ids: list[str] = []
    for at, card in enumerate(answer["cards"]):
        problems += [f"cards[{at}]: {problem}" for problem in _card(card, ids)]
    if len(ids) != len(set(ids)):
        problems.append("CARD-1, SUGG-2, ACT-6: an identifier occurs twice")
    if request is not None:
        problems += _against_request(answer, ids, request)
    _report(problems)
    return answer


def check_discovery(body: bytes) -> dict[str, Any]:
    document = parse(body)
    problems = list(empties(document))
    services = document.get("services")
    assert isinstance(services, list), "DISC-2: no array of services"
    seen: set[str] = set()
    for service in services:
        problems += [f"{service.get('id')}: {problem}" for problem in _service(service)]
        if service.get("id") in seen:
            problems.append("DISC-11: an id twice")
        seen.add(service.get("id"))
    _report(problems)
    return document


def check_outcome(body: bytes) -> dict[str, Any]:
    """Checks an error body: an OperationOutcome that says what mends it."""
    document = parse(body)
    problems = list(empties(document))
    get_fhir_model_class("OperationOutcome").model_validate(document)
    issue = document["issue"][0]
    if not issue.get("diagnostics"):
        problems.append("RESP-5: no words")
    if "Traceback" in body.decode() or 'File "' in body.decode():
        problems.append("RESP-5: a stack trace")
    _report(problems)
    return document


def empties(value: Any, path: str = "$") -> Iterator[str]:
    """JSON-2: every null, "", [] and {} below `value`, except `cards: []` and `services: []` at the top."""
    if value is None or value == "" or value == [] or value == {}:
        yield f"JSON-2: {path} is {value!r}"
    elif isinstance(value, dict):
        for name, member in value.items():
            if not (path == "$" and name in MAY_BE_EMPTY and member == []):
                yield from empties(member, f"{path}.{name}")
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from empties(item, f"{path}[{at}]")


def _report(problems: Problems) -> None:
    assert not problems, "\n".join(problems)


def _text(holder: dict[str, Any], name: str, rule: str) -> Iterator[str]:
    if not isinstance(holder.get(name), str) or not holder[name].strip():
        yield f"{rule}: {name} is missing or no text"


def _service(service: dict[str, Any]) -> Iterator[str]:
    for name, rule in (("hook", "DISC-3"), ("description", "DISC-4"), ("id", "DISC-5"), ("title", "DISC-6")):
        yield from _text(service, name, rule)
    if not re.fullmatch(r"[A-Za-z0-9._-]+", service.get("id", "")):
        yield "DISC-5: the id is no path segment"
    if "name" in service:
        yield "DISC-6: `name` is gone since 1.0"
    for name, rule in (("usageRequirements", "DISC-8"), ("hookVersion", "DISC-10")):
        if name in service:
            yield from _text(service, name, rule)
    if not SEMVER.fullmatch(service.get("version", "")):
        yield "DISC-9: version is no semver"
    for key, template in service.get("prefetch", {}).items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", key) or not isinstance(template, str) or not template:
            yield f"DISC-7, PREF-16: prefetch {key}"


def _card(card: dict[str, Any], ids: list[str]) -> Iterator[str]:
    if set(card) - CARD_MEMBERS:
        yield f"unknown members {set(card) - CARD_MEMBERS}"
    yield from _uuid(card.get("uuid"), "CARD-1", ids)
    yield from _text(card, "summary", "CARD-2")
    if len(card.get("summary", "")) >= 140 or "\n" in card.get("summary", ""):
        yield "CARD-2: the summary is no single line under 140 characters"
    if "detail" in card:
        yield from _text(card, "detail", "CARD-3")
        if HTML_TAG.search(card["detail"]):
            yield "CARD-3: HTML in the detail"
    if card.get("indicator") not in ("info", "warning", "critical"):
        yield "CARD-4: indicator"
    yield from _source(card.get("source"))
    yield from _suggestions(card, ids)
    for reason in card.get("overrideReasons", []):
        yield from _coding(reason, "OVR, CODE-1", display=True)
    reasons = [(reason.get("system"), reason.get("code")) for reason in card.get("overrideReasons", [])]
    if len(reasons) != len(set(reasons)):
        yield "OVR: a reason twice"
    for link in card.get("links", []):
        yield from _link(link)
    yield from _extension(card.get("extension"))


def _uuid(value: Any, rule: str, ids: list[str]) -> Iterator[str]:
    if not isinstance(value, str) or not UUID4.fullmatch(value):
        yield f"{rule}: {value!r} is no bare lower-case UUIDv4"
    else:
        ids.append(value)


def _url(value: Any) -> bool:
    if not isinstance(value, str) or any(character.isspace() for character in value):
        return False
    parts = urlsplit(value)
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _source(source: Any) -> Iterator[str]:
    if not isinstance(source, dict):
        yield "CARD-5: no source"
        return
    yield from _text(source, "label", "SRC-1")
    for name, rule in (("url", "SRC-2"), ("icon", "SRC-3")):
        if name in source and not _url(source[name]):
            yield f"{rule}: {name} is no absolute URL"
    yield from _coding(source.get("topic", {}), "SRC-4", display=False)
    if not re.fullmatch(r"[A-Za-z0-9]{1,100}", source.get("topic", {}).get("code", "")):
        yield "SRC-4: the topic's code is not alphanumeric"


def _coding(coding: dict[str, Any], rule: str, *, display: bool) -> Iterator[str]:
    for name in ("system", "code") + (("display",) if display else ()):
        yield from _text(coding, name, rule)


def _suggestions(card: dict[str, Any], ids: list[str]) -> Iterator[str]:
    if "suggestions" not in card:
        if "selectionBehavior" in card:
            yield "CARD-7: selectionBehavior without suggestions"
        return
    suggestions = card["suggestions"]
    if card.get("selectionBehavior") not in ("any", "at-most-one"):
        yield "CARD-7: selectionBehavior"
    if card.get("selectionBehavior") == "at-most-one" and sum(bool(s.get("isRecommended")) for s in suggestions) > 1:
        yield "SUGG-3: more than one recommended"
    for at, suggestion in enumerate(suggestions):
        yield from (f"suggestions[{at}]: {problem}" for problem in _suggestion(suggestion, ids))


def _suggestion(suggestion: dict[str, Any], ids: list[str]) -> Iterator[str]:
    if set(suggestion) - {"label", "uuid", "isRecommended", "actions", "extension"}:
        yield f"SUGG-5: unknown members in {set(suggestion)}"
    yield from _text(suggestion, "label", "SUGG-1")
    yield from _uuid(suggestion.get("uuid"), "SUGG-2", ids)
    if not isinstance(suggestion.get("isRecommended", False), bool):
        yield "SUGG-3: isRecommended"
    actions = suggestion.get("actions", [])
    if not actions:
        yield "SUGG-4: no actions"
    for at, action in enumerate(actions):
        yield from (f"actions[{at}]: {problem}" for problem in _action(action, ids))
    resources = [action.get("resource") for action in actions if action.get("type") == "create"]
    created = {resource.get("resourceType") for resource in resources if isinstance(resource, dict)}
    if "MedicationRequest" in created and "ServiceRequest" not in created:
        yield "P4: a medication without its monitoring test"


def _action(action: dict[str, Any], ids: list[str]) -> Iterator[str]:
    if set(action) - {"type", "description", "resource", "resourceId", "extension"}:
        yield f"ACT: unknown members in {set(action)}"
    yield from _text(action, "description", "ACT-2")
    kind, resource = action.get("type"), action.get("resource")
    if kind == "delete":
        if not REFERENCE.fullmatch(action.get("resourceId", "")) or resource is not None:
            yield "ACT-5: delete needs resourceId and no resource"
        return
    if kind not in ("create", "update"):
        yield "ACT-1: type"
    if not isinstance(resource, dict) or "resourceId" in action:
        yield "ACT-3: resource"
        return
    try:
        get_fhir_model_class(resource.get("resourceType", "")).model_validate(resource)
    except (KeyError, LookupError, ValueError) as error:
        yield f"ACT-3: no valid R4 resource: {error}"
    if kind == "create":
        yield from _created(resource, ids)


def _created(resource: dict[str, Any], ids: list[str]) -> Iterator[str]:
    yield from _uuid(resource.get("id"), "ACT-6", ids)
    if {"versionId", "lastUpdated"} & set(resource.get("meta", {})):
        yield "ACT-6: meta of a server"
    if resource.get("status") != "draft" or resource.get("intent") != "proposal":
        yield "ACT-7: not a draft proposal"
    if not re.fullmatch(r"Patient/[A-Za-z0-9\-.]+", resource.get("subject", {}).get("reference", "")):
        yield "ACT-7: subject"
    concept = resource.get("medicationCodeableConcept") or resource.get("code") or {}
    if not concept.get("text") or not all(one.get("code") and one.get("system") for one in concept.get("coding", [{}])):
        yield "ACT-7: no text or no coding"


def _link(link: dict[str, Any]) -> Iterator[str]:
    for name in ("label", "url", "type"):
        yield from _text(link, name, "LINK-1")
    if link.get("type") not in ("absolute", "smart"):
        yield "LINK-2: type"
    if not _url(link.get("url")):
        yield "LINK-2: url"
    if "appContext" in link and link.get("type") != "smart":
        yield "LINK-3: appContext"
    if "autolaunchable" in link:
        yield "LINK-4: autolaunchable"


def _extension(extension: Any) -> Iterator[str]:
    if extension is None:
        return
    if not isinstance(extension, dict):
        yield "EXT-1: no object"
        return
    for name in extension:
        if not REVERSE_DNS.fullmatch(name):
            yield f"EXT-2: {name}"
    assessment = extension.get("org.legcramp.assessment")
    if assessment is not None and set(assessment) != {"rules", "knowledge", "ruleset"}:
        yield "org.legcramp.assessment: rules, knowledge and ruleset"


def _against_request(answer: dict[str, Any], ids: list[str], request: dict[str, Any]) -> Iterator[str]:
    given = {value["id"] for value in _objects(request) if isinstance(value.get("id"), str)}
    if given & set(ids):
        yield "ACT-6: an id of the request is used for something new"
    patient = str(request.get("context", {}).get("patientId", "")).rpartition("/")[2]
    for holder in _objects(answer):
        if (
            "resourceType" in holder
            and "subject" in holder
            and holder["subject"] != {"reference": f"Patient/{patient}"}
        ):
            yield "ACT-7: another subject"
        for name in ("url", "icon"):
            # a short id is bound to occur in an address by chance
            if len(patient) > 3 and patient in str(holder.get(name, "")):
                yield "LINK-6: the patient in an address"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _objects(member)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item)
