"""The body of a request: read within its limit, refused when it is clearly no JSON, drained if unread."""

from __future__ import annotations

import time

from flask import Flask, Request, Response, g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import RequestEntityTooLarge

from cds_service.web.errors import Refusal

# Said by clients that mean JSON and by clients that mean something else: the first character decides.
_UNDECIDED = frozenset({"", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded", "*/*"})
_UNREADABLE = (OSError, ParseException)
"""What reading a broken off, stalled or wrongly chunked body raises."""
_DRAIN_SECONDS = 5.0
_CHUNK = 64 * 1024


def read_json(incoming: Request) -> bytes:
    """The body's bytes. Raises `Refusal` (415) and `RequestEntityTooLarge` (413)."""
    encoding = incoming.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise Refusal(415, "Content-Encoding: send the body uncompressed.", {"Accept-Encoding": "identity"})
    media_type = incoming.mimetype
    if "json" not in media_type and media_type not in _UNDECIDED:
        raise _not_json()
    body = _read(incoming)
    if "json" not in media_type and body and body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"{", b"["):
        raise _not_json()
    return body


def _read(incoming: Request) -> bytes:
    """The whole body in one read. Werkzeug's own way copies in pieces, and cuts a chunked body at the limit unsaid."""
    limit = incoming.max_content_length or 0
    length = incoming.content_length
    if length is None:
        # chunked, or no body at all: only a server that marks the end of the body may be read
        length = limit + 1 if incoming.environ.get("wsgi.input_terminated") else 0
    elif length > limit:
        raise RequestEntityTooLarge
    try:
        body: bytes = incoming.environ["wsgi.input"].read(length)
    except _UNREADABLE:
        raise Refusal(400, "body: its chunks or its end cannot be read; send it whole.") from None
    if len(body) > limit:
        raise RequestEntityTooLarge
    g.body_read = True
    return body


def _not_json() -> Refusal:
    return Refusal(415, "Content-Type: send JSON as application/json.", {"Accept": "application/json"})


def register(app: Flask) -> None:
    app.after_request(_drain)


def _drain(response: Response) -> Response:
    """Reads what an early answer left unread, or the next request on the connection would start in the middle of it.

    Bounded in bytes and time; past either the server closes the connection, which the header announces.
    """
    if response.status_code < 400 or "body_read" in g:
        return response
    environ = request.environ
    source, most = environ["wsgi.input"], 2 * (request.max_content_length or 0)
    left = request.content_length
    if left is None:
        # chunked, or no body at all: only a server that marks the end of the body may be read
        left = most if environ.get("wsgi.input_terminated") else 0
    if left > most:
        response.headers["Connection"] = "close"
        return response
    deadline = time.monotonic() + _DRAIN_SECONDS
    try:
        while left > 0 and time.monotonic() < deadline:
            chunk = source.read(min(_CHUNK, left))
            if not chunk:
                return response
            left -= len(chunk)
    except _UNREADABLE:
        left = 1
    if left > 0:
        response.headers["Connection"] = "close"
    return response
