"""All attacks, each with the number of its attempts in a full run."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.attack import addresses, bodies, rule_files, tokens
from tests.attack.guided import Guided
from tests.attack.mutate import change_bytes
from tests.attack.target import Target

Attempt = Callable[[random.Random, int], str]
"""Makes one attempt; what it does is decided by the two alone. Says how it went, raises on a fault."""


class Campaign(NamedTuple):
    name: str
    about: str
    attempts: int
    attempt: Attempt
    guided: Guided[str] | Guided[bytes] | None = None


class Field(NamedTuple):
    """What is attacked."""

    campaigns: tuple[Campaign, ...]
    targets: tuple[Target, ...]


def prepare(folder: Path) -> Field:
    """Starts the targets; what they keep lies in `folder`."""
    plain, remembering = Target(folder), Target(folder, remembers=True)
    on_tokens = Guided(
        [f"Bearer {made}" for made in tokens.sound()],
        _mutate_token,
        tokens.believe,
        ("clients/tokens.py", "clients/keys.py"),
    )
    on_keys = Guided([tokens.gate().keys], tokens.mutate_keys, tokens.read_keys, ("clients/keys.py", "jwt/api_jwk.py"))
    on_rules = Guided(
        rule_files.rule_files(),
        rule_files.mutate,
        lambda content: rule_files.load(content, folder),
        ("engine/source.py",),
    )
    campaigns = (
        Campaign(
            "types", "a value of another type at every place of a request", 25_000, partial(bodies.swap_types, plain)
        ),
        Campaign("trees", "requests changed at one to six places", 25_000, partial(bodies.mutate_hooks, plain)),
        Campaign("bytes", "requests cut, spliced, flipped, recoded", 20_000, partial(bodies.mutate_hook_bytes, plain)),
        Campaign("bombs", "nesting, width, digits, keys, chains, words", 1_500, partial(bodies.bombs, plain)),
        Campaign(
            "remembered", "requests changed, with a memory on disk", 1_500, partial(bodies.mutate_hooks, remembering)
        ),
        Campaign("feedback", "feedback changed in tree or bytes", 8_000, partial(bodies.mutate_feedback, remembering)),
        Campaign("forms", "what is pasted into the preview", 2_000, partial(bodies.paste, plain)),
        Campaign(
            "queries", "queries of all pages, CSV, handout, search", 10_000, partial(addresses.queries, remembering)
        ),
        Campaign("paths", "addresses and methods", 10_000, partial(addresses.paths, plain)),
        Campaign("headers", "headers that lie or repeat", 10_000, partial(addresses.headers, plain)),
        Campaign("tokens", "forged tokens (guided)", 15_000, lambda chance, _: on_tokens(chance), on_tokens),
        Campaign("key sets", "a client's key set (guided)", 4_000, lambda chance, _: on_keys(chance), on_keys),
        Campaign("rule files", "YAML of rules (guided)", 2_000, lambda chance, _: on_rules(chance), on_rules),
    )
    return Field(campaigns, (plain, remembering))


def _mutate_token(authorization: str, chance: random.Random) -> str:
    if chance.random() < 0.7:
        return tokens.forge(chance)
    return change_bytes(authorization.encode("latin-1"), tokens.sound()[0].encode(), chance).decode("latin-1")
