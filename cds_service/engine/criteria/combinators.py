"""Criteria made of criteria: all is min, any is max, not is 2 - v, at_least counts."""

from __future__ import annotations

from typing import Any

from cds_service.engine.compiler import Compiler, Node, criterion
from cds_service.engine.context import Context, Reading
from cds_service.engine.model import Test
from cds_service.engine.source import Path_
from cds_service.engine.verdicts import NO, UNKNOWN, YES, Verdict


@criterion("all")
def _all(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    tests = _tests(compiler, node, path, reading)

    def answer(context: Context) -> Verdict:
        lowest = YES
        for test in tests:
            verdict = test(context)
            if verdict == NO:
                return NO
            if verdict < lowest:
                lowest = verdict
        return lowest

    return answer


@criterion("any")
def _any(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    tests = _tests(compiler, node, path, reading)
    # a card names every cause; a gate needs only one
    first_will_do = reading == "cautiously"

    def answer(context: Context) -> Verdict:
        highest = NO
        for test in tests:
            verdict = test(context)
            if verdict > highest:
                highest = verdict
                if first_will_do and verdict == YES:
                    return YES
        return highest

    return answer


@criterion("not")
def _not(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    if any(key in node for key in ("observation", "rise", "persists")):
        compiler.document.fail(path, "no result is a no to every comparison: write the opposite comparison, not `not`")
    test = compiler.compile(node, path, reading)

    def answer(context: Context) -> Verdict:
        mark = len(context.evidence)
        verdict = 2 - test(context)
        del context.evidence[mark:]
        return verdict

    return answer


@criterion("at_least")
def _at_least(compiler: Compiler, node: Any, path: Path_, reading: Reading, _: Node) -> Test:
    count = node["count"]
    tests = _tests(compiler, node["of"], (*path, "of"), reading)

    def answer(context: Context) -> Verdict:
        verdicts = [test(context) for test in tests]
        sure = verdicts.count(YES)
        if sure >= count:
            return YES
        return UNKNOWN if sure + verdicts.count(UNKNOWN) >= count else NO

    return answer


def _tests(compiler: Compiler, nodes: Any, path: Path_, reading: Reading) -> tuple[Test, ...]:
    if not isinstance(nodes, list) or not nodes:
        compiler.document.fail(path, "give a list of criteria")
    return tuple(compiler.compile(node, (*path, index), reading) for index, node in enumerate(nodes))
