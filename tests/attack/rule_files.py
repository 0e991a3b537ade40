"""Attacks on the YAML loader: what a slip of the keyboard, a bad merge or a hostile file would hand it."""

from __future__ import annotations

import functools
import random
from pathlib import Path

from cds_service.engine.source import RuleError, read_documents
from tests.attack.corpus import RULES
from tests.attack.mutate import change_bytes

_LINES = (
    "a: &a [*a]", "a: &a {b: *a}", "<<: *missing", "? [a, b]\n: c", "!!python/object/apply:os.system ['id']",
    "--- !x\n...\n---",
    "a: 1\na: 2", "a: 0b1_0", "a: 1:2:3", "a: .inf", "a: 2026-13-45", "a: " + "9" * 5000, "%YAML 9.9\n---", "\ta: b",
    "a: \"\\ud800\"",
    "a: |\n  x\n y", "- " * 600 + "a", "[" * 3000, "{a: " * 800, "a: !!binary x", "\x00", "\ufeff", "\u2028", "a: *",
    "&a &b c", "a: !!set {b}",
)  # fmt: skip
_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
"""Three hundred bytes that spell out three billion words."""


@functools.cache
def rule_files() -> tuple[bytes, ...]:
    """Short ones: long files have more of the same."""
    found = sorted(RULES.glob("*/*.yaml"))
    return tuple(content for path in found if len(content := path.read_bytes()) < 4_000)


def mutate(content: bytes, chance: random.Random) -> bytes:
    """The file with some lines changed, moved or replaced."""
    kind = chance.randrange(5)
    if kind == 0:
        return change_bytes(content, chance.choice(rule_files()), chance)
    if kind == 1 and chance.random() < 0.1:
        return _LAUGHS.encode()
    lines = content.decode("utf-8", "replace").split("\n")
    at = chance.randrange(len(lines))
    if kind == 2:
        lines[at] = " " * chance.randrange(9) + lines[at].lstrip()
    elif kind == 3:
        lines.insert(at, lines[chance.randrange(len(lines))])
    else:
        lines.insert(at, chance.choice(_LINES))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def load(content: bytes, folder: Path) -> str:
    """What the loader makes of it: documents, or one mistake with its line."""
    path = folder / "attacked.yaml"
    path.write_bytes(content)
    try:
        return f"{min(len(read_documents(path, 'rules/attacked.yaml')), 2)} documents"
    except RuleError:
        return "refused with its line"
