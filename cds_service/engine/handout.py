"""The patient handout as loaded: which line is shown when, and its words in every language (section 5).

The lines stand in ``handout/lines.yaml``, the words in ``handout/text/<language>.yaml``; a translation is a file with
the same keys. What a schema cannot see (that each line has words in each language, that what is cited exists) is
checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cds_service.engine.compiler import Compiler, Vocabulary
from cds_service.engine.model import Reference, Test
from cds_service.engine.source import Document, Path_, RuleError

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_IN_PAGE = {"error_lines": {"position"}, "error_versions": {"position", "other"}}
_IN_LINES = {"emergency"}


class Version(msgspec.Struct, frozen=True):
    """One wording of a line. `code` stands in the address of the page and says which words, never whose."""

    code: str
    when: str
    """For clinicians: whom it is for."""
    test: Test | None
    unless: Test | None
    strength: str
    write_on: bool


class Line(msgspec.Struct, frozen=True):
    """One line of the handout; `versions` has the most careful one last, which is said when nothing is known."""

    id: str
    section: str
    show: Test | None
    unless: Test | None
    general: bool
    """Whether the sheet that is made for nobody in particular has it."""
    required: bool
    """Whether it stands on every sheet, whatever the address asks for."""
    shown_when: str
    cites: tuple[str, ...]
    evidence: str
    correction: str
    seed: tuple[str, ...]
    """The items of the lay article that it covers."""
    versions: tuple[Version, ...]


class Words(msgspec.Struct, frozen=True):
    """What one line says: a text, or a lead with items."""

    lead: str
    items: tuple[str, ...] = ()


class Texts(msgspec.Struct, frozen=True):
    """Everything that is read in one language."""

    language: str
    name: str
    direction: str
    page: dict[str, str]
    sections: dict[str, str]
    strengths: dict[str, str]
    lines: dict[str, Words]
    """By the code of a version."""


class Handout(msgspec.Struct, frozen=True):
    """All lines in the order of the page, and their words by language, the default language first."""

    sections: tuple[str, ...]
    lines: tuple[Line, ...]
    texts: dict[str, Texts]
    emergency_number: dict[str, str]
    """By region."""

    @property
    def default_language(self) -> str:
        return next(iter(self.texts))

    def by_code(self) -> dict[str, tuple[Line, Version]]:
        return {version.code: (line, version) for line in self.lines for version in line.versions}

    def general(self) -> tuple[str, ...]:
        """The codes of the sheet for nobody in particular: lines for everybody, in their most careful version."""
        return tuple(line.versions[-1].code for line in self.lines if line.show is None and line.general)


def handout(
    lines: Document, texts: Sequence[Document], vocabulary: Vocabulary, references: Mapping[str, Reference]
) -> tuple[Handout | None, list[RuleError]]:
    """The handout, or every mistake found in it."""
    errors: list[RuleError] = []
    data = lines.data
    built = []
    for i, node in enumerate(data["lines"]):
        try:
            built.append(_line(Compiler(lines, vocabulary), node, ("lines", i), references))
        except RuleError as error:
            errors.append(error)
    made = Handout(
        sections=tuple(data["sections"]),
        lines=tuple(sorted(built, key=lambda line: data["sections"].index(line.section))),
        texts={},
        emergency_number=data["emergency_number"],
    )
    codes = [version.code for line in made.lines for version in line.versions]
    errors += [RuleError(lines.file, 1, f"the code {code} stands twice") for code in _twice(codes)]
    ordered = sorted(texts, key=lambda text: text.data["language"] != data["default_language"])
    if not ordered or ordered[0].data["language"] != data["default_language"]:
        errors.append(lines.error(("default_language",), "there is no text in this language"))
    for text in ordered:
        try:
            _check(text, codes, data["sections"])
            made.texts[text.data["language"]] = _texts(text.data)
        except RuleError as error:
            errors.append(error)
    return (None, errors) if errors else (made, [])


def _line(compiler: Compiler, node: dict[str, Any], path: Path_, references: Mapping[str, Reference]) -> Line:
    for key in node["cites"]:
        if key not in references:
            compiler.document.fail((*path, "cites"), f"there is no reference {key!r} in references.yaml")
    if node["section"] not in compiler.document.data["sections"]:
        compiler.document.fail((*path, "section"), f"there is no section {node['section']!r} in `sections`")
    versions = tuple(
        _version(compiler, one, (*path, "versions", i), node["strength"]) for i, one in enumerate(node["versions"])
    )
    for i, version in enumerate(versions):
        if (version.test is None) != (i + 1 == len(versions)):
            compiler.document.fail((*path, "versions", i), "the last version, and no other, stands without `if`")
    return Line(
        id=node["id"],
        section=node["section"],
        show=_test(compiler, node, "show", path, "cautiously"),
        unless=_test(compiler, node, "unless", path, "surely"),
        general=node.get("general", True),
        required=node.get("required", False),
        shown_when=node["shown_when"],
        cites=tuple(node["cites"]),
        evidence=node["evidence"],
        correction=node["correction"],
        seed=tuple(node["seed"]),
        versions=versions,
    )


def _version(compiler: Compiler, node: dict[str, Any], path: Path_, strength: str) -> Version:
    return Version(
        code=node["code"],
        when=node["when"],
        test=_test(compiler, node, "if", path, "cautiously"),
        unless=_test(compiler, node, "unless", path, "surely"),
        strength=node.get("strength", strength),
        write_on=node.get("write_on", False),
    )


def _test(compiler: Compiler, node: dict[str, Any], key: str, path: Path_, reading: Any) -> Test | None:
    return compiler.compile(node[key], (*path, key), reading) if key in node else None


def _check(text: Document, codes: Sequence[str], sections: Sequence[str]) -> None:
    """The same keys in every language, and no placeholder that nothing fills."""
    for key, wanted in (("lines", codes), ("sections", sections)):
        has = text.data[key]
        if missing := sorted(set(wanted) - has.keys()):
            text.fail((key,), f"without words: {', '.join(missing)}")
        if extra := sorted(has.keys() - set(wanted)):
            text.fail((key, extra[0]), f"{extra[0]} is none of the {key} of lines.yaml")
    for name, words in text.data["page"].items():
        _check_placeholders(text, ("page", name), [words], _IN_PAGE.get(name, set()))
    for code, words in text.data["lines"].items():
        _check_placeholders(text, ("lines", code), [words] if isinstance(words, str) else _parts(words), _IN_LINES)


def _check_placeholders(text: Document, path: Path_, parts: Iterable[str], known: set[str]) -> None:
    for name in {name for part in parts for name in _PLACEHOLDER.findall(part)} - known:
        text.fail(path, f"{{{name}}} is filled by nothing here; known are {', '.join(sorted(known)) or 'none'}")


def _texts(data: dict[str, Any]) -> Texts:
    words = {
        code: Words(one) if isinstance(one, str) else Words(one["lead"], tuple(one["items"]))
        for code, one in data["lines"].items()
    }
    return Texts(**{key: value for key, value in data.items() if key != "lines"}, lines=words)


def _parts(words: dict[str, Any]) -> list[str]:
    return [words["lead"], *words["items"]]


def _twice(codes: Sequence[str]) -> list[str]:
    return sorted({code for code in codes if codes.count(code) > 1})
