"""Addresses of FHIR servers, compared exactly. A request is sent to the address that a site wrote, and to no other.

An address is taken apart by one narrow pattern; what does not fit is refused. What is asked is then put together from
the parts that were compared, so that no second reading of a URL (userinfo, backslash, odd numbers for a host) matters.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from urllib.parse import urljoin

import msgspec

_HOST = r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])"
_BASE = re.compile(rf"(https?)://({_HOST})(?::([0-9]{{1,5}}))?((?:/[A-Za-z0-9._~+=:,-]+)*)/?", re.ASCII)
_TARGET = re.compile(r"(https?://[^/?#@\\]+)(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.ASCII | re.IGNORECASE)
_VISIBLE = re.compile(r"[!-\[\]-~]{1,4096}", re.ASCII)
_PORTS = {"http": 80, "https": 443}


class Server(msgspec.Struct, frozen=True):
    """The base URL of a FHIR server, in parts; `path` has no trailing slash."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> str:
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def base(self) -> str:
        return self.origin + self.path

    def covers(self, other: Server) -> bool:
        """Whether `other` has the same origin, and the same path or one below it."""
        return self.origin == other.origin and (other.path + "/").startswith(self.path + "/")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine by its very spelling; names are not looked up."""
        if self.host == "localhost":
            return True
        try:
            address = ipaddress.ip_address(self.host.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback and getattr(address, "ipv4_mapped", None) is None


@lru_cache(maxsize=1024)
def parse_server(text: str) -> Server | None:
    """The server of a base URL; None when the text is not plainly one."""
    scheme, separator, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    found = _BASE.fullmatch(f"{scheme.lower()}{separator}{host.lower()}{slash}{path}")
    if found is None or any(part in (".", "..") for part in found[4].split("/")):
        return None
    port = int(found[3]) if found[3] else _PORTS[found[1]]
    return Server(found[1], found[2], port, found[4]) if 0 < port < 65536 else None


def next_target(server: Server, page: str, link: str) -> str | None:
    """The URL to ask for the next page; None when it is not of the server's own origin. `page` is the present one."""
    if not _VISIBLE.fullmatch(link):
        return None
    try:
        found = _TARGET.fullmatch(urljoin(page, link))
    except ValueError:
        return None
    origin = parse_server(found[1]) if found else None
    if found is None or origin is None or origin.origin != server.origin:
        return None
    return server.origin + (found[2] or "/") + (found[3] or "")
