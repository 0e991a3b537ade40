"""What was pasted or dropped into the form. It is read from memory, never written to a disk, and gone afterwards."""

from __future__ import annotations

import io
from typing import IO, Any

import msgspec
from flask import Request, g
from werkzeug.formparser import FormDataParser


class Sent(msgspec.Struct, frozen=True):
    body: bytes
    hook: str
    file_name: str = ""


def read_form(incoming: Request) -> Sent:
    """The form's content; a file stands before the text. Raises `RequestEntityTooLarge`."""
    limit = incoming.max_content_length
    parser = FormDataParser(_in_memory, max_form_memory_size=limit, max_content_length=limit, max_form_parts=10)
    _, form, files = parser.parse_from_environ(incoming.environ)
    g.body_read = True
    hook = form.get("hook", "")
    file = files.get("file")
    if file is not None and file.filename:
        return Sent(file.read(), hook, file.filename)
    return Sent(form.get("text", "").encode(), hook)


def _in_memory(*_: Any, **__: Any) -> IO[bytes]:
    """werkzeug's own way puts what is larger than 500 kB into a temporary file."""
    return io.BytesIO()
