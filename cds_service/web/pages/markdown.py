"""The detail of a card as HTML, the way an EHR would show it: rendered by one library, cleaned by another."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_RENDER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_TEXT = {"p", "br", "hr", "strong", "em", "s", "del", "code", "pre", "blockquote", "ul", "ol", "li", "a"}
_TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}


def to_html(markdown: str) -> Markup:
    """HTML without scripts, styles, images or anything else that could reach another host unasked."""
    clean = nh3.clean(
        _RENDER.render(markdown),
        tags=_TEXT | _TABLE | _HEADINGS,
        attributes={"a": {"href"}},
        url_schemes={"http", "https"},
        link_rel="noopener noreferrer",
    )
    return Markup(clean)  # noqa: S704 - cleaned in the line above
