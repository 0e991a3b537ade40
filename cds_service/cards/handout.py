"""Which lines of the patient handout one patient gets, and the address at which they are read."""

from __future__ import annotations

from collections.abc import Iterable

from cds_service.engine.context import Context
from cds_service.engine.handout import Handout, Line, Version
from cds_service.engine.model import Test
from cds_service.engine.verdicts import YES


def choose(context: Context, handout: Handout) -> tuple[str, ...]:
    """The codes of the lines for this patient, in the order of the page.

    A line needs a known yes; of its versions the first known yes is taken, else the last, which has no criterion.
    """
    chosen: list[str] = []
    for line in handout.lines:
        if _says(context, line.show, line.unless):
            chosen.append(_version(context, line).code)
    return tuple(chosen)


def address(base: str, codes: Iterable[str], language: str) -> str:
    """Where the handout is read: codes of lines and a language, nothing that names a patient, a drug or a result."""
    return f"{base}/handout?lines={','.join(codes)}&lang={language}"


def _version(context: Context, line: Line) -> Version:
    return next(one for one in line.versions if _says(context, one.test, one.unless))


def _says(context: Context, test: Test | None, unless: Test | None) -> bool:
    for criterion, wanted in ((test, True), (unless, False)):
        context.begin()
        if criterion is not None and (criterion(context) == YES) is not wanted:
            return False
    return True
