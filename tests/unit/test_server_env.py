"""The env files on a server: read as python-dotenv reads them, written so that it reads them back, told in names."""

from __future__ import annotations

import io
import logging

from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from remote.envfile import parse

PIECES = [
    *("A", "B_1", "export", "export ", "=", " = ", "'", '"', "\\", "\\'", '\\"', "\\n", "#", " #", " ", "\t", "\n"),
    *("x", "ä", "${A}", "\x0b", "\x85", "-", "'k'", "A=1\n", 'B="2"\n', "C='3\n4'\n", "=#"),
]


def as_a_file(raw: bytes) -> io.TextIOWrapper:
    """The bytes as python-dotenv opens a file that holds them."""
    return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")


def by_dotenv(raw: bytes) -> dict[str, str | None]:
    return dict(dotenv_values(stream=as_a_file(raw), interpolate=False))


@settings(max_examples=600, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_whatever_stands_in_a_file_is_read_as_python_dotenv_reads_it_or_named_by_its_line(text: str) -> None:
    logging.disable(logging.WARNING)  # python-dotenv says which lines it cannot read
    values, problems = parse(text)
    theirs = by_dotenv(text.encode())
    bare = any(problem.endswith("has no = and no value") for problem in problems)
    for name, value in values.items():
        assert theirs[name] == value or (bare and theirs[name] is None)
    assert problems or values == theirs
