"""Named profiles: what is known of an EHR's way with CDS Hooks. A client starts from one and overrides switches."""

from __future__ import annotations

from cds_service.settings import STANDARD, ClientProfile

PREFERENCE_LIST_ITEM = "urn:com.epic.cdshooks.action.code.system.preference-list-item"
ORDER_SET_ITEM = "urn:com.epic.cdshooks.action.code.system.orderset-item"
_RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
_RXNORM_OID = "urn:oid:2.16.840.1.113883.6.88"
_NDC = "http://hl7.org/fhir/sid/ndc"
_NDC_OID = "urn:oid:2.16.840.1.113883.6.69"

EPIC = ClientProfile(
    one_action_per_suggestion=True,
    selection_behavior="any",
    code_systems={_RXNORM: _RXNORM_OID, _NDC: _NDC_OID},
    accepted_systems=frozenset({PREFERENCE_LIST_ITEM, ORDER_SET_ITEM, _RXNORM_OID, _NDC_OID}),
    feedback="epic",
)
"""Takes `any` only, one action a suggestion, and finds the item to order by its code alone."""

CDS_HOOKS_1_0 = ClientProfile(selection_behavior="at-most-one", legacy10=True)
"""A client that keeps to the letter of 1.0."""

PROFILES: dict[str, ClientProfile] = {"standard": STANDARD, "epic": EPIC, "cds-hooks-1.0": CDS_HOOKS_1_0}
