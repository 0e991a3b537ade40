"""One assessment told for people: the cards as sent, and why: findings, level, gates, data gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from cds_service.assess import Assessment
from cds_service.cards.compose import ASSESSMENT_EXTENSION
from cds_service.cards.describe import describe
from cds_service.cards.wording import fill
from cds_service.cli.check import as_data, finding_data
from cds_service.engine.model import Decision, Finding
from cds_service.facts.gathered import Gathered
from cds_service.ruleset import Ruleset
from cds_service.settings import Settings
from cds_service.web.pages.markdown import to_html

_MOST_SHOWN = 200_000
"""Longer JSON is shown in part: a browser must draw it."""


class Telling:
    """Tells one assessment."""

    def __init__(self, assessment: Assessment, ruleset: Ruleset, settings: Settings, hook: str) -> None:
        self.assessment, self.ruleset, self.settings, self.hook = assessment, ruleset, settings, hook

    def plain(self, name: str, now: datetime) -> dict[str, Any]:
        """As JSON: what `legcramp check --json` says, and what the gates decided."""
        gates = [{"gate": one.gate, "row": one.row, "allows": one.draft is not None} for one in self._decisions()]
        return {**as_data(name, now, self.assessment), "hook": self.hook, "gates": gates}

    def for_page(self, response: bytes, now: datetime, gathered: Gathered) -> dict[str, Any]:
        """As the templates want it."""
        assessment = self.assessment
        cards = [self._card(number, card) for number, card in enumerate(msgspec.json.decode(response)["cards"], 1)]
        findings = [self._finding(one, cards) for one in assessment.findings]
        counts = Counter(card["indicator"] for card in cards)
        return {
            "hook": self.hook,
            "now": now.astimezone(self.settings.zone),
            "cards": cards,
            "counts": [(word, counts[word]) for word in ("critical", "warning", "info") if counts[word]],
            "findings": findings,
            "fired": [one for one in findings if one["verdict"] == "yes"],
            "unknown": [one for one in findings if one["verdict"] == "unknown"],
            "no": [one for one in findings if one["verdict"] == "no"],
            "held": [one for one in findings if one["verdict"] == "yes" and not one["on_cards"]],
            "tier": self._tier(),
            "gates": [self._gate(one) for one in self._decisions()],
            "gaps": msgspec.to_builtins(assessment.data_gaps),
            "mode": assessment.mode,
            "gate": assessment.gate,
            "knowledge": assessment.knowledge,
            "digest": assessment.ruleset,
            "read": Counter(type(one).__name__ for one in (*gathered.resources, *gathered.drafts)).most_common(),
        }

    def _card(self, number: int, card: dict[str, Any]) -> dict[str, Any]:
        rules = card.get("extension", {}).get(ASSESSMENT_EXTENSION, {}).get("rules", ())
        suggestions = [
            {**one, "actions": [_action(action) for action in one.get("actions", ())]}
            for one in card.get("suggestions", ())
        ]
        return {
            **card,
            "number": number,
            "html": to_html(card.get("detail", "")),
            "rules": rules,
            "suggestions": suggestions,
            "icon": self._here(card["source"].get("icon", "")),
            "links": [
                {**link, "here": self._here(link["url"]), "out": link["url"].startswith(("https://", "http://"))}
                for link in card.get("links", ())
            ],
        }

    def _here(self, url: str) -> str:
        """The path of one of our own addresses, wherever this page is served from; "" for any other."""
        base = self.settings.public_base_url + "/"
        return url[len(base) - 1 :] if url.startswith(base) else ""

    def _finding(self, finding: Finding, cards: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        rule = finding.rule
        return {
            **finding_data(finding),
            "number": rule.number,
            "title": rule.title,
            "version": rule.version,
            "file": rule.file,
            "lowered": finding.lowered,
            "evidence": self._evidence(finding.evidence),
            "on_cards": [card["number"] for card in cards if rule.id in card["rules"]],
            "kept_back": self._kept_back(finding),
        }

    def _kept_back(self, finding: Finding) -> str:
        """Why a finding that fired may have no card."""
        if finding.indicator is None:
            return "silent"
        if self.hook not in finding.rule.hooks:
            return "other-hook"
        return self.assessment.mode

    def _evidence(self, evidence: Iterable[Any]) -> list[dict[str, str]]:
        names, zone = self.ruleset.analyte_names, self.settings.zone
        told = {(describe(fact, names, zone), getattr(fact, "reference", "") or ""): None for fact in evidence}
        return [{"text": text, "reference": reference} for text, reference in told if text or reference]

    def _tier(self) -> dict[str, Any] | None:
        tier = self.assessment.tier
        if tier is None:
            return None
        return {
            "level": tier.level,
            "points": tier.points,
            "contributors": [
                {
                    "title": one.finding.rule.title,
                    "number": one.finding.rule.number,
                    "points": one.points,
                    "group": one.group,
                }
                for one in tier.contributors
            ],
            "not_assessed": tier.not_assessed,
        }

    def _decisions(self) -> Iterable[Decision]:
        return self.assessment.decisions.values()

    def _gate(self, decision: Decision) -> dict[str, Any]:
        knowledge = self.ruleset.knowledge
        gate, draft = knowledge.gates[decision.gate], decision.draft
        order = knowledge.orders.get(draft["order"], {}) if draft else {}
        return {
            "id": decision.gate,
            "title": gate.title,
            "row": decision.row,
            "allows": draft is not None,
            "unknown": decision.unknown,
            "reason": fill(decision.reason, decision.bound, self.settings.zone),
            "order": order.get("label", ""),
            "draft": {name: value for name, value in (draft or {}).items() if name != "order"},
            "advice": decision.advice,
            "evidence": self._evidence(decision.evidence),
        }


def _action(action: dict[str, Any]) -> dict[str, Any]:
    resource = action.get("resource")
    kind = resource["resourceType"] if resource else action.get("resourceId", "").partition("/")[0]
    return {**action, "kind": kind, "json": pretty(msgspec.json.encode(action))[0]}


def pretty(body: bytes) -> tuple[str, int]:
    """JSON laid out for reading, and how many characters of it are left out."""
    text = msgspec.json.format(body, indent=2).decode("utf-8", "replace") if body else ""
    return text[:_MOST_SHOWN], max(0, len(text) - _MOST_SHOWN)
