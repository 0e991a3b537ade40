"""The words of the patient handout: reading grade, translations of one shape, no dose, every do-not with its why."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from cds_service.engine.handout import Words
from tests.rules.test_handout import GATES, handout, shown
from tests.scenarios.shared import runner

# ---- words ------------------------------------------------------------------------------------------------------


def spoken(words: Words) -> str:
    """A line as sentences: each item of a list is one."""
    items = "".join(f" {item.rstrip('.')}." for item in words.items)
    return f"{words.lead}{'.' if words.items else ''}{items}".replace("{emergency}", "911")


AS_SPOKEN = {
    "barefoot": 2, "clinician": 3, "diet": 2, "doing": 2, "fluid": 2, "horsetail": 2, "muscles": 2, "pale": 1,
    "something": 2, "spasm": 2,
}  # fmt: skip
"""Words of the handout that the rule of thumb miscounts, found by comparing all of them with the CMU dictionary."""


def syllables(word: str) -> int:
    """By groups of vowels, less a silent e."""
    word = re.sub(r"[^a-z]", "", word.lower())
    if word in AS_SPOKEN:
        return AS_SPOKEN[word]
    count = len(re.findall(r"[aeiouy]+", word))
    silent = {
        "e": ("le", "ee", "ie", "oe", "ye"),
        "ed": ("ted", "ded"),
        "es": ("ses", "zes", "xes", "ches", "shes", "ges", "ces"),
    }
    for ending, spoken_as in silent.items():
        if count > 1 and word.endswith(ending) and not word.endswith((*spoken_as, "ies")):
            count -= 1
    return max(count + len(re.findall(r"ia|io(?!u|n)|iu|ua", word)), 1)


def grade(text: str) -> float:
    """Flesch-Kincaid grade level."""
    sentences = [part for part in re.split(r"[.!?]+(?:\W|$)", text) if part.strip()]
    words = re.findall(r"[A-Za-z][A-Za-z'-]*", text)
    return 0.39 * len(words) / len(sentences) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("cramp", 1), ("muscle", 2), ("potassium", 4), ("emergency", 4), ("medicine", 3), ("yourself", 2),
        ("linked", 1), ("twisted", 2), ("vegetables", 3), ("tablets", 2), ("clinic", 2), ("valerian", 4),
    ],
)  # fmt: skip
def test_syllables_are_counted_as_in_a_dictionary(word: str, count: int) -> None:
    assert syllables(word) == count


def grade_of(codes: Iterable[str]) -> float:
    return grade(" ".join(spoken(handout().texts["en"].lines[code]) for code in codes))


def test_whole_english_handout_reads_at_grade_four_to_eight() -> None:
    for codes in (handout().general(), tuple(shown()), tuple(handout().by_code())):
        assert 4 <= grade_of(codes) < 9


def test_no_patients_sheet_is_above_grade_eight() -> None:
    assert max(grade_of(shown(**row[1])) for row in GATES) < 8


@pytest.mark.parametrize("code", list(handout().by_code()))
def test_no_english_line_is_above_grade_nine(code: str) -> None:
    text = spoken(handout().texts["en"].lines[code])
    assert grade(text) <= 9, f"{grade(text):.1f}: {text}"


def lines_of(language: str) -> Iterable[tuple[str, str]]:
    return [(code, spoken(words)) for code, words in handout().texts[language].lines.items()]


def test_translations_have_the_same_keys_and_the_same_shape() -> None:
    first, *others = handout().texts.values()
    assert first.language == "en"
    assert others
    for other in others:
        assert list(other.lines) == list(first.lines)
        assert list(other.page) == list(first.page)
        assert other.sections.keys() == first.sections.keys()
        assert other.strengths.keys() == first.strengths.keys()
        for code, words in other.lines.items():
            assert len(words.items) == len(first.lines[code].items), code
            assert words != first.lines[code], code
            assert re.findall(r"\{\w+\}|\d+", spoken(words)) == re.findall(r"\{\w+\}|\d+", spoken(first.lines[code]))
        for name, text in other.page.items():
            assert text != first.page[name] or name == "version", name


@pytest.mark.parametrize("language", list(handout().texts))
def test_no_dose_no_percentage_no_identifier(language: str) -> None:
    for code, text in lines_of(language):
        assert not re.search(r"%|\bpercent|\bpor ciento|\d\s?(mg|g|mcg|µg|mEq|mmol|IU|UI|ml|mL)\b", text), code


def test_no_medicine_is_named_but_the_minerals_vitamin_d_and_quinine() -> None:
    """No brand and no prescription drug: every ingredient the rules know is looked for in the words."""
    allowed = {"calcium", "potassium", "magnesium", "vitamin d", "quinine", "quinina", "salt", "alcohol", "potasio"}
    terminology = runner().ruleset.terminology
    names = {
        terminology.titles[set_id].lower()
        for set_id in terminology.index.is_ingredient
        if set_id in terminology.titles and len(terminology.titles[set_id]) > 4
    }
    assert len(names) > 200
    for language in handout().texts:
        for code, text in lines_of(language):
            found = {name for name in names - allowed if re.search(rf"\b{re.escape(name)}\b", text.lower())}
            assert not found, (code, found)


NEEDLE = {"en": ("needle", r"do not prick"), "es": ("aguja", r"no pinche")}


@pytest.mark.parametrize("language", list(handout().texts))
def test_needle_stands_only_beside_do_not(language: str) -> None:
    """HZ-46"""
    word, forbidden = NEEDLE[language]
    met = [sentence for _, text in lines_of(language) for sentence in text.lower().split(". ") if word in sentence]
    assert met
    assert all(re.search(forbidden, sentence) for sentence in met)


WHY = {"en": r"\b(can|may|because|linked|does not help)\b|full of", "es": r"\b(puede|pueden|porque|no ayuda|tienen)\b"}
FORBIDS = {
    "en": r"\b[Dd]o not\b(?! need| point)|\bAvoid\b|should not",
    "es": r"\b[Nn]o (?:lo )?(?:use|camine|pinche|pellizque|añada|tome|empiece|pase|deje|deben)\b|\bEvite\b",
}


@pytest.mark.parametrize("language", list(handout().texts))
def test_every_do_not_says_why(language: str) -> None:
    forbidding = [(code, text) for code, text in lines_of(language) if re.search(FORBIDS[language], text)]
    assert {code for code, _ in forbidding} >= {
        "H-06",
        "H-09R",
        "H-10",
        "H-11",
        "H-17",
        "H-19",
        "H-22",
        "H-24",
        "H-03S",
    }
    for code, text in forbidding:
        assert re.search(WHY[language], text.lower()), (code, text)


def test_a_cramp_is_never_called_a_seizure() -> None:
    for _, text in lines_of("en"):
        assert not re.search(r"seizure|convuls|epilep|clonic|tonic (?!water)", text.lower())
