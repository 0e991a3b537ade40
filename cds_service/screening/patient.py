"""The second pure function: one patient's lines to a row, by the very same assessment as over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime

import msgspec

from cds_service.assess import Assessment, assess_facts
from cds_service.cards.compose import ASSESSMENT_EXTENSION
from cds_service.cards.model import Card
from cds_service.engine.model import Finding
from cds_service.facts.decode import build_facts
from cds_service.facts.gathered import Gathered, type_and_id
from cds_service.facts.model import Facts
from cds_service.facts.reading import MalformedRequest, decode_resource
from cds_service.facts.unmapped import Unmapped, count_unmapped
from cds_service.facts.wire import (
    Medication,
    MedicationDispense,
    MedicationRequest,
    MedicationStatement,
    Patient,
    Resource,
    Unread,
)
from cds_service.ruleset import Ruleset
from cds_service.screening.deletions import Deletions
from cds_service.screening.export import Missing
from cds_service.screening.instants import LONG_AGO, updated_at
from cds_service.screening.medications import Pool
from cds_service.screening.route import route
from cds_service.screening.rows import AGE_BANDS, CardRow, FindingRow, GapRow, PatientRow
from cds_service.settings import Settings

HOOK = "patient-view"
_decode_lines: Callable[[bytes], list[Resource]] = msgspec.json.Decoder(Resource).decode_lines
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Frame(msgspec.Struct, frozen=True):
    """All that decides a row besides the patient's lines."""

    ruleset: Ruleset
    settings: Settings
    now: datetime
    missing: Missing = Missing()
    """What the export lacks; known only once it has been read through."""
    since: datetime | None = None
    """Only patients with a change at or after it are assessed."""
    most_resources: int = 200_000
    deletions: Deletions | None = None


def assess_patient(
    patient_id: str, lines: bytes, changed: bool, medications: Pool, frame: Frame, unmapped: Unmapped | None = None
) -> PatientRow | None:
    """The row of one patient; None when the patient is deleted, or unchanged since `frame.since`.

    `lines` is NDJSON of the patient's resources, in any order; `changed` says whether one of them changed since.
    `medications` are the shared ones. Pure. `unmapped`, where it is given, counts what no value set knows.
    """
    resources = decode_lines(lines)
    if frame.since is not None and not changed and not _names_changed(resources, medications):
        return None
    standing = _standing(resources, lines, frame.deletions)
    if standing is None:
        return None
    resources = standing
    if not any(type(one) is Patient for one in resources):
        return PatientRow(patient_id, "no-patient-resource", resources=len(resources))
    if len(resources) > frame.most_resources:
        return PatientRow(patient_id, "too-many-resources", resources=len(resources))
    if medications:
        resources += _shared(resources, medications)
    gathered = Gathered(
        hook=HOOK,
        patient_id=patient_id,
        resources=tuple(resources),
        not_supplied=frame.missing.not_supplied,
        incomplete=frame.missing.incomplete,
        gaps=frame.missing.gaps,
    )
    # assess() in its two steps, for the age and sex that rows are counted by
    facts = build_facts(gathered, frame.ruleset.terminology, frame.settings, frame.now)
    assessment = assess_facts(facts, frame.ruleset, frame.settings)
    if unmapped is not None:
        count_unmapped(resources, facts, frame.ruleset.terminology, unmapped)
    return row_of(patient_id, len(resources), facts, assessment, frame)


def decode_lines(lines: bytes) -> list[Resource]:
    """The resources of NDJSON, all at once; when that fails line by line, and what cannot be read is an `Unread`."""
    try:
        return _decode_lines(lines)
    except _UNREADABLE:
        return [_decode_line(line) for line in lines.split(b"\n") if line.strip()]


def _decode_line(line: bytes) -> Resource:
    try:
        return decode_resource(line)
    except MalformedRequest:
        return Unread()


def row_of(patient_id: str, resources: int, facts: Facts, assessment: Assessment, frame: Frame) -> PatientRow:
    """What an assessment comes to in a row."""
    spoken = Counter(rule for card in assessment.cards for rule in _rules(card))
    today = frame.now.astimezone(frame.settings.zone).date()
    tier = assessment.tier
    return PatientRow(
        patient_id,
        "assessed",
        facts.patient.sex or "unknown",
        age_band(facts.patient.born_earliest, facts.patient.born_latest, today),
        "" if assessment.gate else assessment.mode,
        assessment.gate,
        tier.level if tier else "",
        tier.points if tier else 0,
        resources,
        tuple(_card_row(card) for card in assessment.cards),
        tuple(
            _finding_row(one, one.rule.id in spoken, assessment.mode)
            for one in assessment.findings
            if one.verdict != "no"
        ),
        tier.not_assessed if tier else (),
        tuple(GapRow(gap.kind, gap.what, gap.text, gap.reference or "") for gap in assessment.data_gaps),
    )


