"""Builds rules, gates and safety rows from their checked documents, and orders rules by what they refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from cds_service.engine.criteria import Compiler, Vocabulary
from cds_service.engine.knowledge import Knowledge
from cds_service.engine.model import (
    Band,
    CardText,
    Evidence,
    Gate,
    GateRow,
    Offer,
    Rule,
    ThenRow,
    Unless,
    Window,
)
from cds_service.engine.quantity import parse_duration
from cds_service.engine.source import Document, Path_, RuleError

Row = TypeVar("Row")

UNNAMED_BAND = "found"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?:\.([a-z_]+))?\}")
_ATTRIBUTES = frozenset({"", "name", "names", "date", "number", "unit", "times"})
_ALWAYS_BOUND = frozenset({"tier", "points", "reviewable", "factors", "strongest", "found"})
_OFFER_KINDS = ("order", "gate", "review", "delete", "advice")


def band_ids(data: Mapping[str, Any]) -> frozenset[str]:
    """The ids of a rule's bands, also of the single unnamed one."""
    return frozenset(band["id"] for band in data.get("bands", ())) or frozenset({UNNAMED_BAND})


def rule(document: Document, vocabulary: Vocabulary) -> tuple[Rule, set[str]]:
    """One rule and the ids of the rules it refers to. Raises RuleError."""
    data = document.data
    compiler = Compiler(document, vocabulary)
    if ("bands" in data) == ("indicator" in data):
        document.fail((), "give either `bands` or one `indicator`")
    when = compiler.compile(data["when"], ("when",))
    unless = tuple(
        Unless(compiler.compile(node, ("unless", i)), node.get("because", ""))
        for i, node in enumerate(data.get("unless", ()))
    )
    offers = _offers(compiler, data.get("suggestions", ()), ("suggestions",))
    if "bands" in data:
        bands = tuple(_band(compiler, node, ("bands", i), data) for i, node in enumerate(data["bands"]))
        for i, node in enumerate(data["bands"][:-1]):
            if "if" not in node:
                document.fail(("bands", i), "a band without `if` takes everything, so it must stand last")
    else:
        bands = (Band(UNNAMED_BAND, None, data["indicator"], data.get("points", 0)),)
    window = None
    if "window" in data:
        node = data["window"]
        if node["of"] not in compiler.binds:
            document.fail(("window", "of"), f"nothing is bound as {node['of']!r}")
        window = Window(parse_duration(node["full"]), node["of"], node.get("offer") == "tests")
    if (data.get("points") or any(b.points for b in bands)) and not data.get("group"):
        document.fail((), "a rule with points needs the `group` whose cap they fall under")
    _check_templates(document, compiler.binds)
    built = Rule(
        id=data["id"],
        number=data["number"],
        title=data["title"],
        version=data["version"],
        status=data["status"],
        hooks=frozenset(data["hooks"]),
        kind=data.get("kind", "finding"),
        when=when,
        unless=unless,
        bands=bands,
        window=window,
        group=data.get("group", ""),
        family=data.get("family", ""),
        in_quiet_mode=data.get("in_quiet_mode", "critical"),
        info_in_quiet_mode=(
            compiler.compile(data["info_in_quiet_mode"], ("info_in_quiet_mode",))
            if "info_in_quiet_mode" in data
            else None
        ),
        card=CardText(**data["card"]),
        offers=offers,
        override_reasons=tuple(data["override_reasons"]),
        evidence=tuple(Evidence(**item) for item in data["evidence"]),
        file=document.file,
        data=data,
    )
    return built, compiler.uses_findings


def _band(compiler: Compiler, node: dict[str, Any], path: Path_, data: dict[str, Any]) -> Band:
    test = compiler.compile(node["if"], (*path, "if"), "bands") if "if" in node else None
    offers = _offers(compiler, node["suggestions"], (*path, "suggestions")) if "suggestions" in node else None
    return Band(
        id=node["id"],
        test=test,
        indicator=node["indicator"],
        points=node.get("points", data.get("points", 0)),
        summary=node.get("summary", ""),
        note=node.get("note", ""),
        offers=offers,
        drop_override=tuple(node.get("without_override", ())),
    )


