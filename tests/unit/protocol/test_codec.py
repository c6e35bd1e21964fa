"""Frozen values to JSON and back: what was written is read equal, and anything else is named by its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.plan import ConsumerStep, Plan, Spec, Watch, spec_hash
from tests.hostile.values import values

SPEC = Spec(f"azaion/queue@sha256:{'0' * 64}", mounts=("/azaion:/azaion",), environment={"TZ": "UTC"})
PLAN = Plan(
    *("20260420-101112-abcd", "deploy", "gpu-1", "/azaion", "20260420-101112-abcd", "ann", "laptop", "0.1.0"),
    consumers=(ConsumerStep("annotation-queue", "place", "1.0", Watch(), SPEC),),
)
# A loaded machine is no reason to fail.
unhurried = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"surprise": 1}, "plan.surprise: not a known entry"),
        ({"a\nb" + "c" * 5000: 1}, f"plan.a b{'c' * 56}…: not a known entry"),
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
        decode(Plan, {**encode(PLAN), **change}, "plan")
    assert str(caught.value) == sentence


def test_a_whole_number_of_seconds_will_do() -> None:
    assert decode(Watch, {"settle": 5, "window": 10}, "watch") == Watch(5.0, 10.0)
    with pytest.raises(Malformed, match=r"watch\.settle"):
        decode(Watch, {"settle": 10**400}, "watch")


def test_what_is_left_out_has_its_default() -> None:
    assert decode(Check, {"name": "a", "level": "ok", "sentence": "b"}, "check") == Check("a", "ok", "b")


@unhurried
@given(values(Spec), values(Spec))
def test_specs_have_one_hash_exactly_when_they_are_equal(one: Spec, other: Spec) -> None:
    assert (spec_hash(one) == spec_hash(other)) == (one == other)
    assert spec_hash(decode(Spec, json.loads(json.dumps(encode(one))), "spec")) == spec_hash(one)
