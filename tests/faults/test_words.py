"""What `make faults` says of bad input, and what it makes of what it found out."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import replace

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
MENDED = Played("deploy", Point("after", 5), "process", came=True, helped=True, helper="round")


def faults(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "tests.faults", *words]
    return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--deaths", "boredom"), "boredom"),
        (("--deaths", ""), "none was named"),
        (("--actions", "deploy,undeploy"), "undeploy"),
        (("--helpers", "nobody"), "nobody"),
        (("--helpers", "round", "--deaths", "laptop,reset"), "after laptop, reset nobody has to help"),
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


def test_a_round_helps_after_each_death_after_which_somebody_may_have_to() -> None:
    helped = {(row.action, row.death) for row in rows(ACTIONS, list(DEATHS)) if row.helper == "round"}
    deaths = ("process", "process and children", "engine", "reboot", "disk full", "disk stays full")
    assert helped == {(action, death) for action in ACTIONS for death in deaths}


def test_the_table_counts_what_was_struck_and_what_was_whole() -> None:
    assert report.table([MENDED, WHOLE, BROKEN]).splitlines()[2:] == [
        "| deploy | laptop | command | 2 | 1 | 1 | 3 |",
        "| deploy | process | round | 1 | 1 | 0 | 0 |",
        "| all |  |  | 3 | 2 | 1 | 3 |",
    ]


def test_the_page_names_each_case_that_was_not_whole() -> None:
    played = [WHOLE, BROKEN, replace(MENDED, wrong=("the lock is held",))]
    matrix = Matrix([], say=print, played=played, tried=[Tried("Ctrl-C", 3, ("before call 1: no answer",))])
    text = report.page(matrix, ["laptop"], jobs=2, seconds=60)
    assert "- deploy, laptop at line 2: 2 consumers run" in text
    assert "- deploy, process after call 5 and a round: the lock is held" in text
    assert "- Ctrl-C, before call 1: no answer" in text
    assert "| Ctrl-C | 3 | 1 |" in text
    assert "laptop before call 1" not in text
