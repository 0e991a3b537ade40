"""Attacks by what is posted: hook requests, feedback, the preview's form."""

from __future__ import annotations

import functools
import json
import random
from typing import Any

from cds_service.web.discovery import IDS
from tests.attack import hostile
from tests.attack.corpus import feedback_document, hook_document, hook_requests
from tests.attack.hostile import CANARY
from tests.attack.mutate import change, change_bytes, dump, places
from tests.attack.target import MOST_BODY_BYTES, Target, judge, judge_cards

_SERVICES = {identifier.removeprefix("leg-cramp-"): identifier for identifier in IDS}
_CONTENT_TYPES = (
    None, "", "application/json", "application/json; charset=utf-16", "text/plain", "text/xml", "application/fhir+json",
    "multipart/form-data", "application/x-www-form-urlencoded", "json", "a" * 5000, "application/json\x00", "é/ü",
    "application/json;" * 200,
)  # fmt: skip


def _hook_of(document: Any) -> str:
    hook = document.get("hook") if isinstance(document, dict) else None
    return f"/cds-services/{_SERVICES.get(hook, 'leg-cramp-patient-view')}" if isinstance(hook, str) else (
        "/cds-services/leg-cramp-patient-view")  # fmt: skip


@functools.cache
def _swaps() -> tuple[tuple[int, int, int], ...]:
    """Every value of every request, beside every shape: which request, which place, which shape."""
    return tuple(
        (at, place, shape)
        for at, body in enumerate(hook_requests())
        for place in range(sum(1 for _ in places(json.loads(body))))
        for shape in range(len(hostile.SHAPES))
    )


def count_swaps() -> int:
    return len(_swaps())


def swap_types(target: Target, chance: random.Random, number: int) -> str:
    """A value of another type in place of each value of each request, in an order that covers all evenly."""
    every = _swaps()
    # a step that has no common divisor with the count meets all before it meets one again
    at, place, shape = every[number * 7919 % len(every)] if len(every) % 7919 else every[number % len(every)]
    document = json.loads(hook_requests()[at])
    path = _hook_of(document)
    for position, (node, key) in enumerate(places(document)):
        if position == place:
            node[key] = hostile.SHAPES[shape]
            break
    return judge_cards(target.call("POST", path, body=dump(document)))


def mutate_hooks(target: Target, chance: random.Random, number: int) -> str:
    """One to six changes anywhere in the tree of a hook request."""
    document = hook_document(chance)
    path = _hook_of(document)
    return judge_cards(target.call("POST", path, body=dump(change(document, chance, chance.randrange(1, 7)))))


def mutate_hook_bytes(target: Target, chance: random.Random, number: int) -> str:
    """Bytes of hook requests: cut, spliced, flipped, recoded; some with another media type."""
    content = chance.choice(hook_requests())
    body = change_bytes(content, chance.choice(hook_requests()), chance)
    kind = chance.choice(_CONTENT_TYPES) if chance.random() < 0.2 else "application/json"
    return judge_cards(target.call("POST", _hook_of(json.loads(content)), body=body, content_type=kind))


def bombs(target: Target, chance: random.Random, number: int) -> str:
    """Small to send, costly to read: nesting, width, digits, keys, chains of references, words for the text readers."""
    body = chance.choice(_BOMBS)(chance)
    return judge_cards(target.call("POST", "/cds-services/leg-cramp-patient-view", body=body[: MOST_BODY_BYTES + 5]))


def mutate_feedback(target: Target, chance: random.Random, number: int) -> str:
    """Feedback: changed in its tree or in its bytes, for known and unknown services."""
    document = feedback_document(chance)
    if chance.random() < 0.7:
        body = dump(change(document, chance, chance.randrange(1, 5)))
    else:
        body = change_bytes(dump(document), chance.choice(hook_requests()), chance)
    path = f"/cds-services/{chance.choice([*IDS, CANARY, '..'])}/feedback"
    return judge(target.call("POST", path, body=body))


def paste(target: Target, chance: random.Random, number: int) -> str:
    """The preview: requests and bundles as JSON, as a form, as a file; forms that are broken."""
    document = hook_document(chance)
    body = dump(change(document, chance, chance.randrange(0, 4)))
    if chance.random() < 0.3:
        return judge(
            target.call("POST", "/preview.json", f"hook={chance.choice(hostile.STRINGS[:20])!a}", body=body), True
        )
    text = body.replace(b"--x", b"--y")
    form = (
        b'--x\r\nContent-Disposition: form-data; name="hook"\r\n\r\npatient-view\r\n'
        b'--x\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n--x--\r\n'
        % ((b"text", b"", text) if chance.random() < 0.6 else (b"file", b'; filename="a.json"', text))
    )
    if chance.random() < 0.5:
        form = change_bytes(form, text, chance)
    kind = chance.choice(
        ("multipart/form-data; boundary=x",) * 6 + ("multipart/form-data", "multipart/form-data; boundary=")
    )
    return judge(target.call("POST", "/", body=form, content_type=kind), echoes=True)


