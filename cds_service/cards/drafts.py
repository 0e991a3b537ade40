"""Draft FHIR R4 resources of suggestions: the only place where outbound resources are written.

Every resource is `status: draft`, `intent: proposal` (P3). Ids are left empty for `response.stamp`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any

from cds_service.cards.wording import number, unit_text
from cds_service.engine.quantity import parse_amount, parse_duration

Resource = dict[str, Any]

UCUM = "http://unitsofmeasure.org"
_TIMES = {1: "once daily", 2: "twice daily", 3: "three times daily"}


class Subject:
    """For whom drafts are made: the references every draft repeats."""

    def __init__(self, patient_id: str, encounter_id: str | None, now: datetime, zone: tzinfo) -> None:
        self.references: Resource = {"subject": {"reference": f"Patient/{patient_id}"}}
        if encounter_id:
            self.references["encounter"] = {"reference": f"Encounter/{encounter_id}"}
        self.now, self.zone = now, zone

    def day_in(self, duration: timedelta) -> str:
        return (self.now + duration).astimezone(self.zone).date().isoformat()


def service_requests(
    order: dict[str, Any], subject: Subject, priority: str, reason: str = "", note: str = ""
) -> list[Resource]:
    """The ServiceRequests of one order, such as a metabolic panel and magnesium."""
    return [_service_request(resource, subject, priority, reason, note) for resource in order["resources"]]


def rechecks(order: dict[str, Any], subject: Subject, when: dict[str, Any], reason: str) -> list[Resource]:
    """The monitoring tests that belong to a treatment, timed by the gate's `recheck` row."""
    earliest, latest = subject.day_in(parse_duration(when["earliest"])), subject.day_in(parse_duration(when["latest"]))
    timing = (
        {"occurrenceDateTime": latest}
        if earliest == latest
        else {"occurrencePeriod": {"start": earliest, "end": latest}}
    )
    return [request | timing for request in service_requests(order, subject, "routine", reason)]


def _service_request(resource: dict[str, Any], subject: Subject, priority: str, reason: str, note: str) -> Resource:
    request: Resource = {
        "resourceType": "ServiceRequest",
        "id": "",
        "status": "draft",
        "intent": "proposal",
        "priority": priority,
        "code": resource["code"],
        **subject.references,
    }
    if "category" in resource:
        request["category"] = [resource["category"]]
    if "performer_type" in resource:
        request["performerType"] = resource["performer_type"]
    if reason:
        request["reasonCode"] = [{"text": reason}]
    if note:
        request["note"] = [{"text": note}]
    return request


class Treatment:
    """One allowed medication draft: which product, how much, how often, how long."""

    def __init__(self, order: dict[str, Any], allowed: dict[str, Any]) -> None:
        self.order = order
        self.dose, self.unit = parse_amount(allowed["dose"])
        self.times, self.days = int(allowed["times_a_day"]), int(allowed["days"])
        self.product, self.count = _product(order, self.dose, self.unit)

    @property
    def label(self) -> str:
        """`Potassium chloride ER 20 mEq once daily for 14 days`."""
        return f"{self.order['title']} {self.amount} {self.frequency} for {self.days} days"

    @property
    def amount(self) -> str:
        return f"{number(self.dose)} {unit_text(self.unit)}"

    @property
    def frequency(self) -> str:
        return _TIMES.get(self.times, f"{self.times} times daily")

    @property
    def instruction(self) -> str:
        """What the patient does, with the volume of a liquid beside its dose."""
        if "volume" in self.product:
            volume, volume_unit = parse_amount(self.product["volume"])
            taken = f"{self.amount} ({number((volume * self.count).normalize())} {volume_unit})"
        else:
            taken = f"{number(self.count)} {self.product['unit']}{'s' if self.count != 1 else ''} ({self.amount})"
        text = f"Take {taken} by mouth {self.frequency} for {self.days} days"
        return f"{text}, {self.order['instruction']}" if self.order.get("instruction") else text

    def medication_request(self, subject: Subject, reason: str) -> Resource:
        """The draft MedicationRequest: no repeats, the duration bounded."""
        duration = {"value": self.days, "unit": "days", "system": UCUM, "code": "d"}
        dosage: Resource = {
            "text": self.instruction,
            "timing": {
                "repeat": {"boundsDuration": duration, "frequency": self.times, "period": 1, "periodUnit": "d"},
            },
            "doseAndRate": [
                {
                    "doseQuantity": {
                        "value": _plain(self.dose),
                        "unit": unit_text(self.unit),
                        "system": UCUM,
                        "code": self.unit,
                    }
                }
            ],
        }
        if "route" in self.order:
            dosage["route"] = self.order["route"]
        return {
            "resourceType": "MedicationRequest",
            "id": "",
            "status": "draft",
            "intent": "proposal",
            "medicationCodeableConcept": self.product["code"],
            **subject.references,
            "reasonCode": [{"text": reason}],
            "dosageInstruction": [dosage],
            "dispenseRequest": {"numberOfRepeatsAllowed": 0, "expectedSupplyDuration": duration},
        }


