"""What of the results could not be used, said as the gaps that cards print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cds_service.facts.model import DataGap, Measurement
from cds_service.facts.quantities import PROBLEMS, Analyte


def unusable_results(
    results: Mapping[str, tuple[Measurement, ...]], analytes: Mapping[str, Analyte]
) -> Iterator[DataGap]:
    """One gap for each analyte and problem, naming the newest result concerned."""
    for analyte, measurements in results.items():
        counted: dict[str, list[Measurement]] = {}
        for one in measurements:
            if one.problem is not None:
                counted.setdefault(one.problem, []).append(one)
        for problem, ones in counted.items():
            others = f" ({len(ones) - 1} more like it)" if len(ones) > 1 else ""
            text = f"{analytes[analyte].name}: one result {PROBLEMS[problem]} and was not used{others}."
            kind = "unknown-unit" if problem == "unknown-unit" else "unusable-result"
            yield DataGap(kind, analyte, text, ones[0].reference)
