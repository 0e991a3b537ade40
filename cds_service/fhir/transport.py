"""HTTP to FHIR servers: pooled connections, one deadline over everything, bounded answers, no redirect, no proxy.

`requests` and urllib3 bound each wait; here the waits of one question share a deadline. The timeout is told anew for
every attempt and phase, and the body's time is counted as a whole, so that a server which sends a byte a second is
left when the deadline passes, in its headers as in its body.

Not bounded: the look-up of a host name, which the operating system does; the caller of `complete` does not wait for it.
"""

from __future__ import annotations

import http.client
import io
import logging
import time
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, ResponseError

from cds_service.fhir.deadline import Deadline

MOST_BYTES_OF_AN_ANSWER = 32 * 1024 * 1024
"""What is read of one answer as it comes over the wire; past it the connection is given up."""
_SHORTEST = 0.001

# Its words hold URLs, and those hold patient ids.
logging.getLogger("urllib3").setLevel(logging.CRITICAL + 1)


class Within(Timeout):
    """A timeout that is whatever the deadline leaves, at each moment it is looked at."""

    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self.deadline = deadline

    def clone(self) -> Within:
        return Within(self.deadline)

    @property
    def connect_timeout(self) -> float:
        return max(_SHORTEST, self.deadline.left())

    @property
    def read_timeout(self) -> float:
        return max(_SHORTEST, self.deadline.left())


class _Patience(Retry):
    """Asks again after a connection that broke, and after 429 or 503 where `Retry-After` ends before the deadline."""

    RETRY_AFTER_STATUS_CODES = frozenset({429, 503})
    deadline: Deadline | None = None

    def within(self, deadline: Deadline) -> _Patience:
        patience = self.new()
        patience.deadline = deadline
        return patience

    def new(self, **changes: Any) -> _Patience:
        patience: _Patience = super().new(**changes)
        patience.deadline = self.deadline
        return patience

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> _Patience:
        wait = (self.get_retry_after(response) or 0.0) if response is not None else 0.0
        if _pool is not None and self.deadline is not None and wait >= self.deadline.left():
            reason = error or ResponseError("no time left to ask again")
            raise MaxRetryError(_pool, url or "", reason) from reason
        return super().increment(method, url, response, error, _pool, _stacktrace)


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


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedRead(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Answer


class _SecureConnection(HTTPSConnection):
    response_class = _Answer


class _Bounded(HTTPConnectionPool):
    """Tells the retries of each request about its deadline."""

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> BaseHTTPResponse:
        retries, timeout = options.get("retries"), options.get("timeout")
        if isinstance(retries, _Patience) and retries.deadline is None and isinstance(timeout, Within):
            options["retries"] = retries.within(timeout.deadline)
        return super().urlopen(method, url, *args, **options)


class _Pool(_Bounded):
    ConnectionCls = _Connection


class _SecurePool(_Bounded, HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class FhirAdapter(HTTPAdapter):
    """The transport. Tests put another adapter in its place."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def make_adapter(connections: int) -> FhirAdapter:
    """An adapter that keeps up to `connections` open to each server."""
    retries = _Patience(
        total=2,
        connect=0,
        read=1,
        status=2,
        redirect=0,
        other=0,
        allowed_methods=frozenset({"GET"}),
        status_forcelist=frozenset(),
        backoff_factor=0.05,
        raise_on_status=False,
        remove_headers_on_redirect=frozenset({"Authorization"}),
    )
    return FhirAdapter(pool_connections=32, pool_maxsize=connections, max_retries=retries)


def make_session(adapter: requests.adapters.BaseAdapter, ca_file: str | None = None) -> requests.Session:
    """A session that takes nothing from the environment, keeps no cookie and goes through `adapter` only.

    `ca_file` names the certificates to trust instead of the bundled ones.
    """
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.adapters.clear()
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers.clear()
    session.headers.update(
        {"Accept": "application/fhir+json", "Accept-Encoding": "gzip", "User-Agent": "leg-cramp-cds"}
    )
    if ca_file is not None:
        session.verify = ca_file
    return session
