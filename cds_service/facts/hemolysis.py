"""Hemolyzed samples: flags about a specimen, its condition, and remarks (0.5.10)."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from cds_service.facts import wire
from cds_service.facts.quantities import number
from cds_service.facts.units import HemolysisWords
from cds_service.facts.words import folded_text

_LONGEST_REMARK = 2000

_CLAUSE_END = re.compile(r"[;\n\r]|\.(?![0-9])")
_BARE_NUMBER = re.compile(r"[<>=~]*\s*[0-9]+(?:\.[0-9]+)?\s*(?:%|mg/dl|g/l|umol/l)?")
_LONGEST_REMARK = 2000


class Hemolysis:
    """What one request says about the state of its samples."""

    def __init__(self, words: HemolysisWords) -> None:
        self.words = words
        self.specimens: set[str] = set()
        self.at: set[datetime] = set()
        """Instants of all flags."""
        self.at_unnamed: set[datetime] = set()
        """Instants of those that name no specimen."""

    @property
    def found(self) -> bool:
        """Whether any flag was met."""
        return bool(self.specimens or self.at)

    def flag(self, observation: wire.Observation, at: datetime | None) -> None:
        """Notes an observation that calls its sample hemolyzed, taken at `at`."""
        specimen = _specimen(observation)
        if specimen is not None:
            self.specimens.add(specimen)
        if at is not None:
            self.at.add(at)
            if specimen is None:
                self.at_unnamed.add(at)

    def specimen(self, specimen: wire.Specimen, full_url: str | None = None) -> None:
        """Notes a specimen that its condition calls hemolyzed."""
        if self._has_condition(specimen):
            self.specimens.add(full_url or f"Specimen/{specimen.id}")

    def _has_condition(self, specimen: wire.Specimen) -> bool:
        conditions = self.words.specimen_conditions
        if any(coding.code in conditions for concept in specimen.condition for coding in concept.coding):
            return True
        texts = [note.text for note in specimen.note]
        for concept in specimen.condition:
            texts += [concept.text, *(coding.display for coding in concept.coding)]
        return any(text is not None and self.is_said_in(text) for text in texts)

    def is_flagged(self, observation: wire.Observation, at: datetime | None) -> bool:
        """Whether a hemolysis flag is about the same specimen; about the same instant where either names none."""
        specimen = _specimen(observation)
        if specimen is not None and specimen in self.specimens:
            return True
        return at in (self.at if specimen is None else self.at_unnamed)

    def is_said_of(self, observation: wire.Observation, part: wire.Observation | wire.Component) -> bool:
        """Whether the observation itself says so: its specimen, its notes, its or its part's interpretation."""
        if any(type(inner) is wire.Specimen and self._has_condition(inner) for inner in observation.contained):
            return True
        texts = [note.text for note in observation.note]
        concepts = _listed(observation.interpretation)
        if part is not observation:
            concepts += _listed(part.interpretation)
        for concept in concepts:
            texts += [concept.text, *(coding.display for coding in concept.coding)]
        return any(text is not None and self.is_said_in(text) for text in texts)

    def is_said_in(self, text: str) -> bool:
        """Whether a remark calls the sample hemolyzed: the letters are there and no denial governs the very word."""
        folded = folded_text(text[:_LONGEST_REMARK])
        if not any(letters in folded for letters in self.words.letters):
            return False
        return any(
            not self._is_denied(clause, found)
            for clause in _CLAUSE_END.split(folded)
            for found in self.words.word.finditer(clause)
        )

    def _is_denied(self, clause: str, found: re.Match[str]) -> bool:
        """Whether what is right before the word, or right behind it, denies it, and says nothing more."""
        words = self.words
        rest = clause[found.end() :]
        before = words.denied_before.search(clause[: found.start()])
        if before is not None and words.closes.match(rest):
            return before[1] not in words.nouns_only or found[0].endswith(words.noun_endings)
        return words.denied_after.match(rest) is not None

    def is_abnormal(self, part: wire.Observation | wire.Component) -> bool:
        """Whether the answer of a hemolysis test says there is hemolysis. An answer not understood says so."""
        words = self.words
        codes = {coding.code for concept in _listed(part.interpretation) for coding in concept.coding}
        if not codes.isdisjoint(words.abnormal_interpretations):
            return True
        if any(concept.text and self._is_positive(concept.text) for concept in _listed(part.interpretation)):
            return True
        if part.valueBoolean is not None:
            return part.valueBoolean
        if part.valueCodeableConcept is not None:
            return self._is_answered(part.valueCodeableConcept)
        if bytes(part.valueString)[:1] == b'"':
            return self._is_positive(_string(part.valueString))
        value = number(text_of(part.valueQuantity.value)) if part.valueQuantity else None
        highs = [number(text_of(stated.high.value)) for stated in part.referenceRange if stated.high]
        return value is not None and any(high is not None and value > high for high in highs)

    def _is_answered(self, answer: wire.NamedConcept) -> bool:
        """Whether a coded answer means hemolysis: by code, else by words, else for being there."""
        codes = {(coding.code or "").strip() for coding in answer.coding}
        if not codes.isdisjoint(self.words.positive_codes):
            return True
        texts = [text for text in (answer.text, *(coding.display for coding in answer.coding)) if text]
        if any(self._is_positive(text) for text in texts):
            return True
        return not texts and bool(codes - {""}) and codes.isdisjoint(self.words.negative_codes)

    def _is_positive(self, text: str) -> bool:
        """Whether an answer in words means hemolysis: all do but the known negatives and bare numbers."""
        folded = folded_text(text[:_LONGEST_REMARK]).strip()
        if not folded or _BARE_NUMBER.fullmatch(folded) or self.words.negative_answer.fullmatch(folded):
            return False
        return not any(letters in folded for letters in self.words.letters) or self.is_said_in(folded)


def text_of(raw: msgspec.Raw) -> str:
    """A raw member as text; "" when absent."""
    return bytes(raw).decode("utf-8", "replace")


def _string(raw: msgspec.Raw) -> str:
    """The text of a raw JSON string."""
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text_of(raw)


def _listed(concepts: tuple[wire.NamedConcept, ...] | wire.NamedConcept) -> tuple[wire.NamedConcept, ...]:
    """STU3 has one interpretation where R4 has a list."""
    return concepts if isinstance(concepts, tuple) else (concepts,)


def _specimen(observation: wire.Observation) -> str | None:
    """What names the specimen: ``Specimen/id``, a URL, or a contained one of this observation alone."""
    reference = observation.specimen.reference if observation.specimen else None
    if not reference:
        return None
    at = reference.rfind("Specimen/")
    if at >= 0:
        return reference[at:].split("/_history", 1)[0]
    return f"{observation.id}{reference}" if reference.startswith("#") else reference
