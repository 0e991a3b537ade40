"""What the catalogue hands out: rules, gates and tables as plain frozen data, for a page or for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

Place = Literal["", "value-set", "fact", "rule", "gate", "slot"]


class Run(msgspec.Struct, frozen=True):
    """A stretch of words, and what it names. A slot is a place in a wording that the patient's record fills."""

    text: str
    to: Place = ""
    id: str = ""


Words = tuple[Run, ...]


def plain(words: Words) -> str:
    return "".join(f"[{run.text}]" if run.to == "slot" else run.text for run in words)


class Said(msgspec.Struct, frozen=True):
    """One criterion in words; a combination is a heading (`all of`) over its parts."""

    words: Words
    parts: tuple[Said, ...] = ()
    because: str = ""

    @property
    def text(self) -> str:
        return plain(self.words)

    def runs(self) -> Iterator[Run]:
        yield from self.words
        for part in self.parts:
            yield from part.runs()


class Link(msgspec.Struct, frozen=True):
    label: str
    url: str


class Source(msgspec.Struct, frozen=True):
    """A reference, with the addresses at which it can be read."""

    id: str
    citation: str
    checked: bool
    """Whether its details were checked against the publication."""
    links: tuple[Link, ...] = ()


class EvidenceView(msgspec.Struct, frozen=True):
    claim: str
    strength: str
    source: Source


class OfferView(msgspec.Struct, frozen=True):
    """One suggestion. `gate` names the table that a treatment has to pass."""

    words: Words
    kind: str
    priority: str = ""
    only_if: Said | None = None
    not_if_ordered: str = ""
    gate: str = ""
    because: str = ""


class BandView(msgspec.Struct, frozen=True):
    id: str
    indicator: str
    points: int
    when: Said | None = None
    """None: everything that no band above has taken."""
    summary: Words = ()
    note: Words = ()
    offers: tuple[OfferView, ...] | None = None
    """None: those of the rule."""
    without_override: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()


class Counted(msgspec.Struct, frozen=True):
    """How many codes of one code system."""

    system: str
    count: int
    prefixes: int = 0
    """Codes that stand for themselves and everything below them."""


class SetView(msgspec.Struct, frozen=True):
    """A value set, told in one line."""

    id: str
    title: str
    counts: tuple[Counted, ...]


class ResultView(msgspec.Struct, frozen=True):
    """A laboratory result or other measurement: what counts as one, in which units."""

    id: str
    name: str
    accepted: SetView
    units: tuple[str, ...]
    plausible: str = ""
    computed: str = ""
    """How it is completed when it is not reported."""
    source: str = ""


class FactView(msgspec.Struct, frozen=True):
    id: str
    title: str
    said: Said
    cites: tuple[str, ...]
    file: str
    note: str = ""


class ScenarioView(msgspec.Struct, frozen=True):
    """One line of a rule's truth table."""

    name: str
    case: tuple[str, ...]
    expected: tuple[str, ...]


class RowView(msgspec.Struct, frozen=True):
    """A row of a gate: forbids with a reason, or allows a dose."""

    id: str
    when: Said | None
    forbid: Words = ()
    allow: str = ""
    offers: tuple[OfferView, ...] = ()
    cites: tuple[str, ...] = ()


class ThenView(msgspec.Struct, frozen=True):
    when: Said | None
    words: str
    cites: tuple[str, ...] = ()


class ThenTable(msgspec.Struct, frozen=True):
    title: str
    rows: tuple[ThenView, ...]


class Named(msgspec.Struct, frozen=True):
    """Something with a page of its own."""

    id: str
    title: str
    number: str = ""


class Uses(msgspec.Struct, frozen=True):
    """Everything that criteria of a page refer to, also through facts."""

    facts: tuple[FactView, ...] = ()
    results: tuple[ResultView, ...] = ()
    value_sets: tuple[SetView, ...] = ()
    rules: tuple[Named, ...] = ()


