"""What a site and a client may set. Read once at start; handed to `assess`, which reads no environment of its own."""

from __future__ import annotations

from datetime import timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec


class OrderCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code under which one EHR knows something that can be ordered."""

    system: str
    code: str
    display: str = ""


class ClientProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What one EHR can take. Defaults are CDS Hooks 2.0.1 as published; `clients.profiles` has named ones."""

    one_action_per_suggestion: bool = False
    """Such a client is offered tests one by one, and never a treatment, which would be parted from its test."""
    selection_behavior: Literal["as-is", "any", "at-most-one"] = "as-is"
    """Said for every card with suggestions instead of what the card says."""
    orderables: dict[str, OrderCode] = {}
    """`system|code` of a proposed order to the code of this site for it."""
    code_systems: dict[str, str] = {}
    """URI of a code system to the URI that this client uses for it."""
    accepted_systems: frozenset[str] = frozenset()
    """Where not empty: a proposed order without a code of these systems becomes a line of text, not a suggestion."""
    detail: Literal["markdown", "plain"] = "markdown"
    detail_type: bool = False
    """Whether an extension of the card tells the format of its detail."""
    prefetch_keys: dict[str, str] = {}
    """The client's own prefetch keys to ours."""
    same_id: bool = False
    """One service id for all hooks, so that the cards of a later hook replace those of an earlier one."""
    legacy10: bool = False
    """Nothing that CDS Hooks 1.0 does not know: members that came later are left out, `delete` names the order
    in `resource`."""
    feedback: Literal["standard", "epic"] = "standard"
    """The shape in which feedback comes."""


STANDARD = ClientProfile()


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
    client: ClientProfile = STANDARD
    silent_rules: frozenset[str] = frozenset()
    """Rules that this client runs without showing: recorded, on no card, and without points in the tier."""
    hold_back_at_most: timedelta | None = None
    """Shortens how long an overridden card stays back; zero: it does not, None: as the override reasons say."""

    @property
    def shows_si(self) -> bool:
        """Whether results that were reported in other units are shown in SI too (section 8)."""
        return self.region == "uk"
