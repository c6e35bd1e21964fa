"""Text from a server can be printed, and can do nothing to a terminal."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from gpu_runbook.laptop.sanitize import clean


@given(st.text(st.characters(codec=None)))
def test_no_control_character_is_left(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert not {char for char in cleaned if unicodedata.category(char) in {"Cc", "Zl", "Zp"}} - {"\n", "\t"}
    assert not {char for char in cleaned if unicodedata.bidirectional(char) in {"RLO", "LRO", "RLI", "LRI", "PDI"}}


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


def test_lines_stay_lines() -> None:
    assert clean("one\r\n\ttwo\n") == "one\n\ttwo\n"
