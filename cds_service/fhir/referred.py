"""Medications that orders only refer to: which of them are not there, and the questions that bring them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import quote

from cds_service.facts.gathered import open_bundles, type_and_id
from cds_service.facts.wire import Medication, MedicationDispense, MedicationRequest, MedicationStatement, Resource
from cds_service.fhir.access import Access
from cds_service.fhir.examine import Question

REFERRED = "medications-referred-to"
"""The key of what is fetched here; no EHR has it."""
MOST_REFERRED = 200
MOST_READS = 40
_A_BATCH = 50
_FEW = 3
"""So many are read one by one at once; a search is asked for more."""


class Referred:
    """What is still to be asked for, while answers come in."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._known: set[str] = set()
        self._asked: dict[str, None] = {}
        self._reads = 0
        self.not_granted = False
        """Whether something was left out because the token does not cover it."""

    def questions(self, resources: Iterable[Resource | None]) -> list[Question]:
        """Questions for what `resources`, Bundles or not, refer to and nobody has brought or asked for yet."""
        wanted: dict[str, None] = {}
        for resource in open_bundles(resources, {}):
            if type(resource) is MedicationDispense and resource.authorizingPrescription:
                continue  # the order names the medicine
            if isinstance(resource, (MedicationRequest, MedicationStatement, MedicationDispense)):
                if resource.medicationReference is not None or resource.medication is not None:
                    id_ = self._referred_id(resource)
                    if id_ is not None:
                        wanted[id_] = None
            elif type(resource) is Medication and resource.id:
                self._known.add(resource.id)
        new = [id_ for id_ in wanted if id_ not in self._known and id_ not in self._asked]
        new = new[: MOST_REFERRED - len(self._asked)]
        if not new:
            return []
        self._asked |= dict.fromkeys(new)
        searches = self._access.scopes.cover("Medication", "s") != "none"
        if not searches or len(new) <= _FEW:
            reads = list(self.reads(new))
            if reads or not searches:
                return reads
        return [
            self._question("Medication?_id=" + ",".join(quote(id_, safe="") for id_ in batch), frozenset(batch))
            for batch in (new[at : at + _A_BATCH] for at in range(0, len(new), _A_BATCH))
        ]

    def reads(self, ids: Iterable[str]) -> Iterator[Question]:
        """One by one, for a server that cannot search for several. Bounded over the whole request."""
        if self._access.scopes.cover("Medication", "r") == "none":
            self.not_granted = True
            return
        for id_ in ids:
            if self._reads < MOST_READS:
                self._reads += 1
                yield self._question(f"Medication/{quote(id_, safe='')}", frozenset({id_}))

    def _question(self, path: str, ids: frozenset[str]) -> Question:
        url = f"{self._access.server.base}/{path}"
        return Question(key=REFERRED, name=REFERRED, url=url, expects=Medication, patient_id="", ids=ids)

    def _referred_id(self, one: MedicationRequest | MedicationStatement | MedicationDispense) -> str | None:
        reference = one.medicationReference or (one.medication.reference if one.medication else None)
        text = reference.reference if reference else None
        if not text or (":" in text and not text.startswith(self._access.server.base + "/")):
            return None  # contained, or of another server: what has the same id here may be another drug
        named = type_and_id(text)
        return named[1] if named is not None and named[0] == "Medication" else None


def is_search(question: Question) -> bool:
    return len(question.ids) > 1
