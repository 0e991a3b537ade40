"""Hemolyzed samples: flags about a specimen, its condition, and remarks (0.5.10)."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from cds_service.facts import wire
from cds_service.facts.quantities import number
from cds_service.facts.text import folded_text
from cds_service.facts.units import HemolysisWords


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
        return any(coding.code in conditions for concept in specimen.condition for coding in concept.coding)

    def is_flagged(self, observation: wire.Observation, at: datetime | None) -> bool:
        """Whether a hemolysis flag is about the same specimen; about the same instant where either names none."""
        specimen = _specimen(observation)
        if specimen is not None and specimen in self.specimens:
            return True
        return at in (self.at if specimen is None else self.at_unnamed)

    def is_said_of(self, observation: wire.Observation) -> bool:
        """Whether the observation itself says so: its contained specimen, its notes, its interpretation."""
        if any(type(inner) is wire.Specimen and self._has_condition(inner) for inner in observation.contained):
            return True
        texts = [note.text for note in observation.note]
        texts += [concept.text for concept in _listed(observation.interpretation)]
        return any(text is not None and says_hemolyzed(text, self.words) for text in texts)

    def is_abnormal(self, part: wire.Observation | wire.Component) -> bool:
        """Whether the answer of a hemolysis test says there is hemolysis."""
        abnormal = self.words.abnormal_interpretations
        interpretations = _listed(part.interpretation)
        if any(coding.code in abnormal for concept in interpretations for coding in concept.coding):
            return True
        if part.valueBoolean is not None:
            return part.valueBoolean
        answer = part.valueCodeableConcept
        texts = [] if answer is None else [coding.display for coding in answer.coding] + [answer.text]
        if bytes(part.valueString)[:1] == b'"':
            texts.append(text_of(part.valueString))
        if any(text and _is_positive(text, self.words) for text in texts):
            return True
        value = number(text_of(part.valueQuantity.value)) if part.valueQuantity else None
        highs = [number(text_of(stated.high.value)) for stated in part.referenceRange if stated.high]
        return value is not None and any(high is not None and value > high for high in highs)


def text_of(raw: msgspec.Raw) -> str:
    """A raw member as text; "" when absent."""
    return bytes(raw).decode("utf-8", "replace")


def says_hemolyzed(text: str, words: HemolysisWords) -> bool:
    """Whether a remark calls the sample hemolyzed: the letters are there and not denied ("not hemolyzed")."""
    folded = folded_text(text[:2000])
    if not any(letters in folded for letters in words.letters):
        return False
    for sentence in re.split(r"[.;\n]", folded):
        for letters in words.letters:
            for found in re.finditer(re.escape(letters), sentence):
                if not _is_denied(sentence, found.start(), words):
                    return True
    return False


def _is_denied(sentence: str, at: int, words: HemolysisWords) -> bool:
    before = re.split(r"\b(?:but|however)\b|,", sentence[:at])[-1]
    if before.endswith(("non", "non-", "un")):
        return True
    if any(re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", before) for word in words.negated_before):
        return True
    after = re.match(r"[a-z]*\s*(?:index|flag|status)?\s*(?:is|was|:|=|-)?\s*(.*)", sentence[at:])
    rest = after[1] if after else ""
    return any(re.match(rf"{re.escape(word)}(?![a-z0-9])", rest) for word in words.negated_after)


def _is_positive(text: str, words: HemolysisWords) -> bool:
    folded = folded_text(text[:200])
    tokens = re.findall(r"[a-z]+|[0-9]\+", folded)
    if not any(token in words.positive_words for token in tokens):
        return False
    return not any(re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", folded) for word in words.negated_before)


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
