"""The memory beside the road of an invocation: what was overridden before, and what is shown now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cds_service.cards.model import Card
from cds_service.cards.response import identified
from cds_service.clients.model import Client
from cds_service.facts.gathered import Gathered
from cds_service.facts.reading import HookRequest
from cds_service.feedback.breaker import Note
from cds_service.feedback.database import BadDatabase
from cds_service.feedback.events import Events
from cds_service.feedback.memory import Occasion, Shown
from cds_service.feedback.pseudonyms import DEVELOPMENT_KEY
from cds_service.feedback.reasons import KnownReasons
from cds_service.feedback.store import Remembers, Store, open_store
from cds_service.settings import Settings
from cds_service.web.config import PREFIX, BadConfiguration, WebConfig

NOTHING_KEPT = "none"


class Considered(msgspec.Struct, frozen=True):
    """An assessment, and the cards of it that are sent: none to a silent client."""

    assessment: Any
    cards: tuple[Card, ...]
    memory: Remembers | None = None
    occasion: Occasion | None = None
    shown: list[Shown] = []

    @property
    def held_back(self) -> int:
        """How many cards stay back because they were overridden."""
        return 0 if self.memory is None else len(self.assessment.held_back)

    def note(self, wiring: Any) -> None:
        """To be called when the answer is made: what could not be encoded was not shown."""
        if self.memory is not None and self.occasion is not None and self.shown:
            versions = (wiring.ruleset.digest, wiring.ruleset.knowledge_version)
            self.memory.note_shown(self.occasion, self.shown, versions, wiring.now())


def consider(
    wiring: Any,
    client: Client,
    settings: Settings,
    gathered: Gathered,
    request: HookRequest,
    service_id: str,
    go_on: Callable[[], None],
) -> Considered:
    """Assesses one request. A card that could be held back is looked up first; most requests have none.

    Assessing again with the history is what assessing with it at once would have been: without a card that may stay
    back the history changes nothing.
    """
    now = wiring.now()
    assessment = wiring.assess(gathered, wiring.ruleset, settings, now, None, go_on)
    if wiring.memory is None:
        return Considered(assessment, () if client.silent is True else assessment.cards)
    occasion = Occasion(
        client.id, client.group, service_id, gathered.hook, request.hookInstance or "", gathered.patient_id
    )
    if any(card.indicator != "critical" for card in assessment.cards):
        history = wiring.memory.history(occasion, now)
        if history is not None and history.overrides:
            assessment = wiring.assess(gathered, wiring.ruleset, settings, now, history, go_on)
    cards = identified(assessment.cards, wiring.new_id)
    unsent = client.silent is True
    shown = [
        Shown(basis, card.uuid, len(card.suggestions), unsent)
        for basis, card in zip(assessment.bases, cards, strict=True)
    ]
    shown += [Shown(basis, wiring.new_id(), silent=True) for basis in assessment.silent]
    return Considered(assessment, () if unsent else cards, wiring.memory, occasion, shown)


def store_of(config: WebConfig, reasons: KnownReasons, say: Note) -> Store | None:
    """The memory of the site; None where it wants none. Raises `BadConfiguration`."""
    if config.database == NOTHING_KEPT or (config.development and not config.database):
        return None
    if not config.database:
        raise BadConfiguration(
            f"{PREFIX}DATABASE: is not set. Name where feedback and used tokens are kept, such as "
            f"sqlite:////var/lib/legcramp/legcramp.sqlite3 or postgresql://user@host/name; {NOTHING_KEPT} keeps "
            "nothing, and each worker then knows only the tokens that it saw itself."
        )
    if not config.patient_hash_key and not config.development:
        raise BadConfiguration(
            f"{PREFIX}PATIENT_HASH_KEY: is not set. Patients are kept as hashes under this secret: give 16 characters "
            "or more that nobody can guess, and keep them, or what was overridden is forgotten."
        )
    key = config.patient_hash_key.encode() or DEVELOPMENT_KEY
    try:
        return open_store(
            config.database, key, reasons, Events(lambda event: say(event, 1)), config.feedback_comments,
            migrates=config.development,
        )  # fmt: skip
    except BadDatabase as error:
        raise BadConfiguration(f"{PREFIX}DATABASE: {error}") from None
