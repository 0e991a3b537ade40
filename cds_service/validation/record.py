"""A respondent as the FHIR record a clinic would hold, so that the very same decoding and rules read it.

Medicines are statements with the generic name as text, results carry their unit, what a doctor told is a coded
condition. What the table does not hold is not supplied, never a "no".
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import msgspec

from cds_service.facts.gathered import Gathered, gathered_from_bundle
from cds_service.facts.model import ResourceKind
from cds_service.facts.reading import decode_bundle
from cds_service.facts.terminology import ICD10CM, LOINC
from cds_service.scenarios.when import Calendar
from cds_service.settings import Settings
from cds_service.validation.columns import Columns
from cds_service.validation.table import Respondent

Resource = dict[str, Any]

_MEASURED = "5 days ago"
_EARLIER = "105 days ago"
_RECORDED = "60 days ago"
_NOT_ASKED: frozenset[ResourceKind] = frozenset({"allergies", "procedures", "service-requests"})
_SUBJECT = {"reference": "Patient/respondent"}
_UCUM = "http://unitsofmeasure.org"


class RecordMaker:
    """Makes records by one description of a table."""

    def __init__(self, columns: Columns, settings: Settings) -> None:
        self.columns = columns
        self.calendar = Calendar(date.fromisoformat(columns.evaluated_on), settings.zone)

    def gathered(self, one: Respondent, with_cramps: bool = False) -> Gathered:
        """The record of a respondent. `with_cramps` adds leg cramps to it, whatever was answered.

        The answer itself never enters the record: it is what the tier is judged by.
        """
        resources = [self._patient(one), *self._medicines(one), *self._results(one), *self._conditions(one)]
        if with_cramps:
            resources.append(self._condition("cramps", self.columns.symptom))
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": resource} for resource in resources],
        }
        not_supplied = set(_NOT_ASKED)
        if one.number(self.columns.drugs.used) is None:
            not_supplied.add("medications")
        if all(not one.text(column) for column in self.columns.conditions):
            not_supplied.add("conditions")
        gathered = gathered_from_bundle([decode_bundle(msgspec.json.encode(bundle))])
        return msgspec.structs.replace(gathered, not_supplied=frozenset(not_supplied))

    def _patient(self, one: Respondent) -> Resource:
        age = one.number(self.columns.age)
        return {
            "resourceType": "Patient",
            "id": "respondent",
            "gender": one.text(self.columns.sex),
            "birthDate": self.calendar.born(int(age or 0)),
        }

    def _medicines(self, one: Respondent) -> Iterator[Resource]:
        drugs = self.columns.drugs
        days = one.members(drugs.days)
        for index, name in enumerate(one.members(drugs.names)):
            if name in drugs.not_known:
                continue
            statement: Resource = {
                "resourceType": "MedicationStatement",
                "id": f"drug-{index}",
                "status": "active",
                "subject": _SUBJECT,
                "medicationCodeableConcept": {"text": name.lower()},
            }
            if index < len(days) and days[index]:
                statement["effectivePeriod"] = {"start": self.calendar.on(f"{days[index]} days ago")}
            yield statement

    def _results(self, one: Respondent) -> Iterator[Resource]:
        for column, told in self.columns.results.items():
            value = one.number(column)
            if value is None:
                continue
            quantity = {"value": value, "unit": told.unit, "system": _UCUM, "code": told.unit}
            for when in (_MEASURED, _EARLIER) if told.persists else (_MEASURED,):
                yield self._observation(f"{column}-{when[:3]}", told.loinc, when, {"valueQuantity": quantity})
        for column, coded in self.columns.coded_results.items():
            code = coded.values.get(one.text(column))
            if code is not None:
                answer = {"valueCodeableConcept": {"coding": [{"system": coded.system, "code": code}]}}
                yield self._observation(column, coded.loinc, _MEASURED, answer)

    def _observation(self, name: str, loinc: str, when: str, value: Resource) -> Resource:
        return {
            "resourceType": "Observation",
            "id": name.replace("_", "-").strip(),
            "status": "final",
            "code": {"coding": [{"system": LOINC, "code": loinc}]},
            "subject": _SUBJECT,
            "effectiveDateTime": self.calendar.at(when),
            **value,
        }

    def _conditions(self, one: Respondent) -> Iterator[Resource]:
        for column, codes in self.columns.conditions.items():
            code = codes.get(one.text(column))
            if code is not None:
                yield self._condition(column, code)
        pregnancy = self.columns.pregnancy
        if one.number(pregnancy.column) == 1:
            yield self._condition(pregnancy.column, pregnancy.code)

    def _condition(self, name: str, code: str) -> Resource:
        return {
            "resourceType": "Condition",
            "id": name.replace("_", "-"),
            "clinicalStatus": {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"},
                ]
            },
            "code": {"coding": [{"system": ICD10CM, "code": code}]},
            "subject": _SUBJECT,
            "recordedDate": self.calendar.on(_RECORDED),
        }
