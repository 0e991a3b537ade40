"""Observations into Measurements (section 0.5), and the hemolysis flags that go with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

import msgspec

from cds_service.facts import wire
from cds_service.facts.hemolysis import Hemolysis, text_of
from cds_service.facts.instants import LATER, UNDATED, Dates, days_of
from cds_service.facts.model import NO_SETS, Measurement
from cds_service.facts.quantities import Analyte, Problem, Reading, read_quantity
from cds_service.facts.terminology import Match, Terminology

_FINAL = frozenset({"final", "amended", "corrected"})
_READ = _FINAL | {"preliminary"}
_FUTURE_TOLERANCE = timedelta(hours=24)  # 0.5.7
_ANSWERED = Reading(None)
_NO_VALUE = Reading("no-value")
_NO_QUANTITY = Reading("not-a-quantity")
_NOISE: Plan = (None, None, None)
_MOST_REMEMBERED = 8192
_LONGEST_REMEMBERED = 160

Row: TypeAlias = tuple[timedelta, Measurement, wire.Observation]
"""The key of newest first, the result, and where it was read."""
Matched: TypeAlias = list[tuple[wire.Coding | wire.NamedCoding, Match]]
Plan: TypeAlias = tuple[Match | None, Analyte | None, str | None]
"""What a code stands for; the analyte, where it takes quantities; and the property of the code."""
Part: TypeAlias = wire.Observation | wire.Component


class ObservationReader:
    """Reads the observations of one request. Short-lived: its dates are those of the request."""

    def __init__(self, terminology: Terminology, dates: Dates) -> None:
        self.terminology = terminology
        self.analytes = terminology.units.analytes
        self.codes = terminology.codes
        self.remembered = terminology.readings
        self.dates = dates
        self.latest = LATER - (dates.now + _FUTURE_TOLERANCE)
        self.hemolysis = Hemolysis(terminology.units.hemolysis)
        self._rows: dict[str, list[Row]] = {}
        self._plans: dict[str | None, dict[str | None, Plan]] = {}
        self._missed: set[tuple[str | None, str | None]] = set()

    def matches(self, concept: wire.Concept | wire.NamedConcept | None) -> Matched:
        """The codings of a concept that are in any value set."""
        if concept is None:
            return []
        found: Matched = []
        codes = self.codes
        for coding in concept.coding:
            table = codes.get(coding.system)  # type: ignore[arg-type]
            match = table.get(coding.code) if table is not None else None  # type: ignore[arg-type]
            if match is None:
                match = self.match_of(coding)
            if match is not None:
                found.append((coding, match))
        return found

    def match_of(self, coding: wire.Coding | wire.NamedCoding) -> Match | None:
        """What a coding stands for. What stands for nothing is remembered: noise repeats."""
        key = (coding.system, coding.code)
        if key in self._missed:
            return None
        match = self.terminology.lookup(coding.system, coding.code)
        if match is None:
            self._missed.add(key)
        return match

    def observed(self, concept: wire.Concept | None) -> Matched:
        """The codings of an observation's code that anything is read from."""
        return [pair for pair in self.matches(concept) if pair[1].observed]

    def take_all(
        self,
        observations: Iterable[wire.Observation],
        owns: Callable[[str], bool],
        owned: dict[str, bool],
        seen: dict[str, wire.Resource],
    ) -> list[wire.Observation]:
        """Reads the plain results among `observations` and returns those that need a closer look.

        A plain result has one accepted code, a quantity and a date, and belongs to a subject known as the patient's
        (`owns`, remembered in `owned`). This does for those what `take` does for all, without a call for each step: it
        is the hot path of a large record. `seen` is what was delivered before, by reference.
        """
        plans, rows_of, words = self._plans, self._rows, self.remembered
        dates, latest = self.dates, self.latest
        results = dates.results
        others: list[wire.Observation] = []
        for observation in observations:
            concept = observation.code
            match: Match | None = None
            analyte: Analyte | None = None
            if concept is not None and concept.coding:
                codings = concept.coding
                coding = codings[0]
                by_code = plans.get(coding.system)
                plan = by_code.get(coding.code) if by_code is not None else None
                match, analyte, kind = plan if plan is not None else self._plan(coding)
                if len(codings) > 1:
                    # the one coding that is read, if it is one; several are left to `take`
                    for coding in codings[1:]:
                        more = self._plan(coding)
                        if more[0] is not None:
                            match, analyte, kind = more if match is None else (match, None, None)
            if match is None:
                if observation.component or observation.contained or observation.valueCodeableConcept is not None:
                    others.append(observation)
                continue
            quantity, text, subject = observation.valueQuantity, observation.effectiveDateTime, observation.subject
            if (
                analyte is None
                or quantity is None
                or text is None
                or observation.id is None
                or observation.status not in _READ
                or observation.component
                or observation.contained
                or observation.valueCodeableConcept is not None
            ):
                others.append(observation)
                continue
            if subject is not None:
                about = subject.reference
                own = owned.get(about)  # type: ignore[arg-type]
                if own is None and about is not None:
                    own = owned[about] = owns(about)
                if not own:
                    others.append(observation)
                    continue
            reference = "Observation/" + observation.id
            if seen.setdefault(reference, observation) is not observation:
                others.append(observation)
                continue
            key = (
                analyte.id,
                bytes(quantity.value),
                quantity.comparator,
                quantity.code,
                quantity.system,
                quantity.unit,
                kind,
            )
            reading = words.get(key)
            if reading is None:
                reading = self._read(analyte, quantity, kind)
            at, at_earliest, behind = results.get(text) or dates.new_result(text)
            if at is None or behind < latest:
                others.append(observation)
                continue
            one = Measurement(
                reference,
                analyte.id,
                match.sets,
                at,
                at_earliest,
                observation.status == "preliminary",
                reading.problem,
                reading.family,
                reading.low,
                reading.high,
                reading.low_open,
                reading.high_open,
                reading.value,
                reading.unit,
                reading.comparator,
                self._upper_limit(analyte, observation, reading.family),
                bool(observation.note or observation.interpretation)
                and self.hemolysis.is_said_of(observation, observation),
                NO_SETS,
                None,
                None if at is at_earliest or observation.issued is None else dates.instant(observation.issued),
            )
            rows = rows_of.get(analyte.id)
            if rows is None:
                rows_of[analyte.id] = [(behind, one, observation)]
            else:
                rows.append((behind, one, observation))
        return others

    def _plan(self, coding: wire.Coding) -> Plan:
        """What is to be done with a code, remembered for the request."""
        by_code = self._plans.setdefault(coding.system, {})
        plan = by_code.get(coding.code)
        if plan is None:
            match = self.terminology.lookup(coding.system, coding.code)
            if match is None or not match.observed:
                plan = _NOISE
            else:
                analyte = self.analytes[match.analyte] if match.analyte is not None else None
                if analyte is not None and analyte.answers == "quantity":
                    plan = (match, analyte, analyte.properties.get(coding.code or ""))
                else:
                    plan = (match, None, None)
            by_code[coding.code] = plan
        return plan

    def take(self, observation: wire.Observation, matched: Matched, reference: str) -> None:
        """Reads what an observation holds: accepted analytes, its own and its components', and hemolysis flags."""
        if observation.status not in _READ:
            return
        if matched:
            self._part(observation, observation, matched, reference)
        if observation.component:
            for index, component in enumerate(observation.component):
                inner = self.observed(component.code)
                if inner:
                    self._part(observation, component, inner, f"{reference}#component-{index + 1}")

    def _part(self, observation: wire.Observation, part: Part, matched: Matched, reference: str) -> None:
        for coding, match in matched:
            if match.analyte is not None:
                analyte = self.analytes[match.analyte]
                kind = analyte.properties.get(coding.code) if analyte.properties else None  # type: ignore[arg-type]
                if len(matched) > 1:
                    kind = _property(analyte, [one.code for one, other in matched if other.analyte == analyte.id])
                self._measure(observation, part, reference, analyte, match, kind)
                return
        flag_set = self.hemolysis.words.flag_set
        if any(flag_set in match.sets for _, match in matched) and self.hemolysis.is_abnormal(part):
            self.hemolysis.flag(observation, self.times(observation)[0])

    def measurements(self) -> dict[str, tuple[Measurement, ...]]:
        """Everything read, by analyte, newest first, undated ones first of all."""
        if self.hemolysis.found:
            for rows in self._rows.values():
                rows[:] = [
                    (at, msgspec.structs.replace(one, hemolyzed=True), observation)
                    if not one.hemolyzed and self.hemolysis.is_flagged(observation, one.at)
                    else (at, one, observation)
                    for at, one, observation in rows
                ]
        return {analyte: _newest_first(self._rows[analyte], self.dates) for analyte in sorted(self._rows)}

    def _measure(
        self,
        observation: wire.Observation,
        part: Part,
        reference: str,
        analyte: Analyte,
        match: Match,
        kind: str | None,
    ) -> None:
        answers, date_answer = NO_SETS, None
        quantity = part.valueQuantity
        reading: Reading | None
        if analyte.answers != "quantity":
            reading, answers, date_answer = self._answer(analyte, part)
        elif quantity is not None:
            reading = self._read(analyte, quantity, kind)
        elif analyte.integer_counts and bytes(part.valueInteger):
            reading = read_quantity(analyte, text_of(part.valueInteger), None, None, None, None, None)
        else:
            reading = _missing(part)
        if reading is None:
            return
        at, at_earliest, behind, problem = self.times(observation)
        if problem is None:
            problem = reading.problem
        usable = problem is None
        one = Measurement(
            reference,
            analyte.id,
            match.sets,
            at,
            at_earliest,
            observation.status == "preliminary",
            problem,
            reading.family if usable else "",
            reading.low if usable else None,
            reading.high if usable else None,
            reading.low_open,
            reading.high_open,
            reading.value,
            reading.unit,
            reading.comparator,
            self._upper_limit(analyte, part, reading.family),
            bool(observation.note or observation.interpretation or part.interpretation or observation.contained)
            and self.hemolysis.is_said_of(observation, part),
            answers,
            date_answer,
            None
            if (at is not None and at is at_earliest) or not observation.issued
            else self.dates.instant(observation.issued),
        )
        rows = self._rows.get(analyte.id)
        if rows is None:
            self._rows[analyte.id] = [(behind, one, observation)]
        else:
            rows.append((behind, one, observation))

    def _answer(self, analyte: Analyte, part: Part) -> tuple[Reading | None, frozenset[str], date | None]:
        """A coded or dated answer; None where a panel's parent holds none of its own."""
        if analyte.answers == "coded":
            answer = part.valueCodeableConcept
            sets = NO_SETS.union(*(match.sets for _, match in self.matches(answer)))
            return (_ANSWERED if answer is not None else _missing(part)), sets, None
        days = days_of(part.valueDateTime)
        return (_ANSWERED if days else _missing(part)), NO_SETS, days[1] if days else None

    def _read(self, analyte: Analyte, quantity: wire.Quantity, kind: str | None) -> Reading:
        """`read_quantity`, remembered: a laboratory writes the same few numbers again and again."""
        raw = bytes(quantity.value)
        code, system, unit = quantity.code, quantity.system, quantity.unit
        key = (analyte.id, raw, quantity.comparator, code, system, unit, kind)
        known = self.remembered.get(key)
        if known is None:
            known = read_quantity(
                analyte, raw.decode("utf-8", "replace"), quantity.comparator, code, system, unit, kind
            )
            if len(raw) + len(code or "") + len(system or "") + len(unit or "") < _LONGEST_REMEMBERED:
                if len(self.remembered) >= _MOST_REMEMBERED:
                    self.remembered.clear()
                self.remembered[key] = known
        return known

    def times(
        self, observation: wire.Observation
    ) -> tuple[datetime | None, datetime | None, timedelta, Problem | None]:
        """`(at, at_earliest, key of newest first, problem)` by 0.5.7."""
        text = observation.effectiveDateTime
        if text is None:
            period = observation.effectivePeriod
            text = observation.effectiveInstant or (period.end if period else None) or observation.issued
        if not text:
            return None, None, UNDATED, "no-date"
        at, at_earliest, behind = self.dates.result(text)
        if at is None:
            return None, None, UNDATED, "no-date"
        return at, at_earliest, behind, "future" if behind < self.latest else None

    def _upper_limit(self, analyte: Analyte, part: Part, family: str) -> Decimal | None:
        """The lowest upper limit stated with its unit, in the unit's family; else that of the unit table."""
        limits: list[Decimal] = []
        for stated in part.referenceRange:
            if stated.high is not None:
                limit = self._read(analyte, stated.high, None).high
                if limit is not None:
                    limits.append(limit)
        return min(limits, default=analyte.reference.get(family, (None, None))[1])


