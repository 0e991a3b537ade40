"""YAML files with the line of every key, so that an author is told `file:line` and not a stack trace."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import yaml

Path_ = tuple[str | int, ...]

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml reads the same files, only slower
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]


class RuleError(Exception):
    """One mistake in the rules folder: where it is and how to mend it."""

    def __init__(self, file: str, line: int, message: str) -> None:
        super().__init__(f"{file}:{line}: {message}")
        self.file, self.line, self.message = file, line, message


class RulesetError(Exception):
    """All mistakes found in a rules folder, one line each."""

    def __init__(self, errors: Iterable[RuleError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


class Document:
    """One YAML document: plain data, and the line on which each part of it begins."""

    def __init__(self, file: str, data: Any, lines: dict[Path_, int]) -> None:
        self.file, self.data, self._lines = file, data, lines

    def line(self, path: Path_) -> int:
        """The line of `path`, or of its nearest ancestor that has one."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def place(self, path: Path_) -> tuple[str, int]:
        """File and line in which `path` is written."""
        return self.file, self.line(path)

    def error(self, path: Path_, message: str) -> RuleError:
        """A mistake at `path`."""
        return RuleError(*self.place(path), message)

    def with_data(self, data: Any) -> Document:
        """The same file with other data; the lines of what it holds itself stay known."""
        return Document(self.file, data, self._lines)

    def fail(self, path: Path_, message: str) -> NoReturn:
        raise self.error(path, message)


def read_documents(path: Path, shown_as: str) -> list[Document]:
    """All documents of one file. Raises RuleError for bad YAML, duplicate keys and keys that are no strings."""
    try:
        text = path.read_text(encoding="utf-8")
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise RuleError(shown_as, mark.line + 1 if mark else 1, f"not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RuleError(shown_as, 1, f"not valid YAML: {error}") from None
    documents = []
    for node in nodes:
        lines: dict[Path_, int] = {}
        data = _plain(node, (), lines, shown_as, 0)
        documents.append(Document(shown_as, data, lines))
    return documents


def read_document(path: Path, shown_as: str) -> Document:
    """The only document of one file."""
    documents = read_documents(path, shown_as)
    if len(documents) != 1:
        raise RuleError(shown_as, 1, f"holds {len(documents)} documents where one is expected")
    return documents[0]


_MAX_DEPTH = 40
_MOST_PARTS = 20_000
"""More than ten times the largest file. A few hundred bytes of aliases within aliases would spell out billions."""


def _plain(node: Any, path: Path_, lines: dict[Path_, int], file: str, depth: int) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if depth > _MAX_DEPTH:
        raise RuleError(file, line, f"nested more than {_MAX_DEPTH} levels deep")
    if len(lines) > _MOST_PARTS:
        raise RuleError(file, line, f"spells out more than {_MOST_PARTS} parts; use no aliases within aliases")
    if isinstance(node, yaml.MappingNode):
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            key_line = key_node.start_mark.line + 1
            if not isinstance(key, str) or key_node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:bool"):
                raise RuleError(file, key_line, "keys must be plain words")
            if key in mapping:
                raise RuleError(file, key_line, f"the key {key!r} stands twice")
            lines[(*path, key)] = key_line
            mapping[key] = _plain(value_node, (*path, key), lines, file, depth + 1)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), lines, file, depth + 1) for index, item in enumerate(node.value)]
    return _scalar(node, file, line)


def _scalar(node: Any, file: str, line: int) -> Any:
    match node.tag.rsplit(":", 1)[-1]:
        case "str":
            return node.value
        case "int":
            try:
                return int(node.value)
            except ValueError:
                raise RuleError(file, line, f"write the number {node.value!r} in plain digits") from None
        case "float":
            # a threshold's decimals are part of its meaning, so numbers with a point stay text
            return node.value
        case "bool":
            # YAML 1.1 reads "yes", "no", "on" and "off" as booleans; rules write true and false
            if node.value in ("true", "false"):
                return bool(node.value == "true")
            return str(node.value)
        case "null":
            return None
        case "timestamp":
            return node.value
    raise RuleError(file, line, f"the tag {node.tag} is not allowed")


def digest_bytes(data: Any) -> bytes:
    """A canonical encoding of plain data, for the ruleset digest."""
    return msgspec.json.encode(data, order="sorted")
