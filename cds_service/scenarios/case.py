"""A scenario as FHIR, and what a client would send of it: a hook request, or a bundle in a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from cds_service.facts.gathered import PROBLEM_HOOK, Gathered, gathered_from_bundle, gathered_from_request, recorded_day
from cds_service.facts.reading import decode_bundle, decode_request
from cds_service.fhir.context import HOOKS, check_request
from cds_service.fhir.prefetch import RequiredDataMissing, gather
from cds_service.fhir.queries import QUERIES
from cds_service.scenarios.grammar import Scenario
from cds_service.scenarios.when import Calendar
from cds_service.settings import ClientProfile, Settings

PATIENT_ID = "scenario-patient"
"""Obviously nobody."""
ENCOUNTER_ID = "encounter"
HOOK_INSTANCE = "00000000-0000-4000-8000-000000000000"

Resource = dict[str, Any]

_KEYS = {
    "MedicationRequest": "medications",
    "MedicationStatement": "medication-statements",
    "MedicationDispense": "medication-dispenses",
    "Condition": "conditions",
    "Observation": "observations",
    "Procedure": "procedures",
    "AllergyIntolerance": "allergies",
    "ServiceRequest": "service-requests",
}
_ENCODER = msgspec.json.Encoder(decimal_format="number")


def settings_of(told: Resource) -> Settings:
    """The settings a scenario asks for."""
    plain = {key: value for key, value in told.items() if key in ("region", "risk_summary")}
    if "zone" in told:
        plain["zone"] = ZoneInfo(told["zone"])
    client = ClientProfile(one_action_per_suggestion=told.get("one_action_per_suggestion", False))
    return Settings(client=client, **plain)


class Case(msgspec.Struct, frozen=True):
    """A scenario as FHIR: the resources on record, the draft orders, and which of them are selected."""

    scenario: Scenario
    calendar: Calendar
    settings: Settings
    patient: Resource
    resources: tuple[Resource, ...]
    drafts: tuple[Resource, ...]
    selections: tuple[str, ...] | None
    not_supplied: frozenset[str]

    def request(self) -> Resource:
        """The CDS Hooks request that a client would send."""
        context: Resource = {"userId": "Practitioner/scenario", "patientId": PATIENT_ID}
        hook = HOOKS[self.scenario.hook]
        if hook.orders:
            context[hook.orders] = _bundle("collection", self.drafts)
        if "encounterId" in hook.required:
            context["encounterId"] = ENCOUNTER_ID
        if self.scenario.hook == PROBLEM_HOOK:
            context["conditions"] = _bundle("collection", self._new_problems())
        if self.selections is not None:
            context["selections"] = list(self.selections)
        prefetch: Resource = {}
        for query in QUERIES:
            if query.kind in self.not_supplied:
                continue
            found = [resource for resource in self.resources if _KEYS[resource["resourceType"]] == query.key]
            prefetch[query.key] = self.patient if query.key == "patient" else _bundle("searchset", found)
        return {
            "hook": self.scenario.hook,
            "hookInstance": HOOK_INSTANCE,
            "context": context,
            "prefetch": prefetch,
        }

    def _new_problems(self) -> list[Resource]:
        """The conditions recorded last: those that were just put on the problem list."""
        conditions = [one for one in self.resources if one["resourceType"] == "Condition"]
        latest = max((recorded_day(one.get("recordedDate")) for one in conditions), default="")
        return [one for one in conditions if recorded_day(one.get("recordedDate")) == latest]

    def bundle(self) -> Resource:
        """Everything in one Bundle, draft orders too, as a file for the command line would hold it."""
        return _bundle("collection", (self.patient, *self.resources, *self.drafts))

    def gathered(self) -> Gathered:
        """The road over the wire: request bytes, decoded, checked, prefetch read."""
        request = decode_request(encoded(self.request()))
        check_request(request, self.scenario.hook)
        try:
            return gather(request)
        except RequiredDataMissing:  # over HTTP this is a 412; here the case goes on, without its patient
            values = (request.prefetch or {}).values()
            return gathered_from_request(request, values, frozenset(self.not_supplied))  # type: ignore[arg-type]

    def gathered_from_file(self) -> Gathered:
        """The road of a bare bundle. Knows no `not_supplied` and no selections."""
        drafts = [decode_bundle(encoded(draft)) for draft in self.drafts]
        record = decode_bundle(encoded(_bundle("collection", (self.patient, *self.resources))))
        gathered = gathered_from_bundle([record], self.scenario.hook, drafts)
        if "encounterId" in HOOKS[self.scenario.hook].required:
            gathered = msgspec.structs.replace(gathered, encounter_id=ENCOUNTER_ID)
        return gathered


def encoded(value: Any) -> bytes:
    """JSON bytes in which a Decimal stands as it was written."""
    return _ENCODER.encode(value)


def _bundle(kind: str, resources: Iterable[Resource]) -> Resource:
    entries = [
        {"fullUrl": f"https://scenario.example.org/fhir/{one['resourceType']}/{one['id']}", "resource": one}
        for one in resources
    ]
    total = {"total": len(entries)} if kind == "searchset" else {}
    return {"resourceType": "Bundle", "type": kind, **total, **({"entry": entries} if entries else {})}
