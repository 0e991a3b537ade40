"""Code systems by the names that people and laboratory systems write: a URI, an OID, or a short name."""

from __future__ import annotations

import re

from cds_service.facts.terminology import ATC, ICD10, ICD10CM, LOINC, NDC, RXNORM, SNOMED

_OID = re.compile(r"[012](?:\.\d+){2,}")
_SHORT: dict[str, str] = {
    **dict.fromkeys(("rxnorm", "rxcui", "rx", "rxn"), RXNORM),
    **dict.fromkeys(("ndc", "ndc9", "ndc11", "nationaldrugcode"), NDC),
    **dict.fromkeys(("loinc", "ln", "lnc"), LOINC),
    **dict.fromkeys(("snomed", "snomedct", "sct", "snomedctus", "snomedctuk"), SNOMED),
    **dict.fromkeys(("dmd", "nhsdmd"), "https://dmd.nhs.uk"),
    **dict.fromkeys(("icd10cm", "i10c", "icd10us"), ICD10CM),
    **dict.fromkeys(("icd10", "i10", "icd10who"), ICD10),
    **dict.fromkeys(("atc", "whoatc"), ATC),
}
"""Without case, blanks and marks; the names of HL7 v2 table 0396 and of the UMLS among them."""


def system_named(text: str) -> str:
    """The URI for what was written; a name that is not known is returned trimmed, as a system that matches nothing."""
    text = text.strip()
    if _OID.fullmatch(text):
        return f"urn:oid:{text}"
    return _SHORT.get(re.sub(r"[^a-z0-9]", "", text.lower()), text)
