"""Results that travel inside a panel or a report, as contained resources."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from cds_service.facts import wire


def contained_observations(
    owner: wire.Observation | wire.DiagnosticReport, reference: str
) -> Iterator[tuple[wire.Observation, str]]:
    """Observations carried inside a panel or report; status, dates and subject left out are the owner's."""
    for index, inner in enumerate(owner.contained):
        if type(inner) is wire.Observation:
            dated = inner.effectiveDateTime or inner.effectiveInstant or inner.effectivePeriod or inner.issued
            filled = msgspec.structs.replace(
                inner,
                status=inner.status or owner.status,
                subject=inner.subject or owner.subject,
                effectiveDateTime=inner.effectiveDateTime if dated else owner.effectiveDateTime,
                effectivePeriod=inner.effectivePeriod if dated else owner.effectivePeriod,
                issued=inner.issued if dated else owner.issued,
            )
            yield filled, f"{reference}#{inner.id or index + 1}"
