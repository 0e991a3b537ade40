"""The detail of a card: short Markdown paragraphs and lists that read well in a narrow panel, without tables."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from cds_service.cards.describe import describe
from cds_service.cards.offers import Offered
from cds_service.cards.wording import capitalized, counted, drug_names, escape, fill, found_text, in_sentence, join
from cds_service.engine.context import Context, once
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import Contributor, Finding, Rule, TierResult
from cds_service.facts.quantities import Analyte

_MOST_GAPS = 6


class DetailWriter:
    """Writes the sections every card has: facts used, why, what was withheld, what is missing, evidence (P5).

    Every piece is Markdown-escaped where it is made: rules' wording once, what is filled in each time.
    """

    def __init__(
        self,
        context: Context,
        knowledge: Knowledge,
        names: Mapping[str, str],
        in_si: Mapping[str, Analyte] | None = None,
    ) -> None:
        self.context, self.knowledge, self.names, self.in_si = context, knowledge, names, in_si
        self.zone = context.settings.zone

    def of_finding(
        self, finding: Finding, offered: Offered, named_only: Iterable[Finding], others: list[Finding]
    ) -> str:
        """The detail of one finding's own card."""
        card = finding.rule.card
        return _joined(
            self._facts([finding]),
            _paragraph("Why", [self._fill(text, finding) for text in (finding.note, card.why, card.note) if text]),
            _list("Consider", map(escape, offered.advice)),
            self._withheld(offered),
            _list("Also found", [self._line(other) for other in named_only]),
            self._others(others),
            self._missing([finding]),
            _paragraph("Red flags", [self._fill(card.red_flags, finding)]),
            _paragraph("Follow-up", [self._fill(card.follow_up, finding)]),
            self._evidence([finding]),
            self._footer([finding], critical=finding.indicator == "critical"),
        )

    def of_summary(self, summary: Finding, folded: list[Finding], tier: TierResult, offered: Offered) -> str:
        """The detail of a summary card: every contributor with its points, and what each rule advises."""
        scored = {c.finding.rule.id for c in tier.contributors}
        unscored = [finding for finding in folded if finding.rule.id not in scored]
        contributors = [self._contributor(contributor) for contributor in tier.contributors]
        card = summary.rule.card
        return _joined(
            _paragraph("Contributor level", [f"{tier.level}, {counted(tier.points, 'point')}."]),
            _list("What contributes", contributors),
            _list("Also found", [self._line(finding) for finding in unscored]),
            self._facts([summary, *(c.finding for c in tier.contributors), *unscored]),
            _list("Consider", map(escape, offered.advice)),
            self._about_medicines([*(c.finding for c in tier.contributors), *folded]),
            self._withheld(offered),
            self._not_assessed(tier),
            self._missing([summary, *folded]),
            _paragraph(
                "What the level is not",
                [self._fill(self.knowledge.tier.is_not if self.knowledge.tier else "", summary)],
            ),
            _paragraph("Why", [self._fill(text, summary) for text in (card.why, card.note) if text]),
            _paragraph("Red flags", [self._fill(card.red_flags, summary)]),
            _paragraph("Follow-up", [self._fill(card.follow_up, summary)]),
            self._evidence([summary, *folded]),
            self._footer([summary, *folded], critical=False),
        )

    # -- sections

    def _fill(self, text: str, finding: Finding) -> str:
        return fill(text, finding.bound, self.zone, markdown=True)

    def _line(self, finding: Finding) -> str:
        return self._fill(finding.line, finding)

    def _contributor(self, contributor: Contributor) -> str:
        finding = contributor.finding
        # background factors have no advice of their own: their name is all there is to say
        line = (
            self._line(finding)
            if finding.line
            else escape(capitalized(contributor_name(finding, self.context, self.names)))
        )
        points = counted(contributor.points, "point") if contributor.points else "no further points"
        return f"{line} ({points})"

    def _facts(self, findings: list[Finding]) -> str:
        facts = once(fact for finding in findings for fact in finding.evidence)
        lines = dict.fromkeys(describe(fact, self.names, self.zone, self.in_si) for fact in facts)
        return _list("Facts used", [escape(line) for line in lines])

    def _withheld(self, offered: Offered) -> str:
        lines = [escape(f"{one.treatment} not offered: {one.reason} [{one.row}]") for one in offered.withheld]
        return _list("Not offered", lines)

    def _others(self, others: list[Finding]) -> str:
        names = [contributor_name(finding, self.context, self.names) for finding in others]
        if not names:
            return ""
        caution = self.knowledge.output["contributor_note"] if _name_medicines(others) else ""
        return _paragraph("Other contributors on record", [f"{escape(join(names))}.", escape(caution)])

    def _about_medicines(self, findings: list[Finding]) -> str:
        """No medicine is named as a contributor without a word against stopping it (HZ-47)."""
        caution = self.knowledge.output["contributor_note"] if _name_medicines(findings) else ""
        return _paragraph("Medicines", [escape(caution)])

    def _not_assessed(self, tier: TierResult) -> str:
        if not tier.not_assessed:
            return ""
        return _paragraph(
            "Not assessed", [f"{escape(join([in_sentence(name) for name in tier.not_assessed]))} (no usable result)."]
        )

    def _missing(self, findings: list[Finding]) -> str:
        missing = set(self.context.facts.not_supplied)
        for finding in findings:
            missing.update(finding.missing)
        lines = [f"{kind.replace('-', ' ').capitalize()} were not supplied" for kind in sorted(missing)]
        lines += [gap.text for gap in self.context.facts.gaps if gap.kind != "not-supplied"]
        lines = list(dict.fromkeys(lines))
        if len(lines) > _MOST_GAPS:
            lines = [*lines[:_MOST_GAPS], f"and {len(lines) - _MOST_GAPS} more"]
        return _list("Data that are missing", map(escape, lines))

    def _evidence(self, findings: list[Finding]) -> str:
        lines: dict[str, None] = {}
        for finding in findings:
            lines.update(dict.fromkeys(_evidence_lines(finding.rule, self.knowledge)))
        return _list("Evidence", lines)

    def _footer(self, findings: list[Finding], critical: bool) -> str:
        rules = ", ".join(f"{f.rule.number} {f.rule.id} {f.rule.version}" for f in findings)
        told = f"Rules: {rules}. Knowledge version {self.knowledge.version}, {self.knowledge.status}."
        told = f"{told} {escape(self.knowledge.output['not_automatic'])}"
        if critical:
            return f"This card is a {self.knowledge.output['supplement_note']}.\n\n{told}"
        return told


