"""The CDS Hooks 2.0.1 card as it goes over the wire. Field names are the specification's, in snake case here.

Identifiers (`uuid` of card and suggestion, `id` of a created resource) are empty until `stamp` fills them in: they
are the only part of an answer that differs from one run to the next.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Indicator = Literal["info", "warning", "critical"]


class Coding(msgspec.Struct, frozen=True, omit_defaults=True):
    system: str
    code: str
    display: str = ""


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    label: str
    topic: Coding
    url: str = ""
    icon: str = ""


class Link(msgspec.Struct, frozen=True):
    label: str
    url: str
    type: Literal["absolute", "smart"] = "absolute"


class Action(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    type: Literal["create", "update", "delete"]
    description: str
    resource: dict[str, Any] = {}
    resource_id: str = ""


class Suggestion(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    label: str
    uuid: str = ""
    is_recommended: bool = False
    actions: tuple[Action, ...] = ()


class Card(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    summary: str
    indicator: Indicator
    source: Source
    uuid: str = ""
    detail: str = ""
    suggestions: tuple[Suggestion, ...] = ()
    selection_behavior: str = ""
    override_reasons: tuple[Coding, ...] = ()
    links: tuple[Link, ...] = ()
    extension: dict[str, Any] = {}
