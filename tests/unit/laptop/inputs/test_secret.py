"""A secret shows itself to nobody who does not ask."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_runbook.laptop.inputs.secret import DOTS, LONG_ENOUGH, Secret, masked, spellings


@dataclass(frozen=True)
class Holder:
    password: Secret


def test_a_secret_prints_as_dots_in_every_way_there_is() -> None:
    secret = Secret("hunter22")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r:>12}",
        "{}".format(*[secret]),
        repr(Holder(secret)),
        f"{[secret]}",
    ]
    assert not any("hunter" in text for text in shown)
    assert f"{secret:>5}" == "  •••"


def test_a_secret_gives_its_text_only_to_who_reveals_it() -> None:
    assert Secret("hunter22").reveal() == "hunter22"
    assert not hasattr(Secret("hunter22"), "__dict__")


def test_secrets_are_equal_by_value_and_true_when_there_is_a_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert Secret("a") and not Secret("")


def test_a_secret_gets_into_no_json_and_no_pickle_by_accident() -> None:
    for leak in (json.dumps, pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(Secret("hunter22"))
    with pytest.raises(TypeError):
        asdict(Holder(Secret("hunter22")))


WRITERS: list[Callable[[str], str]] = [
    str,
    repr,
    json.dumps,
    lambda text: json.dumps(text, ensure_ascii=False),
    shlex.quote,
    quote,
    quote_plus,
    lambda text: quote(text, safe=""),
    lambda text: f"{{'password': {text!r}}}",
    lambda text: f"amqp://me:{quote(text, safe='')}@broker:5552/",
]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=LONG_ENOUGH, max_size=30))
def test_a_secret_is_covered_however_a_program_writes_it(text: str) -> None:
    hidden = spellings([Secret("another secret"), Secret(text)])
    for write in WRITERS:
        said = f"> {write(text)} <"
        assert DOTS in masked(said, hidden)
        assert text not in masked(said, hidden)


@given(st.binary(max_size=5), st.text(alphabet="abcdefghij:/@é", min_size=12, max_size=30), st.binary(max_size=5))
def test_a_secret_is_covered_within_base64_but_for_the_digits_at_its_ends(
    before: bytes, text: str, after: bytes
) -> None:
    raw = before + text.encode() + after
    for said in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        left = masked(said, spellings([Secret(text)]))
        assert DOTS in left
        assert len(left.replace(DOTS, "").rstrip("=")) <= (len(before) + len(after)) * 4 / 3 + 5


def test_of_a_secret_with_several_lines_each_is_covered_alone() -> None:
    hidden = spellings([Secret("first line\nsecond line\nend")])
    assert masked("first line and second line, end", hidden) == f"{DOTS} and {DOTS}, end"


def test_a_short_secret_covers_nothing() -> None:
    assert spellings([Secret(""), Secret("5552"), Secret("guest")]) == ()
    assert "guest" not in masked("guests", spellings([Secret("guests")]))
