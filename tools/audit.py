"""Known weaknesses in what is locked: `make audit`. Exits with 0: none, 1: some, 3: it could not be found out.

pip-audit exits with 0 for packages of which its source knows nothing, as where a mirror serves files without the
advisories. Here that is no all-clear.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import click

CLEAN, WEAK, UNKNOWN = 0, 1, 3
_SOURCES = ("pypi", "osv")
_COMMAND = ("--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=10", "--format=json")


def main(lock: str) -> int:
    """Asks one source after the other until one answers for every package."""
    for source in _SOURCES:
        report = _ask(source, lock)
        if report is None:
            click.echo(f"{source}: its advisories cannot be reached.")
            continue
        code, lines = judge(report)
        click.echo("\n".join(f"{source}: {line}" for line in lines))
        if code != UNKNOWN:
            return code
    click.echo(f"NOT AUDITED: no source of advisories answers for {lock} from here.")
    return UNKNOWN


def judge(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Exit code and lines to show for a report of pip-audit."""
    packages = report["dependencies"]
    weak = [
        f"{one['name']} {one['version']}: {found['id']}, mended in {' or '.join(found['fix_versions']) or 'none yet'}"
        for one in packages
        for found in one.get("vulns", ())
    ]
    skipped = sum("skip_reason" in one for one in packages)
    if weak:
        return WEAK, weak
    if skipped or not packages:
        return UNKNOWN, [f"{skipped} of {len(packages)} packages could not be looked up."]
    return CLEAN, [f"{len(packages)} packages, none with a known weakness."]


def _ask(source: str, lock: str) -> dict[str, Any] | None:
    command = [sys.executable, "-m", "pip_audit", "-s", source, "-r", lock, *_COMMAND]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - names of this repository
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    return report


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
