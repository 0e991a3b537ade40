"""A site's folder laid over the rules: moved thresholds, switched-off rules, its own order codes.

A file of the site has the path of the file it changes. Each change names the place, what stands there and what it
becomes, so that a rule that changed since is noticed at start and not silently overridden. What keeps patients safe
cannot be weakened: `_refusal` says what that is, docs/site-overrides.md why.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from cds_service.engine.loader import TOPICS, check_schema
from cds_service.engine.model import INDICATORS
from cds_service.engine.quantity import parse_threshold
from cds_service.engine.source import Document, Path_, RuleError, RulesetError, read_document

_STEP = re.compile(r"([a-z_]+)((?:\[\d+\])*)")
_RISING, _FALLING = ("below", "at_most"), ("above", "at_least")
_PLACES_OF_ORDER_CODES = re.compile(r"(resources|products)\[\d+\]\.code\.coding(\[\d+\])?")
_FIXED = ("id", "number", "version", "evidence", "scenarios", "order", "kind")
_NOT_WIDENED = {"unless", "not", "suggestions", "info_in_quiet_mode", "window"}
_PUBLISHED = re.compile(
    r"https?://(www\.nlm\.nih\.gov|snomed\.info|hl7\.org|www\.whocc\.no|dmd\.nhs\.uk)\b|urn:oid:2\.16\.840\.1\.113883\."
)


class SiteChange(msgspec.Struct, frozen=True):
    """One thing that the site does otherwise."""

    file: str
    """The file that is changed, by its path in the rules folder."""
    at: str
    before: Any
    """None where something was added to a list."""
    after: Any
    because: str
    place: str
    """`file:line` of the change in the site's folder."""


class SiteDocument(Document):
    """A file of the rules as the site has it. A mistake in it is told where the site made it."""

    def __init__(self, base: Document, data: Any, changed: Mapping[Path_, int], overlay: Document) -> None:
        super().__init__(base.file, data, base._lines)
        self._changed, self._overlay = dict(changed), overlay

    def place(self, path: Path_) -> tuple[str, int]:
        for changed, line in self._changed.items():
            if path[: len(changed)] == changed:
                return self._overlay.file, line
        return super().place(path)

    def error(self, path: Path_, message: str) -> RuleError:
        """The file itself has none, so it stands where the site changed it."""
        file, line = self.place(path)
        return RuleError(self._overlay.file, line if file == self._overlay.file else 1, message)


class Site(msgspec.Struct, frozen=True):
    """A site's folder, read and applied."""

    folder: Path | None = None
    documents: dict[str, Document] = {}
    """The files it changes, as they are with the changes, by their path in the rules folder."""
    changes: tuple[SiteChange, ...] = ()

    def of(self, file: str) -> tuple[SiteChange, ...]:
        """The changes of one file of the rules, by its path below the folder or with the folder's name before it."""
        return tuple(one for one in self.changes if file == one.file or file.endswith(f"/{one.file}"))


NO_SITE = Site()


def read_site(rules: Path, site: Path) -> Site:
    """The folder `site` laid over the folder `rules`. Raises RulesetError with every mistake found."""
    documents: dict[str, Document] = {}
    changes: list[SiteChange] = []
    errors: list[RuleError] = []
    if not site.is_dir():
        raise RulesetError([RuleError(site.name, 1, "there is no such folder")])
    for path in sorted(one for one in site.rglob("*") if one.is_file() and not _aside(site, one)):
        name, shown = path.relative_to(site).as_posix(), path.relative_to(site.parent).as_posix()
        try:
            kind = _kind(rules, name, shown)
            overlay = read_document(path, shown)
            check_schema(rules, overlay, "site-file")
            base = read_document(rules / name, f"{rules.name}/{name}")
            documents[name], made = _laid_over(base, overlay, name, kind, rules)
            check_schema(rules, documents[name], kind)
            changes += made
        except RuleError as error:
            errors.append(error)
    if errors:
        raise RulesetError(errors)
    return Site(site, documents, tuple(changes))


def _aside(site: Path, path: Path) -> bool:
    """Notes for people, the record of a check, and what an editor or a repository leaves behind."""
    return path.suffix in (".md", ".txt") or any(part.startswith(".") for part in path.relative_to(site).parts)


def _kind(rules: Path, name: str, shown: str) -> str:
    topic, _, rest = name.partition("/")
    kind = "rule" if topic in TOPICS else "order" if topic == "orders" else ""
    if not kind or not name.endswith(".yaml") or "/" in rest:
        wrong = (
            f"a site changes files of {', '.join((*TOPICS, 'orders'))}; gates, safety tables, facts and the rest stay"
        )
        raise RuleError(shown, 1, wrong)
    if not (rules / name).is_file():
        raise RuleError(shown, 1, f"there is no {rules.name}/{name} that this could change")
    return kind


def _laid_over(
    base: Document, overlay: Document, name: str, kind: str, rules: Path
) -> tuple[SiteDocument, list[SiteChange]]:
    data = copy.deepcopy(base.data)
    changed: dict[Path_, int] = {}
    made: list[SiteChange] = []
    protected = kind == "rule" and _is_protected(base.data, rules)
    for index, one in enumerate(overlay.data.get("changes", ())):
        where: Path_ = ("changes", index)
        path = _path(overlay, (*where, "at"), one["at"])
        if refused := _refusal(base.data, path, one, kind, protected):
            overlay.fail((*where, "at"), refused)
        if path == ("status",) and (asking := _asked_by(rules, base.data["id"])):
            overlay.fail((*where, "at"), f"{asking} asks for its finding, so it cannot be switched off")
        _apply(overlay, where, one, data, path)
        changed[path] = overlay.line(where)
        place = f"{overlay.file}:{overlay.line(where)}"
        after = one["becomes"] if "becomes" in one else one["adds"]
        made.append(SiteChange(name, one["at"], one.get("is"), after, overlay.data["because"], place))
    if own := overlay.data.get("scenarios"):
        if kind != "rule":
            overlay.fail(("scenarios",), "only rules have scenarios")
        names = [one["name"] for one in data["scenarios"]]
        for index, one in enumerate(own):
            if one["name"] not in names:
                names.append(one["name"])
                data["scenarios"].append(one)
            at = names.index(one["name"])
            data["scenarios"][at] = one
            changed[("scenarios", at)] = overlay.line(("scenarios", index))
    return SiteDocument(base, data, changed, overlay), made


