"""Proposed Flags or DetectedIssues of a run, as FHIR Bundles: one for each card that would have been shown.

Bundles are collections: reading them changes nothing. A site that wants them in its EHR reviews and writes them itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_URL, uuid5

import msgspec

from cds_service.cards.drafts import screening_flag, screening_issue
from cds_service.screening.plan import Plan
from cds_service.screening.rows import CardRow, PatientRow
from cds_service.screening.spill import write_whole

Kind = Literal["flags", "detected-issues"]
_ENTRIES = 1_000
"""In one Bundle: what a server takes and a person can open."""
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.\-]{1,64}")


def write_proposals(
    rows: Iterable[PatientRow], kind: Kind, plan: Plan, titles: Mapping[str, str], folder: Path
) -> list[Path]:
    """Writes ``<kind>-00001.json`` and so on; returns what was written. Those of an earlier run go away."""
    for old in folder.glob(f"{kind}-[0-9]*.json"):
        old.unlink()
    entries = _entries(rows, kind, plan, titles)
    written: list[Path] = []
    while batch := list(islice(entries, _ENTRIES)):
        bundle = {"resourceType": "Bundle", "type": "collection", "timestamp": plan.now.isoformat(), "entry": batch}
        path = folder / f"{kind}-{len(written) + 1:05}.json"
        write_whole(path, msgspec.json.encode(bundle) + b"\n")
        written.append(path)
    return written


def _entries(rows: Iterable[PatientRow], kind: Kind, plan: Plan, titles: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        for card in row.cards:
            resource = _resource(row, card, kind, plan, titles)
            value = resource["identifier"][0]["value"]
            # the same on every run over the same day
            url = uuid5(NAMESPACE_URL, f"{plan.public_base_url}/screening/{kind}/{value}/{plan.now.isoformat()}")
            yield {"fullUrl": f"urn:uuid:{url}", "resource": resource}


def _resource(row: PatientRow, card: CardRow, kind: Kind, plan: Plan, titles: Mapping[str, str]) -> dict[str, Any]:
    finding = {
        "rule": card.rule,
        "title": titles.get(card.rule, card.rule),
        "indicator": card.indicator,
        "text": card.summary,
    }
    if kind == "flags":
        return screening_flag(row.patient, finding, plan.now, plan.public_base_url)
    rules = {card.rule, *card.also}
    evidence = {
        one for found in row.findings if found.rule in rules and found.verdict == "yes" for one in found.evidence
    }
    named = tuple(sorted(one for one in evidence if _REFERENCE.fullmatch(one)))
    return screening_issue(row.patient, finding, named, plan.now, plan.public_base_url)
