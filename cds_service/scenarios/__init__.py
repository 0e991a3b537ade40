"""Scenarios: cases as a clinician tells them, one grammar for rules and fixtures (docs/command-line.md shows it)."""

from cds_service.scenarios.case import Case
from cds_service.scenarios.compare import Mismatch
from cds_service.scenarios.grammar import Scenario, read_file
from cds_service.scenarios.run import Checked, Outcome, Runner, check_rules
from cds_service.scenarios.shift import shift_to
from cds_service.scenarios.when import end_of_day

__all__ = [
    "Case",
    "Checked",
    "Mismatch",
    "Outcome",
    "Runner",
    "Scenario",
    "check_rules",
    "end_of_day",
    "read_file",
    "shift_to",
]
