"""Hook requests of any size for the benchmarks: invented, the same for the same seed, half of them noise.

The patient is a woman of 68 on hydrochlorothiazide with night cramps and a potassium of 3.2 mmol/L, so that every
request yields cards. What fills the request up is a chart of years: laboratory results that rules read, refills,
problems. Noise is what no rule reads: encounters, claims, reports, vital signs, other results, drugs and conditions.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

Resource = dict[str, Any]
Detail = Literal["lean", "usual", "rich"]
"""How much each resource carries beside its clinical content; about 610, 840 and 950 bytes, as real exports have."""

LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
_HL7 = "http://terminology.hl7.org/CodeSystem"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
_SITE = "https://ehr.example.org"

# LOINC code, name, unit, lowest and highest value, decimals
_READ_RESULTS = (
    ("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", 3.6, 4.9, 1),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 0.70, 1.05, 2),
    ("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", 136, 144, 0),
    ("2601-3", "Magnesium [Moles/volume] in Serum or Plasma", "mmol/L", 0.72, 0.95, 2),
    ("17861-6", "Calcium [Mass/volume] in Serum or Plasma", "mg/dL", 8.8, 10.1, 1),
    ("1751-7", "Albumin [Mass/volume] in Serum or Plasma", "g/dL", 3.8, 4.8, 1),
    ("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 82, 128, 0),
    ("33914-3", "Glomerular filtration rate/1.73 sq M.predicted by MDRD", "mL/min/{1.73_m2}", 66, 89, 0),
    ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 5.6, 6.9, 1),
    ("3016-3", "Thyrotropin [Units/volume] in Serum or Plasma", "m[IU]/L", 0.8, 3.9, 2),
    ("2777-1", "Phosphate [Mass/volume] in Serum or Plasma", "mg/dL", 2.7, 4.3, 1),
    ("2157-6", "Creatine kinase [Enzymatic activity/volume] in Serum or Plasma", "U/L", 40, 160, 0),
)
_OTHER_RESULTS = (
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 12.1, 15.2, 1),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "10*3/uL", 4.2, 10.1, 1),
    ("789-8", "Erythrocytes [#/volume] in Blood by Automated count", "10*6/uL", 4.0, 5.1, 2),
    ("787-2", "MCV [Entitic volume] by Automated count", "fL", 82, 98, 0),
    ("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "mg/dL", 41, 70, 0),
    ("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "mg/dL", 150, 229, 0),
    ("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma", "mg/dL", 80, 190, 0),
    ("1742-6", "Alanine aminotransferase [Enzymatic activity/volume]", "U/L", 12, 44, 0),
    ("1920-8", "Aspartate aminotransferase [Enzymatic activity/volume]", "U/L", 12, 39, 0),
)
_VITAL_SIGNS = (
    ("8867-4", "Heart rate", "/min", 58, 92, 0),
    ("9279-1", "Respiratory rate", "/min", 12, 19, 0),
    ("8310-5", "Body temperature", "Cel", 36.2, 37.4, 1),
    ("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry", "%", 94, 99, 0),
    ("72514-3", "Pain severity - 0-10 verbal numeric rating [Score] - Reported", "{score}", 0, 6, 0),
)
_READ_DRUGS = (
    ("314076", "lisinopril 10 MG Oral Tablet"),
    ("617310", "atorvastatin 20 MG Oral Tablet"),
    ("198051", "omeprazole 20 MG Delayed Release Oral Capsule"),
    ("198211", "simvastatin 40 MG Oral Tablet"),
    ("310965", "ibuprofen 200 MG Oral Tablet"),
    ("259255", "atorvastatin 80 MG Oral Tablet"),
)
_OTHER_DRUGS = (
    ("308182", "amoxicillin 250 MG Oral Capsule"),
    ("1014676", "cetirizine hydrochloride 5 MG Oral Tablet"),
    ("313782", "acetaminophen 325 MG Oral Tablet"),
    ("197361", "amlodipine 5 MG Oral Tablet"),
    ("309097", "cefuroxime 250 MG Oral Tablet"),
)
_READ_CONDITIONS = (
    ("E11.9", "Type 2 diabetes mellitus without complications"),
    ("I25.10", "Atherosclerotic heart disease of native coronary artery without angina pectoris"),
    ("M54.16", "Radiculopathy, lumbar region"),
    ("I83.90", "Asymptomatic varicose veins of unspecified lower extremity"),
    ("E55.9", "Vitamin D deficiency, unspecified"),
)
_OTHER_CONDITIONS = (
    ("J06.9", "Acute upper respiratory infection, unspecified"),
    ("H66.90", "Otitis media, unspecified, unspecified ear"),
    ("L30.9", "Dermatitis, unspecified"),
    ("N39.0", "Urinary tract infection, site not specified"),
    ("H25.13", "Age-related nuclear cataract, bilateral"),
    ("J30.2", "Other seasonal allergic rhinitis"),
    ("B34.9", "Viral infection, unspecified"),
)
_ENCOUNTERS = (
    ("185349003", "Encounter for check up (procedure)"),
    ("162673000", "General examination of patient (procedure)"),
    ("390906007", "Follow-up encounter (procedure)"),
)
_REPORTS = (
    ("58410-2", "CBC panel - Blood by Automated count"),
    ("57698-3", "Lipid panel with direct LDL - Serum or Plasma"),
    ("24357-6", "Urinalysis macro (dipstick) panel - Urine"),
)
_YEARS = 8


def make_hook_request(resources: int, now: datetime, seed: int = 0, detail: Detail = "usual") -> bytes:
    """The body of a patient-view request of exactly `resources` resources (20 or more), half of them noise."""
    return json.dumps(_Chart(resources, now, seed, detail).request(), separators=(",", ":")).encode()


def bundles_of(body: bytes) -> list[bytes]:
    """The Bundles of a request, each as bytes."""
    prefetch = json.loads(body)["prefetch"].values()
    return [
        json.dumps(value, separators=(",", ":")).encode() for value in prefetch if value["resourceType"] == "Bundle"
    ]


class _Chart:
    def __init__(self, resources: int, now: datetime, seed: int, detail: Detail) -> None:
        if resources < 20:
            raise ValueError("a request that yields cards has at least 20 resources")
        self.random = random.Random(f"{seed}/{resources}/{detail}")
        self.now, self.detail = now, detail
        self.patient_id = self.new_id()
        self.subject = {"reference": f"Patient/{self.patient_id}"}
        noise = resources // 2
        read = [*self.core(), *self.fill(_READ_MIX, resources - noise - _CORE)]
        self.resources = [*read, *self.fill(_NOISE_MIX, noise)]
        self.random.shuffle(self.resources)

    def request(self) -> Resource:
        """Prefetch as a client sends it: one searchset for each key, newest first, the rest under a key of its own."""
        by_key: dict[str, list[Resource]] = {key: [] for key in _KEY_OF.values()}
        for resource in self.resources:
            by_key[_key(resource)].append(resource)
        return {
            "hook": "patient-view",
            "hookInstance": self.new_id(),
            "fhirServer": f"{_SITE}/fhir",
            "context": {"userId": "Practitioner/example", "patientId": self.patient_id, "encounterId": self.new_id()},
            "prefetch": {"patient": self.patient()}
            | {key: self.searchset(found, key) for key, found in by_key.items() if found or key in _ALWAYS},
        }

    # -- the patient, and what makes the cards

    def patient(self) -> Resource:
        return {
            "resourceType": "Patient",
            "id": self.patient_id,
            "meta": {"profile": [f"{_US_CORE}/us-core-patient"]},
            "identifier": [{"system": f"{_SITE}/mrn", "value": "benchmark"}],
            "name": [{"use": "official", "family": "Benchmark", "given": ["Invented"]}],
            "gender": "female",
            "birthDate": f"{self.now.year - 68}-01-15",
        }

    def core(self) -> list[Resource]:
        """Nine resources; with the Patient, all that a request of 20 has beside its noise."""
        potassium, creatinine, sodium, magnesium = _READ_RESULTS[:4]
        return [
            self.condition(("G47.62", "Sleep related leg cramps"), days_ago=40, active=True),
            self.condition(("I10", "Essential (primary) hypertension"), days_ago=2000, active=True),
            self.drug(("310798", "hydrochlorothiazide 25 MG Oral Tablet"), days_ago=60, active=True),
            self.drug(_READ_DRUGS[0], days_ago=75, active=True),
            self.drug(_READ_DRUGS[1], days_ago=90, active=True),
            self.result(potassium, days_ago=6, value=3.2),
            self.result(creatinine, days_ago=6, value=0.9),
            self.result(sodium, days_ago=6, value=138),
            self.result(magnesium, days_ago=6, value=0.65),
        ]

    def fill(self, mix: tuple[tuple[Callable[[_Chart], Resource], int], ...], count: int) -> Iterator[Resource]:
        """`count` resources in the proportions of `mix`."""
        turns = [make for make, weight in mix for _ in range(weight)]
        spread = random.Random(len(turns))
        spread.shuffle(turns)
        for at in range(count):
            yield turns[at % len(turns)](self)

    # -- kinds of resources

    def result(self, kind: tuple[Any, ...], days_ago: int | None = None, value: float | None = None) -> Resource:
        return self.observation(kind, "laboratory", days_ago, value)

    def observation(
        self, kind: tuple[Any, ...], category: str, days_ago: int | None = None, value: float | None = None
    ) -> Resource:
        code, name, unit, low, high, decimals = kind
        if value is None:
            value = round(self.random.uniform(low, high), decimals)
        taken = self.instant(self.long_ago() if days_ago is None else days_ago)
        observation = self.resource("Observation", taken) | {
            "status": "final",
            "category": [self.concept(f"{_HL7}/observation-category", category, category)],
            "code": self.concept(LOINC, code, name),
            "subject": self.subject,
            "effectiveDateTime": taken,
            "valueQuantity": {
                "value": int(value) if decimals == 0 else value,
                "unit": unit,
                "system": UCUM,
                "code": unit,
            },
        }
        if self.detail != "lean":
            observation |= {"encounter": self.encounter_reference(), "issued": taken}
        if category == "laboratory" and self.detail == "rich":
            observation["referenceRange"] = [
                {"low": _quantity(low, unit), "high": _quantity(high, unit)},
            ]
        return observation

    def drug(self, kind: tuple[str, str], days_ago: int | None = None, active: bool = False) -> Resource:
        code, name = kind
        authored = self.instant(self.long_ago() if days_ago is None else days_ago)
        return self.resource("MedicationRequest", authored) | {
            "status": "active" if active else "completed",
            "intent": "order",
            "medicationCodeableConcept": self.concept(RXNORM, code, name),
            "subject": self.subject,
            "encounter": self.encounter_reference(),
            "authoredOn": authored,
            "requester": {"reference": f"Practitioner/{self.new_id()}"},
            "dosageInstruction": [
                {
                    "text": "Take 1 tablet by mouth once daily",
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                    "asNeededBoolean": False,
                    "route": self.concept(SNOMED, "26643006", "Oral route"),
                    "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
                }
            ],
        }

    def condition(self, kind: tuple[str, str], days_ago: int | None = None, active: bool | None = None) -> Resource:
        code, name = kind
        days = self.long_ago() if days_ago is None else days_ago
        since = self.instant(days)
        present = self.random.random() < 0.5 if active is None else active
        over = {} if present else {"abatementDateTime": self.instant(days // 2)}
        return (
            self.resource("Condition", since)
            | {
                "clinicalStatus": self.concept(f"{_HL7}/condition-clinical", "active" if present else "resolved"),
                "verificationStatus": self.concept(f"{_HL7}/condition-ver-status", "confirmed"),
                "category": [self.concept(f"{_HL7}/condition-category", "encounter-diagnosis", "Encounter Diagnosis")],
                "code": self.concept(ICD10CM, code, name),
                "subject": self.subject,
                "encounter": self.encounter_reference(),
                "onsetDateTime": since,
                "recordedDate": since,
            }
            | over
        )

    def order(self) -> Resource:
        at = self.instant(self.long_ago())
        name = "Basic metabolic panel - Serum or Plasma"
        return self.resource("ServiceRequest", at) | {
            "status": "completed",
            "intent": "order",
            "code": self.concept(LOINC, "51990-0", name),
            "subject": self.subject,
            "encounter": self.encounter_reference(),
            "authoredOn": at,
            "requester": {"reference": f"Practitioner/{self.new_id()}"},
        }

    def encounter(self) -> Resource:
        at = self.instant(self.long_ago())
        return self.resource("Encounter", at) | {
            "status": "finished",
            "class": {"system": f"{_HL7}/v3-ActCode", "code": "AMB"},
            "type": [self.concept(SNOMED, *self.random.choice(_ENCOUNTERS))],
            "subject": self.subject | {"display": "Invented Benchmark"},
            "participant": [
                {
                    "type": [self.concept(f"{_HL7}/v3-ParticipationType", "PPRF", "primary performer")],
                    "period": {"start": at, "end": at},
                    "individual": {"reference": f"Practitioner/{self.new_id()}", "display": "Dr. Example"},
                }
            ],
            "period": {"start": at, "end": at},
            "serviceProvider": {"reference": f"Organization/{self.new_id()}", "display": "Example Clinic"},
        }

    def claim(self) -> Resource:
        at = self.instant(self.long_ago())
        return self.resource("Claim", at) | {
            "status": "active",
            "type": self.concept(f"{_HL7}/claim-type", "professional"),
            "use": "claim",
            "patient": self.subject,
            "billablePeriod": {"start": at, "end": at},
            "created": at,
            "provider": {"reference": f"Organization/{self.new_id()}"},
            "priority": self.concept(f"{_HL7}/processpriority", "normal"),
            "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "Example Health Plan"}}],
            "item": [
                {
                    "sequence": 1,
                    "productOrService": self.concept(SNOMED, *self.random.choice(_ENCOUNTERS)),
                    "encounter": [self.encounter_reference()],
                }
            ],
            "total": {"value": round(self.random.uniform(40, 400), 2), "currency": "USD"},
        }

    def report(self) -> Resource:
        at = self.instant(self.long_ago())
        code, name = self.random.choice(_REPORTS)
        return self.resource("DiagnosticReport", at) | {
            "status": "final",
            "category": [self.concept(f"{_HL7}/v2-0074", "LAB", "Laboratory")],
            "code": self.concept(LOINC, code, name),
            "subject": self.subject,
            "encounter": self.encounter_reference(),
            "effectiveDateTime": at,
            "issued": at,
            "result": [{"reference": f"Observation/{self.new_id()}"} for _ in range(3)],
        }

    # -- what all have

    def resource(self, resource_type: str, at: str) -> Resource:
        resource: Resource = {"resourceType": resource_type, "id": self.new_id()}
        if self.detail != "lean":
            resource["meta"] = {"lastUpdated": at}
        return resource

    def concept(self, system: str, code: str, name: str | None = None) -> Resource:
        """A CodeableConcept; its words stand twice where a system writes both `display` and `text`."""
        coding = {"system": system, "code": code} | ({"display": name} if name else {})
        return {"coding": [coding]} | ({"text": name} if name and self.detail != "lean" else {})

    def searchset(self, resources: list[Resource], key: str) -> Resource:
        """A searchset; without entries when nothing was found, as JSON of FHIR has no empty arrays."""
        bundle: Resource = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(resources),
            "link": [{"relation": "self", "url": f"{_SITE}/fhir/{key}"}],
        }
        if resources:
            bundle["entry"] = [self.entry(resource) for resource in resources]
        return bundle

    def entry(self, resource: Resource) -> Resource:
        if self.detail == "lean":
            return {"resource": resource}
        url = f"{_SITE}/fhir/{resource['resourceType']}/{resource['id']}"
        return {"fullUrl": url, "resource": resource}

    def encounter_reference(self) -> Resource:
        return {"reference": f"Encounter/{self.new_id()}"}

    def new_id(self) -> str:
        return f"{self.random.getrandbits(48):012x}"

    def long_ago(self) -> int:
        return self.random.randint(100, _YEARS * 365)

    def instant(self, days_ago: int) -> str:
        at = self.now - timedelta(days=days_ago, minutes=self.random.randint(0, 600))
        return at.isoformat(timespec="seconds")


def _any_of(kinds: tuple[Any, ...], make: Callable[[_Chart, Any], Resource]) -> Callable[[_Chart], Resource]:
    return lambda chart: make(chart, chart.random.choice(kinds))


# what to make, and how often among its half
_READ_MIX = (
    (_any_of(_READ_RESULTS, _Chart.result), 32),
    (_any_of(_READ_DRUGS, _Chart.drug), 4),
    (_any_of(_READ_CONDITIONS, _Chart.condition), 3),
    (_Chart.order, 1),
)
_NOISE_MIX = (
    (_any_of(_VITAL_SIGNS, lambda chart, kind: chart.observation(kind, "vital-signs")), 12),
    (_any_of(_OTHER_RESULTS, _Chart.result), 8),
    (_Chart.encounter, 6),
    (_Chart.claim, 6),
    (_Chart.report, 4),
    (_any_of(_OTHER_DRUGS, _Chart.drug), 2),
    (_any_of(_OTHER_CONDITIONS, _Chart.condition), 2),
)
_CORE = 10
_KEY_OF = {
    "MedicationRequest": "medications",
    "Condition": "conditions",
    "Observation": "observations",
    "vital-signs": "vital-signs",
    "ServiceRequest": "service-requests",
    "AllergyIntolerance": "allergies",
    "Procedure": "procedures",
    "": "rest-of-chart",
}
_ALWAYS = frozenset({"medications", "conditions", "observations", "allergies", "procedures", "service-requests"})


def _key(resource: Resource) -> str:
    if resource["resourceType"] == "Observation" and resource["category"][0]["coding"][0]["code"] == "vital-signs":
        return _KEY_OF["vital-signs"]
    return _KEY_OF.get(resource["resourceType"], _KEY_OF[""])


def _quantity(value: float, unit: str) -> Resource:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}
