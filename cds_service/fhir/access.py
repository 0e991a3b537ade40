"""May the FHIR server that a request names be asked on behalf of this client, and with which token?

Nothing here opens a connection. Whatever is not plainly allowed is no access: the assessment then goes on without,
and the integrator is told why in words that hold nothing of the request.
"""

from __future__ import annotations

import re

import msgspec

from cds_service.clients.model import ANONYMOUS, Client
from cds_service.facts.gathered import bare_id
from cds_service.facts.reading import FhirAuthorization, HookRequest
from cds_service.fhir.scopes import Scopes, read_scopes
from cds_service.fhir.servers import Server, parse_server

_TOKEN = re.compile(r"[!-~]{1,16384}", re.ASCII)


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the site allows beside the servers of each client.

    Only in development: http, a request without a token, and the anonymous caller, who may have `anonymous` servers
    asked, or any on the loopback address where there are none.
    """

    development: bool = False
    anonymous: frozenset[str] = frozenset()


class Access(msgspec.Struct, frozen=True):
    """A server that may be asked. `token` is empty only in development."""

    server: Server
    token: str
    scopes: Scopes

    def __repr__(self) -> str:
        return "Access(...)"


class NoAccess(Exception):
    """There is no usable access; the text says why, for the integrator."""


def find_access(request: HookRequest, client: Client, policy: Policy) -> Access:
    """The access that a request grants. Raises `NoAccess`."""
    server = parse_server(request.fhirServer) if request.fhirServer else None
    if server is None:
        raise NoAccess("fhirServer is not the plain base URL of a FHIR server")
    if server.scheme != "https" and not policy.development:
        raise NoAccess("fhirServer must be https")
    if not _is_allowed(server, client, policy):
        raise NoAccess("fhirServer is not one that may be asked on behalf of this client")
    given = request.fhirAuthorization
    if given is None and "fhirAuthorization" not in request.ill_typed and policy.development:
        return Access(server, "", Scopes(None))
    if given is None:
        raise NoAccess("fhirAuthorization is missing or is no object of the right members")
    token = _token(given)
    patient = request.context.patientId if request.context else None
    of_another = bool(given.patient) and bare_id(given.patient) != bare_id(patient)
    return Access(server, token, read_scopes(given.scope, of_another))


def _is_allowed(server: Server, client: Client, policy: Policy) -> bool:
    allowed = client.fhir_servers
    if client.id == ANONYMOUS.id:
        if not policy.development:
            return False
        if not policy.anonymous:
            return server.is_loopback
        allowed = policy.anonymous
    return any(one is not None and one.covers(server) for one in map(parse_server, allowed))


def _token(given: FhirAuthorization) -> str:
    """The token of a sound authorization. All five members are required (CDS Hooks, FHIR resource access)."""
    if (given.token_type or "").lower() != "bearer":
        raise NoAccess('fhirAuthorization.token_type must be "Bearer"')
    token = given.access_token or ""
    if not _TOKEN.fullmatch(token):
        raise NoAccess("fhirAuthorization.access_token is missing or cannot stand in a header")
    if given.expires_in is None or given.expires_in <= 0:
        raise NoAccess("fhirAuthorization.expires_in must be seconds that are left")
    if given.scope is None or not given.subject:
        raise NoAccess("fhirAuthorization lacks scope or subject")
    return token
