"""HTTP to FHIR servers: pooled connections, one deadline over everything, bounded answers, no redirect, no proxy.

`requests` and urllib3 bound each wait; here the waits of one question share a deadline. The timeout is told anew for
every attempt and phase, and the body's time is counted as a whole, so that a server which sends a byte a second is
left when the deadline passes, in its headers as in its body.

Not bounded: the look-up of a host name, which the operating system does; the caller of `complete` does not wait for it.
"""

from __future__ import annotations

import logging
from http.cookiejar import DefaultCookiePolicy
from types import TracebackType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, ResponseError

from cds_service.clients.timed import TimedConnection, TimedSecureConnection
from cds_service.fhir.deadline import Deadline

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


class _Bounded(HTTPConnectionPool):
    """Tells the retries of each request about its deadline."""

    def urlopen(self, method: str, url: str, *args: Any, **options: Any) -> BaseHTTPResponse:
        retries, timeout = options.get("retries"), options.get("timeout")
        if isinstance(retries, _Patience) and retries.deadline is None and isinstance(timeout, Within):
            options["retries"] = retries.within(timeout.deadline)
        return super().urlopen(method, url, *args, **options)


class _Pool(_Bounded):
    ConnectionCls = TimedConnection


class _SecurePool(_Bounded, HTTPSConnectionPool):
    ConnectionCls = TimedSecureConnection


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
