"""The env files on a server: read as python-dotenv reads them, written so that it reads them back, told in names."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import time
from pathlib import Path

import pytest
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.commands import env
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING
from gpu_runbook.protocol.env_file import Compared, Difference, EnvFile
from gpu_runbook.server.checks import env_file
from gpu_runbook.server.checks.env_file import compared, parse
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.run import recovery
from gpu_runbook.server.state import journal as journals
from gpu_runbook.server.state.make import make
from gpu_runbook.server.state.store import find_store
from tests.unit.journals import begin, left

logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # it says which lines it cannot read

PIECES = [
    *("A", "B_1", "export", "export ", "=", " = ", "'", '"', "\\", "\\'", '\\"', "\\n", "#", " #", " ", "\t", "\n"),
    *("x", "ä", "${A}", "\x0b", "\x85", "-", "'k'", "A=1\n", 'B="2"\n', "C='3\n4'\n", "=#"),
]


def as_a_file(raw: bytes) -> io.TextIOWrapper:
    """The bytes as python-dotenv opens a file that holds them."""
    return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8")


def by_dotenv(raw: bytes) -> dict[str, str | None]:
    return dict(dotenv_values(stream=as_a_file(raw), interpolate=False))


@settings(max_examples=120, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@example("export\tA=1\n")
@example("export =1\n")
def test_whatever_stands_in_a_file_is_read_as_python_dotenv_reads_it_or_named_by_its_line(text: str) -> None:
    values, problems = parse(text)
    theirs = by_dotenv(text.encode())
    bare = any(problem.endswith("has no = and no value") for problem in problems)
    for name, value in values.items():
        assert theirs[name] == value or (bare and theirs[name] is None)
    assert problems or values == theirs
    unreadable = [one for one in parse_stream(as_a_file(text.encode())) if one.error]
    assert sum("cannot be read" in problem for problem in problems) == len(unreadable)


@pytest.mark.parametrize(
    ("text", "values", "problems"),
    [
        ("A=1\nB='2 # 3'\nC=\"x\\ny\"\n# comment\n\nD=\n", {"A": "1", "B": "2 # 3", "C": "x\ny", "D": ""}, []),
        ("export A=1\nB=1 # c\nC= # c\nD=#d\n", {"A": "1", "B": "1", "C": "", "D": "#d"}, []),
        ("A='one\ntwo'\nB=2\n", {"A": "one\ntwo", "B": "2"}, []),
        ("A=1\nA=2\n\nA=3", {"A": "3"}, ["line 2: A stands twice, first in line 1", "line 4: A stands twice"]),
        ("A='open\nB=2\n", {"B": "2"}, ["line 1 cannot be read"]),
        ("A='1' 2\nB=2\n", {"B": "2"}, ["line 1 cannot be read"]),
        ("=1\nB=2\nC\n", {"B": "2"}, ["line 1 cannot be read", "line 3 has no = and no value"]),
        ("secret/part==\nB=2\n", {"B": "2"}, ["line 1 has a name that is not of letters"]),
        ("A=p${B}\\n", {"A": "p${B}\\n"}, []),
    ],
)
def test_a_line_that_is_odd_is_named_and_hides_no_other(text: str, values: dict[str, str], problems: list[str]) -> None:
    found, said = parse(text)
    assert found == values
    assert len(said) == len(problems) and all(one.startswith(start) for one, start in zip(said, problems, strict=True))
    assert "secret" not in str(said)


ME = f"{os.geteuid()}:{os.getegid()}"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "queue.env"
    path.touch(mode=0o600)
    return path


def entry(path: Path, **variables: str) -> EnvFile:
    return EnvFile("queue", str(path), variables or {"A": "1", "B": "s3cret"})


def test_a_file_that_is_as_wanted_is_fine_however_it_is_written(place: Path) -> None:
    place.write_text("# ours\nexport B='s3cret'\n\nA = 1\n")
    row = env_file.check("queue env file", entry(place))
    assert (row.level, row.sentence) == (OK, f"{place} has all 2 variables as they are in .env")


@pytest.mark.parametrize(
    ("raw", "level", "words"),
    [
        (b"A=1\nB=other\n", WARNING, "different from .env: B"),
        (b"A=1\nB=s3cret\nZ=x\n", WARNING, "not in hosts.yaml: Z"),
        (b"A=1\nB=s3cret\nB=s3cret\n", WARNING, "line 3: B stands twice, first in line 2"),
        (b"A=1\n", CRITICAL, "missing: B"),
        (b"", CRITICAL, "missing: A, B"),
        (b"A=1\nB='s3cret\n", CRITICAL, "missing: B; line 2 cannot be read"),
        (b"\xef\xbb\xbfA=1\nB=s3cret\n", WARNING, "line 1 begins with a byte order mark"),
        (b"A=1\r\nB=s3cret\r\n", WARNING, "line 1 ends as on Windows"),
        (b"A=1\nB=s3cret\n#\xff\n", WARNING, "line 3 is not UTF-8"),
        (b"A=1\nB=\n", WARNING, "different from .env: B"),
        (b"A=" + b"1" * (1 << 18), UNKNOWN, "cannot be read: it is longer than 256 KiB"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_names(place: Path, raw: bytes, level: str, words: str) -> None:
    place.write_bytes(raw)
    row = env_file.check("queue env file", entry(place))
    assert (row.level, words in row.sentence) == (level, True), row.sentence
    assert "s3cret" not in str(row) and "other" not in row.sentence.replace("other readers", "")


def test_mode_owner_and_absence_are_told(place: Path) -> None:
    place.write_text("A=1\nB=s3cret\n")
    place.chmod(0o640)
    row = env_file.check("queue env file", EnvFile("queue", str(place), {"A": "1", "B": "s3cret"}, "7:8", ("C",)))
    assert row.level == WARNING
    assert row.sentence == (
        f"{place}: its mode is 0640 instead of 0600; it belongs to {ME} instead of 7:8; C has no value in .env"
    )
    place.unlink()
    row = env_file.check("queue env file", entry(place))
    assert (row.level, row.figures["missing"]) == (CRITICAL, ["A", "B"])
    os.mkfifo(place)
    assert env_file.check("queue env file", entry(place)).level == UNKNOWN  # and nobody waits for a writer
    assert compared(entry(place.parent)).state == "unreadable"


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["A", "B_1", "PASSWORD"]), st.text(max_size=12).filter(bool), min_size=1))
@example({"A": "a\\", "B_1": "'", "PASSWORD": "x'y"})
@example({"A": "a\\\\'b\\", "B_1": " # \n"})
@example({"A": "l\r\n\\r'\""})
@example({"A": "p${B_1}$(id)`id`"})
def test_whatever_a_value_is_made_of_is_read_back_by_python_dotenv_and_by_the_server(values: dict[str, str]) -> None:
    wanted = EnvFile("queue", "/azaion/queue.env", values)
    text = env.composed(wanted, ".env")
    assert by_dotenv(text.encode()) == values
    assert parse(text.replace("\r\n", "\n").replace("\r", "\n")) == (values, [])


def test_a_value_that_would_not_come_back_is_named_and_nothing_is_sent() -> None:
    wanted = EnvFile("queue", "/q", {"A": "1", "B": "x\ud800y"})
    with pytest.raises(BadInput, match=r"\.env: B cannot be written so that python-dotenv reads the same value"):
        env.composed(wanted, ".env")


def test_plain_values_are_written_as_every_reader_takes_them(tmp_path: Path) -> None:
    values = {"HOST": "rabbit.lan:5552", "URL": "https://a.b/c?d".replace("?", "@"), "EMPTY": "x=", "ODD": "it's #1"}
    text = env.composed(EnvFile("queue", "/q", values), ".env")
    assert text == "HOST=rabbit.lan:5552\nURL=https://a.b/c@d\nEMPTY=x=\nODD='it\\'s #1'\n"
    path = tmp_path / "q"
    path.write_text(text.replace("it\\'s", "its"))
    shell = subprocess.run(
        ["sh", "-c", f'. {path}; echo "$HOST $URL $EMPTY $ODD"'], capture_output=True, text=True, check=True
    )
    assert shell.stdout == "rabbit.lan:5552 https://a.b/c@d x= its #1\n"


def test_variables_that_other_readers_take_differently_are_named() -> None:
    values = {"PLAIN": "x-1", "SPACE": "a b", "DOLLAR": "a${b}", "QUOTE": "it's", "END": "a\\"}
    said = list(env.disagreements([EnvFile("queue", "/q", values)]))
    assert said == [
        "docker --env-file keeps the quotes around SPACE, DOLLAR, QUOTE, END",
        "python-dotenv replaces the ${ in, unless interpolate=False: DOLLAR",
        "a shell, and python-dotenv before 1.2, may read otherwise: QUOTE, END",
    ]


def test_a_variable_without_a_value_is_bad_input_for_a_push_and_told_by_a_diff() -> None:
    unset = EnvFile("queue", "/q", {"A": "1"}, unset=("B", "C"))
    with pytest.raises(BadInput, match=r"\.env: no value for B, C; needed by services\.queue\.env_file"):
        env.composed(unset, ".env")
    found = Compared((Difference("queue", "/q", "there", same=("A",)),))
    (_, (line, style)) = env.lines("gpu-1", found, [unset])
    assert (line, style) == (
        "  queue: /q is as .env has it: A; B has no value in .env; C has no value in .env",
        "yellow",
    )


def test_a_push_that_was_cut_off_needs_no_mending_and_the_next_command_says_what_tells(tmp_path: Path) -> None:
    store = find_store(str(tmp_path), f"{tmp_path}/state")
    make(store)
    left(store, "20260420-101112-abcd", begin("20260420-101112-abcd", "env"))
    assert recovery.cut_off_runs(store, Engine("unix:///nowhere"), 0, ()) == [
        "run 20260420-101112-abcd was cut off while it wrote env files: fab env.diff says which are new"
    ]
    last = journals.last(store)
    assert last is not None and (last.state, last.outcome) == ("ended", "done")


def test_a_file_of_nothing_but_odd_lines_is_read_at_once_and_told_in_a_few_words(place: Path) -> None:
    place.write_text("a\n" * (env_file.LIMIT // 2 - 1))
    begun = time.monotonic()
    found = compared(entry(place))
    assert time.monotonic() - begun < 20
    assert (len(found.problems), found.problems[-1]) == (51, "131021 more lines are no better")
    place.write_text("".join(f"A{number}=\n" for number in range(9999)))
    assert len(compared(entry(place)).unknown) == env_file.MOST
