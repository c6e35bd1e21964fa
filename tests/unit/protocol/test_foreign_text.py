"""A text from elsewhere becomes one line of bounded length, and a name stands in quotes that it cannot close."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_runbook.protocol.foreign_text import NAME, named, one_line, quoted
from tests.unit.nasty import TEXTS, wrong_with

everywhere = st.text(st.characters(codec=None))


@given(everywhere, st.integers(1, 40))
def test_one_line_is_one_and_stays_as_it_is(said: str, most: int) -> None:
    line = one_line(said, most)
    assert wrong_with(line, most) == ""
    assert one_line(line, most) == line


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), max_size=200))
def test_ordinary_words_stay_as_they_are(said: str) -> None:
    assert one_line(said) == said


def test_what_was_there_leaves_a_sign_and_what_is_cut_a_mark() -> None:
    assert one_line("a\r\n\t b\x1b[31mc\u200b\u202e") == "a b\N{REPLACEMENT CHARACTER}[31mc\N{REPLACEMENT CHARACTER}"
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
    assert one_line(" " * 100 + "x", 10) == "…", "what was never looked at is not silently left out"


def test_a_name_cannot_close_its_quotes() -> None:
    assert quoted('a" is well; "b') == "\"a' is well; 'b\""
    assert quoted("x" * 1000) == f'"{"x" * (NAME - 1)}…"'


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("1.2.0-rc_1", "1.2.0-rc_1"),
        ("sha256:abc", "sha256:abc"),
        ("/azaion/models/2026-04-20/best.pt", "/azaion/models/2026-04-20/best.pt"),
        ("", ""),
        ("3.13 answers", '"3.13 answers"'),
        ("--privileged", '"--privileged"'),
        ("3.13\n", '"3.13"'),
        ("трейн", '"трейн"'),
        ("x" * 500, f'"{"x" * (NAME - 1)}…"'),
    ],
)
def test_one_plain_word_needs_no_quotes(word: str, told: str) -> None:
    assert named(word) == told
    assert named(word, "training") == quoted(word)
    assert named("training", "training") == "training"


def test_much_of_it_takes_no_time() -> None:
    begun = time.monotonic()
    for said in TEXTS.values():
        one_line(said)
    assert time.monotonic() - begun < 1
