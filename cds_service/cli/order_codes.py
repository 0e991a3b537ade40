"""Every order that may be suggested, with its codes: what a site maps to its own, and what a set-up sheet lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cds_service.ruleset import Ruleset


class OrderedItem(msgspec.Struct, frozen=True):
    """One thing that can be ordered. A key is `system|code`, as `orderables` in the file of clients names it."""

    keys: tuple[str, ...]
    text: str
    is_medication: bool


def ordered_items(ruleset: Ruleset) -> tuple[OrderedItem, ...]:
    """All of them, each once, tests and referrals first."""
    found = {item.keys: item for order in ruleset.knowledge.orders.values() for item in _items(order)}
    return tuple(sorted(found.values(), key=lambda item: (item.is_medication, item.text.lower())))


def _items(order: dict[str, Any]) -> Iterator[OrderedItem]:
    for resource in (*order.get("resources", ()), *order.get("products", ())):
        concept = resource["code"]
        keys = tuple(f"{coding['system']}|{coding['code']}" for coding in concept["coding"])
        yield OrderedItem(keys, concept["text"], order["kind"] == "medication")
