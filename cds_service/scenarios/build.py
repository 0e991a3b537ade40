"""Builds the FHIR R4 resources of a scenario from its words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from cds_service.facts.quantities import Analyte
from cds_service.scenarios import phrases
from cds_service.scenarios.case import PATIENT_ID, Case, Resource, settings_of
from cds_service.scenarios.grammar import Scenario, listed
from cds_service.scenarios.when import Calendar
from cds_service.scenarios.words import UnknownWord, Words

_UCUM = "http://unitsofmeasure.org"
_CONDITION_STATES = "http://terminology.hl7.org/CodeSystem/condition-"
_ALLERGY_STATES = "http://terminology.hl7.org/CodeSystem/allergyintolerance-"


def build(scenario: Scenario, words: Words) -> Case:
    """The case in FHIR. Raises `UnknownWord`, whose text says what is not understood."""
    try:
        return _Building(scenario, words).case()
    except UnknownWord:
        raise
    except (KeyError, ValueError, InvalidOperation) as error:
        raise UnknownWord(str(error)) from None


class _Building:
    def __init__(self, scenario: Scenario, words: Words) -> None:
        self.told, self.scenario, self.words = scenario.told, scenario, words
        self.settings = settings_of(self.told.get("settings", {}))
        self.calendar = Calendar(scenario.today, self.settings.zone)
        self.ids: Counter[str] = Counter()
        self.named: dict[str, list[str]] = {}
        """What the author calls a draft, and the references it became."""

    def case(self) -> Case:
        told = self.told
        resources = [self._result(one) for one in self._results()]
        if told.get("symptoms"):
            resources.append(self._condition(self.words.symptom()))
        for one in told.get("on", ()):
            resources += self._medicine(phrases.drug(one))
        resources += [self._condition(phrases.condition(one, self.words)) for one in told.get("conditions", ())]
        resources += [self._procedure(phrases.dated(one, self.words)) for one in told.get("procedures", ())]
        resources += [self._allergy(phrases.dated(one, self.words)) for one in told.get("allergies", ())]
        resources += [self._placed_order(phrases.dated(one, self.words)) for one in told.get("orders", ())]
        drafts = tuple(draft for one in told.get("drafting", ()) for draft in self._draft(phrases.drug(one)))
        return Case(
            scenario=self.scenario,
            calendar=self.calendar,
            settings=self.settings,
            patient=self._patient(),
            resources=tuple(resources),
            drafts=drafts,
            selections=self._selections(drafts),
            not_supplied=frozenset(told.get("not_supplied", ())),
        )

    # -- the patient

    def _patient(self) -> Resource:
        who = {**{key: str(value) for key, value in self.words.said["patient"].items()}, **self.told.get("patient", {})}
        patient: Resource = {"resourceType": "Patient", "id": PATIENT_ID, "name": [{"text": "Scenario Patient"}]}
        if who["sex"] != "not given":
            patient["gender"] = who["sex"]
        if "born" not in who:
            patient["birthDate"] = self.calendar.born(who["age"])
        elif who["born"] is not None:
            patient["birthDate"] = str(who["born"])
        deceased = who.get("deceased", False)
        if isinstance(deceased, str):
            patient["deceasedDateTime"] = self.calendar.on(deceased)
        elif deceased:
            patient["deceasedBoolean"] = True
        return patient

    # -- results

    def _results(self) -> list[Resource]:
        """The case's own results, and those of patient D that it says nothing else about."""
        own = [phrases.result(one, self.words) for one in self.told.get("results", ())]
        if not self.told.get("default"):
            return own
        told_of = {self._analyte_id(one) for one in own} | {
            self._known(name).id for name in self.told.get("without", ())
        }
        instead = self.words.said["replaced_by"]
        default = [phrases.result(one, self.words) for one in self.words.said["default_results"]]
        return [
            one for one in default if not told_of & {self._analyte_id(one), *instead.get(self._analyte_id(one), ())}
        ] + own

    def _analyte_id(self, result: Resource) -> str:
        if "analyte" in result:
            return self._known(result["analyte"]).id
        analyte = self.words.analyte_of(result["loinc"])
        return analyte.id if analyte else ""

    def _known(self, name: str) -> Analyte:
        analyte = self.words.analyte(name)
        if analyte is None:
            raise UnknownWord(f"there is no analyte {name!r} in rules/units")
        return analyte

    def _result(self, told: Resource) -> Resource:
        analyte = self._known(told["analyte"]) if "analyte" in told else self.words.analyte_of(told["loinc"])
        unit = told.get("unit")
        code = told["loinc"] if "loinc" in told else self.words.loinc(self._known(told["analyte"]), unit)
        name = analyte.id if analyte else "result"
        measured: Resource = {"code": {"coding": [{"system": "http://loinc.org", "code": code}]}}
        if analyte:
            measured["code"]["text"] = analyte.name
        measured |= self._value(told, unit)
        if "upper_limit" in told:
            measured["referenceRange"] = [{"high": _quantity(told["upper_limit"], unit)}]
        observation: Resource = {
            "resourceType": "Observation",
            "id": self._id(name),
            "status": told.get("status", "final"),
            "category": [
                {
                    "coding": [
                        {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
                    ]
                }
            ],
            "subject": _subject(),
        }
        if "component_of" in told:
            observation["code"] = {"coding": [{"system": "http://loinc.org", "code": told["component_of"]}]}
            observation["component"] = [measured]
        else:
            observation |= measured
        when = told.get("when", "5 days ago" if "issued" not in told else None)
        if when is not None:
            observation["effectiveDateTime"] = self.calendar.at(when)
        if "issued" in told:
            observation["issued"] = self.calendar.at(told["issued"])
        notes = [told["note"]] if "note" in told else []
        notes += ["Sample hemolyzed"] if told.get("hemolyzed") else []
        if notes:
            observation["note"] = [{"text": text} for text in notes]
        return observation

    def _value(self, told: Resource, unit: str | None) -> Resource:
        if "string" in told:
            return {"valueString": told["string"]}
        if "date" in told:
            return {"valueDateTime": self.calendar.on(told["date"])}
        if "answer" in told:
            return {"valueCodeableConcept": {"coding": [self.words.coding(told["answer"], "answers")]}}
        if "value" not in told:
            return {"dataAbsentReason": {"text": "not done"}}
        return {"valueQuantity": _quantity(told["value"], unit, told.get("comparator"))}

    # -- medicines and orders

    def _medicine(self, told: Resource) -> list[Resource]:
        if told.get("as_statement"):
            return [self._statement(told)]
        order = self._order(told, "active", "order")
        if "dispensed" not in told:
            return [order]
        dispense = {
            "resourceType": "MedicationDispense",
            "id": self._id("dispense"),
            "status": "completed",
            "subject": _subject(),
            "whenHandedOver": self.calendar.on(told["dispensed"]),
            "medicationCodeableConcept": order["medicationCodeableConcept"],
        }
        if told.get("without_order"):
            supply = order.get("dispenseRequest", {}).get("expectedSupplyDuration")
            return [dispense | ({"daysSupply": supply} if supply else {})]
        return [order, dispense | {"authorizingPrescription": [{"reference": f"MedicationRequest/{order['id']}"}]}]

    def _draft(self, told: Resource) -> list[Resource]:
        """A draft order: of a medicine, or of a test when its name is that of an order's value set."""
        name = told.get("drug", "")
        if name and f"{name}-order" in self.words.terminology.titles:
            return [self._placed_order({"set": name, "status": "draft", "when": None})]
        order = self._order(told, "draft", "order")
        self.named.setdefault(name or told.get("product", ""), []).append(f"MedicationRequest/{order['id']}")
        return [order]

    def _selections(self, drafts: Iterable[Resource]) -> tuple[str, ...] | None:
        if self.scenario.hook != "order-select":
            return None
        if "selecting" not in self.told:
            return tuple(f"{draft['resourceType']}/{draft['id']}" for draft in drafts)
        chosen: list[str] = []
        for name in listed(self.told["selecting"]):
            if name not in self.named:
                raise UnknownWord(f"selecting {name!r}: no draft is called so")
            chosen += self.named[name]
        return tuple(chosen)

    def _order(self, told: Resource, status: str, intent: str) -> Resource:
        order: Resource = {
            "resourceType": "MedicationRequest",
            "id": self._id(_slug(told.get("drug") or told.get("product") or "medicine")),
            "status": told.get("status", status),
            "intent": told.get("intent", intent),
            "medicationCodeableConcept": self._concept(told),
            "subject": _subject(),
        }
        if told.get("do_not_perform"):
            order["doNotPerform"] = True
        if told.get("reported"):
            order["reportedBoolean"] = True
        started = told.get("started", "today" if status == "draft" else self.words.said["started"])
        if started is not None:
            order["authoredOn"] = self.calendar.on(started)
        if "reason" in told:
            order["reasonCode"] = [{"coding": [self.words.coding(told["reason"], "conditions")]}]
        if dosage := self._dosage(told):
            order["dosageInstruction"] = [dosage]
        supply: Resource = {}
        if "supply" in told:
            value, unit = str(told["supply"]).split()
            supply["expectedSupplyDuration"] = {"value": Decimal(value), "unit": unit, "system": _UCUM, "code": unit[0]}
        if "repeats" in told:
            supply["numberOfRepeatsAllowed"] = told["repeats"]
        if "ended" in told:
            supply["validityPeriod"] = {"end": self.calendar.on(told["ended"])}
        if supply:
            order["dispenseRequest"] = supply
        return order

    def _statement(self, told: Resource) -> Resource:
        statement: Resource = {
            "resourceType": "MedicationStatement",
            "id": self._id(_slug(told.get("drug") or told.get("product") or "medicine")),
            "status": told.get("status", "active"),
            "medicationCodeableConcept": self._concept(told),
            "subject": _subject(),
        }
        period: Resource = {}
        started = told.get("started", self.words.said["started"])
        if started is not None:
            period["start"] = self.calendar.on(started)
        if "ended" in told:
            period["end"] = self.calendar.on(told["ended"])
        if period:
            statement["effectivePeriod"] = period
        if "reason" in told:
            statement["reasonCode"] = [{"coding": [self.words.coding(told["reason"], "conditions")]}]
        if dosage := self._dosage(told):
            statement["dosage"] = [dosage]
        return statement

    def _concept(self, told: Resource) -> Resource:
        if "code" in told:
            return {
                "coding": [
                    {"system": told.get("system", self.words.said["systems"]["drugs"][0]), "code": str(told["code"])}
                ]
            }
        if "product" in told:
            return {"text": told["product"]}
        return self.words.drug(told["drug"])

    def _dosage(self, told: Resource) -> Resource:
        dosage: Resource = {}
        if "dose" in told:
            value, _, unit = str(told["dose"]).partition(" ")
            quantity: Resource = {"value": _decimal(value), "unit": unit}
            if unit and not unit.startswith("tablet"):
                quantity |= {"system": _UCUM, "code": unit}
            dosage["doseAndRate"] = [{"doseQuantity": quantity}]
        if "times_a_day" in told:
            dosage["timing"] = {"repeat": {"frequency": int(told["times_a_day"]), "period": 1, "periodUnit": "d"}}
        if told.get("as_needed"):
            dosage["asNeededBoolean"] = True
        if "route" in told:
            dosage["route"] = self.words.route(told["route"])
        return dosage

    def _placed_order(self, told: Resource) -> Resource:
        coding = self._coding(told, "orders")
        order: Resource = {
            "resourceType": "ServiceRequest",
            "id": self._id("order"),
            "status": told.get("status", "active"),
            "intent": "order",
            "code": {"coding": [coding]},
            "subject": _subject(),
        }
        when = told.get("when", "today")
        if when is not None:
            order["authoredOn"] = self.calendar.on(when)
        return order

    # -- conditions, procedures, allergies

    def _condition(self, told: Resource) -> Resource:
        code = {"text": told["words"]} if "words" in told else {"coding": [self._coding(told, "conditions")]}
        condition: Resource = {
            "resourceType": "Condition",
            "id": self._id("condition"),
            "code": code,
            "subject": _subject(),
        }
        verification = told.get("verification", "confirmed")
        condition["verificationStatus"] = _state(f"{_CONDITION_STATES}ver-status", verification)
        # FHIR forbids a clinical status on a condition that was entered in error
        clinical = told.get("clinical", None if verification == "entered-in-error" else "active")
        if "abated" in told:
            condition["abatementDateTime"] = self.calendar.on(told["abated"])
            clinical = told.get("clinical", "resolved")
        if clinical is not None:
            condition["clinicalStatus"] = _state(f"{_CONDITION_STATES}clinical", clinical)
        if "onset" in told:
            condition["onsetDateTime"] = self.calendar.on(told["onset"])
        recorded = told.get("recorded", self.words.said["recorded"])
        if recorded is not None:
            condition["recordedDate"] = self.calendar.on(recorded)
        if told.get("asserted_by_patient"):
            condition["asserter"] = _subject()
        return condition

    def _procedure(self, told: Resource) -> Resource:
        procedure: Resource = {
            "resourceType": "Procedure",
            "id": self._id("procedure"),
            "status": told.get("status", "completed"),
            "code": {"coding": [self._coding(told, "procedures")]},
            "subject": _subject(),
        }
        when = told.get("when", "30 days ago")
        if when is not None:
            procedure["performedDateTime"] = self.calendar.on(when)
        return procedure

    def _allergy(self, told: Resource) -> Resource:
        if "set" in told and "system" not in told and told["set"] in self.words.terminology.index.is_ingredient:
            code = self.words.drug(told["set"])
        else:
            code = {"coding": [self._coding(told, "drugs")]}
        return {
            "resourceType": "AllergyIntolerance",
            "id": self._id("allergy"),
            "clinicalStatus": _state(f"{_ALLERGY_STATES}clinical", told.get("clinical", "active")),
            "verificationStatus": _state(f"{_ALLERGY_STATES}verification", told.get("verification", "confirmed")),
            "code": code,
            "patient": _subject(),
        }

    def _coding(self, told: Resource, kind: str) -> dict[str, str]:
        if "system" in told:
            return {"system": told["system"], "code": str(told["code"])}
        return self.words.coding(str(told.get("code", told.get("set"))), kind)

    def _id(self, name: str) -> str:
        self.ids[name] += 1
        return f"{name}-{self.ids[name]}"


def _quantity(value: Any, unit: str | None, comparator: str | None = None) -> Resource:
    found = re.fullmatch(r"([<>]=?)?\s*(.+)", str(value))
    if found is None:
        raise UnknownWord(f"{value!r} is no number")
    quantity: Resource = {"value": _decimal(found[2])}
    if comparator or found[1]:
        quantity["comparator"] = comparator or found[1]
    if unit is not None:
        quantity |= {"unit": unit, "system": _UCUM, "code": unit}
    return quantity


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise UnknownWord(f"{text!r} is no number") from None


def _state(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _subject() -> Resource:
    return {"reference": f"Patient/{PATIENT_ID}"}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "medicine"
