"""The further cases of a kind, which `make test` leaves out, are there; and each kind is shown by other tests."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sandbox.place import CHECKOUT
from tests import conftest
from tests.further import PLACES

FILES = sorted({place.partition("::")[0] for place in PLACES})


@pytest.fixture(scope="module")
def names() -> list[str]:
    """What pytest calls the tests of the files that have further cases."""
    quiet = ("--noconftest", "--collect-only", "--quiet", "-p", "no:cacheprovider", "-p", "no:xdist")
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *quiet, *FILES], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return [line for line in found.stdout.splitlines() if "::" in line]


def chosen(names: list[str], kinds: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str]]:
    """Which tests are run, and which pytest counts as deselected."""
    items: list[Any] = [SimpleNamespace(nodeid=name, get_closest_marker=lambda name: name == "real") for name in names]
    left_out: list[Any] = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    config: Any = SimpleNamespace(getoption=lambda name: kinds, hook=hook)
    monkeypatch.setattr(conftest, "can_be_root", lambda: True)
    conftest.pytest_collection_modifyitems(config, items)
    return [item.nodeid for item in items], [item.nodeid for item in left_out]


def test_every_further_case_is_a_test(names: list[str]) -> None:
    assert PLACES - {*names, *(name.partition("[")[0] for name in names)} == set()


def test_they_are_left_out_where_kinds_are_asked_for_and_nothing_else_is(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, left_out = chosen(names, True, monkeypatch)
    assert {name if name in PLACES else name.partition("[")[0] for name in left_out} == PLACES
    assert sorted(kept + left_out) == sorted(names)
    assert not {*kept, *(name.partition("[")[0] for name in kept)} & {place for place in PLACES if "[" not in place}
    assert chosen(names, False, monkeypatch) == (names, [])


def test_no_file_has_further_cases_alone(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = chosen(names, True, monkeypatch)
    assert {name.partition("::")[0] for name in kept} == set(FILES)


def test_without_root_real_tests_end_the_run(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    items: list[Any] = [SimpleNamespace(nodeid=names[0], get_closest_marker=lambda name: name == "real")]
    monkeypatch.setattr(conftest, "can_be_root", lambda: False)
    with pytest.raises(pytest.UsageError, match="need root"):
        conftest.pytest_collection_modifyitems(SimpleNamespace(getoption=lambda name: False), items)  # type: ignore[arg-type]
