"""The detail of a card: short Markdown paragraphs and lists that read well in a narrow panel, without tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cds_service.cards.describe import describe
from cds_service.cards.offers import Offered
from cds_service.cards.wording import capitalized, counted, drug_names, escape, fill, in_sentence, join
from cds_service.engine.context import Context
from cds_service.engine.loader import Knowledge
from cds_service.engine.model import Finding, TierResult

_MOST_GAPS = 6


class DetailWriter:
    """Writes the sections every card has: facts used, why, what was withheld, what is missing, evidence (P5)."""

    def __init__(self, context: Context, knowledge: Knowledge, names: Mapping[str, str]) -> None:
        self.context, self.knowledge, self.names = context, knowledge, names
        self.zone = context.settings.zone

    def of_finding(
        self, finding: Finding, offered: Offered, named_only: Iterable[Finding], others: list[Finding]
    ) -> str:
        """The detail of one finding's own card."""
        card = finding.rule.card
        parts = [
            self._facts([finding]),
            self._paragraph("Why", [self._fill(text, finding) for text in (finding.note, card.why, card.note) if text]),
            self._list("Consider", offered.advice),
            self._withheld(offered),
            self._list("Also found", [self.line(other) for other in named_only]),
            self._others(others),
            self._missing([finding]),
            self._paragraph("Red flags", [card.red_flags]),
            self._paragraph("Follow-up", [card.follow_up]),
            self._evidence([finding]),
            self._footer([finding], critical=finding.indicator == "critical"),
        ]
        return "\n\n".join(part for part in parts if part)

    def of_summary(self, summary: Finding, folded: list[Finding], tier: TierResult, offered: Offered) -> str:
        """The detail of a summary card: every contributor with its points, and what each rule advises."""
        scored = {c.finding.rule.id for c in tier.contributors}
        contributors = [self._contributor(c.finding, counted(c.points, "point")) for c in tier.contributors]
        others = [self.line(finding) for finding in folded if finding.rule.id not in scored]
        shown = [*(c.finding for c in tier.contributors), *(f for f in folded if f.rule.id not in scored)]
        card = summary.rule.card
        parts = [
            self._paragraph("Contributor level", [f"{tier.level}, {counted(tier.points, 'point')}."]),
            self._list("What contributes", contributors),
            self._list("Also found", others),
            self._facts(shown),
            self._list("Consider", offered.advice),
            self._withheld(offered),
            self._not_assessed(tier),
            self._missing([summary, *folded]),
            self._paragraph("What the level is not", [self.knowledge.tier.is_not if self.knowledge.tier else ""]),
            self._paragraph("Why", [self._fill(text, summary) for text in (card.why, card.note) if text]),
            self._paragraph("Red flags", [card.red_flags]),
            self._paragraph("Follow-up", [card.follow_up]),
            self._evidence([summary, *folded]),
            self._footer([summary, *folded], critical=False),
        ]
        return "\n\n".join(part for part in parts if part)

    def line(self, finding: Finding) -> str:
        """A finding in one line: its summary part."""
        return self._fill(finding.rule.card.part or finding.summary, finding)

    def _contributor(self, finding: Finding, points: str) -> str:
        name = capitalized(contributor_name(finding, self.context))
        line = self._fill(finding.rule.card.part, finding)
        return f"{line} ({points})" if line else f"{name} ({points})"

    # -- sections

    def _fill(self, text: str, finding: Finding) -> str:
        return fill(text, finding.bound, self.zone)

    def _facts(self, findings: list[Finding]) -> str:
        facts: dict[str, None] = {}
        for finding in findings:
            for fact in finding.evidence:
                facts.setdefault(describe(fact, self.names, self.zone))
        return self._list("Facts used", [fact for fact in facts if fact])

    def _withheld(self, offered: Offered) -> str:
        return self._list(
            "Not offered", [f"{one.treatment} not offered: {one.reason} [{one.row}]" for one in offered.withheld]
        )

    def _others(self, others: list[Finding]) -> str:
        names = [contributor_name(finding, self.context) for finding in others]
        return self._paragraph("Other contributors on record", [f"{join(names)}."] if names else [])

    def _not_assessed(self, tier: TierResult) -> str:
        if not tier.not_assessed:
            return ""
        return self._paragraph("Not assessed", [f"{join(list(tier.not_assessed))} (no usable result)."])

    def _missing(self, findings: list[Finding]) -> str:
        missing = {kind for finding in findings for kind in finding.missing} | self.context.facts.not_supplied
        lines = [f"{kind.replace('-', ' ').capitalize()} were not supplied" for kind in sorted(missing)]
        lines += [gap.text for gap in self.context.facts.gaps if gap.kind != "not-supplied"]
        lines = list(dict.fromkeys(lines))
        if len(lines) > _MOST_GAPS:
            lines = [*lines[:_MOST_GAPS], f"and {len(lines) - _MOST_GAPS} more"]
        return self._list("Data that are missing", lines)

    def _evidence(self, findings: list[Finding]) -> str:
        lines: dict[str, None] = {}
        for finding in findings:
            for item in finding.rule.evidence:
                reference = self.knowledge.references[item.cites]
                lines.setdefault(f"{item.claim} ({item.strength}) - {reference.citation}")
        return self._list("Evidence", lines)

    def _footer(self, findings: list[Finding], critical: bool) -> str:
        rules = ", ".join(f"{f.rule.number} {f.rule.id} {f.rule.version}" for f in findings)
        sentences = [
            f"Rules: {escape(rules)}. Knowledge version {self.knowledge.version}, draft for clinical sign-off."
        ]
        if critical:
            sentences.insert(0, f"This card is a {self.knowledge.output['supplement_note']}.")
        return "\n\n".join(sentences)

    def _paragraph(self, title: str, sentences: Iterable[str]) -> str:
        text = " ".join(escape(sentence) for sentence in sentences if sentence)
        return f"**{title}:** {text}" if text else ""

    def _list(self, title: str, lines: Iterable[str]) -> str:
        items = [f"- {escape(line)}" for line in lines if line]
        return "\n".join([f"**{title}**", "", *items]) if items else ""


def contributor_name(finding: Finding, context: Context) -> str:
    """How a contributor is called in a list: its own wording, else its drugs, else the rule's title."""
    if finding.rule.card.name:
        return in_sentence(fill(finding.rule.card.name, finding.bound, context.settings.zone))
    drugs: Any = finding.bound.get("drug")
    if isinstance(drugs, tuple) and drugs:
        return join(drug_names(drugs))
    return in_sentence(finding.rule.title)