def _name_medicines(findings: Iterable[Finding]) -> bool:
    return any(finding.rule.group == "medicines" for finding in findings)


@functools.lru_cache(maxsize=512)
def _evidence_lines(rule: Rule, knowledge: Knowledge) -> tuple[str, ...]:
    """The evidence of one rule, written out once for each ruleset."""
    cited = ((item, knowledge.references[item.cites]) for item in rule.evidence)
    return tuple(escape(f"{item.claim} ({item.strength}) - {reference.citation}") for item, reference in cited)


def _joined(*sections: str) -> str:
    return "\n\n".join(section for section in sections if section)


def _paragraph(title: str, sentences: Iterable[str]) -> str:
    text = " ".join(sentence for sentence in sentences if sentence)
    return f"**{title}:** {text}" if text else ""


def _list(title: str, lines: Iterable[str]) -> str:
    items = [f"- {line}" for line in lines if line]
    return f"**{title}**\n\n" + "\n".join(items) if items else ""


def contributor_name(finding: Finding, context: Context, names: Mapping[str, str]) -> str:
    """How a contributor is called in a list: its own wording, else its drugs, else the rule's title."""
    zone = context.settings.zone
    if finding.rule.card.name:
        words = {**finding.bound, "found": found_text(finding.bound, names, zone)}
        return in_sentence(fill(finding.rule.card.name, words, zone))
    drugs: Any = finding.bound.get("drug")
    if isinstance(drugs, tuple) and drugs:
        return join(drug_names(drugs))
    return in_sentence(finding.rule.title)