def _offers(compiler: Compiler, nodes: Any, path: Path_) -> tuple[Offer, ...]:
    return tuple(_offer(compiler, node, (*path, i)) for i, node in enumerate(nodes))


def _offer(compiler: Compiler, node: dict[str, Any], path: Path_) -> Offer:
    kinds = [kind for kind in (*_OFFER_KINDS, "handout") if kind in node]
    if len(kinds) != 1:
        compiler.document.fail(path, f"offer one thing at a time: {', '.join((*_OFFER_KINDS, 'handout'))}")
    kind = kinds[0]
    test = compiler.compile(node["if"], (*path, "if"), "bands") if "if" in node else None
    if kind == "review" and "question" not in node:
        compiler.document.fail(path, "a review needs its `question`")
    return Offer(
        kind=kind,  # type: ignore[arg-type]  # one of the kinds above
        of="" if kind == "handout" else node[kind],
        priority=node.get("priority", "routine"),
        question=node.get("question", ""),
        test=test,
        unless_ordered_within=parse_duration(node["unless_ordered_within"])
        if "unless_ordered_within" in node
        else None,
    )


def gate(document: Document, vocabulary: Vocabulary) -> Gate:
    """One decision table. Raises RuleError."""
    data = document.data
    compiler = Compiler(document, vocabulary)
    advises = "advises" in data
    if advises == ("treats" in data) or ("treats" in data) != ("monitoring" in data):
        document.fail((), "give `treats` with its `monitoring`, or `advises` for a table about an advice")
    rows = []
    for i, node in enumerate(data["rows"]):
        path = ("rows", i)
        if ("forbid" in node) == ("allow" in node):
            document.fail(path, "a row either forbids or allows")
        if "allow" in node and isinstance(node["allow"], str) is not advises:
            document.fail(path, "a treatment is allowed with its order and dose, an advice in words")
        test = compiler.compile(node["if"], (*path, "if"), "cautiously") if "if" in node else None
        if test is None and i + 1 < len(data["rows"]):
            document.fail(path, "a row without `if` takes everything, so it must stand last")
        rows.append(
            GateRow(
                id=node["id"],
                test=test,
                forbid=node.get("forbid", ""),
                allow={} if advises and "allow" in node else node.get("allow"),
                offers=_offers(compiler, node.get("offer", ()), (*path, "offer")),
                cites=tuple(str(node.get("cites", "")).split()),
            )
        )
    then = {
        name: tuple(_then_row(compiler, node, ("then", name, i)) for i, node in enumerate(nodes))
        for name, nodes in data.get("then", {}).items()
    }
    advice = tuple(_then_row(compiler, node, ("advice", i)) for i, node in enumerate(data.get("advice", ())))
    if advises and compiler.uses_findings:
        document.fail((), "a table about an advice is asked by rules, so it cannot ask what they found")
    _check_templates(document, compiler.binds)
    return Gate(
        data["gate"], data["title"], data.get("treats", ""), tuple(rows), then, data.get("monitoring", ""), advice
    )


def _then_row(compiler: Compiler, node: dict[str, Any], path: Path_) -> ThenRow:
    test = compiler.compile(node["if"], (*path, "if"), "cautiously") if "if" in node else None
    return ThenRow(test, {key: value for key, value in node.items() if key != "if"})


def compiled_rows(
    document: Document, vocabulary: Vocabulary, make: Callable[..., Row], errors: list[RuleError]
) -> tuple[Row, ...]:
    """Rows of `{id, if, ...}`: patient gates are read surely, the sweep cautiously."""
    reading = "cautiously" if any("forbid" in row for row in document.data["rows"]) else "surely"
    compiler = Compiler(document, vocabulary)
    rows = []
    for i, node in enumerate(document.data["rows"]):
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in node.items() if key != "if"}
        try:
            rows.append(make(test=compiler.compile(node["if"], ("rows", i, "if"), reading), **fields))  # type: ignore[arg-type]
        except RuleError as error:
            errors.append(error)
    return tuple(rows)


