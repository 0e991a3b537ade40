"""What is written about one patient: the row of findings.ndjson. The order of members is part of the format."""

from __future__ import annotations

from typing import Literal

import msgspec

from cds_service.engine.model import Indicator
from cds_service.engine.verdicts import VerdictName

Status = Literal["assessed", "no-patient-resource", "too-many-resources"]
AGE_BANDS = ("0-17", "18-29", "30-39", "40-49", "50-59", "60-69", "70-79", "80-89", "90+", "unknown")
SEXES = ("female", "male", "unknown")


class CardRow(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A card that would have been shown. `also` are the other rules that it speaks for."""

    rule: str
    indicator: Indicator
    summary: str
    also: tuple[str, ...] = ()
    offers: int = 0
    """How many suggestions it carries."""


class FindingRow(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A finding that is a yes, is unknown, or that an exception silenced; a plain no is left out."""

    rule: str
    version: str
    verdict: VerdictName
    band: str = ""
    indicator: Indicator | None = None
    points: int = 0
    shown: bool = False
    """Whether a card speaks for it."""
    held_back: bool = False
    """Whether it fired with an indicator for this hook and no card speaks for it, because the mode is quiet."""
    silenced: str = ""
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class GapRow(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    kind: str
    what: str
    text: str
    reference: str = ""


class PatientRow(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One patient. A patient that could not be assessed has a row that says why: no failure looks like health."""

    patient: str
    status: Status
    sex: str = "unknown"
    age_band: str = "unknown"
    mode: str = ""
    gate: str = ""
    tier: str = ""
    points: int = 0
    resources: int = 0
    """How many were read of this patient."""
    cards: tuple[CardRow, ...] = ()
    findings: tuple[FindingRow, ...] = ()
    not_assessed: tuple[str, ...] = ()
    """Analytes without a usable result, where the tier names them."""
    gaps: tuple[GapRow, ...] = ()


encode_row = msgspec.json.Encoder().encode
decode_row = msgspec.json.Decoder(PatientRow).decode
