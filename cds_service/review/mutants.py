"""Every small slip that an author of rules could make: one edit of one place in one file.

What is slipped in is the smallest that changes a meaning: a number one step of its last digit up or down, each side of
a unit pair on its own; `below` for `at_most`; a window one unit longer or shorter; a row, a band, an `unless`, a member
of `all` or `any` left out (which also stands for a mistaken combinator: where each member is missed when it is gone,
`all` cannot be `any`); neighbors of a table exchanged; an indicator one level off; a word that widens or narrows a
criterion left out. Wider slips, such as no window at all, are noticed by whatever notices these.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from cds_service.engine.loader import TOPICS
from cds_service.engine.source import Document, Path_

FOLDERS = (*TOPICS, "facts", "gates", "tiers", "safety")
FILES = ("output.yaml",)
NO_RULES = ("safety/hazards.yaml",)
_NOT_LOGIC = frozenset(
    {
        *("scenarios", "evidence", "card", "title", "cites", "note", "because", "override_reasons", "hooks", "version"),
        *(
            "summary",
            "text",
            "forbid_text",
            "question",
            "advice_text",
            "is_not",
            "not_assessed",
            "as",
            "without_override",
        ),
        *("hand_picked", "measured"),
    }
)
_NEIGHBOR = {"below": "at_most", "at_most": "below", "above": "at_least", "at_least": "above"}
_DURATION = re.compile(r"(\d+) (hour|day|week|month)(s?)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_WIDENING = frozenset(
    {
        *("possible", "history", "preliminary", "hemolyzed", "reads", "when_not_supplied", "or_active", "scheduled"),
        *("unknown_start", "unknown_form", "renewals", "drafts", "worse_of", "any_of", "not_in", "indication"),
        *("with_ingredient", "form", "unlike", "not_older_than", "since", "conflict", "in_quiet_mode", "window"),
        *("info_in_quiet_mode", "plus_one_if"),
    }
)
_DOSING = frozenset({"times_a_day", "days"})
_COUNTS = frozenset({"points", "count", "worse_of", "any_of"}) | _DOSING
_INDICATORS = ("info", "warning", "critical")
_LEVELS = ("none", "low", "moderate", "high")

Kind = Literal[
    "threshold", "comparison", "duration", "row", "unless", "band", "member", "points", "dose", "word", "offer"
]


class Edit(msgspec.Struct, frozen=True):
    """`set` a value, `delete` a key or member, `rename` a key, `swap` a member with the next."""

    what: Literal["set", "delete", "rename", "swap"]
    path: Path_
    value: Any = None


_Found = tuple[Kind, str, Edit]


class Mutant(msgspec.Struct, frozen=True):
    """One slip in one file."""

    name: str
    """The file, by its path in the folder."""
    kind: Kind
    where: str
    change: str
    file: str
    line: int
    edits: tuple[Edit, ...]
    """Several where YAML's `*alias` repeats what was changed."""

    @property
    def slip(self) -> str:
        """Where and what, without the line, so that it stays when others are added."""
        return f"{self.where}: {self.change}"

    @property
    def text(self) -> str:
        return f"{self.file}:{self.line}: {self.slip}"


def mutants_of(documents: Mapping[str, Document], folder: Path) -> Iterator[Mutant]:
    """All of them, file by file. `folder` holds the files."""
    for name, document in documents.items():
        if (name.partition("/")[0] in FOLDERS or name in FILES) and name not in NO_RULES:
            yield from _of_document(name, document, _spots(folder / name))


def _of_document(name: str, document: Document, spots: Mapping[Path_, int]) -> Iterator[Mutant]:
    together: dict[tuple[Any, ...], list[_Found]] = {}
    for kind, change, edit in _Visit(document.data).edits():
        # what one `&anchor` says, all its aliases say: they begin at the same spot of the file
        together.setdefault((spots[edit.path], kind, change, edit.path[-1]), []).append((kind, change, edit))
    for found in together.values():
        kind, change, first = found[0]
        edits = tuple(edit for _, _, edit in found)
        where = _where(document.data, first.path)
        yield Mutant(name, kind, where, change, document.file, document.line(first.path), edits)


def mutated(document: Document, mutant: Mutant) -> Document:
    """The document with the slip in it. Lines are those of the original."""
    data = copy.deepcopy(document.data)
    for edit in mutant.edits:
        *way, last = edit.path
        holder: Any = data
        for key in way:
            holder = holder[key]
        match edit.what:
            case "set":
                holder[last] = edit.value
            case "delete":
                del holder[last]
            case "rename":
                items = [(edit.value if key == last else key, value) for key, value in holder.items()]
                holder.clear()
                holder.update(items)
            case "swap":
                at = int(last)
                holder[at], holder[at + 1] = holder[at + 1], holder[at]
    return document.with_data(data)


