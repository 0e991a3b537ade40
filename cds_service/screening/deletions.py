"""What an export says was deleted, held as eight bytes a resource."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from cds_service.screening.export import ExportFile, deletions_in
from cds_service.screening.instants import updated_at


class Deletions:
    """Resources named by the deletion files of an export.

    A version that is later than the export's transactionTime was written anew after the deletion, and stays.
    """

    def __init__(self, folder: Path, files: Iterable[ExportFile]) -> None:
        by_until: dict[datetime | None, list[int]] = {}
        for file in files:
            until = updated_at(file.until)
            by_until.setdefault(until, []).extend(map(_digest, deletions_in(folder / file.path)))
        self._lists = [(until, array("Q", sorted(set(digests)))) for until, digests in by_until.items()]

    def __bool__(self) -> bool:
        return any(digests for _, digests in self._lists)

    def cover(self, reference: str, updated: datetime) -> bool:
        """Whether ``Type/id`` in the version of `updated` was deleted."""
        digest = _digest(reference)
        for until, digests in self._lists:
            at = bisect_left(digests, digest)
            if at < len(digests) and digests[at] == digest and (until is None or updated <= until):
                return True
        return False


def _digest(reference: str) -> int:
    return int.from_bytes(blake2b(reference.encode(), digest_size=8).digest(), "big")
