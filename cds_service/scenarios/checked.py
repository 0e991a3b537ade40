"""No rule goes live whose own scenarios fail: they are run at start, unless `checked.txt` says that they were.

Running them takes seconds, and a start may not. So `legcramp rules check --record` writes the digest of what passed
into the folder, and only rules that were edited since, or a service of another version, run them again. The digest
knows everything that decides an answer but the program itself, whose version stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cds_service import __version__
from cds_service.engine.source import RulesetError
from cds_service.ruleset import Ruleset
from cds_service.scenarios.run import check_rules

RECORD = "checked.txt"
_HEADING = """\
# Rules that passed all their own scenarios, by the digest of everything that decides an answer. Written by
# `legcramp rules check --record`. A start with other rules, or with another version of the service, runs them first.
"""


def is_recorded(ruleset: Ruleset) -> bool:
    """Whether this very ruleset passed its own scenarios with this version of the service."""
    return _line(ruleset) in _recorded(_path(ruleset))


def record(rulesets: Iterable[Ruleset]) -> Path:
    """Note that these rulesets passed; what the file said of others is gone. Raises OSError."""
    rulesets = list(rulesets)
    (path,) = {_path(ruleset) for ruleset in rulesets}
    lines = [f"{_line(ruleset)}\n" for ruleset in rulesets]
    path.write_text(_HEADING + "".join(lines), encoding="utf-8")
    return path


def ensure_checked(ruleset: Ruleset) -> bool:
    """Run every rule's own scenarios unless it is on record that they pass; True when they were run.

    Raises RulesetError, with what was expected and what came, when one fails.
    """
    if is_recorded(ruleset):
        return False
    failures = check_rules(ruleset).failures
    if failures:
        raise RulesetError(failures)
    return True


def _path(ruleset: Ruleset) -> Path:
    return (ruleset.site.folder or ruleset.folder) / RECORD


def _line(ruleset: Ruleset) -> str:
    without = " without SNOMED CT" if ruleset.without_snomed else ""
    return f"service {__version__} ruleset {ruleset.digest}{without}"


def _recorded(path: Path) -> frozenset[str]:
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return frozenset()  # without a record they are run
