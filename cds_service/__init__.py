"""Clinical decision support for leg cramps: hook requests in, cards out (CDS Hooks 2.0.1, FHIR R4)."""

__version__ = "0.1.0"
