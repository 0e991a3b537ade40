"""Which findings become cards of their own, which fold into the summary card, which stay silent (section 0.7)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cds_service.cards.hold_back import HeldBack, HoldBack
from cds_service.engine.context import Context
from cds_service.engine.evaluate import evaluate_rule
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import INDICATORS, Finding, TierResult
from cds_service.engine.verdicts import YES

ORDER_HOOKS = frozenset({"order-select", "order-sign", "medication-refill"})


class Selection(msgspec.Struct):
    """`cards` are findings with a card each, in rank order. `folded` go into `summary`, or are named in a line."""

    cards: list[Finding] = []
    folded: list[Finding] = []
    named_only: list[Finding] = []
    """Warnings beyond the cap in quiet mode: one line each on the last warning card."""
    summary: Finding | None = None
    held_back: list[HeldBack] = []
    """What would have a card, had it not been overridden for a lasting reason."""
    silent: list[Finding] = []
    """What rules found that this client runs silently: recorded, and on no card."""


def select(context: Context, knowledge: Knowledge, only_critical: bool, hold_back: HoldBack) -> Selection:
    """Choose what is shown on this hook. Marks what is shown in `context.shown` before asking the summary rules."""
    hook, unseen = context.facts.hook, context.settings.silent_rules
    fired = [
        finding
        for finding in context.findings.values()
        if finding.fired and finding.indicator is not None and hook in finding.rule.hooks
    ]
    fired.sort(key=_rank)
    selection = Selection()
    if unseen:
        selection.silent = [f for f in fired if f.rule.id in unseen]
        fired = [f for f in fired if f.rule.id not in unseen]
    if only_critical:
        selection.cards = [f for f in fired if f.indicator == "critical"]
        return selection
    if hook in ORDER_HOOKS:
        selection.cards = _without_held_back(fired, hold_back, selection)
        return selection
    limits = knowledge.output["cards"]
    at_most = limits["quiet_warnings_at_most"] if context.quiet else limits["full_warnings_at_most"]
    warnings = 0
    infos: list[Finding] = []
    for finding in fired:
        if finding.indicator == "critical":
            selection.cards.append(finding)
        elif finding.indicator == "info":
            infos.append(finding)
        elif context.quiet and finding.rule.in_quiet_mode != "warning":
            continue
        elif (held := hold_back.of(finding)) is not None:
            selection.held_back.append(held)
        elif warnings < at_most:
            warnings += 1
            selection.cards.append(finding)
        elif context.quiet:
            selection.named_only.append(finding)
        else:
            selection.folded.append(finding)
    context.shown = {str(finding.indicator) for finding in selection.cards}
    selection.summary = _summary(context, knowledge, selection)
    if not context.quiet:
        selection.folded.extend(infos)
    elif selection.summary is not None:
        selection.folded = _all_on_this_hook(context)
    else:
        shown = [f for f in infos if _shows_in_quiet_mode(context, f)]
        selection.cards.extend(_without_held_back(shown, hold_back, selection))
    _hold_summary_back(context, hold_back, selection)
    return selection


def _without_held_back(findings: Iterable[Finding], hold_back: HoldBack, selection: Selection) -> list[Finding]:
    """The findings that are shown; those that are not go into `selection.held_back`."""
    shown: list[Finding] = []
    for finding in findings:
        held = hold_back.of(finding)
        if held is None:
            shown.append(finding)
        else:
            selection.held_back.append(held)
    return shown


def _hold_summary_back(context: Context, hold_back: HoldBack, selection: Selection) -> None:
    """The summary card stays back only if nothing on it is new or worse."""
    if selection.summary is None or context.tier is None:
        return
    named = named_on_summary(selection.folded, context.tier)
    held = hold_back.of(selection.summary, named, context.tier)
    if held is not None:
        selection.held_back.append(held)
        selection.summary, selection.folded = None, []


def named_on_summary(folded: list[Finding], tier: TierResult) -> list[Finding]:
    """Every finding that a summary card names, contributors that only score included."""
    return [*folded, *(c.finding for c in tier.contributors)]


def _summary(context: Context, knowledge: Knowledge, selection: Selection) -> Finding | None:
    """The summary rule that fires, unless this client runs it silently."""
    for rule in knowledge.active_rules:
        if rule.kind == "summary" and context.facts.hook in rule.hooks:
            finding = evaluate_rule(context, rule)
            context.findings[rule.id] = finding
            if finding.fired:
                if rule.id not in context.settings.silent_rules:
                    return finding
                selection.silent.append(finding)
                return None
    return None


def _all_on_this_hook(context: Context) -> list[Finding]:
    """What the quiet summary card folds in: every finding that fired, silent ones aside."""
    found = [
        finding
        for finding in context.findings.values()
        if finding.fired
        and finding.indicator is not None
        and finding.rule.kind == "finding"
        and finding.rule.id not in context.settings.silent_rules
        and context.facts.hook in finding.rule.hooks
    ]
    return sorted(found, key=lambda finding: finding.rule.order_of)


def _shows_in_quiet_mode(context: Context, finding: Finding) -> bool:
    test = finding.rule.info_in_quiet_mode
    context.begin()
    return test is not None and test(context) == YES


def _rank(finding: Finding) -> tuple[int, int]:
    assert finding.indicator is not None  # silent findings are not ranked
    return -INDICATORS.index(finding.indicator), finding.rule.order_of


def others(context: Context, shown: Iterable[Finding]) -> list[Finding]:
    """Contributors with points that no shown card is about, strongest first."""
    if context.tier is None:
        return []
    ids = {finding.rule.id for finding in shown}
    return [c.finding for c in context.tier.contributors if c.points > 0 and c.finding.rule.id not in ids]
