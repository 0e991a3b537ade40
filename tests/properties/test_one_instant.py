"""Several results of one instant, in different units: a warning is about the worst of them."""

from __future__ import annotations

from dataclasses import replace

from tests.properties.as_r4 import ask
from tests.properties.patients import ELIGIBLE, Result


def test_the_worse_of_one_instant_is_chosen_across_units() -> None:
    """Magnesium 0.66 mmol/L and 1.09 mg/dL (0.45 mmol/L) of one instant: the lower one counts, whatever its unit."""
    bands = []
    for unit in (0, 1):
        pair = (Result("magnesium", 0.66), Result("magnesium", 0.45, unit=unit))
        kept = tuple(result for result in ELIGIBLE.results if result.analyte != "magnesium")
        answer = ask(replace(ELIGIBLE, results=(*kept, *pair)))
        bands += [finding.band for finding in answer.findings if finding.rule.id == "lab-hypomagnesemia"]
    assert bands == ["marked", "marked"]
