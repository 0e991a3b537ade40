"""From what a request left behind to its entry in the audit trail."""

from __future__ import annotations

from typing import Any

from flask import Response

from cds_service.facts.gathered import bare_id
from cds_service.feedback.events import Events
from cds_service.feedback.pseudonyms import DEVELOPMENT_KEY, Pseudonyms
from cds_service.telemetry.audit import AskedFor, AuditFile, Entry, Fired
from cds_service.web.config import PREFIX, BadConfiguration, WebConfig
from cds_service.web.wiring import Wiring

_ACTIONS: dict[str, Any] = {"invocation.invoke": "invocation", "feedback.receive": "feedback"}


class Auditor:
    """Writes entries. One that cannot be written never stops an answer: it is counted, and told once a minute."""

    def __init__(self, file: AuditFile, hashes: Pseudonyms, wiring: Wiring, events: Events) -> None:
        self._file, self._hashes, self._wiring, self._events = file, hashes, wiring, events

    def note(self, endpoint: str | None, noted: Any, response: Response) -> None:
        """Takes down a request to a CDS service or its feedback endpoint; any other is left out."""
        action = _ACTIONS.get(endpoint or "")
        if action is None:
            return
        try:
            self._file.write(self._entry(action, noted, response))
        except Exception:  # whatever is wrong with the trail, the answer is made and must go out
            self._events("audit-lost")
            if self._wiring.metrics is not None:
                self._wiring.metrics.unaudited()

    def _entry(self, action: Any, noted: Any, response: Response) -> Entry:
        client = noted.client.id if "client" in noted else ""
        asked, considered = noted.get("asked"), noted.get("considered")
        context = asked.context if asked is not None else None
        answers = considered is not None
        return Entry(
            at=self._wiring.now(),
            request_id=response.headers.get("X-Request-Id", ""),
            action=action,
            status=response.status_code,
            service=noted.get("counts", {}).get("service", ""),
            hook=noted.get("hook", ""),
            client=client,
            denied=noted.get("denied", ""),
            user=self._hashed("user", client, context.userId if context else None),
            patient=self._hashed("patient", client, bare_id(context.patientId) if context else ""),
            instance=self._hashed("instance", client, asked.hookInstance if asked else None),
            rules=_fired(considered.assessment) if answers else (),
            cards=len(considered.cards) if answers else 0,
            fetched=tuple(AskedFor(one.key, one.outcome, one.resources) for one in noted.get("fetched", ())),
            ruleset=self._wiring.ruleset.digest if answers else "",
            knowledge=self._wiring.ruleset.knowledge_version if answers else "",
        )

    def _hashed(self, kind: str, client: str, given: str | None) -> str:
        return self._hashes.named(kind, client, given) if given else ""


def _fired(assessment: Any) -> tuple[Fired, ...]:
    findings = getattr(assessment, "findings", ())
    return tuple(Fired(one.rule.id, one.indicator or "") for one in findings if one.fired)


def auditor_of(config: WebConfig, wiring: Wiring, say: Any) -> Auditor | None:
    """None where no audit trail was asked for. Raises `BadConfiguration`."""
    if config.audit_file is None:
        return None
    if not config.patient_hash_key and not config.development:
        raise BadConfiguration(
            f"{PREFIX}PATIENT_HASH_KEY: is not set. The audit trail holds patients and users as hashes under this "
            "secret: give 16 characters or more that nobody can guess."
        )
    file = AuditFile(config.audit_file)
    try:
        file.check()
    except OSError as error:
        raise BadConfiguration(
            f"{PREFIX}AUDIT_FILE: cannot be written ({error.strerror or type(error).__name__})"
        ) from None
    return Auditor(file, Pseudonyms(config.patient_hash_key.encode() or DEVELOPMENT_KEY), wiring, Events(say))
