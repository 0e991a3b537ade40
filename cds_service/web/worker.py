"""How a worker process refuses what is no HTTP, and what it says of its own faults: never a byte of a request.

gunicorn answers such requests itself, in HTML that repeats part of the request line, and writes the same to its log. A
request line may hold a patient's name. Here the answer is an OperationOutcome like any other, and the log names the
kind of mistake.
"""

from __future__ import annotations

import sys
from ssl import SSLError
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]

from cds_service.telemetry.log import make_log, where_raised
from cds_service.web.capacity import BoundedWorker, refusal

_BAD = (400, "Bad Request", "The request is not valid HTTP.")
_REFUSALS: tuple[tuple[type[Exception], tuple[int, str, str]], ...] = (
    (
        errors.LimitRequestLine,
        (414, "URI Too Long", "The request line is too long; nothing here needs a long address."),
    ),
    (errors.LimitRequestHeaders, (431, "Request Header Fields Too Large", "Too many headers, or too large ones.")),
    (errors.UnsupportedTransferCoding, (501, "Not Implemented", "This transfer coding is not served.")),
    (errors.ExpectationFailed, (417, "Expectation Failed", "This expectation cannot be met.")),
    (errors.ForbiddenProxyRequest, (403, "Forbidden", "The request is not taken from this address.")),
    (SSLError, _BAD),
    # what the application itself wanted to send is no fault of the client's
    (errors.InvalidResponseHeader, (500, "Internal Server Error", "")),
    (errors.InvalidResponseHeaderName, (500, "Internal Server Error", "")),
    (errors.ConfigurationProblem, (500, "Internal Server Error", "")),
    (errors.ParseException, _BAD),
)
_FAULT = (500, "Internal Server Error", "")
_NO_ALL_CLEAR = "The service failed to answer. Nothing was assessed; this is no all-clear."


class Worker(BoundedWorker):
    """The worker that takes on no more than it can, silent about what it was sent."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answers what never reached the application. Called by gunicorn, once for a connection, which then ends."""
        status, reason, text = next((told for kind, told in _REFUSALS if isinstance(exc, kind)), _FAULT)
        code = "exception" if status == 500 else "invalid"
        self.note_refusal(status, where_raised(exc))
        try:
            util.write_nonblock(client, refusal(status, reason, code, text or _NO_ALL_CLEAR))
        except OSError:
            # whoever sent this is gone
            return


class ServerLog(Logger):  # type: ignore[misc]
    """gunicorn's own log of starts and stops, in which an exception is its kind and code line only."""

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """`msg` and `args` may hold an address that was asked for: neither is written."""
        error = sys.exc_info()[1]
        fault = where_raised(error) if error is not None else "unknown"
        make_log().error("server-fault", fault=fault)
