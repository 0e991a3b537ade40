"""What `doctor` looks at in the rules: would the service start with them?"""

from __future__ import annotations

from cds_service.cli.finding import Finding
from cds_service.ruleset import Ruleset
from cds_service.scenarios import check_rules
from cds_service.scenarios.checked import is_recorded


def examine_scenarios(ruleset: Ruleset) -> Finding:
    """Whether every rule passes its own scenarios, which a start asks for."""
    if is_recorded(ruleset):
        return Finding("scenarios", "ok", "every rule passed its own scenarios when the rules were recorded")
    checked = check_rules(ruleset)
    if checked.failures:
        what = f"{len(checked.failures)} of the rules' own scenarios fail, so the service does not start"
        return Finding("scenarios", "fail", f"{what}\n{checked.failures[0]}", "`legcramp rules check` shows them all.")
    what = f"{checked.run} scenarios of the rules pass; each start runs them, unless `rules check --record` notes it"
    return Finding("scenarios", "ok", what)
