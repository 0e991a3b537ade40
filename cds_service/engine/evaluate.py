"""Facts in, Findings out, layer by layer: derived measurements, rules in order of reference, mode, tier."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from cds_service.engine.context import Context, once
from cds_service.engine.criteria.medicines import is_unchanged_renewal
from cds_service.engine.derived import complete
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import INDICATORS, Band, Finding, Indicator, Rule
from cds_service.engine.verdicts import NAMES, NO, UNKNOWN, YES
from cds_service.facts.model import Measurement


def evaluate_findings(
    context: Context, knowledge: Knowledge, names: Mapping[str, str], go_on: Callable[[], None] | None = None
) -> None:
    """Fill `context.findings`, `context.quiet` and `context.tier`. `names` maps analytes to display names.

    `go_on` is called before each rule, and raises where there is no time left for it.
    """
    for derived in knowledge.derived:
        complete(context, derived)
    context.note_present()
    for rule in knowledge.active_rules:
        if go_on is not None:
            go_on()
        if rule.kind == "finding":
            context.findings[rule.id] = evaluate_rule(context, rule)
    context.begin()
    symptoms = knowledge.vocabulary.facts[knowledge.output["symptoms"]]["surely"]
    context.quiet = symptoms(context) != YES
    if knowledge.tier is not None:
        context.tier = knowledge.tier.count(context, _scored(context), names)


def _scored(context: Context) -> dict[str, Finding]:
    """The findings that may score: a rule that is run silently would show itself in the points."""
    silent = context.settings.silent_rules
    return {rule: one for rule, one in context.findings.items() if rule not in silent} if silent else context.findings


def evaluate_rule(context: Context, rule: Rule) -> Finding:
    """One rule on one patient."""
    context.begin()
    verdict = rule.when(context)
    if verdict == NO:
        return _did_not_fire(rule)
    if verdict == UNKNOWN:
        return Finding(rule, NAMES[UNKNOWN], missing=_missing(context))
    mark = len(context.evidence)
    for unless in rule.unless:
        quiet = unless.test(context)
        del context.evidence[mark:]
        if quiet == YES:
            return Finding(rule, "yes", silenced=unless.because or "does not apply", evidence=tuple(context.evidence))
    band, unsure = _band(context, rule)
    if band is None:
        # unknown for want of data that were not supplied; what an order merely does not state is no gap of the record
        return Finding(rule, NAMES[UNKNOWN if unsure and context.missing else NO], missing=_missing(context))
    indicator: Indicator | None = band.indicator
    lowered = _is_past_window(context, rule)
    if lowered:
        indicator = _one_lower(band.indicator)
    if indicator == "info" and _only_unchanged_renewals(context, rule):
        indicator = None
    return Finding(
        rule,
        "yes",
        band=band.id,
        indicator=indicator,
        points=0 if lowered else band.points,
        lowered=lowered,
        bound=context.bound,
        evidence=once(context.evidence),
        missing=_missing(context),
        # a band's own wording speaks of its full strength ("CRITICAL ..."), so a lowered finding takes the rule's
        summary=("" if lowered else band.summary) or rule.card.summary or rule.card.part or band.summary,
        line=band.summary or rule.card.part or rule.card.summary,
        note=band.note,
        offers=rule.offers if band.offers is None else band.offers,
        override_reasons=tuple(r for r in rule.override_reasons if r not in band.drop_override),
    )


@functools.lru_cache(maxsize=1024)
def _did_not_fire(rule: Rule) -> Finding:
    """The same for every patient, so made once."""
    return Finding(rule, NAMES[NO])


def _band(context: Context, rule: Rule) -> tuple[Band | None, bool]:
    """The first band that is certain, and whether an unknown one was passed over (a gate would stop at it)."""
    unsure = False
    for band in rule.bands:
        mark = len(context.evidence)
        verdict = YES if band.test is None else band.test(context)
        if verdict == YES:
            return band, unsure
        unsure = unsure or verdict == UNKNOWN
        del context.evidence[mark:]
    return None, unsure


def _is_past_window(context: Context, rule: Rule) -> bool:
    if rule.window is None:
        return False
    bound = context.bound.get(rule.window.of)
    return isinstance(bound, Measurement) and bound.at is not None and context.now - bound.at > rule.window.full


def _one_lower(indicator: Indicator) -> Indicator | None:
    rank = INDICATORS.index(indicator)
    return INDICATORS[rank - 1] if rank else None


def _only_unchanged_renewals(context: Context, rule: Rule) -> bool:
    """Whether every draft the finding is about merely renews a current order (0.7)."""
    drafts = context.bound.get("draft")
    if not isinstance(drafts, tuple) or not drafts:
        return False
    return all(
        any(
            is_unchanged_renewal(context, medication, ingredient.id, match)
            for match in context.medications.get(ingredient.id, ())
            if match[0].safety
        )
        for medication, ingredient in drafts
    )


def _missing(context: Context) -> tuple[str, ...]:
    return tuple(sorted(context.missing))
