"""Changes to JSON trees and to bytes. All of it is decided by the `random.Random` that is handed in."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.attack import hostile
from tests.attack.hostile import CANARY, Raw

Place = tuple[Any, Any]
"""A container and the key or index of one of its values."""
_DEEPEST = 150
"""Levels that are added at most; far deeper ones are bombs, which are not written by `json`."""
_RAW = re.compile(r'"\\u0001raw(\d+)\\u0001"')


def dump(document: Any) -> bytes:
    """JSON with every `Raw` as it is; lone surrogates are written as escapes."""
    raws: list[str] = []

    def plain(node: Any) -> Any:
        if isinstance(node, Raw):
            raws.append(str(node))
            return f"\x01raw{len(raws) - 1}\x01"
        if isinstance(node, dict):
            return {str(key): plain(value) for key, value in node.items()}
        return [plain(item) for item in node] if isinstance(node, list) else node

    text = json.dumps(plain(document))
    return _RAW.sub(lambda found: raws[int(found[1])], text).encode("utf-8", "surrogatepass")


_MOST_PLACES = 200_000


def places(node: Any) -> Iterator[Place]:
    """Every value of a tree, by its container."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


def change(document: dict[str, Any], chance: random.Random, times: int) -> Any:
    """The document, changed in place at so many places."""
    for _ in range(times):
        found = list(itertools.islice(places(document), _MOST_PLACES))
        if not found:
            break
        if len(found) == _MOST_PLACES:
            # branches that are shared have doubled it again and again; sheer size has attacks of its own
            return {}
        mutate = chance.choice(TREE)
        mutate(*chance.choice(found), chance)
        if mutate is _wrap and _depth(document) > _DEEPEST:
            break
    return document


# -- one value of a tree


def _swap(node: Any, key: Any, chance: random.Random) -> None:
    node[key] = hostile.shape(chance)


def _hostile(node: Any, key: Any, chance: random.Random) -> None:
    node[key] = hostile.value(chance)


def _like(node: Any, key: Any, chance: random.Random) -> None:
    """A value of the type that is expected, at its limits."""
    old = node[key]
    if isinstance(old, bool) or old is None:
        node[key] = chance.choice((True, False, None, "true", 1))
    elif isinstance(old, int | float):
        node[key] = chance.choice(hostile.NUMBERS)
    elif isinstance(old, str):
        pool = hostile.DATES if re.match(r"\d{4}-\d\d", old) else hostile.STRINGS
        node[key] = chance.choice(pool) if chance.random() < 0.7 else old + chance.choice(hostile.STRINGS)
    else:
        _swap(node, key, chance)


def _remove(node: Any, key: Any, _: random.Random) -> None:
    del node[key]


def _rename(node: Any, key: Any, chance: random.Random) -> None:
    if isinstance(node, dict):
        names = [str(key).upper(), f"_{key}", f"{key} ", "", "\x00", "__proto__", "constructor", CANARY, "x" * 5000]
        node[chance.choice(names)] = node.pop(key)
    else:
        node.reverse()


def _repeat(node: Any, key: Any, chance: random.Random) -> None:
    if isinstance(node, list):
        node.extend([node[key]] * chance.choice((1, 2, 50, 500)))
    else:
        node[key] = [node[key]] * chance.choice((1, 2, 50))


