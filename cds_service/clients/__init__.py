"""The EHRs that call: who each is, what it may do, what it can take."""
