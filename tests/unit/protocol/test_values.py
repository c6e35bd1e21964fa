"""Frozen dataclasses of our own: they are what the standard library's are, and cost less to define."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError
from functools import cached_property
from typing import Any
from unittest.mock import ANY

import pytest

from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Shelf:
    """What holds books."""

    name: str
    books: tuple[str, ...] = ()
    places: dict[str, int] = field(default_factory=dict)
    key: str = field(default="k", repr=False)
    dust: int = field(default=0, compare=False)

    @cached_property
    def count(self) -> int:
        return len(self.books)


@dataclass(frozen=True)
class Tall(Shelf):
    height: int = 2


@dataclass(frozen=True)
class Checked:
    level: str

    def __post_init__(self) -> None:
        if self.level not in ("ok", "bad"):
            object.__setattr__(self, "level", "bad")

    def __repr__(self) -> str:
        return "checked"


@dataclass(frozen=True, kw_only=True)
class Named:
    first: int = 1
    second: int


def test_fields_are_given_by_place_and_by_name_and_the_others_have_their_defaults() -> None:
    one = Shelf("a", ("b",), dust=3)
    assert (one.name, one.books, one.places, one.key, one.dust) == ("a", ("b",), {}, "k", 3)
    assert one.places is not Shelf("a").places
    assert list(vars(Shelf(dust=1, name="a"))) == ["name", "books", "places", "key", "dust"]
    assert (Tall("a").height, Tall("a", height=3).height) == (2, 3)
    assert Named(second=2) == Named(first=1, second=2)


@pytest.mark.parametrize(
    ("given", "named", "why"),
    [
        pytest.param((), {}, "name is missing", id="one without a default is missing"),
        pytest.param((), {"name": "a", "title": "b"}, "no such field", id="one that there is not"),
        pytest.param(("a", (), {}, "k", 0, 1), {}, "too much", id="one too many"),
        pytest.param(("a",), {"name": "b"}, "too much", id="one that is given twice"),
    ],
)
def test_what_does_not_fit_the_fields_is_an_error(given: Any, named: Any, why: str) -> None:
    with pytest.raises(TypeError, match=why):
        Shelf(*given, **named)


def test_nothing_is_set_or_taken_away() -> None:
    one: Any = Shelf("a")
    with pytest.raises(FrozenInstanceError):
        one.name = "b"
    with pytest.raises(FrozenInstanceError):
        one.new = 1
    with pytest.raises(FrozenInstanceError):
        del one.name
    assert one == Shelf("a")


def test_those_are_alike_that_have_the_same_class_and_the_same_values() -> None:
    assert Shelf("a", dust=1) == Shelf("a", dust=2)
    assert Shelf("a") != Shelf("b")
    assert Shelf("a") != Tall("a")
    assert Shelf("a") == ANY
    assert Shelf("a").__eq__("a") is NotImplemented
    seen = Shelf("a", ("b", "c"))
    assert seen.count == 2
    assert seen == Shelf("a", ("b", "c"))
    assert len({Checked("ok"), Checked("ok"), Checked("no")}) == 2


def test_a_secret_is_not_in_what_it_looks_like() -> None:
    assert repr(Shelf("a", key="s3cret")) == "Shelf(name='a', books=(), places={}, dust=0)"
    assert repr(Tall("a")) == "Tall(name='a', books=(), places={}, dust=0, height=2)"


def test_what_a_class_has_of_its_own_stays() -> None:
    assert (Checked("wrong").level, repr(Checked("ok"))) == ("bad", "checked")


def test_the_standard_library_knows_them() -> None:
    one = Shelf("a", ("b",))
    assert dataclasses.is_dataclass(one)
    assert [entry.name for entry in dataclasses.fields(Tall)][-1] == "height"
    assert dataclasses.replace(one, name="c") == Shelf("c", ("b",))
    assert dataclasses.asdict(Named(second=2)) == {"first": 1, "second": 2}
    assert copy.deepcopy(one) == pickle.loads(pickle.dumps(one)) == one  # noqa: S301  it is our own


def test_a_class_keeps_what_is_said_of_it() -> None:
    assert Shelf.__doc__ == "What holds books."
