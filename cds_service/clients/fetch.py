"""One careful GET: https, no redirect, a limit in time and size, nothing sent but the question."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager

from cds_service.clients.timed import TimedConnection, TimedSecureConnection

TIMEOUT_SECONDS = 3.0
MOST_BYTES = 256 * 1024


class NotFetched(OSError):
    """The answer was not taken; the text says why, in words that may be shown."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class _Pool(HTTPConnectionPool):
    ConnectionCls = TimedConnection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = TimedSecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


def open_session() -> requests.Session:
    """A session whose answers come whole within their time or not at all."""
    session = requests.Session()
    session.mount("https://", _Adapter())
    session.mount("http://", _Adapter())
    return session


def fetch(
    session: requests.Session,
    url: str,
    http_allowed: bool = False,
    seconds: float = TIMEOUT_SECONDS,
    most_bytes: int = MOST_BYTES,
) -> Answer:
    """GETs `url`. `seconds` is the whole time. Raises `OSError`: `NotFetched`, or what `requests` raises."""
    scheme = urlsplit(url).scheme
    if scheme != "https" and not (http_allowed and scheme == "http"):
        raise NotFetched("must be https")
    deadline = time.monotonic() + seconds
    with session.get(
        url,
        headers={"Accept": "application/json"},
        timeout=(seconds, seconds),
        allow_redirects=False,
        stream=True,
        auth=_no_login,
    ) as response:
        if response.is_redirect:
            raise NotFetched("answers with a redirect, which is not followed")
        parts: list[bytes] = []
        size = 0
        for part in response.iter_content(16 * 1024):
            parts.append(part)
            size += len(part)
            if size > most_bytes:
                raise NotFetched(f"sends more than {most_bytes} bytes")
            if time.monotonic() > deadline:
                raise NotFetched(f"takes longer than {seconds:g} seconds")
        return Answer(response.status_code, response.headers, b"".join(parts))


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps `requests` from looking up a login in the machine's netrc file."""
    return request
