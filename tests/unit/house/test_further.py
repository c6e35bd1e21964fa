"""The further cases of a kind, which `make test` leaves out, are there; and each kind is shown by other tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.further import PLACES, is_further

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("place", sorted(PLACES))
def test_a_further_case_is_a_test(place: str) -> None:
    file, _, name = place.partition("::")
    function, _, parameters = name.partition("[")
    (found,) = (node for node in functions(CHECKOUT / file) if node.name == function)
    assert not parameters or any("parametrize" in ast.unparse(one) for one in found.decorator_list)


def test_no_file_has_further_cases_alone() -> None:
    for file in {place.partition("::")[0] for place in PLACES}:
        names = [node.name for node in functions(CHECKOUT / file) if node.name.startswith("test_")]
        assert any(not is_further(f"{file}::{name}") for name in names), file


def functions(file: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)]
