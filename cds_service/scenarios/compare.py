"""Compares what a scenario expects with what came: each difference as expected, got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from cds_service.assess import Assessment
from cds_service.cards.model import Card
from cds_service.engine.model import Finding, Rule
from cds_service.ruleset import Ruleset
from cds_service.scenarios.case import Case
from cds_service.scenarios.grammar import Scenario, listed
from cds_service.scenarios.offers import ANY_MEDICATION, ANY_ORDER, Offered, name_of, offered_on, texts_in

ASSESSMENT = "org.legcramp.assessment"
"""The extension in which a card names its rules."""


class Mismatch(msgspec.Struct, frozen=True):
    """One difference."""

    what: str
    expected: str
    got: str


class Shown(msgspec.Struct, frozen=True):
    """A card as scenarios see it."""

    rule: str
    rules: tuple[str, ...]
    card: Card
    offers: tuple[Offered, ...]

    @property
    def text(self) -> str:
        """All the words of the card, its suggestions and their resources."""
        return "\n".join(texts_in(msgspec.to_builtins(self.card)))

    def __str__(self) -> str:
        return f"{self.rule} {self.card.indicator}"


class Comparison:
    """One assessment held against what one scenario expects."""

    def __init__(self, case: Case, assessment: Assessment, ruleset: Ruleset) -> None:
        self.scenario: Scenario = case.scenario
        self.assessment, self.ruleset = assessment, ruleset
        by_topic = {rule.topic: rule.id for rule in ruleset.knowledge.rules}
        self.cards = tuple(
            Shown(
                rule=by_topic.get(card.source.topic.code, card.source.topic.code),
                rules=tuple(card.extension.get(ASSESSMENT, {}).get("rules", ())),
                card=card,
                offers=tuple(offered_on(card, ruleset.knowledge, case.calendar.now, case.settings.zone)),
            )
            for card in assessment.cards
        )
        self.known = known_words(ruleset)
        self.findings: dict[str, Finding] = {finding.rule.id: finding for finding in assessment.findings}

    def mismatches(self) -> list[Mismatch]:
        told = self.scenario.told
        if isinstance(told["expect"], str):
            return list(self._own_rule(told))
        return list(self._outcome(told["expect"]))

    # -- a rule's own truth table

    def _own_rule(self, told: dict[str, Any]) -> Iterator[Mismatch]:
        rule = next((rule for rule in self.ruleset.knowledge.rules if rule.id == self.scenario.rule), None)
        if rule is None:
            yield Mismatch("expect", told["expect"], "no rule: this form belongs into a rule's own scenarios")
            return
        finding = self.findings.get(rule.id)
        state = self._state(rule, finding)
        wanted = told["expect"]
        if state != wanted and not (wanted == "quiet" and state == "silent"):
            yield Mismatch(rule.id, wanted, f"{state} ({_why(finding)})")
            return
        shown = self._card_with(rule)
        if finding is not None and rule.kind == "finding":
            yield from _same("band", told.get("band"), finding.band)
            yield from _same("indicator", told.get("indicator"), finding.indicator or "silent")
            yield from _same("points", told.get("points"), finding.points)
        elif shown is not None:
            yield from _same("indicator", told.get("indicator"), shown.card.indicator)
            if self.assessment.tier is not None:
                yield from _same("points", told.get("points"), self.assessment.tier.points)
        if not told.keys() & {"offers", "not_offers", "summary_contains"}:
            return
        if shown is None:
            for text in listed(told.get("summary_contains", ())):
                yield from _contains("summary", text, finding.summary if finding else "")
            if "offers" in told:
                yield Mismatch(
                    "offers", ", ".join(told["offers"]), "no card shows this rule (symptoms: true makes the mode full)"
                )
            return
        yield from self._offers("", told, shown)
        for text in listed(told.get("summary_contains", ())):
            yield from _contains("summary", text, shown.card.summary)

    def _state(self, rule: Rule, finding: Finding | None) -> str:
        if rule.kind == "summary":
            return "fires" if any(shown.rule == rule.id for shown in self.cards) else "quiet"
        if finding is None:
            return "quiet"
        if finding.verdict == "unknown":
            return "unknown"
        if not finding.fired:
            return "quiet"
        return "silent" if finding.indicator is None else "fires"

    def _card_with(self, rule: Rule) -> Shown | None:
        own = [shown for shown in self.cards if shown.rule == rule.id]
        return next(iter(own or [shown for shown in self.cards if rule.id in shown.rules]), None)

    # -- the whole outcome

    def _outcome(self, expected: dict[str, Any]) -> Iterator[Mismatch]:
        if "cards" in expected:
            yield from self._cards([] if expected["cards"] == "none" else expected["cards"])
        tier = self.assessment.tier
        yield from _same("tier", expected.get("tier"), tier.level if tier else "none")
        yield from _same("points", expected.get("points"), tier.points if tier else 0)
        yield from _same("mode", expected.get("mode"), self.assessment.mode)
        for gate, row in expected.get("gates", {}).items():
            decision = self.assessment.decisions.get(gate)
            got = decision.row if decision else "not asked"
            if row not in (got, got.rstrip("abcdefgh")):  # GK4 stands for its rows GK4 and GK4b
                yield Mismatch(f"gate {gate}", row, got)
        for rule_id, wanted in expected.get("findings", {}).items():
            finding = self.findings.get(rule_id)
            if wanted not in _answers(finding):
                yield Mismatch(f"finding {rule_id}", wanted, _why(finding))
        for text in expected.get("data_gaps", ()):
            gaps = [f"{gap.kind} {gap.what}: {gap.text}" for gap in self.assessment.data_gaps]
            if not any(text.lower() in gap.lower() for gap in gaps):
                yield Mismatch("data gaps", text, " | ".join(gaps) or "none")
        for unwanted in expected.get("absent", ()):
            yield from self._absent(unwanted)
        everything = "\n".join(shown.text for shown in self.cards)
        for text in expected.get("anywhere_contains", ()):
            yield from _contains("anywhere", text, everything)
        for text in expected.get("nowhere_contains", ()):
            if text.lower() in everything.lower():
                yield Mismatch("nowhere", f"nothing like {text!r}", _around(text, everything))

    def _cards(self, expected: Sequence[dict[str, Any]]) -> Iterator[Mismatch]:
        wanted = [f"{one['rule']} {one['indicator']}" if "indicator" in one else one["rule"] for one in expected]
        got = [str(shown) for shown in self.cards]
        fits = len(wanted) == len(got) and all(
            text == want or text.rpartition(" ")[0] == want for want, text in zip(wanted, got, strict=True)
        )
        if not fits:
            yield Mismatch("cards", ", ".join(wanted) or "none", ", ".join(got) or "none")
            return
        for one, shown in zip(expected, self.cards, strict=True):
            yield from self._one_card(one, shown)

    def _one_card(self, expected: dict[str, Any], shown: Shown) -> Iterator[Mismatch]:
        where = f"card {shown.rule}: "
        yield from self._offers(where, expected, shown)
        yield from self._unknown(f"{where}rules", (*expected.get("names", ()), *expected.get("not_names", ())))
        for rule_id in expected.get("names", ()):
            if rule_id not in shown.rules:
                yield Mismatch(f"{where}rules", rule_id, ", ".join(shown.rules))
        for rule_id in expected.get("not_names", ()):
            if rule_id in shown.rules:
                yield Mismatch(f"{where}rules", f"not {rule_id}", ", ".join(shown.rules))
        for text in expected.get("contains", ()):
            yield from _contains(f"{where}text", text, shown.text)
        for text in expected.get("lacks", ()):
            if text.lower() in shown.text.lower():
                yield Mismatch(f"{where}text", f"nothing like {text!r}", _around(text, shown.text))
        for text in listed(expected.get("summary_contains", ())):
            yield from _contains(f"{where}summary", text, shown.card.summary)

    def _offers(self, where: str, expected: dict[str, Any], shown: Shown) -> Iterator[Mismatch]:
        for key in ("offers", "only_offers", "not_offers"):
            yield from self._unknown(f"{where}{key}", expected.get(key, ()))
        got = " | ".join(map(str, shown.offers)) or "nothing"
        wanted = expected.get("offers", ()) or expected.get("only_offers", ())
        for text in wanted:
            if not any(offer.answers(text) for offer in shown.offers):
                yield Mismatch(f"{where}offers", text, got)
        if "only_offers" in expected:
            for offer in shown.offers:
                if not any(offer.answers(text) for text in expected["only_offers"]):
                    yield Mismatch(
                        f"{where}offers", f"only {', '.join(expected['only_offers']) or 'nothing'}", str(offer)
                    )
        for text in expected.get("not_offers", ()):
            for offer in shown.offers:
                if offer.answers(text):
                    yield Mismatch(f"{where}offers", f"no {text}", str(offer))

    def _unknown(self, what: str, wanted: Sequence[str]) -> Iterator[Mismatch]:
        """A slip of the pen must not pass as an absence."""
        for text in wanted:
            if name_of(text) not in self.known:
                yield Mismatch(what, text, f"{name_of(text)!r} is no rule, order or gate")

    def _absent(self, unwanted: str) -> Iterator[Mismatch]:
        yield from self._unknown("absent", [unwanted])
        for shown in self.cards:
            if unwanted in (shown.rule, *shown.rules):
                yield Mismatch("absent", f"no {unwanted} on any card", f"on the card of {shown.rule}")
            for offer in shown.offers:
                if offer.answers(unwanted):
                    yield Mismatch("absent", f"no {unwanted} on any card", f"{offer} on the card of {shown.rule}")


def known_words(ruleset: Ruleset) -> frozenset[str]:
    """What `absent`, `offers` and the like may name, so that a slip of the pen cannot pass as an absence."""
    knowledge = ruleset.knowledge
    return frozenset(
        {*knowledge.orders, *knowledge.gates, *(rule.id for rule in knowledge.rules)}
        | {"handout", "delete", "update", ANY_MEDICATION, ANY_ORDER}
    )


def _same(what: str, expected: Any, got: Any) -> Iterator[Mismatch]:
    if expected is not None and str(expected) != str(got):
        yield Mismatch(what, str(expected), str(got))


def _contains(what: str, text: str, everything: str) -> Iterator[Mismatch]:
    if text.lower() not in everything.lower():
        yield Mismatch(
            what, repr(text), everything if len(everything) < 200 else f"{len(everything)} characters without it"
        )


def _around(text: str, everything: str) -> str:
    at = everything.lower().index(text.lower())
    return "..." + everything[max(0, at - 60) : at + len(text) + 60].replace("\n", " ") + "..."


def _answers(finding: Finding | None) -> tuple[str, ...]:
    if finding is None:
        return ("no",)
    if finding.silenced:
        return ("silenced",)
    if finding.verdict != "yes":
        return (finding.verdict,)
    return ("yes", finding.band, finding.indicator or "silent")


def _why(finding: Finding | None) -> str:
    if finding is None:
        return "not evaluated"
    if finding.silenced:
        return f"silenced: {finding.silenced}"
    if finding.verdict == "unknown":
        return f"unknown, missing {', '.join(finding.missing) or 'nothing named'}"
    if finding.verdict == "no":
        return "no"
    return f"yes, band {finding.band}, {finding.indicator or 'silent'}"