def _path(overlay: Document, where: Path_, text: str) -> Path_:
    path: list[str | int] = []
    for step in text.split("."):
        found = _STEP.fullmatch(step)
        if found is None:
            overlay.fail(where, f"{text!r} is no place; write it as when.any[0].observation.below")
        path += [found[1], *(int(one) for one in re.findall(r"\d+", found[2]))]
    return tuple(path)


def _apply(overlay: Document, where: Path_, one: Mapping[str, Any], data: Any, path: Path_) -> None:
    node = data
    for step in path[:-1]:
        node = _member(overlay, where, node, step, one["at"])
    there = _member(overlay, where, node, path[-1], one["at"])
    if "adds" in one:
        if not isinstance(there, list):
            overlay.fail((*where, "adds"), f"{one['at']} is no list, so nothing can be added to it")
        there.append(one["adds"])
    elif there != one["is"]:
        overlay.fail((*where, "is"), f"{one['at']} is now {there!r}, not {one['is']!r}: look at the change again")
    else:
        node[path[-1]] = one["becomes"]


def _member(overlay: Document, where: Path_, node: Any, step: str | int, at: str) -> Any:
    if isinstance(node, dict) and step in node:
        return node[step]
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return node[step]
    known = ", ".join(map(str, node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()))
    overlay.fail((*where, "at"), f"{at}: there is no {step!r} here, only {known or 'a value'}")


# -- what a site may not do


def _is_protected(rule: Mapping[str, Any], rules: Path) -> bool:
    """Whether a rule is one that a site may only make more careful."""
    named = read_document(rules / "ruleset.yaml", f"{rules.name}/ruleset.yaml").data.get("never_weakened", ())
    indicators = (rule.get("indicator"), *(band["indicator"] for band in rule.get("bands", ())))
    return rule["id"] in named or "critical" in indicators


def _asked_by(rules: Path, rule_id: str) -> str:
    """A file that asks for the finding of a rule; empty when none does."""
    asks = re.compile(rf"(finding|id): {re.escape(rule_id)}\b")
    for path in sorted(rules.glob("*/*.yaml")):
        if path.stem != rule_id and asks.search(path.read_text(encoding="utf-8")):
            return path.relative_to(rules.parent).as_posix()
    return ""


def _refusal(rule: Mapping[str, Any], path: Path_, change: Mapping[str, Any], kind: str, protected: bool) -> str:
    """Why a change is not taken; empty when it is."""
    if kind == "order":
        return _refused_code(rule, change)
    if path[0] in _FIXED:
        return f"a site does not change `{path[0]}`"
    if any(step in ("gate", "order") for step in path) or _names_order(change.get("becomes", change.get("adds"))):
        return "what is offered, and behind which gate, stays as it is"
    if path[-1] == "indicator" and change.get("becomes") == "critical":
        return "a critical card holds back treatments; a site adds none"
    if not protected:
        return ""
    if "adds" in change or not _widens(path, change):
        return "this rule guards against serious harm: a site may only move a threshold so that it fires sooner"
    if path[0] == "bands" and not _worst_first(rule["bands"], path[1]):
        return "a worse band stands below this one, and would lose patients to it"
    return ""


def _refused_code(order: Mapping[str, Any], change: Mapping[str, Any]) -> str:
    if change["at"] == "label":
        return ""
    if not _PLACES_OF_ORDER_CODES.fullmatch(change["at"]):
        return "of an order a site changes the label and the codes: resources[0].code.coding or coding[0]"
    if order["kind"] != "medication":
        return ""
    if "adds" not in change:
        return "of a medicine the codes stay; a site may add its own"
    system = change["adds"].get("system", "") if isinstance(change["adds"], dict) else ""
    if _PUBLISHED.match(str(system)):
        return "to a medicine a site adds codes of its own systems only: a published code may be another product"
    return ""


def _names_order(value: Any) -> bool:
    if isinstance(value, dict):
        return any(key in ("gate", "order") or _names_order(one) for key, one in value.items())
    return isinstance(value, list) and any(map(_names_order, value))


def _widens(path: Path_, change: Mapping[str, Any]) -> bool:
    """Whether a comparison that lets the rule fire is moved so that more patients meet it, in each of its units."""
    if path[-1] not in (*_RISING, *_FALLING) or not _NOT_WIDENED.isdisjoint(map(str, path)):
        return False
    try:
        before, after = parse_threshold(change["is"]), parse_threshold(change["becomes"])
    except ValueError:
        return False
    rising = path[-1] in _RISING
    return before.keys() == after.keys() and all(
        after[unit] >= old if rising else after[unit] <= old for unit, old in before.items()
    )


def _worst_first(bands: Any, at: str | int) -> bool:
    rank = [INDICATORS.index(band["indicator"]) for band in bands]
    return isinstance(at, int) and all(rank[at] >= later for later in rank[at + 1 :])
