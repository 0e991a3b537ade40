"""The certificate and the TLS version of an address, as a client meets them."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import Any, Literal

_SOON_DAYS = 21
Told = tuple[Literal["ok", "warn", "fail"], str, str]


def examine_certificate(host: str, port: int, seconds: float) -> Told:
    """Level, what was found, what mends it."""
    # requests honors this variable, so what doctor sees is what the service sees
    context = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE"))
    try:
        with (
            socket.create_connection((host, port), timeout=seconds) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            version, certificate = secured.version(), secured.getpeercert()
    except ssl.SSLCertVerificationError as error:
        return (
            "fail",
            f"the certificate of {host} is not accepted: {error.verify_message}",
            "Renew it, for this name, with the whole chain.",
        )
    except OSError as error:
        return "fail", f"no TLS with {host}: {error.strerror or type(error).__name__}", "Is the proxy listening there?"
    return _judged(host, version or "", certificate or {})


def _judged(host: str, version: str, certificate: dict[str, Any]) -> Told:
    days = int((ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) // 86400)
    if days < _SOON_DAYS:
        return "warn", f"the certificate of {host} ends in {days} days", "Renew it; EHRs stop calling when it ends."
    return "ok", f"{version}, certificate of {host} for {days} more days", ""