class GateView(msgspec.Struct, frozen=True):
    id: str
    title: str
    version: str
    file: str
    treats: str
    advises: str
    """What a table about an advice is for; such a table has no drug, no sweep and no freeze."""
    monitoring: str
    rows: tuple[RowView, ...]
    then: tuple[ThenTable, ...]
    cites: tuple[str, ...]
    used_by: tuple[Named, ...]
    sweep: tuple[SweepView, ...]
    freeze: tuple[FreezeView, ...]
    uses: Uses
    sources: tuple[Source, ...]


class Override(msgspec.Struct, frozen=True):
    code: str
    text: str
    not_in: tuple[str, ...] = ()
    """Bands that do not offer it."""


class SiteView(msgspec.Struct, frozen=True):
    """One thing that the site does otherwise than the rule as it was published."""

    at: str
    before: str
    """Empty where something was added."""
    after: str
    because: str


class RuleView(msgspec.Struct, frozen=True):
    id: str
    number: str
    title: str
    version: str
    status: str
    reviewed_on: str
    kind: str
    topic: str
    hooks: tuple[str, ...]
    file: str
    when: Said
    unless: tuple[Said, ...]
    bands: tuple[BandView, ...]
    window: str
    shown: str
    """When the card is shown although no cramps are on record."""
    shown_if: Said | None
    group: str
    family: str
    summary: Words
    name: Words
    part: Words
    why: Words
    note: Words
    follow_up: Words
    red_flags: Words
    offers: tuple[OfferView, ...]
    gates: tuple[GateView, ...]
    overrides: tuple[Override, ...]
    evidence: tuple[EvidenceView, ...]
    scenarios: tuple[ScenarioView, ...]
    uses: Uses
    used_by: tuple[Named, ...]
    """Rules that look at this one's finding."""
    sources: tuple[Source, ...]
    site: tuple[SiteView, ...] = ()

    @property
    def indicators(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(band.indicator for band in self.bands))

    @property
    def points(self) -> tuple[int, ...]:
        return tuple(sorted({band.points for band in self.bands if band.points}))


class SweepView(msgspec.Struct, frozen=True):
    id: str
    when: Said
    forbid: tuple[str, ...]
    why: str


class FreezeView(msgspec.Struct, frozen=True):
    gate: Named
    on: tuple[Named, ...]
    when_critical_only: tuple[Named, ...]


class PatientGateView(msgspec.Struct, frozen=True):
    id: str
    when: Said
    then: str
    cites: tuple[str, ...]


class PointsView(msgspec.Struct, frozen=True):
    """What one rule adds to the contributor level."""

    rule: Named
    family: str
    bands: tuple[tuple[str, int], ...]


class GroupView(msgspec.Struct, frozen=True):
    id: str
    title: str
    cap: int
    rules: tuple[PointsView, ...]


class TierView(msgspec.Struct, frozen=True):
    title: str
    version: str
    file: str
    groups: tuple[GroupView, ...]
    families: tuple[tuple[str, str], ...]
    levels: tuple[tuple[str, int], ...]
    floors: tuple[tuple[str, Named, str], ...]
    not_assessed: tuple[str, ...]
    is_not: str
    cites: tuple[str, ...]


class Code(msgspec.Struct, frozen=True):
    system: str
    code: str
    display: str
    below: bool = False
    """It stands for itself and everything below it."""
    via: str = ""
    """The value set that lists it, when it is another one."""


class ValueSetView(msgspec.Struct, frozen=True):
    id: str
    title: str
    folder: str
    description: str
    version: str
    date: str
    copyright: str
    counts: tuple[Counted, ...]
    codes: tuple[Code, ...]
    """Those that the search leaves."""
    parts: tuple[SetView, ...]
    without: tuple[SetView, ...]
    part_of: tuple[Named, ...]
    used_by: tuple[Use, ...]
    measured: ResultView | None

    @property
    def total(self) -> int:
        return sum(one.count + one.prefixes for one in self.counts)


class Use(msgspec.Struct, frozen=True):
    """A rule or gate whose criteria name a value set, also through facts."""

    kind: Literal["rule", "gate"]
    named: Named
    through: str = ""
