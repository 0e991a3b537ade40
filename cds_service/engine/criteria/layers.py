"""Criteria about what earlier layers said: facts, findings, tier, mode, what is shown, settings."""

from __future__ import annotations

from typing import Any

from cds_service.engine.compiler import Compiler, Node, criterion
from cds_service.engine.context import Context, Reading
from cds_service.engine.gates import decide
from cds_service.engine.model import INDICATORS, Test
from cds_service.engine.source import Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict


@criterion("fact")
def _fact(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    compiler.uses_facts.add(node)
    tests = compiler.vocabulary.facts.get(node)
    if tests is None:
        compiler.document.fail(path, f"there is no fact {node!r} (or facts refer to each other in a circle)")
    test = tests[reading]
    key = (node, reading)

    def answer(context: Context) -> Verdict:
        known = context.remembered.get(key)
        if known is None:
            known = context.remembered[key] = _evaluated_apart(context, test)
        verdict, evidence, missing = known
        if evidence:
            context.evidence.extend(evidence)
        if missing:
            context.missing |= missing
        return verdict

    return answer


def _evaluated_apart(context: Context, test: Test) -> tuple[Verdict, tuple[Any, ...], frozenset[str]]:
    """A fact's verdict, evidence and gaps, without a trace in the rule that asked first."""
    evidence, bound, missing, windows = context.evidence, context.bound, context.missing, context.windows
    context.evidence, context.bound, context.missing, context.windows = [], {}, set(), {}
    verdict = test(context)
    known = (verdict, tuple(context.evidence) if verdict == YES else (), frozenset(context.missing))
    context.evidence, context.bound, context.missing, context.windows = evidence, bound, missing, windows
    return known


@criterion("gate")
def _gate(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    """Whether a table about an advice allows it, read cautiously whoever asks."""
    gate = compiler.vocabulary.gates.get(node)
    if gate is None:
        known = ", ".join(sorted(compiler.vocabulary.gates)) or "none"
        compiler.document.fail(path, f"there is no table about an advice {node!r} in gates/; known are {known}")

    def test(context: Context) -> Verdict:
        decision = context.decisions[gate.id] = decide(context, gate)
        context.evidence = list(decision.evidence)
        if decision.unknown:
            return UNKNOWN
        return NO if decision.draft is None else YES

    key: tuple[str, Reading] = (f"gate {gate.id}", "cautiously")

    def answer(context: Context) -> Verdict:
        known = context.remembered.get(key)
        if known is None:
            known = context.remembered[key] = _evaluated_apart(context, test)
        verdict, evidence, missing = known
        context.evidence.extend(evidence)
        context.missing |= missing
        return verdict

    return answer


@criterion("finding")
def _finding(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    rule_id, bands = (node, None) if isinstance(node, str) else (node["id"], node.get("band"))
    known = compiler.vocabulary.findings.get(rule_id)
    if known is None:
        compiler.document.fail(path, f"there is no rule {rule_id!r}")
    wanted = known if bands is None else frozenset([bands] if isinstance(bands, str) else bands)
    for band in wanted - known:
        compiler.document.fail(path, f"rule {rule_id} has no band {band!r}; it has {', '.join(sorted(known))}")
    compiler.uses_findings.add(rule_id)

    def answer(context: Context) -> Verdict:
        finding = context.findings.get(rule_id)
        if finding is None:
            return NO
        if finding.fired and (bands is None or finding.band in wanted):
            return YES
        return UNKNOWN if finding.verdict == "unknown" else NO

    return answer


@criterion("tier")
def _tier(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    level = node["at_least"]
    if level not in compiler.vocabulary.levels:
        compiler.document.fail(path, f"there is no tier level {level!r}")
    rank = list(compiler.vocabulary.levels)

    def answer(context: Context) -> Verdict:
        tier = context.tier
        return YES if tier is not None and rank.index(tier.level) >= rank.index(level) else NO

    return answer


@criterion("contributors")
def _contributors(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    outside, count = node.get("outside", ""), node["at_least"]

    def answer(context: Context) -> Verdict:
        tier = context.tier
        counted = [] if tier is None else [c for c in tier.contributors if c.points > 0 and c.group != outside]
        return YES if len(counted) >= count else NO

    return answer


@criterion("mode")
def _mode(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    quiet = node == "quiet"
    return lambda context: YES if context.quiet is quiet else NO


@criterion("hook")
def _hook(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    return lambda context: YES if context.facts.hook == node else NO


@criterion("shown")
def _shown(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    at_least = INDICATORS.index(node["at_least"])
    wanted = frozenset(INDICATORS[at_least:])
    return lambda context: YES if wanted & context.shown else NO


@criterion("setting")
def _setting(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    (name, value) = next(iter(node.items()))
    if name not in ("risk_summary", "region"):
        compiler.document.fail(path, f"there is no setting {name!r} that rules may ask")
    return lambda context: YES if getattr(context.settings, name) == value else NO
