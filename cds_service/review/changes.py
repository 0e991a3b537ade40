"""Two rules folders, file by file: what a clinician would notice, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import msgspec

from cds_service.engine.loader import TOPICS
from cds_service.ruleset import Ruleset

_KINDS = {
    "facts": "derived fact",
    "gates": "gate",
    "orders": "order",
    "tiers": "tier",
    "safety": "safety table",
    "handout": "handout",
    **dict.fromkeys(TOPICS, "rule"),
}
_NAMED_BY = ("id", "name", "finding", "order", "gate", "review", "advice", "delete", "if")
_ASIDE = ("scenarios", "version", "reviewed_on")
"""No clinician notices these; the scenarios are compared by what comes out."""


class Change(msgspec.Struct, frozen=True):
    """One thing that differs, and where."""

    where: str
    text: str


class FileChange(msgspec.Struct, frozen=True):
    """What differs in one file; `how` is new, removed or changed."""

    file: str
    kind: str
    name: str
    how: str
    changes: tuple[Change, ...] = ()


def changed_files(old: Ruleset, new: Ruleset) -> list[FileChange]:
    """The rules, tables and texts that differ, in the order of the folders."""
    before, after = old.knowledge.sources, new.knowledge.sources
    changed: list[FileChange] = []
    for file in sorted(before.keys() | after.keys()):
        kind = _KINDS.get(file.partition("/")[0], "common file")
        if file not in before:
            changed.append(FileChange(file, kind, _name(after[file], file), "new"))
        elif file not in after:
            changed.append(FileChange(file, kind, _name(before[file], file), "removed"))
        elif changes := tuple(_differences(before[file], after[file], ())):
            changed.append(FileChange(file, kind, _name(after[file], file), "changed", changes))
    return changed


def _name(data: Mapping[str, Any], file: str) -> str:
    title = data.get("title", "")
    return f"{data['number']} {title}" if "number" in data else str(title or Path(file).stem)


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Iterator[Change]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            if path or key not in _ASIDE:
                yield from _of_key(old, new, key, path)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, path)
    else:
        yield Change(" > ".join(path), f"{_told(old)} is now {_told(new)}")


def _of_key(old: Mapping[str, Any], new: Mapping[str, Any], key: str, path: tuple[str, ...]) -> Iterator[Change]:
    here = " > ".join((*path, _words(key)))
    if key not in new:
        yield Change(here, f"no longer {_told(old[key])}")
    elif key not in old:
        yield Change(here, f"now {_told(new[key])}")
    else:
        yield from _differences(old[key], new[key], (*path, _words(key)))


def _of_lists(old: Sequence[Any], new: Sequence[Any], path: tuple[str, ...]) -> Iterator[Change]:
    """Members that have a name are matched by it; others by what they hold."""
    if all(isinstance(one, dict) and "id" in one for one in (*old, *new)):
        yield from _of_named(old, new, path)
        return
    here = " > ".join(path)
    before, after = ([json.dumps(one, sort_keys=True, default=str) for one in told] for told in (old, new))
    for what, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        if what == "replace" and j - i == m - k:
            for offset in range(j - i):
                name = _member(new[k + offset], k + offset)
                yield from _differences(old[i + offset], new[k + offset], (*path, name))
            continue
        yield from (Change(here, f"without {_told(one)}") for one in old[i:j])
        yield from (Change(here, f"with {_told(one)}") for one in new[k:m])


def _of_named(old: Sequence[Any], new: Sequence[Any], path: tuple[str, ...]) -> Iterator[Change]:
    here = " > ".join(path)
    before, after = ({str(one["id"]): one for one in told} for told in (old, new))
    for name, one in before.items():
        if name not in after:
            yield Change(here, f"without {name}: {_told(one)}")
    for name, one in after.items():
        if name not in before:
            yield Change(here, f"with {name}: {_told(one)}")
        else:
            yield from _differences(before[name], one, (*path, name))
    stayed = [name for name in before if name in after], [name for name in after if name in before]
    if stayed[0] != stayed[1]:
        yield Change(here, f"the order {', '.join(stayed[0])} is now {', '.join(stayed[1])}")


def _member(one: Any, index: int) -> str:
    if isinstance(one, dict):
        for key in _NAMED_BY:
            if isinstance(one.get(key), str):
                return f"{_words(key)} {one[key]}"[:60]
    return f"no. {index + 1}"


def _words(key: str) -> str:
    return str(key).replace("_", " ")


def _told(value: Any) -> str:
    """Plain data in words, as in the file but without its braces."""
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} {_told(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "(" + "; ".join(_told(one) for one in value) + ")"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "nothing"}[value]
    text = str(value)
    return f'"{text}"' if " " in text and not text[0].isdigit() else text


# -- value sets ------------------------------------------------------------------------------------------------------


class ValueSetChange(msgspec.Struct, frozen=True):
    """One value set whose codes differ."""

    id: str
    before: int | None
    """How many codes it lists; None where there is no such set."""
    after: int | None
    added: int
    removed: int


def changed_value_sets(old: Path, new: Path) -> list[ValueSetChange]:
    """The value sets whose listed codes or members differ, by file."""
    before, after = _listed(old), _listed(new)
    changed = []
    for name in sorted(before.keys() | after.keys()):
        had, has = before.get(name), after.get(name)
        if had == has:
            continue
        old_codes, new_codes = had or frozenset(), has or frozenset()
        changed.append(
            ValueSetChange(
                id=name,
                before=None if had is None else len(had),
                after=None if has is None else len(has),
                added=len(new_codes - old_codes),
                removed=len(old_codes - new_codes),
            )
        )
    return changed


def _listed(folder: Path) -> dict[str, frozenset[str]]:
    """Value set id to what its files list: codes, and the sets it is composed of."""
    found: dict[str, set[str]] = {}
    for path in sorted((folder / "value-sets").rglob("*.json")):
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("resourceType") != "ValueSet":
            continue
        codes = found.setdefault(str(data.get("id", path.stem)), set())
        compose = data.get("compose", {})
        for sign, parts in (("", compose.get("include", ())), ("not ", compose.get("exclude", ()))):
            for part in parts:
                system = part.get("system", "")
                codes |= {f"{sign}{system}|{concept['code']}" for concept in part.get("concept", ())}
                codes |= {f"{sign}{one}" for one in part.get("valueSet", ())}
                codes |= {f"{sign}{system}|{json.dumps(one, sort_keys=True)}" for one in part.get("filter", ())}
    return {name: frozenset(codes) for name, codes in found.items()}
