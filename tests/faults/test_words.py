"""What `make faults` says of bad input, and what it makes of what it found out."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from runbook.errors import BadInput, Refused
from sandbox.place import CHECKOUT
from tests.faults import report
from tests.faults.deaths import DEATHS
from tests.faults.further import Tried
from tests.faults.matrix import Matrix, rows
from tests.faults.shim import Point
from tests.faults.story import ACTIONS, Played

BASE = 26950
WHOLE = Played("deploy", Point("before", 1), "laptop", came=True, twice=3)
BROKEN = Played("deploy", Point("at line", 2), "laptop", came=True, wrong=("2 consumers run",), helped=True)


def faults(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.faults", *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--deaths", "boredom"), "boredom"),
        (("--deaths", ""), "none was named"),
        (("--actions", "deploy,undeploy"), "undeploy"),
        (("--jobs", "0"), "--jobs 0"),
        (("--jobs", "many"), "--jobs many"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(words: tuple[str, ...], named: str) -> None:
    said = faults(*words)
    assert (said.returncode, said.stdout) == (BadInput.exit_code, "")
    assert named in said.stderr and len(said.stderr.splitlines()) == 2


@pytest.mark.real
def test_a_port_that_somebody_holds_is_named() -> None:
    with socket.create_server(("127.0.0.1", BASE + 22)):
        said = faults("--jobs", "1", "--port-base", str(BASE))
    assert said.returncode == Refused.exit_code, said.stderr
    assert f"already in use on 127.0.0.1: port {BASE + 22} (ssh)" in said.stderr
    assert len(said.stderr.splitlines()) == 2


def test_every_death_strikes_in_every_kind_of_run() -> None:
    played = {(row.action, row.death) for row in rows(ACTIONS, list(DEATHS))}
    assert played == {(action, death) for action in ACTIONS for death in DEATHS}


def test_the_table_counts_what_was_struck_and_what_was_whole() -> None:
    assert report.table([WHOLE, BROKEN]).splitlines()[2:] == [
        "| deploy | laptop | 2 | 1 | 1 | 3 |",
        "| all |  | 2 | 1 | 1 | 3 |",
    ]


def test_the_page_names_each_case_that_was_not_whole() -> None:
    matrix = Matrix([], say=print, played=[WHOLE, BROKEN], tried=[Tried("Ctrl-C", 3, ("before call 1: no answer",))])
    text = report.page(matrix, ["laptop"], jobs=2, seconds=60)
    assert "- deploy, laptop at line 2: 2 consumers run" in text
    assert "- Ctrl-C, before call 1: no answer" in text
    assert "| Ctrl-C | 3 | 1 |" in text
    assert "laptop before call 1" not in text
