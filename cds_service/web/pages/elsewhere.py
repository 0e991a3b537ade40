"""Links from one page to the others: only to those that this site has, and that somebody can open."""

from __future__ import annotations

from flask import current_app, url_for

from cds_service.web.config import WebConfig
from cds_service.web.wiring import Wiring


def links() -> list[tuple[str, str]]:
    """Words and address of each."""
    config: WebConfig = current_app.extensions["config"]
    wiring: Wiring = current_app.extensions["wiring"]
    opens = config.development or config.pages_token or config.proxy_user_header
    found = [("Rules and their sources", "rules.index")]
    if opens and config.preview:
        found.append(("Try the rules on a patient", "preview.page"))
    if opens and wiring.store is not None:
        found.append(("What came of the cards", "report.page"))
    return [(words, url_for(endpoint)) for words, endpoint in found]
