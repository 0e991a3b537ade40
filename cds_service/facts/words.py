"""Plain words: a text folded into them, and phrases looked up among them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

Words: TypeAlias = tuple[str, ...]
Phrases: TypeAlias = dict[str, tuple[Words, ...]]
"""Phrases by their first word."""

WORD = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?%?")
NUMBER = re.compile(r"[0-9][0-9.]*[a-z%]{0,4}")


def folded_text(text: str) -> str:
    """Lower case, without accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).lower()


def words_of(text: str) -> Words:
    """The words of a text, folded."""
    return tuple(WORD.findall(folded_text(text)))


def phrases_of(texts: Iterable[object]) -> frozenset[Words]:
    return frozenset(words for words in (words_of(str(text)) for text in texts) if words)


def by_first_word(phrases: Iterable[Words]) -> Phrases:
    found: dict[str, list[Words]] = {}
    for phrase in sorted(phrases):
        found.setdefault(phrase[0], []).append(phrase)
    return {first: tuple(ones) for first, ones in found.items()}


def holds(words: Words, phrases: Phrases) -> bool:
    """Whether any of the phrases stands in the words."""
    return any(
        words[at : at + len(phrase)] == phrase
        for at, word in enumerate(words)
        if word in phrases
        for phrase in phrases[word]
    )


def contains(words: Words, phrase: Words) -> bool:
    if len(phrase) == 1:
        return phrase[0] in words
    return any(words[at : at + len(phrase)] == phrase for at in range(len(words) - len(phrase) + 1))
