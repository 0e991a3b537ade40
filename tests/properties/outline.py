"""What of an answer is compared with that to the same patient changed: offers, doses and words, without references."""

from __future__ import annotations

from typing import Any

from cds_service.assess import Assessment
from tests.properties.patients import Json


def outline(answer: Assessment) -> dict[str, Any]:
    """What was decided and offered, without the words that quote results."""
    told = ("resourceType", "code", "medicationCodeableConcept", "priority", "occurrenceDateTime", "occurrencePeriod")
    return {
        "cards": [
            (
                card.source.topic.code,
                card.indicator,
                [
                    [
                        (
                            action.type,
                            action.resource_id,
                            [action.resource.get(key) for key in told],
                            _doses(action.resource),
                        )
                        for action in suggestion.actions
                    ]
                    for suggestion in card.suggestions
                ],
                [link.url for link in card.links],
            )
            for card in answer.cards
        ],
        "gates": {name: decision.row for name, decision in answer.decisions.items()},
        "findings": [
            (finding.rule.id, finding.verdict, finding.band, finding.indicator) for finding in answer.findings
        ],
        "points": answer.tier.points if answer.tier else None,
    }


def _doses(resource: Json) -> list[Any]:
    return [(one.get("doseAndRate"), one.get("timing")) for one in resource.get("dosageInstruction", ())]


def difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    return "; ".join(f"{key} {before[key]} | {after[key]}" for key in before if before[key] != after[key])[:600]
