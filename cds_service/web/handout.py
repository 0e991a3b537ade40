"""The patient handout: chosen lines in one language, as a page to print, as text, or with the evidence of each line.

The address holds codes of lines, a language and a form; no cookie is set and nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from werkzeug.exceptions import NotFound

from cds_service.engine.handout import Handout, Line, Texts, Version, Words
from cds_service.ruleset import Ruleset
from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring

blueprint = Blueprint("handout", __name__)


class Shown(msgspec.Struct, frozen=True):
    """One line as it stands on the page."""

    line: Line
    version: Version
    words: Words


class Section(msgspec.Struct, frozen=True):
    id: str
    title: str
    lines: tuple[Shown, ...]


class Mend(Exception):
    """An address that asks for what there is not; `key` names the text of the page that says how to mend it."""

    def __init__(self, key: str, **at: int) -> None:
        super().__init__(key)
        self.key, self.at = key, at


@blueprint.get("/handout")
def handout() -> Response:
    """`lines` are codes with commas between them; without it the general sheet."""
    known = _ruleset().knowledge.handout
    if known is None:
        raise NotFound
    language = request.args.get("lang", known.default_language)
    texts = known.texts.get(language, known.texts[known.default_language])
    try:
        if language not in known.texts:
            raise Mend("error_language")
        codes = wanted(known, request.args.get("lines"))
        view, form = request.args.get("view", ""), request.args.get("format", "")
        if view not in ("", "clinician") or form not in ("", "text") or (view and form):
            raise Mend("error_form")
    except Mend as mend:
        return _mended(known, texts, mend)
    sections = _sections(known, texts, codes)
    if form == "text":
        return Response(plain_text(texts, sections), content_type="text/plain; charset=utf-8")
    return make_response(
        render_template(
            "handout/clinician.html" if view else "handout/page.html",
            sections=sections,
            left_out=_left_out(known, texts, codes),
            references=_ruleset().knowledge.references,
            general=request.args.get("lines") is None,
            **_frame(known, texts),
        )
    )


def wanted(known: Handout, listed: str | None) -> frozenset[str]:
    """The codes of an address, and those every sheet has. Raises `Mend`, which never repeats what was sent."""
    if listed is None:
        return frozenset(known.general())
    by_code = known.by_code()
    places: dict[str, int] = {}
    codes = set()
    for position, code in enumerate((part.strip() for part in listed.split(",")), start=1):
        if code not in by_code:
            raise Mend("error_lines", position=position)
        line_id = by_code[code][0].id
        if line_id in places and code not in codes:
            raise Mend("error_versions", position=places[line_id], other=position)
        places[line_id] = position
        codes.add(code)
    codes.update(line.versions[-1].code for line in known.lines if line.required and line.id not in places)
    return frozenset(codes)


def plain_text(texts: Texts, sections: Sequence[Section]) -> str:
    """The sheet as text, for a message or a screen reader."""
    parts = [texts.page["title"], "=" * len(texts.page["title"]), ""]
    for section in sections:
        parts += [section.title, "-" * len(section.title)]
        for shown in section.lines:
            items = [f"  * {item}" for item in shown.words.items]
            parts += [f"* {shown.words.lead}{':' if items else ''}", *items]
        parts.append("")
    return "\n".join([*parts, texts.page["care_note"], ""])


def _sections(known: Handout, texts: Texts, codes: frozenset[str]) -> list[Section]:
    number = known.emergency_number[_config().settings.region]
    sections = []
    for section in known.sections:
        lines = tuple(
            Shown(line, version, _filled(texts.lines[version.code], number))
            for line in known.lines
            for version in line.versions
            if line.section == section and version.code in codes
        )
        if lines:
            sections.append(Section(section, texts.sections[section], lines))
    return sections


def _left_out(known: Handout, texts: Texts, codes: frozenset[str]) -> list[Shown]:
    number = known.emergency_number[_config().settings.region]
    return [
        Shown(line, version, _filled(texts.lines[version.code], number))
        for line in known.lines
        for version in line.versions
        if version.code not in codes
    ]


def _filled(words: Words, number: str) -> Words:
    def fill(text: str) -> str:
        return text.replace("{emergency}", number)

    return Words(fill(words.lead), tuple(fill(item) for item in words.items))


def _mended(known: Handout, texts: Texts, mend: Mend) -> Response:
    html = render_template(
        "handout/mend.html",
        problem=texts.page[mend.key].format_map(mend.at),
        codes=tuple(known.by_code()),
        **_frame(known, texts),
    )
    return make_response(html, 400)


def _frame(known: Handout, texts: Texts) -> dict[str, object]:
    """What every page has: its texts, the other languages, and the same sheet in another form."""

    def here(**changes: str | None) -> str:
        told = {key: request.args.get(key) for key in ("lines", "view")} | {"lang": texts.language} | changes
        query: Any = {key: value for key, value in told.items() if value is not None}
        return url_for("handout.handout", **query)

    return {
        "text": texts.page,
        "texts": texts,
        "others": [other for other in known.texts.values() if other is not texts],
        "here": here,
        "wiring": _wiring(),
    }


def _config() -> WebConfig:
    return cast(WebConfig, current_app.extensions["config"])


def _wiring() -> Wiring:
    return cast(Wiring, current_app.extensions["wiring"])


def _ruleset() -> Ruleset:
    return cast(Ruleset, _wiring().ruleset)
