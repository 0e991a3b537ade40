"""Set-up sheets: what the other side types in, for one kind of EHR, made from discovery and the rules.

Only the words about an EHR are written by hand, in sheets.toml. Addresses, hooks, prefetch queries, codes of orders
and override reasons come from what the service says of itself: a sheet that goes stale fails a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from cds_service.cli.order_codes import ordered_items
from cds_service.clients.profiles import PREFERENCE_LIST_ITEM, PROFILES
from cds_service.fhir.queries import QUERIES
from cds_service.ruleset import Ruleset

Services = list[dict[str, Any]]
_WITHOUT = {
    "required": "412: no cards",
    "for treatment": "no treatment is suggested",
    "optional": "the cards name the gap",
}


class Sheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The words about one kind of EHR. Each of `steps`, `token` and `cards` is one line of a list."""

    name: str
    profile: str
    intro: str
    steps: tuple[str, ...]
    token: tuple[str, ...]
    cards: tuple[str, ...]
    entry: str
    """The client's part of our file of clients."""


SHEETS: dict[str, Sheet] = msgspec.toml.decode(
    Path(__file__).with_name("sheets.toml").read_bytes(), type=dict[str, Sheet]
)


def write_sheet(kind: str, base: str, services: Services, ruleset: Ruleset) -> str:
    """The sheet as Markdown. `services` as discovery says them, `base` without a trailing slash."""
    sheet = SHEETS[kind]
    knowledge = ruleset.knowledge
    parts = [
        f"# Set-up sheet: {sheet.name}",
        f"Written by `legcramp setup-sheet {kind}`: change the service or the command, not this page. {sheet.intro}",
        f"Addresses begin with `{base}`, which stands for the public address of your installation "
        "(`LEGCRAMP_PUBLIC_BASE_URL`; the command takes `--base-url`).",
        "## Services",
        _table(
            ("hook", "address", "title"),
            ((f"`{one['hook']}`", f"`{base}/cds-services/{one['id']}`", one["title"]) for one in services),
        ),
        _lines(sheet.steps),
        "## Prefetch",
        _prefetch(services),
        "## Scopes",
        "Read access to: " + ", ".join(f"`{name}`" for name in _types(services)) + ".",
        "## Token",
        _lines(sheet.token),
        "All that makes a token valid stands in [clients.md](clients.md).",
        "## Cards",
        _lines(sheet.cards),
        f"Links and the icon lead to `{urlsplit(base).hostname}`: allow this host. Nothing else is linked.",
        "## Our side",
        "In the file that `LEGCRAMP_CLIENTS` names:",
        f"```toml\n{sheet.entry}```",
        "Then `legcramp doctor` checks it.",
        *(_orders(ruleset) if PROFILES[sheet.profile].accepted_systems else ()),
        "## Override reasons",
        f"The codes of `{knowledge.override_system}`; a card brings those that fit it.",
        _table(("code", "shown"), ((f"`{code}`", text) for code, text in knowledge.override_reasons.items())),
    ]
    return "\n\n".join(parts) + "\n"


def _orders(ruleset: Ruleset) -> Iterable[str]:
    yield "## Orders to map"
    yield (
        "Fill in the item of the preference list for each that clinicians may order, as a line of "
        f'`[client.switches.orderables]`:\n`"key" = {{ system = "{PREFERENCE_LIST_ITEM}", code = "item" }}`'
    )
    tests = [item for item in ordered_items(ruleset) if not item.is_medication]
    yield _table(("order", "key", "item"), ((item.text, f"`{_cell(item.keys[0])}`", "") for item in tests))


def _prefetch(services: Services) -> str:
    templates: Mapping[str, str] = services[0]["prefetch"]
    without = {query.key: "less is seen" if query.supplement else _WITHOUT[query.needed] for query in QUERIES}
    same = all(service["prefetch"] == templates for service in services)
    rows = [
        (f"`{key}`", f"`{_cell(template)}`", without.get(key, _WITHOUT["optional"]))
        for key, template in _all_templates(services).items()
    ]
    words = "The same for all hooks." if same else "Each hook takes those that discovery lists for it."
    return f"{words} Keys may be renamed.\n\n" + _table(("key", "query", "without it"), rows)


def _all_templates(services: Services) -> dict[str, str]:
    return {key: template for service in services for key, template in service["prefetch"].items()}


def _types(services: Services) -> list[str]:
    """The resource types that are asked for; Medication stands behind the references of orders."""
    types = {template.partition("?")[0].partition("/")[0] for template in _all_templates(services).values()}
    return sorted(types | {"Medication"})


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