def _spots(path: Path) -> dict[Path_, int]:
    """Where each part of a file begins, in characters; a part and its aliases begin at the same spot."""
    spots: dict[Path_, int] = {}

    def visit(node: yaml.Node, path: Path_) -> None:
        spots[path] = node.start_mark.index
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                visit(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                visit(item, (*path, index))

    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is not None:
        visit(root, ())
    return spots


def _where(data: Any, path: Path_) -> str:
    """The path with rows and bands by their ids."""
    words: list[str] = []
    for key in path:
        data = data[key]
        if isinstance(key, int):
            words.append(str(data["id"]) if isinstance(data, dict) and "id" in data else f"no. {key + 1}")
        else:
            words.append(str(key))
    return " > ".join(words)


class _Visit:
    """Walks one document."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def edits(self) -> Iterator[_Found]:
        yield from self._visit(self.data, ())

    def _visit(self, node: Any, path: Path_) -> Iterator[_Found]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key not in _NOT_LOGIC:
                    yield from self._key(node, key, value, (*path, key))
                    yield from self._visit(value, (*path, key))
        elif isinstance(node, list):
            yield from self._members(node, path)
            for i, value in enumerate(node):
                yield from self._visit(value, (*path, i))

    def _key(self, node: dict[str, Any], key: str, value: Any, path: Path_) -> Iterator[_Found]:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if key in _NEIGHBOR and not isinstance(value, dict):
            yield from self._comparison(node, key, value, path)
        elif key in ("more_than", "differ_by"):
            yield from _steps("threshold", path, value)
        elif isinstance(value, str) and _DURATION.fullmatch(value):
            yield from _duration(path, value)
        elif key == "dose":
            yield from _steps("dose", path, value)
        elif is_number and (key in _COUNTS or path[:1] in (("caps",), ("levels",), ("cards",))):
            yield from _steps("points" if key == "points" else "dose" if key in _DOSING else "threshold", path, value)
        elif key == "indicator" and path[:1] != ("floors",):
            for one in _neighbors(value, _INDICATORS):
                yield "band", f"{value} -> {one}", Edit("set", path, one)
        elif key == "offer" and value == "tests":
            yield "word", "tests removed", Edit("delete", path)
        elif key == "not":
            yield "member", "not removed", Edit("set", path[:-1], self._without_not(path[:-1], value))
        if key in _WIDENING:
            yield "word", f"{_short(value)} removed", Edit("delete", path)
        if key == "if" and len(path) > 2 and path[-3] in ("suggestions", "offer"):
            yield "offer", "if removed", Edit("delete", path)

    def _without_not(self, path: Path_, inner: Any) -> Any:
        """A negated criterion without its `not`, with what stood beside that."""
        node: Any = self.data
        for key in path:
            node = node[key]
        return {**{key: value for key, value in node.items() if key != "not"}, **inner}

    def _comparison(self, node: dict[str, Any], word: str, value: Any, path: Path_) -> Iterator[_Found]:
        if isinstance(value, str) and not _NUMBER.search(value):
            for names in (_INDICATORS, _LEVELS):
                if value in names:
                    for one in _neighbors(value, names):
                        yield "threshold", f"{value} -> {one}", Edit("set", path, one)
            return
        yield from _steps("threshold", path, value)
        about, other = path[-2] if len(path) > 1 else "", _NEIGHBOR[word]
        if other not in node and about not in ("age", "rise", "unreadable", "contributors", "tier", "at_least"):
            yield "comparison", f"{word} -> {other}", Edit("rename", path, other)

    def _members(self, node: list[Any], path: Path_) -> Iterator[_Found]:
        key = path[-1] if path else ""
        if key == "unless":
            for i in range(len(node)):
                yield "unless", "unless removed", Edit("delete", path if len(node) == 1 else (*path, i))
        elif key in ("rows", "bands") or path[:1] in (("then",), ("advice",), ("floors",)):
            kind: Kind = "band" if key == "bands" else "row"
            for i in range(len(node)):
                if len(node) > 1 or path[:1] in (("advice",), ("floors",)):
                    yield kind, f"{kind} removed", Edit("delete", (*path, i))
            if path == ("rows",) and "gate" in self.data:
                yield from self._swaps(node, path)
        elif key in ("all", "any", "of", "not_supplied", "on", "when_critical_only", "except") and len(node) > 1:
            for i in range(len(node)):
                yield "member", "member removed", Edit("delete", (*path, i))
        elif key == "forbid" and len(node) > 1:
            for i, one in enumerate(node):
                yield "member", f"{one} removed", Edit("delete", (*path, i))

    def _swaps(self, node: list[Any], path: Path_) -> Iterator[_Found]:
        """Neighbors of a gate that end differently in more than the reason; a row without `if` must stay the last."""
        for i, (one, other) in enumerate(itertools.pairwise(node)):
            if "if" in other and any(one.get(key) != other.get(key) for key in ("allow", "offer")):
                yield "row", f"swapped with {other['id']}", Edit("swap", (*path, i))


def _steps(kind: Kind, path: Path_, value: Any) -> Iterator[_Found]:
    """The value one smallest step up and down, each number of a pair on its own. `20 meq` steps by 1, `3.5` by 0.1."""
    text = str(value)
    for found in _numbers(text):
        number = Decimal(found[0])
        step = Decimal(1).scaleb(int(number.as_tuple().exponent))
        for new in (number + step, number - step):
            if new < 0:
                continue
            changed = f"{text[: found.start()]}{new}{text[found.end() :]}"
            yield kind, f"{text} -> {changed}", Edit("set", path, int(new) if isinstance(value, int) else changed)


def _numbers(text: str) -> Iterator[re.Match[str]]:
    """The numbers of a threshold, not those of its units (`mL/min/{1.73_m2}`)."""
    at = 0
    for part in text.split("|"):
        found = _NUMBER.search(text, at, at + len(part))
        if found:
            yield found
        at += len(part) + 1


def _duration(path: Path_, value: str) -> Iterator[_Found]:
    found = _DURATION.fullmatch(value)
    assert found is not None
    for number in (int(found[1]) + 1, int(found[1]) - 1):
        changed = f"{number} {found[2]}s"
        yield "duration", f"{value} -> {changed}", Edit("set", path, changed)


def _neighbors(value: str, names: tuple[str, ...]) -> tuple[str, ...]:
    at = names.index(value)
    return tuple(one for one in (*names[max(0, at - 1) : at], *names[at + 1 : at + 2]))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 40 else f"{text[:40]}..."
