"""The bytes of one request as they arrive, until all of it is there. Reads only what tells where it ends.

What is no HTTP counts as whole: the server's parser refuses it, in its own words.
"""

from __future__ import annotations

import re
from typing import Literal

Arrival = Literal["waiting", "whole", "no-end", "in-crumbs"]
"""`no-end`: its headers do not end. `in-crumbs`: more chunks than any sender of a body needs."""

MOST_HEAD_BYTES = 64 * 1024
MOST_CHUNKS = 100_000
_MOST_LINE_BYTES = 8 * 1024
_FIRST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [^\r\n ]+ HTTP/1\.[01]\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*chunked[ \t]*\r\n", re.IGNORECASE)
_WAITS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
_OPERATIONS = re.compile(rb"GET /(healthz|readyz|metrics) ")


class Arriving:
    """Requests on one connection. `most` bounds the body that is waited for: what is larger is whole at once."""

    __slots__ = ("_at", "_chunked", "_chunks", "_end", "_head", "_most", "data", "wants_leave")

    def __init__(self, most: int) -> None:
        self._most = most
        self.data = bytearray()
        self.wants_leave = False
        """Whether the sender waits for `100 Continue` before it sends the body."""
        self._forget()

    def _forget(self) -> None:
        self._head = 0  # where the headers end
        self._end = 0  # where the request ends, as soon as that is known
        self._chunked = False
        self._at = 0  # the next chunk
        self._chunks = 0
        self.wants_leave = False

    def take(self, data: bytes) -> Arrival:
        """Adds what came."""
        self.data += data
        return self.look()

    def look(self) -> Arrival:
        """How far the first request has come."""
        if not self._head:
            found = self._read_head()
            if found is not None:
                return found
        if self._chunked:
            return self._read_chunks()
        return "whole" if len(self.data) >= self._end else "waiting"

    def give(self) -> bytes:
        """Hands out everything, what follows the request included, and begins anew."""
        given = bytes(self.data)
        self.data.clear()
        self._forget()
        return given

    @property
    def is_of_operations(self) -> bool:
        """Whether those who run the service ask how it is: then more than ever when it is full."""
        return _OPERATIONS.match(self.data) is not None

    def _read_head(self) -> Arrival | None:
        data = self.data
        head = data.find(b"\r\n\r\n", max(0, self._at - 3))
        if head < 0:
            self._at = len(data)
            line = data.find(b"\r\n", 0, _MOST_LINE_BYTES)
            if (line >= 0 and not _FIRST_LINE.match(data)) or (line < 0 and len(data) >= _MOST_LINE_BYTES):
                return "whole"
            return "no-end" if len(data) > MOST_HEAD_BYTES else "waiting"
        self._head = self._at = self._end = head + 4
        if not _FIRST_LINE.match(data):
            return "whole"
        waits = _WAITS.search(data, 0, self._head)
        if waits:
            # leave is given here, so the server need not give it again
            del data[slice(*waits.span())]
            self._head = self._at = self._end = self._head - len(waits[0])
            self.wants_leave = True
        if _CHUNKED.search(data, 0, self._head):
            self._chunked, self._end = True, 0
            return None
        length = _LENGTH.search(data, 0, self._head)
        size = int(length[1]) if length else 0
        if size <= self._most:
            self._end += size
            return None
        self._end = 0
        return "whole"

    def _read_chunks(self) -> Arrival:
        data = self.data
        while self._chunks < MOST_CHUNKS:
            line = data.find(b"\r\n", self._at, self._at + _MOST_LINE_BYTES)
            if line < 0:
                return "waiting" if len(data) - self._at < _MOST_LINE_BYTES else "whole"
            try:
                size = int(data[self._at : line].partition(b";")[0], 16)
            except ValueError:
                return "whole"
            if size < 0 or line + size - self._head > self._most:
                return "whole"
            if size == 0:
                return self._read_trailer(line)
            if line + size + 4 > len(data):
                return "waiting"
            self._at = line + size + 4
            self._chunks += 1
        return "in-crumbs"

    def _read_trailer(self, line: int) -> Arrival:
        """`line`: where the line of the last chunk ends, which the lines of a trailer may follow."""
        end = self.data.find(b"\r\n\r\n", line)
        if end >= 0:
            self._end = end + 4
            return "whole"
        return "whole" if len(self.data) - line > MOST_HEAD_BYTES else "waiting"
