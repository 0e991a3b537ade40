"""Addresses of static files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

from flask import current_app, url_for


def asset(name: str) -> str:
    """The address of a static file; it changes with the content, so that no browser keeps an old one."""
    known: dict[str, str] = current_app.extensions.setdefault("assets", {})
    if name not in known or current_app.debug:
        content = (Path(cast(str, current_app.static_folder)) / name).read_bytes()
        known[name] = hashlib.sha256(content).hexdigest()[:12]
    return url_for("static", filename=name, v=known[name])
