"""A tiny rules folder: the smallest that loads, and a way to change one file of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from cds_service.engine.knowledge import Knowledge
from cds_service.engine.loader import load_knowledge

ROOT = Path(__file__).resolve().parents[2]

BASE = {
    "ruleset.yaml": "{knowledge_version: 0.0.1, title: Test, status: draft, canonical: 'https://example.org'}",
    "references.yaml": "src: {citation: A source, checked: true}",
    "override-reasons.yaml": "{system: 'https://example.org/reasons', reasons: {OR-managed: already being managed}}",
    "output.yaml": (
        "{cards: {full_warnings_at_most: 3, quiet_warnings_at_most: 3}, symptoms: symptoms, supplement_note: s,"
        " contributor_note: c, not_automatic: n,"
        " source_label: Test, topic_system: 'https://example.org/topics'}"
    ),
    "facts/symptoms.yaml": "{fact: symptoms, condition: {in: cramps}}",
    "orders/panel.yaml": (
        "{order: panel, title: Panel, kind: test, label: Order panel, resources: [{code: {text: Panel, coding:"
        " [{system: 'http://loinc.org', code: 24321-2, display: Panel}]}}]}"
    ),
    "tiers/level.yaml": (
        "{tier: level, caps: {medicines: 5}, families: {}, levels: {low: 1}, floors: {}, not_assessed: [potassium],"
        " is_not: not a probability}"
    ),
    "safety/patient-gates.yaml": "rows: [{id: gate-deceased, if: {deceased: true}, then: no-cards}]",
    "safety/sweep.yaml": "rows: [{id: high, if: {medication: {in: sparing}}, forbid: [potassium], why: no}]",
    "safety/critical-freeze.yaml": "except: []",
    "laboratory/low.yaml": """\
id: low
number: R01
title: Low potassium
version: 1.0.0
status: active
hooks: [patient-view]
evidence: [{claim: Low is low, cites: src, strength: Label}]
when: {observation: {in: potassium, below: 3.5 mmol/L}, as: potassium}
indicator: warning
card: {summary: "Potassium {potassium}"}
override_reasons: [OR-managed]
scenarios: [{name: fires}]
""",
}

Change = Callable[..., Knowledge]


@pytest.fixture
def load(tmp_path: Path) -> Change:
    """`load(**files)` loads the tiny folder with the given files replaced (None removes one)."""

    def _load(files: dict[str, str | None] | None = None) -> Knowledge:
        folder = tmp_path / "rules"
        (folder / "schema").mkdir(parents=True)
        shutil.copy(ROOT / "rules/schema/rules.schema.json", folder / "schema")
        for name, text in (BASE | (files or {})).items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            if text is not None:
                path.write_text(text)
        return load_knowledge(
            folder,
            value_sets=frozenset({"cramps", "wasting", "sparing"}),
            analytes={
                "potassium": {"mmol/L": Decimal(1)},
                "magnesium": {"mmol/L": Decimal(1), "mg/dL": Decimal("0.4114")},
            },
            upper_limits={},
        )

    return _load


@pytest.fixture
def rule_text() -> str:
    """The rule of the tiny folder, to be changed by replacing a part of it."""
    return BASE["laboratory/low.yaml"]
