"""Connections whose timeout is for a whole answer. The library's own is for each wait: a byte a second never ends."""

from __future__ import annotations

import http.client
import io
import time
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

MOST_BYTES_OF_AN_ANSWER = 32 * 1024 * 1024
"""What is read of one answer as it comes over the wire; past it the connection is given up."""


class _TimedRead(io.RawIOBase):
    """What a socket sends, until the timeout that it has at the start is used up as a whole."""

    def __init__(self, source: Any, sock: Any) -> None:
        self._source, self._sock = source, sock
        timeout = sock.gettimeout()
        self._until = None if timeout is None else time.monotonic() + timeout
        self._left = MOST_BYTES_OF_AN_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            if self._sock.fileno() >= 0:
                self._sock.settimeout(left)
        count: int | None = self._source.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise OSError("the answer is too large")
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class TimedAnswer(http.client.HTTPResponse):
    """Headers and body within the one timeout that the socket has when the answer begins."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedRead(self.fp.detach(), sock))


class TimedConnection(HTTPConnection):
    """For http."""

    response_class = TimedAnswer


class TimedSecureConnection(HTTPSConnection):
    """For https."""

    response_class = TimedAnswer
