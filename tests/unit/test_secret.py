"""A secret shows itself to nobody who does not ask."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, dataclass

import pytest

from runbook.secret import Secret


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
