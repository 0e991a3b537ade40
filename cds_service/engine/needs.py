"""What a criterion cannot be a yes without: a cheap no for the many rules that have nothing to do with a patient.

Most rules ask about medicines, conditions or results that one patient does not have. From the tree of a criterion
follows a conjunction of sets of which the patient must have at least one member each; where all lists were supplied
and one of them is missed, the answer is no, and nothing need be evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Needs = tuple[frozenset[str], ...]
"""Of each set at least one member must be present; empty when nothing can be said beforehand."""

_BY_SETS = ("medication", "order", "condition")
_OPTIONAL = ("procedure", "allergy")
_BY_ANALYTE = ("observation", "ever", "rise", "fall", "persists", "conflict", "unreadable", "doubtful", "due_date")


def needs(node: Mapping[str, Any], of_facts: Mapping[str, Needs]) -> Needs:
    """The needs of one criterion as written in YAML; `of_facts` holds those of the facts it may refer to."""
    for name in _BY_SETS:
        if name in node:
            return (_names(node[name]["in"]),)
    for name in _OPTIONAL:
        if name in node:
            # where nothing was supplied the answer is unknown, unless the rule takes that for a no
            return (_names(node[name]["in"]),) if node.get("when_not_supplied") == "no" else ()
    for name in _BY_ANALYTE:
        if name in node:
            return (_names(node[name]["in"]),)
    if "fact" in node and isinstance(node["fact"], str):
        return of_facts.get(node["fact"], ())
    if "all" in node:
        return tuple(need for child in node["all"] for need in needs(child, of_facts))
    if "any" in node:
        return _either([needs(child, of_facts) for child in node["any"]])
    if "at_least" in node and "of" in node["at_least"]:
        return _either([needs(child, of_facts) for child in node["at_least"]["of"]])
    return ()


def _names(value: Any) -> frozenset[str]:
    return frozenset([value] if isinstance(value, str) else value)


def _either(children: list[Needs]) -> Needs:
    """At least one child must be possible, so one of what their smallest needs name must be present."""
    if not all(children):
        return ()
    return (frozenset().union(*(min(child, key=len) for child in children)),)
