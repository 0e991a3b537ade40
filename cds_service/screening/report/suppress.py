"""Small-number suppression, primary and complementary.

A count of people from one up to the threshold is hidden. So is as much beside it as is needed that it cannot be had by
subtraction from a total: in each row and each column, and among the totals themselves, either nothing is hidden, or at
least two counts are that together reach the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

Cell = tuple[int, int]


def hidden_cells(
    counts: Sequence[Sequence[int]], threshold: int, people: Sequence[Sequence[int]] | None = None
) -> frozenset[Cell]:
    """The cells, as ``(row, column)``, of a table with its totals that must not be shown.

    In `counts` the last row and the last column are the totals. `people` says how many stand behind each count, where
    that is another number. With one row or one column there is nothing to subtract from, and only small counts are
    hidden. A threshold of 0 or 1 hides nothing.
    """
    height, width = len(counts), len(counts[0]) if counts else 0
    behind = counts if people is None else people
    cells = ((row, column) for row in range(height) for column in range(width))
    hidden = {cell for cell in cells if 0 < _count(behind, cell) < threshold}
    changed = bool(hidden)
    while changed:
        changed = False
        if width > 1:
            for row in range(height):
                changed |= _complete([(row, column) for column in range(width)], counts, hidden, threshold)
        if height > 1:
            for column in range(width):
                changed |= _complete([(row, column) for row in range(height)], counts, hidden, threshold)
    return frozenset(hidden)


def hidden_parts(parts: Sequence[int], threshold: int) -> frozenset[int]:
    """The same for a list of parts whose sum is known: the places that must not be shown."""
    cells = hidden_cells([[*parts, sum(parts)]], threshold)
    return frozenset(column for _, column in cells)


def _complete(line: list[Cell], counts: Sequence[Sequence[int]], hidden: set[Cell], threshold: int) -> bool:
    """Hides more of one line, parts and then their total, until what is hidden in it cannot be told; whether it did."""
    *parts, total = line
    changed = False
    while not _is_safe(line, counts, hidden, threshold):
        shown = [cell for cell in parts if cell not in hidden]
        if shown:
            # the smallest count that is not zero tells the least when it is gone; a zero only where there is no other
            hidden.add(min(shown, key=lambda cell: (_count(counts, cell) == 0, _count(counts, cell), cell)))
        else:
            hidden.add(total)
        changed = True
    return changed


def _is_safe(line: list[Cell], counts: Sequence[Sequence[int]], hidden: set[Cell], threshold: int) -> bool:
    *parts, total = line
    gone = [cell for cell in parts if cell in hidden]
    if total in hidden:
        return bool(gone) or not any(_count(counts, cell) for cell in parts)
    if not gone:
        return True
    return len(gone) > 1 and sum(_count(counts, cell) for cell in gone) >= threshold


def _count(counts: Sequence[Sequence[int]], cell: Cell) -> int:
    return counts[cell[0]][cell[1]]
