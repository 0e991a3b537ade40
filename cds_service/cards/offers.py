"""What the findings of one card offer: suggestions, advice, and what was withheld and why.

The order of work is P2's: tests first, then treatment through its gate. A treatment passes the patient gates, its own
table, the critical freeze and the final sweep; the first that says no withholds it and is named on the card.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cds_service.cards import drafts
from cds_service.cards.describe import describe
from cds_service.cards.model import Action, Suggestion
from cds_service.cards.wording import drug_names, fill, in_sentence, join
from cds_service.engine.context import Context
from cds_service.engine.gates import decide
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import Decision, Finding, Gate, Offer
from cds_service.engine.safety import swept
from cds_service.engine.verdicts import YES

PRIORITIES = ("routine", "urgent", "stat")


class Withheld(msgspec.Struct, frozen=True):
    """A treatment that was considered and not offered."""

    treatment: str
    reason: str
    row: str


class OrderOffer(msgspec.Struct, frozen=True):
    order: str
    priority: str
    reason: str


class ReviewOffer(msgspec.Struct, frozen=True):
    drugs: tuple[str, ...]
    question: str


class Offered(msgspec.Struct):
    """All that one card offers, before duplicates of other cards are taken out."""

    orders: list[OrderOffer] = []
    reviews: list[ReviewOffer] = []
    treatments: list[tuple[Gate, Decision, str]] = []
    deletions: list[tuple[str, str]] = []
    """(reference, drug name) of each draft that may be removed."""
    advice: list[str] = []
    withheld: list[Withheld] = []
    handout: bool = False


class OfferResolver:
    """Resolves the offers of findings for one patient; gates are decided once each."""

    def __init__(
        self, context: Context, knowledge: Knowledge, names: Mapping[str, str], no_doses: str, subject: drafts.Subject
    ) -> None:
        self.context, self.knowledge, self.names = context, knowledge, names
        self.no_doses = no_doses
        self.subject = subject
        self.decisions: dict[str, Decision] = {}

    def resolve(self, findings: Iterable[Finding], treatments_allowed: bool = True) -> Offered:
        """What the findings offer together. Summary cards pass `treatments_allowed=False`."""
        offered = Offered()
        for finding in findings:
            self.context.begin()
            self.context.bound.update(finding.bound)
            for offer in finding.offers:
                self._resolve(offer, finding, offered, treatments_allowed)
        return offered

    def _resolve(self, offer: Offer, finding: Finding, offered: Offered, treatments_allowed: bool) -> None:
        context = self.context
        tests_only = finding.lowered and finding.rule.window is not None and finding.rule.window.tests_only
        if offer.test is not None and offer.test(context) != YES:
            return
        zone = context.settings.zone
        match offer.kind:
            case "order":
                order = self.knowledge.orders[offer.of]
                if tests_only and order["kind"] != "test":
                    return
                if not self._already_ordered(order, offer):
                    _add_order(offered.orders, OrderOffer(offer.of, offer.priority, finding.rule.title))
            case "gate" if treatments_allowed:
                self._treatment(self.knowledge.gates[offer.of], finding, offered, tests_only)
            case "review" if not tests_only:
                matches = context.bound.get(offer.of, ())
                if matches:
                    question = fill(offer.question, context.bound, zone)
                    review = ReviewOffer(tuple(drug_names(matches)), question)
                    if review not in offered.reviews:
                        offered.reviews.append(review)
            case "delete":
                for medication, ingredient in context.bound.get(offer.of, ()):
                    if medication.standing:
                        # no draft: what would be removed is the patient's order itself
                        offered.advice.append(f"Do not refill unchanged: {in_sentence(ingredient.name)}")
                        continue
                    if not medication.has_id:
                        # a draft without an id cannot be named in a delete action
                        offered.advice.append(f"Remove the draft order: {in_sentence(ingredient.name)}")
                        continue
                    draft = (medication.reference, in_sentence(ingredient.name))
                    if draft not in offered.deletions:
                        offered.deletions.append(draft)
            case "advice":
                text = fill(offer.of, context.bound, zone)
                if text not in offered.advice:
                    offered.advice.append(text)
            case "handout":
                offered.handout = True

    def _already_ordered(self, order: dict[str, Any], offer: Offer) -> bool:
        """Whether every resource of the order stands among the active or draft orders of that time already."""
        if offer.unless_ordered_within is None:
            return False
        since = self.context.now - offer.unless_ordered_within
        recent = [o for o in self.context.facts.service_orders if o.ordered_at is None or o.ordered_at >= since]
        placed = {set_id for one in recent for set_id in one.sets}
        wanted = [resource.get("also_ordered_by", ()) for resource in order["resources"]]
        return all(not placed.isdisjoint([sets] if isinstance(sets, str) else sets) for sets in wanted)

    # -- treatments

    def decision(self, gate: Gate) -> Decision:
        if gate.id not in self.decisions:
            bound = self.context.bound
            self.decisions[gate.id] = decide(self.context, gate)
            self.context.begin()
            self.context.bound.update(bound)
        return self.decisions[gate.id]

    def _treatment(self, gate: Gate, finding: Finding, offered: Offered, tests_only: bool) -> None:
        decision = self.decision(gate)
        bound = dict(self.context.bound)
        withheld = self._reason_to_withhold(gate, decision, finding, tests_only)
        self.context.begin()
        self.context.bound.update(bound)
        if withheld is None:
            offered.treatments.append((gate, decision, finding.rule.title))
            offered.advice.extend(text for text in decision.advice if text not in offered.advice)
            return
        if not any(known.treatment == withheld.treatment for known in offered.withheld):
            offered.withheld.append(withheld)
        for offer in decision.offers:
            if decision.unknown and offer.kind == "order" and self.knowledge.orders[offer.of]["kind"] == "urgent":
                continue  # what merely cannot be excluded sends nobody to an emergency department
            self.context.bound.update(decision.bound)
            self._resolve(offer, finding, offered, treatments_allowed=False)

    def _reason_to_withhold(
        self, gate: Gate, decision: Decision, finding: Finding, tests_only: bool
    ) -> Withheld | None:
        if decision.draft is None:
            return Withheld(gate.title, self._forbidden(decision), decision.row)
        if self.no_doses:
            return Withheld(gate.title, "No dose without a known age", self.no_doses)
        if tests_only:
            return Withheld(gate.title, "The result is too old to treat on; repeat it first", "window")
        if self.knowledge.freeze.holds(gate.id, finding.rule.id, self.context.findings.values()):
            return Withheld(gate.title, "A critical finding comes first; no medication is started beside it", "P2")
        if (row := swept(self.context, self.knowledge.sweep, gate.treats)) is not None:
            return Withheld(gate.title, row.why, row.id)
        if self.context.settings.client.one_action_per_suggestion:
            reason = "This client takes one action a suggestion, and the treatment must not be parted from its test"
            return Withheld(gate.title, reason, "P4")
        return None

    def _forbidden(self, decision: Decision) -> str:
        zone = self.context.settings.zone
        reason = fill(decision.reason, decision.bound, zone)
        if decision.unknown:
            reason = f"{reason} - this cannot be excluded from the record"
        shown = [describe(fact, self.names, zone) for fact in decision.evidence[:2]]
        return f"{reason} ({'; '.join(shown)})" if shown else reason

    # -- suggestions

    def suggestions(self, offered: Offered) -> list[Suggestion]:
        """The suggestions of one card: tests and urgent care, treatment, reviews, removal of drafts, referrals."""
        orders = sorted(offered.orders, key=lambda o: -PRIORITIES.index(o.priority))
        made: list[Suggestion] = []
        for order in orders:
            made.extend(self._order_suggestions(order))
        made.extend(self._treatment_suggestion(*treatment) for treatment in offered.treatments)
        made.extend(
            Suggestion(
                label=f"Remove the draft order: {name}",
                actions=(Action(type="delete", description=f"Remove the draft order: {name}", resource_id=reference),),
            )
            for reference, name in offered.deletions
        )
        if offered.reviews:
            made.append(self._review_suggestion(offered.reviews))
        return made

    def _order_suggestions(self, offer: OrderOffer) -> list[Suggestion]:
        order = self.knowledge.orders[offer.order]
        label = order["label"] if offer.priority == "routine" else f"{order['label']} ({offer.priority})"
        requests = drafts.service_requests(order, self.subject, offer.priority, offer.reason, order.get("note", ""))
        actions = [_create(request, offer.priority) for request in requests]
        if self.context.settings.client.one_action_per_suggestion:
            return [Suggestion(label=action.description, actions=(action,)) for action in actions]
        return [Suggestion(label=label, actions=tuple(actions))]

    def _treatment_suggestion(self, gate: Gate, decision: Decision, reason: str) -> Suggestion:
        assert decision.draft is not None  # a treatment is only kept when its gate allowed it
        treatment = drafts.Treatment(self.knowledge.orders[decision.draft["order"]], decision.draft)
        recheck = decision.draft["recheck"]
        rechecks = [recheck, *([decision.draft["later"]] if "later" in decision.draft else [])]
        tests = [
            (test, when["text"])
            for when in rechecks
            for test in drafts.rechecks(
                self.knowledge.orders[when.get("order", gate.monitoring)], self.subject, when, f"Recheck: {reason}"
            )
        ]
        medication = treatment.medication_request(self.subject, reason)
        actions = [
            Action(type="create", description=f"{treatment.label}: {treatment.instruction}", resource=medication),
            *(
                Action(type="create", description=f"{test['code']['text']} {when}", resource=test)
                for test, when in tests
            ),
        ]
        return Suggestion(label=f"{treatment.label}, with recheck {recheck['text']}", actions=tuple(actions))

    def _review_suggestion(self, reviews: list[ReviewOffer]) -> Suggestion:
        drugs = list(dict.fromkeys(name for review in reviews for name in review.drugs))
        note = " ".join(f"{join(list(review.drugs))}: {review.question}" for review in reviews)
        order = self.knowledge.orders["medication-review"]
        label = f"{order['label']}: {join(drugs)}"
        (request,) = drafts.service_requests(order, self.subject, "routine", "", note)
        return Suggestion(label=label, actions=(Action(type="create", description=label, resource=request),))


def _create(request: drafts.Resource, priority: str) -> Action:
    urgency = "" if priority == "routine" else f" ({priority})"
    return Action(type="create", description=f"Order: {request['code']['text']}{urgency}", resource=request)


def _add_order(orders: list[OrderOffer], offer: OrderOffer) -> None:
    """Add an order; the same order offered twice stands once, with the more urgent priority."""
    for i, known in enumerate(orders):
        if known.order == offer.order:
            if PRIORITIES.index(offer.priority) > PRIORITIES.index(known.priority):
                orders[i] = msgspec.structs.replace(known, priority=offer.priority)
            return
    orders.append(offer)


def without_duplicates(cards: list[Offered], orders: Mapping[str, dict[str, Any]]) -> None:
    """Across the cards of one answer every order and treatment stands once, on the first card that has it (P6).

    It keeps the most urgent priority asked for, also when a wider order (`covered_by`) takes its place.
    """
    wanted = {offer.order for card in cards for offer in card.orders}
    stands_for = {
        name: next((wider for wider in orders[name].get("covered_by", ()) if wider in wanted), name) for name in wanted
    }
    urgency: dict[str, str] = {}
    for card in cards:
        for offer in card.orders:
            name = stands_for[offer.order]
            urgency[name] = max(urgency.get(name, "routine"), offer.priority, key=PRIORITIES.index)
    placed: set[str] = set()
    deleted: set[tuple[str, str]] = set()
    treated: set[str] = set()
    for card in cards:
        kept: list[OrderOffer] = []
        for offer in card.orders:
            name = stands_for[offer.order]
            if name not in placed:
                placed.add(name)
                kept.append(OrderOffer(name, urgency[name], offer.reason))
        card.orders = kept
        card.deletions = [one for one in card.deletions if one not in deleted]
        deleted.update(card.deletions)
        card.treatments = [one for one in card.treatments if one[0].id not in treated]
        treated.update(gate.id for gate, _, _ in card.treatments)
