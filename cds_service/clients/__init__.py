"""The EHRs that call: who each is, how it proves that, what it may do, what it can take."""