# -- bombs


def _prefetch(resources: list[Any], key: str = "observations") -> bytes:
    document = json.loads(hook_requests()[-1])
    del document["fhirServer"], document["fhirAuthorization"]
    document["hook"] = "patient-view"
    document["context"] = {"userId": "Practitioner/1", "patientId": "1"}
    document["prefetch"][key] = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": r} for r in resources],
    }
    return dump(document)


def _nested(chance: random.Random) -> bytes:
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"entry":[{"resource":', b"}]}")))
    depth = chance.choice((50, 500, 5_000, 100_000))
    inner = opening * depth + b"1" + (closing * depth if chance.random() < 0.7 else b"")
    return inner if chance.random() < 0.3 else b'{"hook":"patient-view","hookInstance":"x","context":%b}' % inner


def _wide(chance: random.Random) -> bytes:
    size = chance.choice((100, 2_000, 20_000))
    return dump(
        {"hook": "patient-view", "context": chance.choice(({f"k{i}": i for i in range(size)}, [0] * size, "x" * size))}
    )


def _digits(chance: random.Random) -> bytes:
    value = {
        "value": hostile.Raw(chance.choice(("9", "0.", "1e")) + "9" * chance.choice((10, 400, 50_000))),
        "unit": "mmol/L",
    }
    return _prefetch([_potassium(valueQuantity=value)])


def _same_keys(chance: random.Random) -> bytes:
    again = b",".join(b'"hook":"patient-view"' for _ in range(chance.choice((2, 500, 20_000))))
    return b"{" + again + b',"context":{"userId":"P/1","patientId":"1"},"prefetch":{}}'


def _colliding_keys(chance: random.Random) -> bytes:
    """Keys that end alike and are long."""
    return dump(
        {"hook": "patient-view", "prefetch": {f"{'k' * 200}{i:06}": None for i in range(chance.choice((10, 3000)))}}
    )


def _many_resources(chance: random.Random) -> bytes:
    return _prefetch([{"resourceType": chance.choice(hostile.RESOURCE_TYPES)}] * chance.choice((10, 5_000, 21_000)))


def _chain(chance: random.Random) -> bytes:
    size = chance.choice((3, 300, 1500))
    return _prefetch([
        {"resourceType": "MedicationRequest", "id": f"m{i}", "status": "active", "intent": "order",
         "medicationReference": {"reference": f"Medication/m{i + 1}"}, "subject": {"reference": "Patient/1"}}
        if i % 2 else
        {"resourceType": "Medication", "id": f"m{i}", "ingredient": [
            {"itemReference": {"reference": f"Medication/m{(i + 1) % size}"}}]}
        for i in range(size)
    ], "medications")  # fmt: skip


def _words(chance: random.Random) -> bytes:
    """Text that a search with backtracking would stumble over."""
    piece = chance.choice(
        ("potassium ", "20 meq ", "1.", "not ", "hemolyzed ", "mg/", "((", "a b ", "k-", " ", "\t", "<", "ı")
    )
    text = (piece * 200_000)[: chance.choice((100, 5_000, 60_000))] + chance.choice(("", "!", "potassium"))
    resources = [
        _potassium(note=[{"text": text}], comment=text, interpretation=[{"text": text}],
        dataAbsentReason={"text": text}),
        _potassium(valueString=text, code={"text": text}, valueQuantity={"value": 3.2, "unit": text, "code": text}),
        {"resourceType": "MedicationRequest", "status": "active", "intent": "order",
        "subject": {"reference": "Patient/1"},
         "medicationCodeableConcept": {"text": text, "coding": [{"display": text, "code": text, "system": text}]},
         "dosageInstruction": [{"text": text}]},
        {"resourceType": "Condition", "subject": {"reference": "Patient/1"}, "code": {"text": text},
        "note": [{"text": text}]},
        {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}, "code": {"text": text}},
    ]  # fmt: skip
    return _prefetch([resource for resource in resources if chance.random() < 0.6])


def _large(chance: random.Random) -> bytes:
    return _prefetch([_potassium(note=[{"text": "x" * (MOST_BODY_BYTES - chance.choice((-200, 0, 5000)))}])])


def _potassium(**members: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]}, "effectiveDateTime": "2026-03-09",
        "valueQuantity": {"value": 3.2, "unit": "mmol/L"},
    } | members  # fmt: skip


_BOMBS = (
    _nested, _nested, _wide, _digits, _digits, _same_keys, _colliding_keys, _many_resources, _chain, _words, _words,
    _words,
    _words, _large,
)  # fmt: skip