def _wrap(node: Any, key: Any, chance: random.Random) -> None:
    """Deeper by some levels, in lists, objects or the contents of a Bundle."""
    wrapped = node[key]
    kind = chance.randrange(3)
    for _ in range(chance.choice((1, 2, 10, _DEEPEST // 3))):
        if kind == 0:
            wrapped = [wrapped]
        elif kind == 1:
            wrapped = {chance.choice(("extension", "contained", "item", "resource", "value")): wrapped}
        else:
            wrapped = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": wrapped}]}
    node[key] = wrapped


def _twice(node: Any, key: Any, chance: random.Random) -> None:
    """The same key twice in one object, with different values."""
    if isinstance(node, dict) and not isinstance(node[key], dict | list):
        name = json.dumps(str(key))
        values = [
            json.dumps(node[key]) if not isinstance(node[key], Raw) else str(node[key]),
            "null",
            '"x"',
            "[]",
            "{}",
        ]
        node[key] = Raw(f"{chance.choice(values)},{name}:{chance.choice(values)}")
    else:
        _repeat(node, key, chance)


def _other_type(node: Any, key: Any, chance: random.Random) -> None:
    target = node[key] if isinstance(node[key], dict) else node
    if isinstance(target, dict):
        target["resourceType"] = chance.choice(hostile.RESOURCE_TYPES)


def _refer(node: Any, key: Any, chance: random.Random) -> None:
    """References that lead in a circle, to what is not there, or into the resource itself."""
    target = node[key] if isinstance(node[key], dict) else node
    if isinstance(target, dict):
        id_ = target.get("id") if isinstance(target.get("id"), str) else "1"
        to = chance.choice(
            (f"Medication/{id_}", "#a", "#", f"Patient/{CANARY}", "https://evil.example/x", "Medication/")
        )
        target["contained"] = [
            {"resourceType": "Medication", "id": "a", "ingredient": [{"itemReference": {"reference": "#a"}}]},
            {"resourceType": "Observation", "id": "b", "hasMember": [{"reference": "#b"}]},
        ]
        for name in ("medicationReference", "basedOn", "hasMember", "subject", "encounter"):
            target[name] = {"reference": to, "type": chance.choice(hostile.RESOURCE_TYPES)}


TREE: tuple[Callable[[Any, Any, random.Random], None], ...] = (
    _swap, _hostile, _hostile, _like, _like, _like, _remove, _rename, _repeat, _wrap, _twice, _other_type, _refer,
)  # fmt: skip


def _depth(node: Any) -> int:
    deepest, level = 0, [node]
    while level:
        deepest += 1
        level = [
            value
            for one in level
            for value in (one.values() if isinstance(one, dict) else one)
            if isinstance(value, dict | list)
        ]
    return deepest


# -- bytes

_TOKENS = (
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\\u0000", b"\\ud800", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf",
    b"\xc0\x80",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"null", b"1e999", b"-", b"//", b"/**/", b"'", b"\r\n\r\n", b"]" * 300,
    b"[" * 3000,
)  # fmt: skip


def change_bytes(content: bytes, other: bytes, chance: random.Random) -> bytes:
    """Cut, spliced, flipped, repeated, or in another encoding."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        content = chance.choice(BYTES)(content, other, chance)
    return content


def _at(content: bytes, chance: random.Random) -> int:
    return chance.randrange(len(content) + 1)


def _cut(content: bytes, _: bytes, chance: random.Random) -> bytes:
    return content[: _at(content, chance)]


def _cut_out(content: bytes, _: bytes, chance: random.Random) -> bytes:
    start = _at(content, chance)
    return content[:start] + content[start + chance.randrange(1, 200) :]


def _flip(content: bytes, _: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randrange(1, 12)):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _insert(content: bytes, _: bytes, chance: random.Random) -> bytes:
    at = _at(content, chance)
    return content[:at] + chance.choice(_TOKENS) * chance.choice((1, 1, 2, 9)) + content[at:]


def _splice(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return content[: _at(content, chance)] + other[_at(other, chance) :]


def _double(content: bytes, other: bytes, chance: random.Random) -> bytes:
    return content + chance.choice((b"", b"\n", b",", b"\x00", b"\x1e")) + chance.choice((content, other, b"garbage"))


def _recode(content: bytes, _: bytes, chance: random.Random) -> bytes:
    text = content.decode("utf-8", "replace")
    return text.encode(chance.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7")), "replace")


BYTES = (_cut, _cut_out, _flip, _flip, _insert, _insert, _splice, _double, _recode)
