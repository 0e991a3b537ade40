"""What this service asks an EHR to send along: the prefetch keys and their templates.

`QUERIES` is the whole table; discovery, the reading of answers, the integrator's guide and the template linter all
come from it. The templates keep to what CDS Hooks 2.0.1 allows (root-level primitive context fields, a small subset
of search parameters) and to searches that US Core servers must support. None filters by status: an on-hold or a
completed but still supplied drug closes gates. `_count` is a page size, large because a client hands over one page.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cds_service.facts.model import ResourceKind


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """One prefetch key. A supplement adds to a kind of data whose main list is another key: it cannot stand for it."""

    key: str
    template: str
    kind: ResourceKind
    needed: Literal["required", "for treatment", "optional"] = "optional"
    supplement: bool = False
    closes: bool = True
    """Whether a failed or truncated answer leaves the kind incomplete, which withholds treatment suggestions."""


_PATIENT = "patient={{context.patientId}}"
QUERIES: tuple[Query, ...] = (
    Query(key="patient", template="Patient/{{context.patientId}}", kind="patient", needed="required"),
    Query(
        key="medications",
        # every order-like intent, and `plan`: US Core carries patient-reported medicines so
        template=f"MedicationRequest?{_PATIENT}"
        "&intent=order,plan,original-order,reflex-order,filler-order,instance-order&_count=500",
        kind="medications",
        needed="for treatment",
    ),
    Query(
        # problem list, encounter diagnoses and health concerns alike
        key="conditions",
        template=f"Condition?{_PATIENT}&_count=500",
        kind="conditions",
        needed="for treatment",
    ),
    Query(
        key="observations",
        template=f"Observation?{_PATIENT}&category=laboratory&_sort=-date&_count=1000",
        kind="observations",
        needed="for treatment",
    ),
    Query(key="allergies", template=f"AllergyIntolerance?{_PATIENT}&_count=200", kind="allergies"),
    Query(key="procedures", template=f"Procedure?{_PATIENT}&_sort=-date&_count=200", kind="procedures"),
    Query(
        key="service-requests",
        template=f"ServiceRequest?{_PATIENT}&_sort=-authored&_count=200",
        kind="service-requests",
    ),
    Query(
        key="medication-statements",
        template=f"MedicationStatement?{_PATIENT}&_count=200",
        kind="medications",
        supplement=True,
    ),
    Query(
        key="medication-dispenses",
        template=f"MedicationDispense?{_PATIENT}&_count=200",
        kind="medications",
        supplement=True,
        closes=False,
    ),
    Query(
        key="vital-signs",
        template=f"Observation?{_PATIENT}&category=vital-signs&_sort=-date&_count=200",
        kind="observations",
        supplement=True,
        closes=False,
    ),
    Query(
        key="social-history",
        template=f"Observation?{_PATIENT}&category=social-history&_sort=-date&_count=200",
        kind="observations",
        supplement=True,
        closes=False,
    ),
    Query(
        key="clinical-tests",
        template=f"Observation?{_PATIENT}&category=procedure&_sort=-date&_count=100",
        kind="observations",
        supplement=True,
        closes=False,
    ),
)
TEMPLATES: dict[str, str] = {query.key: query.template for query in QUERIES}
