"""What a FHIR server knows of one patient, and how it answers the searches that this service makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from cds_service.fhir.queries import QUERIES

Resource = dict[str, Any]
BASE = "https://ehr.example.org/r4"
_PATIENT_PARAMETER = "patient"


class EhrRecord:
    """Reads and searches over some resources. `page_size` cuts answers into pages, whatever `_count` says."""

    def __init__(self, resources: Iterable[Resource], base: str = BASE, page_size: int | None = None) -> None:
        self.resources = [one if one.get("id") else one | {"id": f"r{at}"} for at, one in enumerate(resources)]
        self.base, self.page_size = base, page_size
        self.knows = {"Medication", *(query.template.partition("?")[0].partition("/")[0] for query in QUERIES)}
        """The types that the server has at all."""

    @property
    def patient(self) -> Resource:
        return next(one for one in self.resources if one["resourceType"] == "Patient")

    def answer(self, url: str) -> tuple[int, Resource]:
        """Status and body of a GET."""
        parts = urlsplit(url)
        path = parts.path.removeprefix(urlsplit(self.base).path).strip("/").split("/")
        if path[0] not in self.knows:
            return 404, outcome("error", "not-supported")
        if len(path) == 2:
            found = [one for one in self.of_type(path[0]) if one["id"] == path[1]]
            return (200, found[0]) if found else (404, outcome("error", "not-found"))
        parameters = dict(parse_qsl(parts.query))
        return 200, self.search(path[0], parameters, parts.query)

    def search(self, type_name: str, parameters: dict[str, str], query: str = "") -> Resource:
        found = [one for one in self.of_type(type_name) if _matches(one, parameters)]
        at = int(parameters.get("_page", "0"))
        size = self.page_size or len(found) or 1
        page = found[at * size : (at + 1) * size]
        links = [{"relation": "self", "url": f"{self.base}/{type_name}?{query}"}]
        if (at + 1) * size < len(found):
            rest = "&".join(part for part in query.split("&") if not part.startswith("_page="))
            links.append({"relation": "next", "url": f"{self.base}/{type_name}?{rest}&_page={at + 1}"})
        return bundle(*page, total=len(found), link=links)

    def of_type(self, type_name: str) -> list[Resource]:
        return [one for one in self.resources if one["resourceType"] == type_name]

    def prefetch(self, keys: Iterable[str] | None = None, whole: bool = True) -> dict[str, Any]:
        """What an EHR would prefetch of this record; with `whole` in one page each."""
        page_size, self.page_size = self.page_size, None if whole else self.page_size
        wanted = {query.key: query.template for query in QUERIES}
        try:
            return {key: self.prefetched(wanted[key]) for key in (wanted if keys is None else keys)}
        finally:
            self.page_size = page_size

    def prefetched(self, template: str) -> Resource:
        return self.answer(f"{self.base}/{template.replace('{{context.patientId}}', quote(self.patient['id']))}")[1]


def record_of(document: Resource, base: str = BASE) -> EhrRecord:
    """A record out of a Bundle, with the references that a server would give in place of `urn:uuid:`."""
    text = json.dumps(document)
    for entry in document["entry"]:
        url = entry.get("fullUrl", "")
        if url.startswith("urn:uuid:"):
            text = text.replace(f'"{url}"', f'"{entry["resource"]["resourceType"]}/{entry["resource"]["id"]}"')
    return EhrRecord([entry["resource"] for entry in json.loads(text)["entry"]], base)


def with_references(record: EhrRecord) -> EhrRecord:
    """The same record, in which orders refer to Medications instead of naming them."""
    resources: list[Resource] = []
    for one in record.resources:
        if "medicationCodeableConcept" in one:
            concept = one["medicationCodeableConcept"]
            id_ = f"med-{one['id']}"
            rest = {name: value for name, value in one.items() if name != "medicationCodeableConcept"}
            resources.append(rest | {"medicationReference": {"reference": f"Medication/{id_}"}})
            resources.append({"resourceType": "Medication", "id": id_, "code": concept})
        else:
            resources.append(one)
    return EhrRecord(resources, record.base)


def outcome(severity: str, code: str = "processing") -> Resource:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}


def bundle(*resources: Any, **members: Any) -> Resource:
    entries = {"entry": [{"resource": resource} for resource in resources]} if resources else {}
    return {"resourceType": "Bundle", "type": "searchset", **entries, **members}


def _matches(resource: Resource, parameters: dict[str, str]) -> bool:
    if _PATIENT_PARAMETER in parameters:
        subject = (resource.get("subject") or resource.get("patient") or {}).get("reference", "")
        if re.split("[/:]", subject)[-1] != parameters[_PATIENT_PARAMETER]:
            return False
    if "_id" in parameters and resource["id"] not in parameters["_id"].split(","):
        return False
    if "intent" in parameters and resource.get("intent") not in parameters["intent"].split(","):
        return False
    if "category" in parameters:
        codes = {coding.get("code") for one in resource.get("category", []) for coding in one.get("coding", [])}
        return parameters["category"] in codes
    return True
