"""Findings to finished cards: selected, with their offers, without duplicates, written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cds_service.cards.detail import DetailWriter, contributor_name
from cds_service.cards.drafts import Subject
from cds_service.cards.handout import address, choose
from cds_service.cards.hold_back import CardBasis, HeldBack, History, HoldBack, parts_of
from cds_service.cards.model import Card, Coding, Link, Source
from cds_service.cards.offers import Offered, OfferResolver, without_duplicates
from cds_service.cards.select import ORDER_HOOKS, Selection, named_on_summary, others, select
from cds_service.cards.wording import counted, fill_summary, join
from cds_service.engine.context import Context
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import Decision, Finding, TierResult
from cds_service.facts.quantities import Analyte

ASSESSMENT_EXTENSION = "org.legcramp.assessment"
_STRONGEST = 3


class Composer:
    """Composes the cards of one assessment."""

    def __init__(
        self,
        context: Context,
        knowledge: Knowledge,
        names: Mapping[str, str],
        digest: str,
        gates: Mapping[str, str],
        history: History | None = None,
        in_si: Mapping[str, Analyte] | None = None,
    ) -> None:
        self.context, self.knowledge, self.digest, self.gates = context, knowledge, digest, gates
        self.names = names
        self.hold_back = HoldBack(history, knowledge.lasting_reasons, context.now, context.settings.hold_back_at_most)
        self.bases: list[CardBasis] = []
        """What each card rests on, in the order of the cards."""
        self.silent: list[CardBasis] = []
        """What rules found that this client runs silently."""
        self.held_back: list[HeldBack] = []
        facts = context.facts
        subject = Subject(facts.patient.id, facts.encounter_id, context.now, context.settings.zone)
        self.offers = OfferResolver(context, knowledge, names, gates.get("no-doses", ""), subject)
        self.writer = DetailWriter(context, knowledge, names, in_si)

    @property
    def decisions(self) -> dict[str, Decision]:
        """What each gate that was asked decided."""
        return self.offers.decisions

    def cards(self) -> tuple[Card, ...]:
        """All cards of this hook, most urgent first, the summary card last."""
        selection = select(self.context, self.knowledge, "only-critical" in self.gates, self.hold_back)
        self.held_back = selection.held_back
        self.silent = [self._basis(finding, [], None) for finding in selection.silent]
        offered = [self.offers.resolve([finding]) for finding in selection.cards]
        if selection.summary is not None:
            folded = [selection.summary, *selection.folded]
            offered.append(self.offers.resolve(folded, treatments_allowed=not self.context.quiet))
        without_duplicates(offered, self.knowledge.orders)
        cards = [
            self._finding_card(finding, offer, selection, is_first=i == 0, is_last=i == len(selection.cards) - 1)
            for i, (finding, offer) in enumerate(zip(selection.cards, offered, strict=False))
        ]
        if selection.summary is not None:
            cards.append(self._summary_card(selection.summary, selection.folded, offered[-1]))
        return tuple(cards)

    def _finding_card(
        self, finding: Finding, offered: Offered, selection: Selection, is_first: bool, is_last: bool
    ) -> Card:
        named = selection.named_only if is_last else []
        self.bases.append(self._basis(finding, named, None))
        unnamed = others(self.context, [*selection.cards, *named]) if self._names_others(selection, is_first) else []
        return self._card(
            finding,
            summary=fill_summary(finding.summary, finding.bound, self.context.settings.zone),
            detail=self.writer.of_finding(finding, offered, named, unnamed),
            offered=offered,
            rules=[finding, *named],
        )

    def _names_others(self, selection: Selection, is_first: bool) -> bool:
        """R64: when a warning or critical card is shown instead of it, that card names the other contributors."""
        if not is_first or not self.context.quiet or selection.summary is not None:
            return False
        return self.context.facts.hook not in ORDER_HOOKS

    def _summary_card(self, summary: Finding, folded: list[Finding], offered: Offered) -> Card:
        tier = self.context.tier
        assert tier is not None  # summary rules ask the tier, so a ruleset that has them has one
        self.bases.append(self._basis(summary, named_on_summary(folded, tier), tier))
        reviewable = [c for c in tier.contributors if c.group != "background"]
        strongest = [contributor_name(c.finding, self.context, self.names) for c in tier.contributors if c.points > 0]
        words: dict[str, Any] = {
            "tier": tier.level,
            "points": tier.points,
            "reviewable": len(reviewable),
            "factors": counted(len(reviewable), "reviewable factor"),
            "strongest": join(strongest[:_STRONGEST]),
        }
        zone = self.context.settings.zone
        text = fill_summary(summary.summary, words, zone)
        if text.endswith("..."):
            text = fill_summary(summary.summary, {**words, "strongest": join(strongest[:2])}, zone)
        return self._card(
            summary,
            summary=text,
            detail=self.writer.of_summary(summary, folded, tier, offered),
            offered=offered,
            rules=[summary, *named_on_summary(folded, tier)],
        )

    def _basis(self, finding: Finding, named: list[Finding], tier: TierResult | None) -> CardBasis:
        assert finding.indicator is not None  # silent findings have no card
        return CardBasis(finding.rule.id, finding.rule.topic, finding.indicator, parts_of(finding, named, tier))

    def _card(self, finding: Finding, summary: str, detail: str, offered: Offered, rules: list[Finding]) -> Card:
        rule, knowledge, base = finding.rule, self.knowledge, self.context.settings.public_base_url
        assert finding.indicator is not None  # silent findings have no card
        suggestions = tuple(self.offers.suggestions(offered))
        links = [Link("About this rule", f"{base}/rules/{rule.id}")]
        if offered.handout and knowledge.handout is not None:
            codes = choose(self.context, knowledge.handout)
            link = address(base, codes, knowledge.handout.default_language)
            links.insert(0, Link("Patient handout: leg cramps", link))
        return Card(
            summary=summary,
            indicator=finding.indicator,
            detail=detail,
            source=Source(
                label=knowledge.output["source_label"],
                url=f"{base}/",
                icon=f"{base}/static/icon.png",
                topic=Coding(knowledge.output["topic_system"], rule.topic, rule.title),
            ),
            suggestions=suggestions,
            selection_behavior="any" if suggestions else "",
            override_reasons=tuple(
                Coding(knowledge.override_system, code, knowledge.override_reasons[code])
                for code in finding.override_reasons
            ),
            links=tuple(links),
            extension={
                ASSESSMENT_EXTENSION: {
                    "rules": list(dict.fromkeys(one.rule.id for one in rules)),
                    "knowledge": knowledge.version,
                    "ruleset": self.digest,
                }
            },
        )
