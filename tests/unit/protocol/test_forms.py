"""The table of forms: what has each of them, and what never may, whoever says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

import pytest

from gpu_runbook.protocol.codec import decode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.forms import ContainerId, Digest, Grace, ReleaseId, ServiceName, Time, has, kept
from tests.hostile.forms import ALL, NEVER, ONE, RIGHT, RUN, WRONG

TAKES = {  # the little of it that a form is there for, or that does no harm
    "Asked": {"sha256:"},
    "Reference": {"sha256:"},
    "Remark": {"--privileged", "-v/:/host", "$(touch /tmp/owned)", "`id`", "a; rm -rf /", "a && id", "a|b", " a", "ü"}
    | {"../../etc/passwd", "..", ".", "a b", "sha256:", "@", "#", "~root"},
}


def test_every_form_has_its_examples() -> None:
    assert set(ALL) == set(RIGHT) == set(WRONG)


@pytest.mark.parametrize("name", ALL)
def test_a_form_takes_what_has_it(name: str) -> None:
    for value in RIGHT[name]:
        assert has(ALL[name], value), value
        assert decode(ALL[name], value, "it") == value  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ALL)
def test_a_form_takes_nothing_else(name: str) -> None:
    for value in (*WRONG[name], *(one for one in NEVER if not (isinstance(one, str) and one in TAKES.get(name, ())))):
        assert not has(ALL[name], value), value
        with pytest.raises(Malformed) as caught:
            decode(ALL[name], value, "it")  # type: ignore[arg-type]
        assert str(caught.value).startswith("it: ")


@dataclass(frozen=True)
class Thing:
    """Forms as a value has them: alone, with a default, in lists and in mappings."""

    id: ContainerId
    release: ReleaseId = ""
    grace: Grace = 30
    at: Optional[Time] = None  # noqa: UP045  a form is no type to `|`
    known: tuple[ContainerId, ...] = ()
    digests: dict[ServiceName, Digest] = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "--rm"}, "thing.id: not a container id"),
        ({"id": ""}, "thing.id: not a container id"),
        ({"id": 7}, "thing.id: str was expected, not int"),
        ({"release": "../../x"}, "thing.release: not a release id"),
        ({"grace": 1e9}, "thing.grace: int was expected, not float"),
        ({"grace": 10**9}, "thing.grace: not seconds of at most a day"),
        ({"at": "yesterday"}, "thing.at: not a time"),
        ({"known": [ONE, "c1"]}, "thing.known[1]: not a container id"),
        ({"digests": {"q": "latest"}}, "thing.digests.q: not a digest"),
        ({"digests": {"--help": f"sha256:{ONE}"}}, "thing.digests.--help: not the name of a service"),
        ({"digests": {"x" * 500: f"sha256:{ONE}"}}, f"thing.digests.{'x' * 59}…: not the name of a service"),
    ],
)
def test_what_lacks_its_form_is_named_by_its_place_and_not_quoted(change: dict[str, object], said: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(Thing, {"id": ONE, **change}, "thing")
    assert str(caught.value) == said


def test_a_default_that_is_written_out_stands_for_nothing() -> None:
    assert decode(Thing, {"id": ONE, "release": "", "at": None, "digests": {}}, "thing") == Thing(ONE, digests={})


def test_what_lacks_its_form_can_be_taken_for_nothing() -> None:
    assert (kept(ReleaseId, RUN), kept(ReleaseId, "../x"), kept(ReleaseId, None), kept(ReleaseId, 7)) == (
        RUN,
        "",
        "",
        "",
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_no_number(number: float) -> None:
    with pytest.raises(Malformed, match="a number that is too large"):
        decode(float, number, "it")
    with pytest.raises(Malformed, match="a number that is too large"):
        decode(int, 1 << 64, "it")