def _product(order: dict[str, Any], dose: Decimal, unit: str) -> tuple[dict[str, Any], Decimal]:
    """The product that gives the dose in the fewest whole units; a liquid may give part of its measure."""
    fitting: list[tuple[Decimal, dict[str, Any]]] = []
    for product in order["products"]:
        strength, strength_unit = parse_amount(product["strength"])
        if strength_unit != unit:
            continue
        count = dose / strength
        if "volume" in product or count == count.to_integral_value():
            fitting.append((count, product))
    if not fitting:
        raise ValueError(f"no product of {order['order']} gives {dose} {unit}")
    count, product = min(fitting, key=lambda pair: pair[0])
    return product, count.normalize()


def _plain(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def screening_flag(patient_id: str, finding: dict[str, str], at: datetime, base_url: str) -> Resource:
    """A Flag that a screening proposes. R4 Flags know no draft: `inactive` is one that nobody is shown until a
    clinician activates it. `finding` has `rule`, `title`, `indicator` and the card's `text`.
    """
    return {
        "resourceType": "Flag",
        "identifier": [_screening_identifier(patient_id, finding, base_url)],
        "status": "inactive",
        "category": [{"text": "Proposed by population screening"}],
        "code": {"coding": [_screening_code(finding, base_url)], "text": finding["text"]},
        "subject": {"reference": f"Patient/{patient_id}"},
        "period": {"start": at.isoformat()},
    }


_SEVERITIES = {"critical": "high", "warning": "moderate", "info": "low"}


def screening_issue(
    patient_id: str, finding: dict[str, str], evidence: tuple[str, ...], at: datetime, base_url: str
) -> Resource:
    """A DetectedIssue that a screening proposes, `preliminary` until a clinician says otherwise. `evidence` are
    references to the resources that it rests on.
    """
    issue: Resource = {
        "resourceType": "DetectedIssue",
        "identifier": [_screening_identifier(patient_id, finding, base_url)],
        "status": "preliminary",
        "code": {"coding": [_screening_code(finding, base_url)], "text": finding["title"]},
        "severity": _SEVERITIES[finding["indicator"]],
        "patient": {"reference": f"Patient/{patient_id}"},
        "identifiedDateTime": at.isoformat(),
        "detail": finding["text"],
        "reference": f"{base_url}/rules/{finding['rule']}",
    }
    if evidence:
        issue["implicated"] = [{"reference": one} for one in evidence]
    return issue


def _screening_identifier(patient_id: str, finding: dict[str, str], base_url: str) -> Resource:
    """The same for the same rule and patient in every run, so that a server can update instead of pile up."""
    return {"system": f"{base_url}/screening", "value": f"{finding['rule']}.{patient_id}"}


def _screening_code(finding: dict[str, str], base_url: str) -> Resource:
    return {"system": f"{base_url}/rules", "code": finding["rule"], "display": finding["title"]}
