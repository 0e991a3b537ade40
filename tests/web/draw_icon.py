"""Draws the icon of the cards: a bent leg with a lightning mark. `python tests/web/draw_icon.py` writes it anew.

100x100 pixels, RGB without alpha, as CDS Hooks recommends for `source.icon`.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

SIZE = 100
PATH = Path(__file__).resolve().parents[2] / "cds_service" / "web" / "static" / "icon.png"
_BLUE, _WHITE, _AMBER = (20, 83, 136), (255, 255, 255), (255, 191, 71)
_LEG = (((34, 12), (56, 46), 10.0), ((56, 46), (38, 80), 8.0), ((38, 82), (60, 84), 6.0))
_BOLT = ((74, 34), (60, 58), (69, 58), (62, 78), (82, 51), (72, 51), (80, 34))


def _near(x: float, y: float, start: tuple[int, int], end: tuple[int, int]) -> float:
    (ax, ay), (bx, by) = start, end
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
    along = min(1.0, max(0.0, along))
    return float(((x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2) ** 0.5)


def _inside(x: float, y: float) -> bool:
    inside = False
    for (ax, ay), (bx, by) in zip(_BOLT, (*_BOLT[1:], _BOLT[0]), strict=True):
        if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
            inside = not inside
    return inside


def _color(x: float, y: float) -> tuple[int, int, int]:
    if _inside(x, y):
        return _AMBER
    return _WHITE if any(_near(x, y, start, end) <= width for start, end, width in _LEG) else _BLUE


def pixels() -> bytes:
    """Rows of RGB, each with PNG's filter byte before it; every pixel the mean of 3x3 samples."""
    rows = bytearray()
    for row in range(SIZE):
        rows.append(0)
        for column in range(SIZE):
            samples = [_color(column + (i + 0.5) / 3, row + (j + 0.5) / 3) for i in range(3) for j in range(3)]
            rows += bytes(sum(sample[channel] for sample in samples) // 9 for channel in range(3))
    return bytes(rows)


def png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels(), 9)) + chunk(b"IEND", b"")
    )


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(png())