def age_band(born_earliest: date | None, born_latest: date | None, today: date) -> str:
    """The band of an age in completed years; ``unknown`` where a partial birth date reaches over two."""
    if born_earliest is None or born_latest is None:
        return AGE_BANDS[-1]
    bands = {_band_of(born, today) for born in (born_earliest, born_latest)}
    return bands.pop() if len(bands) == 1 else AGE_BANDS[-1]


def _band_of(born: date, today: date) -> str:
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    if age < 18:
        return AGE_BANDS[0]
    return AGE_BANDS[min(max(age // 10, 2), 9) - 1]


def _rules(card: Card) -> list[str]:
    rules: list[str] = card.extension[ASSESSMENT_EXTENSION]["rules"]
    return rules


def _card_row(card: Card) -> CardRow:
    rule, *also = _rules(card)
    return CardRow(rule, card.indicator, card.summary, tuple(also), len(card.suggestions))


def _finding_row(finding: Finding, shown: bool, mode: str) -> FindingRow:
    evidence = (getattr(fact, "reference", None) for fact in finding.evidence)
    held_back = not shown and finding.fired and finding.indicator is not None and HOOK in finding.rule.hooks
    return FindingRow(
        finding.rule.id,
        finding.rule.version,
        "no" if finding.silenced else finding.verdict,
        finding.band,
        finding.indicator,
        finding.points,
        shown,
        held_back and mode == "quiet",
        finding.silenced,
        tuple(dict.fromkeys(one for one in evidence if one)),
        finding.missing,
    )


def _names_changed(resources: list[Resource], medications: Pool) -> bool:
    """Whether a resource refers to a shared Medication that changed."""
    return any(medications[id_][0] for id_ in _medications_named(resources) if id_ in medications)


def _standing(resources: list[Resource], lines: bytes, deletions: Deletions | None) -> list[Resource] | None:
    """The resources that stand: of several versions the latest, nothing deleted. None for a deleted patient."""
    if not deletions and len({getattr(one, "id", None) for one in resources}) == len(resources):
        return resources
    if not deletions and len(set(map(_identity, resources))) == len(resources):
        return resources
    written = [line for line in lines.split(b"\n") if line.strip()]
    times = [updated_at(route(line).updated) or LONG_AGO for line in written]
    latest: dict[tuple[type, str | None], datetime] = {}
    for key, at in zip(map(_identity, resources), times, strict=True):
        latest[key] = max(latest.get(key, LONG_AGO), at)
    kept: list[Resource] = []
    for resource, at in zip(resources, times, strict=True):
        kind, id_ = _identity(resource)
        if id_ and at < latest[kind, id_]:
            continue
        if deletions and id_ and deletions.cover(f"{kind.__name__}/{id_}", at):
            if kind is Patient:
                return None
            continue
        kept.append(resource)
    return kept


def _identity(resource: Resource) -> tuple[type, str | None]:
    return type(resource), getattr(resource, "id", None)


def _shared(resources: list[Resource], medications: Pool) -> list[Resource]:
    """The shared Medications that a patient's resources refer to, and what those refer to in turn."""
    waiting = _medications_named(resources)
    found: dict[str, Resource] = {}
    while waiting:
        id_ = waiting.pop()
        if id_ in medications and id_ not in found:
            found[id_] = medications[id_][1]
            waiting += _medications_named([found[id_]])
    return list(found.values())


def _medications_named(resources: list[Resource]) -> list[str]:
    named = []
    for one in resources:
        if isinstance(one, (MedicationRequest, MedicationStatement, MedicationDispense)):
            choice = one.medicationReference or (one.medication.reference if one.medication else None)
            references = [choice.reference] if choice is not None else []
        elif type(one) is Medication:
            references = [part.itemReference.reference for part in one.ingredient if part.itemReference is not None]
        else:
            continue
        for pair in map(type_and_id, references):
            if pair is not None and pair[0] == "Medication":
                named.append(pair[1])
    return named
