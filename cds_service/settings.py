"""What a site and a client may set. Read once at start; handed to `assess`, which reads no environment of its own."""

from __future__ import annotations

from datetime import tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec


class ClientProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What one EHR can take. Defaults are CDS Hooks 2.0.1 as published."""

    one_action_per_suggestion: bool = False
    """Such a client is offered tests one by one, and never a treatment, which would be parted from its test."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The switches that change an assessment.

    `public_base_url` is where clients reach this service (no trailing slash); links in cards start with it.
    `zone` says what a bare day means. `region` picks the wording and indicator profile.
    `risk_summary` is the switch of rule `cramp-risk-summary`.
    """

    public_base_url: str = "http://127.0.0.1:8080"
    zone: tzinfo = ZoneInfo("UTC")
    region: Literal["us", "uk"] = "us"
    risk_summary: Literal["default", "high-only", "any-moderate", "off"] = "default"
    client: ClientProfile = ClientProfile()
