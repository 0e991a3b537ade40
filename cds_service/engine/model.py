"""Rules, gates, orders and tiers as loaded, and the Findings that come of them. Plain frozen data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from cds_service.engine.verdicts import Verdict, VerdictName
from cds_service.facts.model import Measurement

if TYPE_CHECKING:
    from cds_service.engine.context import Context

Indicator = Literal["info", "warning", "critical"]
INDICATORS: tuple[Indicator, ...] = ("info", "warning", "critical")

Test = Callable[["Context"], Verdict]
"""A compiled criterion."""


class NoResultSince(msgspec.Struct, frozen=True):
    """What `no_result` binds: the newest older result, None when there is none on record."""

    latest: Measurement | None


class Evidence(msgspec.Struct, frozen=True):
    claim: str
    cites: str
    strength: str


class Reference(msgspec.Struct, frozen=True):
    """A published source; `checked` says whether its details were checked against the publication."""

    id: str
    citation: str
    url: str = ""
    checked: bool = False


class ReviewLimits(msgspec.Struct, frozen=True):
    """From which rates on a rule is to be reviewed, in percent of `at_least` cards or more (section 8)."""

    overridden_above: int
    accepted_below: int
    at_least: int


class Offer(msgspec.Struct, frozen=True):
    """One thing a rule offers: an order, a gated treatment, a review, a deletion of the draft, or text."""

    kind: Literal["order", "gate", "review", "delete", "advice", "handout"]
    of: str
    """Id of the order or gate; the binding that names the drugs for `review` and `delete`; the text for `advice`."""
    priority: str = "routine"
    question: str = ""
    """For `review`: what the reviewer is asked, a template."""
    test: Test | None = None
    """Offered only when this is a yes."""
    unless_ordered_within: timedelta | None = None


class Band(msgspec.Struct, frozen=True):
    id: str
    test: Test | None
    indicator: Indicator
    points: int
    summary: str = ""
    note: str = ""
    offers: tuple[Offer, ...] | None = None
    """Replaces the rule's offers when given."""
    drop_override: tuple[str, ...] = ()
    source: str = ""


class Unless(msgspec.Struct, frozen=True):
    test: Test
    because: str


class Window(msgspec.Struct, frozen=True):
    """Beyond `full` the indicator falls by one level and points no longer count."""

    full: timedelta
    of: str
    """The binding whose age counts."""
    tests_only: bool


class CardText(msgspec.Struct, frozen=True):
    summary: str = ""
    name: str = ""
    """How the contributor is called in a list, a template; by default its drugs or the rule's title."""
    part: str = ""
    """The line of this rule inside a summary card."""
    why: str = ""
    follow_up: str = ""
    red_flags: str = ""
    note: str = ""


class Rule(msgspec.Struct, frozen=True, eq=False):
    id: str
    number: str
    title: str
    version: str
    status: Literal["draft", "active", "retired"]
    hooks: frozenset[str]
    kind: Literal["finding", "summary"]
    when: Test
    unless: tuple[Unless, ...]
    bands: tuple[Band, ...]
    window: Window | None
    group: str
    family: str
    in_quiet_mode: Literal["critical", "warning"]
    info_in_quiet_mode: Test | None
    card: CardText
    offers: tuple[Offer, ...]
    override_reasons: tuple[str, ...]
    evidence: tuple[Evidence, ...]
    file: str = ""
    data: dict[str, Any] = {}
    """The file as written, for the catalogue and the exports."""

    @property
    def topic(self) -> str:
        """`source.topic.code`: alphanumeric and constant for this rule."""
        return str(self.data.get("topic", self.id)).replace("-", "")

    @property
    def order_of(self) -> int:
        return int(self.number[1:])


class GateRow(msgspec.Struct, frozen=True):
    id: str
    test: Test | None
    forbid: str = ""
    """Why not, as shown to the clinician; empty when the row allows."""
    allow: dict[str, Any] | None = None
    """What is drafted; nothing where an advice is allowed."""
    offers: tuple[Offer, ...] = ()
    cites: tuple[str, ...] = ()


class ThenRow(msgspec.Struct, frozen=True):
    test: Test | None
    value: dict[str, Any]


class Gate(msgspec.Struct, frozen=True):
    """A first-match table that decides whether, and at which dose, a treatment may be offered, or an advice given."""

    id: str
    title: str
    treats: str
    """The column of the sweep; empty for a table about an advice, which criteria ask (`gate: compression`)."""
    rows: tuple[GateRow, ...]
    then: dict[str, tuple[ThenRow, ...]]
    monitoring: str = ""
    """Id of the order that goes into the same suggestion."""
    advice: tuple[ThenRow, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """What a gate said. `draft` is None when it forbids."""

    gate: str
    row: str
    reason: str = ""
    draft: dict[str, Any] | None = None
    offers: tuple[Offer, ...] = ()
    advice: tuple[str, ...] = ()
    unknown: bool = False
    bound: dict[str, Any] = {}
    evidence: tuple[Any, ...] = ()
    """The facts on which the deciding row rests."""


class Finding(msgspec.Struct, frozen=True):
    """What one rule says about one patient. `indicator` is None when the finding is silent or did not fire."""

    rule: Rule
    verdict: VerdictName
    band: str = ""
    indicator: Indicator | None = None
    points: int = 0
    lowered: bool = False
    silenced: str = ""
    """Why an `unless` kept it quiet."""
    bound: dict[str, Any] = {}
    evidence: tuple[Any, ...] = ()
    """The facts it rests on."""
    missing: tuple[str, ...] = ()
    summary: str = ""
    line: str = ""
    """The finding in one line, inside a summary card."""
    note: str = ""
    offers: tuple[Offer, ...] = ()
    override_reasons: tuple[str, ...] = ()

    @property
    def fired(self) -> bool:
        return self.verdict == "yes" and not self.silenced


class Contributor(msgspec.Struct, frozen=True):
    """A finding with points of its own. `points` is what counts: zero where its family counts another member."""

    finding: Finding
    points: int
    group: str


class TierResult(msgspec.Struct, frozen=True):
    level: str
    points: int
    contributors: tuple[Contributor, ...]
    not_assessed: tuple[str, ...] = ()
    """Display names of the analytes without a usable result."""
