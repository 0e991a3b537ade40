"""A part of `make attack` in every test run, a larger one with the heavy tests: no fault, no hang, no growth."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.attack import tokens
from tests.attack.campaigns import Campaign, Field, prepare
from tests.attack.guided import Guided
from tests.attack.run import Figures, Found, run
from tests.attack.target import Answer, Fault, Target, connections_outside, judge, judge_cards, watch_connections

_MOST_KB_A_CAMPAIGN = 24 * 1024
"""Resident memory is noisy by some megabytes; a leak of 1 kB an attempt is 17 MB in the longest campaign's rest."""


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return prepare(tmp_path_factory.mktemp("attack"))


def test_no_attack_of_the_sample_gets_through(field: Field) -> None:
    for figures in run(field, seed=1, scale=0.006):
        assert figures.faults == []


@pytest.mark.heavy
def test_no_attack_gets_through_and_memory_does_not_grow(field: Field) -> None:
    every = list(run(field, seed=2, scale=0.25))
    assert [fault for figures in every for fault in figures.faults] == []
    assert {figures.name: figures.growth_kb for figures in every if figures.growth_kb > _MOST_KB_A_CAMPAIGN} == {}


# -- that the attacks themselves would notice


def _one(attempt: object) -> Figures:
    def raises(*_: object) -> str:
        assert isinstance(attempt, BaseException)
        raise attempt

    campaign = Campaign("x", "", 1, raises)
    return next(run(Field((campaign,), ()), seed=0, scale=1))


def test_a_fault_is_told_with_the_number_that_repeats_it() -> None:
    assert _one(Fault("no")).faults == [Found("x", 0, "Fault: no")]
    assert _one(KeyError("x")).faults == [Found("x", 0, "KeyError: 'x'")]


def test_an_attempt_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.attack.run.LONGEST_SECONDS", 0.05)

    def spin(*_: object) -> str:
        while True:
            pass

    (figures,) = run(Field((Campaign("x", "", 1, spin),), ()), seed=0, scale=1)
    assert figures.faults[0].what.startswith("hangs")


_HEADERS = {
    "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "content-security-policy": "x",
    "x-request-id": "1",
    "cache-control": "no-store", "content-type": "application/json",
}  # fmt: skip
_OUTCOME = b'{"resourceType":"OperationOutcome","issue":[{"diagnostics":"%b"}]}'


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, _HEADERS, _OUTCOME % b"x"),
        Answer(503, _HEADERS, _OUTCOME % b"x"),
        Answer(200, {}, b"{}"),
        Answer(400, _HEADERS, b"oops"),
        Answer(400, _HEADERS, _OUTCOME % b"Kanarienvogel"),
        Answer(200, _HEADERS | {"content-type": "text/html"}, b"<p><b id=Kanarienvogel>"),
        Answer(200, _HEADERS | {"location": "a\r\nSet-Cookie: b"}, b""),
        Answer(200, _HEADERS | {"x-other": "Kanarienvogel"}, b""),
        Answer(200, _HEADERS, b'{"cards":[{"summary":"Kanarienvogel has cramps","indicator":"info"}]}'),
        Answer(200, _HEADERS, b'{"cards":[{"summary":"x","detail":"![](https://evil.example)","indicator":"info"}]}'),
    ],
)
def test_an_answer_that_must_not_be_is_noticed(answer: Answer) -> None:
    with pytest.raises(Fault):
        (judge_cards if b"cards" in answer.body else judge)(answer)


def test_a_word_of_the_record_in_the_log_is_noticed(tmp_path: Path) -> None:
    target = Target(tmp_path)
    target._log.write(b'{"event":"Kanarienvogel"}\n')
    with pytest.raises(Fault, match="in the log"):
        target.forget_log()


def test_reaching_for_another_host_is_noticed() -> None:
    import socket

    watch_connections()
    connections_outside()
    with pytest.raises(OSError, match=r".*"):
        socket.getaddrinfo("nowhere.invalid", 80)
    assert connections_outside() == ["nowhere.invalid"]


def test_a_token_that_is_believed_without_a_signature_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens.gate().verifier, "_check_signature", lambda *_: None)
    head, body, _ = tokens.sound()[0].split(".")
    with pytest.raises(Fault, match="nobody signed"):
        tokens.believe(f"Bearer {head}.{body}.AAAA")


def test_the_guide_finds_its_way_to_what_chance_alone_would_not() -> None:
    """Four letters in their places: one in 26^4 by chance, step by step when each new line is kept."""
    chance = random.Random(0)

    def change_one(word: str, chance: random.Random) -> str:
        at = chance.randrange(len(word))
        return word[:at] + chance.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]

    guided = Guided(["xxxx"], change_one, _lock, ("test_attack.py",))
    assert any(guided(chance) == "open" for _ in range(5_000))


def _lock(word: str) -> str:
    if word[0] != "l":
        return "1"
    if word[1] != "o":
        return "2"
    if word[2] != "c":
        return "3"
    if word[3] != "k":
        return "4"
    return "open"
