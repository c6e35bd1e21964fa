"""Shell patterns against the standard library's, and what is none."""

from __future__ import annotations

import fnmatch
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_runbook.common.shell_pattern import BadPattern, check, matches

CONTEXT = "ci/woodpecker/push/01-test"


@pytest.mark.parametrize(
    ("pattern", "text", "stands"),
    [
        ("ci/woodpecker/push/*", CONTEXT, True),
        ("ci/woodpecker/push/*", "ci/woodpecker/pr/01-test", False),
        ("ci/*", CONTEXT, True),
        ("*test", CONTEXT, True),
        ("test", CONTEXT, False),
        ("ci/woodpecker/push/0[12]-*", CONTEXT, True),
        ("ci/woodpecker/push/0[!1]-*", CONTEXT, False),
        ("ci/woodpecker/push/??-test", CONTEXT, True),
        ("ci/woodpecker/push/?-test", CONTEXT, False),
        ("[]]", "]", True),
        ("[!]]", "]", False),
        ("[a-]", "-", True),
        ("a.c", "abc", False),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*a*b", "a\nb", True),
    ],
)
def test_what_a_pattern_stands_for(pattern: str, text: str, stands: bool) -> None:
    assert matches(pattern, text) == stands


letters = st.text("ab-]!", max_size=8)
sets = st.text("ab]-!", min_size=1, max_size=3).map(lambda inner: f"[{inner}]")
patterns = st.lists(st.sampled_from(["*", "?", "a", "b", "-"]) | sets, max_size=8).map("".join)


@settings(max_examples=2000, derandomize=True, database=None, deadline=None)
@given(patterns, letters)
def test_it_is_what_the_standard_library_says(pattern: str, text: str) -> None:
    try:
        check(pattern)
    except BadPattern:
        return
    assert matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [("ci/[ab", "has a [ that no ] closes"), ("[]", "has a ["), ("[!]", "has a ["), ("[b-a]", "has b-a in [ ]")],
)
def test_what_is_no_pattern(pattern: str, says: str) -> None:
    with pytest.raises(BadPattern, match=says.replace("[", r"\[").replace("]", r"\]")):
        check(pattern)


def test_it_takes_no_more_steps_than_lengths_multiplied() -> None:
    """With one level of trying again for each star this would not end within days."""
    begun = time.process_time()
    assert not matches("*a" * 60 + "b", "a" * 2000)
    assert time.process_time() - begun < 30
