"""What a finished card offers, said in a scenario's words: read back from the draft resources, not from the rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Any

import msgspec

from cds_service.cards.model import Card, Suggestion
from cds_service.engine.knowledge import Knowledge

_FACET = re.compile(
    r"(?<![\w-])(\d+(?:\.\d+)? (?:meq|mmol|mg|g|ug|ml|iu)|\d+/day"
    r"|recheck \d+(?:-\d+)? days?|\d+ days|routine|urgent|asap|stat)(?![\w-])",
    re.IGNORECASE,
)
ANY_MEDICATION, ANY_ORDER = "any medication", "any order"


class Offered(msgspec.Struct, frozen=True):
    """One suggestion or link: the ids it answers to, its particulars, and its words."""

    ids: tuple[str, ...]
    facets: frozenset[str] = frozenset()
    words: str = ""
    creates: tuple[str, ...] = ()
    """Resource types that accepting it would create."""

    def __str__(self) -> str:
        particulars = sorted(self.facets, key=lambda facet: (facet.startswith("recheck"), facet))
        return " ".join(("/".join(self.ids) or "?", *particulars))

    def answers(self, wanted: str) -> bool:
        """Whether it is what a scenario asks for: ``potassium-chloride 20 meq 1/day recheck 7 days``."""
        if wanted == ANY_MEDICATION:
            return "MedicationRequest" in self.creates
        if wanted == ANY_ORDER:
            return bool(self.creates)
        facets = {_folded(found[1]) for found in _FACET.finditer(wanted)}
        name, *rest = _FACET.sub(" ", wanted).split()
        return (
            name in self.ids
            and facets <= {_folded(facet) for facet in self.facets}
            and all(word in self.ids or word.lower() in self.words.lower() for word in rest)
        )


def name_of(wanted: str) -> str:
    """What an offer of a scenario is about: an order, a gate, or a kind of offer."""
    if wanted in (ANY_MEDICATION, ANY_ORDER):
        return wanted
    return next(iter(_FACET.sub(" ", wanted).split()), "")


def offered_on(card: Card, knowledge: Knowledge, now: datetime, zone: tzinfo) -> list[Offered]:
    """Everything a card offers."""
    catalogue = _Catalogue(knowledge)
    offers = [_suggested(suggestion, catalogue, now, zone) for suggestion in card.suggestions]
    handouts = [link for link in card.links if "handout" in f"{link.label} {link.url}".lower()]
    return offers + [Offered(("handout",), words=link.label) for link in handouts]


class _Catalogue:
    """Orders and gates, found by what their drafts look like."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.products: dict[str, str] = {}
        self.tests: list[tuple[str, list[str]]] = []
        for order_id, order in knowledge.orders.items():
            for product in order.get("products", ()):
                self.products.setdefault(_key(product["code"]), order_id)
            resources = [_test_key(one, "performer_type") for one in order.get("resources", ())]
            if resources:
                self.tests.append((order_id, resources))
        self.tests.sort(key=lambda pair: -len(pair[1]))
        self.gates: dict[str, list[str]] = {}
        for gate in knowledge.gates.values():
            orders = {row.allow["order"] for row in gate.rows if row.allow}
            orders |= {str(row.value["order"]) for rows in gate.then.values() for row in rows if "order" in row.value}
            for order_id in orders:
                self.gates.setdefault(order_id, []).append(gate.id)

    def orders_of(self, requests: Iterable[dict[str, Any]]) -> Iterator[str]:
        """Ids of the orders that together make up the ServiceRequests; the larger order first."""
        left = [_test_key(request, "performerType") for request in requests]
        for order_id, resources in self.tests:
            if all(left.count(key) >= resources.count(key) for key in resources):
                for key in resources:
                    left.remove(key)
                yield order_id
        for key in left:
            yield next(
                (f"part-of-{order_id}" for order_id, resources in self.tests if key in resources), "unknown-order"
            )


def _suggested(suggestion: Suggestion, catalogue: _Catalogue, now: datetime, zone: tzinfo) -> Offered:
    ids: list[str] = []
    facets: set[str] = set()
    created = [action.resource for action in suggestion.actions if action.type == "create"]
    for resource in created:
        if resource["resourceType"] == "MedicationRequest":
            order_id = catalogue.products.get(_key(resource["medicationCodeableConcept"]), "unknown-medicine")
            ids += [*catalogue.gates.get(order_id, ()), order_id]
            facets |= _dosing(resource)
        else:
            facets |= _timing(resource, now, zone)
    ids += catalogue.orders_of(resource for resource in created if resource["resourceType"] != "MedicationRequest")
    ids += [action.type for action in suggestion.actions if action.type != "create"]
    words = " ".join((suggestion.label, *texts_in(msgspec.to_builtins(suggestion.actions))))
    return Offered(
        tuple(dict.fromkeys(ids)), frozenset(facets), words, tuple(str(one["resourceType"]) for one in created)
    )


def _dosing(request: dict[str, Any]) -> set[str]:
    facets: set[str] = set()
    for dosage in request.get("dosageInstruction", ()):
        for dose in dosage.get("doseAndRate", ()):
            quantity = dose["doseQuantity"]
            facets.add(f"{_plain(quantity['value'])} {str(quantity['unit']).lower()}")
        repeat = dosage.get("timing", {}).get("repeat", {})
        if "frequency" in repeat:
            facets.add(f"{repeat['frequency']}/day")
        if "boundsDuration" in repeat:
            facets.add(f"{_plain(repeat['boundsDuration']['value'])} days")
    return facets


def _timing(request: dict[str, Any], now: datetime, zone: tzinfo) -> set[str]:
    """When a test is due: its priority, or in how many days it is to be repeated."""
    today = now.astimezone(zone).date()

    def days(text: str) -> int:
        return (datetime.fromisoformat(text).date() - today).days

    if "occurrenceDateTime" in request:
        return {f"recheck {days(request['occurrenceDateTime'])} days"}
    if "occurrencePeriod" in request:
        period = request["occurrencePeriod"]
        return {f"recheck {days(period['start'])}-{days(period['end'])} days"}
    return {str(request.get("priority", ""))} - {""}


def texts_in(value: Any) -> Iterator[str]:
    """Every string of plain data, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from texts_in(member)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def _key(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _test_key(request: dict[str, Any], performer: str) -> str:
    category = request.get("category")
    return _key([request["code"], category[0] if isinstance(category, list) else category, request.get(performer)])


def _plain(value: Any) -> str:
    return f"{Decimal(str(value)).normalize():f}"


def _folded(facet: str) -> str:
    return re.sub(r"\bday\b", "days", facet.lower()) if "/day" not in facet else facet.lower()