def _property(analyte: Analyte, codes: Iterable[str | None]) -> str | None:
    kinds = {analyte.properties.get(code) for code in codes if code}
    return kinds.pop() if len(kinds) == 1 else None


def _missing(part: Part) -> Reading | None:
    """The problem of a part without a quantity; None for the parent of a panel."""
    if (
        bytes(part.valueString)
        or bytes(part.valueInteger)
        or part.valueCodeableConcept is not None
        or part.valueQuantity is not None
        or part.valueDateTime is not None
    ):
        return _NO_QUANTITY
    if isinstance(part, wire.Observation):
        if bytes(part.valueRange) or bytes(part.valueRatio) or part.valueBoolean is not None:
            return _NO_QUANTITY
        if part.component:
            return None
    return _NO_VALUE


def _newest_first(rows: list[Row], dates: Dates) -> tuple[Measurement, ...]:
    """Sorted by instant; where those are equal, by what else tells results apart: order of supply never does."""
    if len(rows) > 1:
        rows.sort(key=_by_time)
        before = None
        for row in rows:
            if row[0] == before:
                rows.sort(key=lambda row: _by_all(row, dates))
                break
            before = row[0]
    return tuple([row[1] for row in rows])


def _by_time(row: Row) -> timedelta:
    return row[0]


def _by_all(row: Row, dates: Dates) -> tuple[timedelta, timedelta, bool, str, str]:
    """Later issued first, then the unusable before the usable, then by reference."""
    behind, one, observation = row
    issued = dates.instant(observation.issued) if observation.issued else None
    return (behind, LATER - issued if issued else timedelta.max, one.problem is None, one.reference, str(one.value))
