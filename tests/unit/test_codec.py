"""Frozen values to JSON and back: what was written is read equal, and anything else is named by its place."""

from __future__ import annotations

import dataclasses
import json
import typing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remote.codec import decode
from remote.plans import ConsumerStep, Look, Plan, Record, Spec, Watch, spec_hash
from remote.words import Check, Malformed, encode

SPEC = Spec("azaion/queue@sha256:00", mounts=("/azaion:/azaion",), environment={"TZ": "UTC"})
PLAN = Plan(
    *("20260420-101112-abcd", "deploy", "gpu-1", "/azaion", "20260420-101112-abcd", "ann", "laptop", "0.1.0"),
    consumers=(ConsumerStep("annotation-queue", "place", "1.0", Watch(), SPEC),),
)
# A loaded machine is no reason to fail.
unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type of the vocabulary, built from its annotations."""
    if kind is Any:
        return scalars
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return st.builds(kind, **{entry.name: values(hints[entry.name]) for entry in dataclasses.fields(kind)})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Union:
        return st.none() | values(arguments[0])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(texts, values(arguments[1]), max_size=2)
    simple = {str: texts, int: st.integers(), bool: st.booleans(), float: st.floats(allow_nan=False)}
    return simple[kind]


@pytest.mark.parametrize("kind", [Plan, Record, Look])
def test_what_is_encoded_is_decoded_equal(kind: type) -> None:
    @unhurried
    @given(values(kind))
    def survives(value: Any) -> None:
        assert decode(kind, json.loads(json.dumps(encode(value)))) == value

    survives()


@unhurried
@given(st.data())
def test_a_document_in_which_anything_was_changed_is_a_value_or_malformed(data: st.DataObject) -> None:
    document = json.loads(json.dumps(encode(PLAN)))
    container, key = data.draw(st.sampled_from(list(_places(document))))
    container[key] = data.draw(documents)
    try:
        value = decode(Plan, document)
    except Malformed as error:
        assert str(error).startswith("plan")
    else:
        assert decode(Plan, json.loads(json.dumps(encode(value)))) == value


@unhurried
@given(documents)
def test_any_document_is_a_value_or_malformed(document: Any) -> None:
    try:
        assert isinstance(decode(Look, document), Look)
    except Malformed as error:
        assert str(error).startswith("look")


def _places(document: Any) -> typing.Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a document, however deep."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in entries:
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"surprise": 1}, "plan.surprise: not a known entry"),
        ({"id": 7}, "plan.id: str was expected, not int"),
        ({"id": None}, "plan.id: str was expected, not nothing"),
        ({"undo_on_failure": 1}, "plan.undo_on_failure: bool was expected, not int"),
        ({"keep_releases": True}, "plan.keep_releases: int was expected, not bool"),
        ({"consumers": {}}, "plan.consumers: a list was expected, not dict"),
        ({"consumers": ["a"]}, r"plan.consumers[0]: a mapping was expected, not str"),
        ({"consumers": [{"service": "q", "change": "none", "tag": "1"}]}, "plan.consumers[0].watch: missing"),
    ],
)
def test_the_place_of_what_does_not_fit_is_named(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(Plan, {**encode(PLAN), **change})
    assert str(caught.value) == sentence


def test_a_whole_number_of_seconds_will_do() -> None:
    assert decode(Watch, {"settle": 5, "window": 10}) == Watch(5.0, 10.0)
    with pytest.raises(Malformed, match=r"watch\.settle"):
        decode(Watch, {"settle": 10**400})


def test_what_is_left_out_has_its_default() -> None:
    assert decode(Check, {"name": "a", "level": "ok", "sentence": "b"}) == Check("a", "ok", "b")


@unhurried
@given(values(Spec), values(Spec))
def test_specs_have_one_hash_exactly_when_they_are_equal(one: Spec, other: Spec) -> None:
    assert (spec_hash(one) == spec_hash(other)) == (one == other)
    assert spec_hash(decode(Spec, json.loads(json.dumps(encode(one))))) == spec_hash(one)