def in_order_of_reference(built: Mapping[str, tuple[Rule, set[str]]], errors: list[RuleError]) -> tuple[Rule, ...]:
    """Rules sorted so that each stands after those whose findings it asks for; otherwise by number."""
    graph = {rule_id: uses & built.keys() for rule_id, (_, uses) in built.items()}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = ", ".join(error.args[1])
        errors.append(RuleError(built[error.args[1][0]][0].file, 1, f"rules refer to each other in a circle: {circle}"))
        return ()
    ordered: list[Rule] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda rule_id: (built[rule_id][0].order_of, rule_id))
        ordered.extend(built[rule_id][0] for rule_id in ready)
        sorter.done(*ready)
    return tuple(ordered)


def check_references(knowledge: Knowledge, documents: Mapping[str, Document], errors: list[RuleError]) -> None:
    """Every cited source, order, gate and override reason exists; numbers and ids stand once."""
    numbers: dict[str, str] = {}
    for built in knowledge.rules:
        document = documents[built.id]

        def wrong(path: Path_, message: str, document: Document = document) -> None:
            errors.append(document.error(path, message))

        if built.number in numbers:
            wrong(("number",), f"{built.number} is the number of {numbers[built.number]} already")
        numbers[built.number] = built.id
        for i, item in enumerate(built.evidence):
            if item.cites not in knowledge.references:
                wrong(("evidence", i), f"there is no reference {item.cites!r} in references.yaml")
        for i, reason in enumerate(built.override_reasons):
            if reason not in knowledge.override_reasons:
                wrong(("override_reasons", i), f"there is no override reason {reason!r}")
        banded = [(("bands", i, "suggestions"), band.offers or ()) for i, band in enumerate(built.bands)]
        for path, offers in [(("suggestions",), built.offers), *banded]:
            for i, offer in enumerate(offers):
                if offer.kind == "order" and offer.of not in knowledge.orders:
                    wrong((*path, i), f"there is no order {offer.of!r} in orders/")
                if offer.kind == "gate" and offer.of not in knowledge.gates:
                    wrong((*path, i), f"there is no gate {offer.of!r} in gates/")
                elif offer.kind == "gate" and not knowledge.gates[offer.of].treats:
                    wrong((*path, i), f"the gate {offer.of!r} is about an advice: ask it in the `if` of the advice")
    for gate in knowledge.gates.values():
        names = {gate.monitoring} - {""} | {row.allow["order"] for row in gate.rows if row.allow}
        names |= {offer.of for row in gate.rows for offer in row.offers if offer.kind == "order"}
        names |= {row.value["order"] for rows in gate.then.values() for row in rows if "order" in row.value}
        for name in sorted(names - knowledge.orders.keys()):
            errors.append(RuleError(f"rules/gates/{gate.id}.yaml", 1, f"there is no order {name!r} in orders/"))


def _check_templates(document: Document, bound: set[str]) -> None:
    """Every `{name}` in the wording is bound by a criterion of the same file."""

    def visit(node: Any, path: Path_) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                if key not in ("scenarios", "when", "if"):  # criteria hold units such as {ratio}
                    visit(value, (*path, key))
        elif isinstance(node, list):
            for i, value in enumerate(node):
                visit(value, (*path, i))
        elif isinstance(node, str) and "{" in node:
            for name, attribute in _PLACEHOLDER.findall(node):
                if name not in bound | _ALWAYS_BOUND:
                    document.fail(path, f"{{{name}}} is not bound here; bound are {', '.join(sorted(bound)) or 'none'}")
                if attribute not in _ATTRIBUTES:
                    document.fail(path, f"{{{name}.{attribute}}}: known are {', '.join(sorted(_ATTRIBUTES - {''}))}")

    visit(document.data, ())
