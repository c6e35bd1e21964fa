"""What `make matrix` says of bad input, how it goes on where it stopped, and what page is made of its rows."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.errors import Refused
from sandbox.bases import SUITES
from sandbox.place import CHECKOUT, ENGINES
from tests.matrix import __main__ as matrix
from tests.matrix import kept, page, pythons, servers
from tests.matrix.bounds import Late, within
from tests.matrix.kept import Result, Step
from tests.matrix.life import STEPS, NotSo
from tests.matrix.rows import ROWS, Row

VERSIONS = {"docker": "26.1.5+dfsg1", "API": "1.24 to 1.45", "containerd": "1.7.24~ds1", "Python": "3.13.5"}
WHOLE = Result("trixie", "abc1234", "2026-11-29T03:00:00Z", 150.0, VERSIONS, (Step("setup", 3.5),))
BROKEN = Result("sid", "abc1234", "2026-11-29T03:05:00Z", 60.0, VERSIONS, wrong="deploy: fab deploy ended with 13")
ABSENT = Result("laptop-3.14", "abc1234", "2026-11-29T03:06:00Z", absent="no Python 3.14 is on this machine")
SERVERS = [row for row in ROWS.values() if not row.units]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The rows that were tried, on a machine where nothing is brought up and sid is broken."""
    rows: list[str] = []

    @contextmanager
    def server(row: Row, port_base: int) -> Iterator[Any]:
        rows.append(row.name)
        if row.python:
            raise servers.Absent(f"no Python {row.python} that can be copied is on this machine")
        yield None

    def play(row: Row, laptop: Any, say: Any) -> tuple[dict[str, str], list[Step], str]:
        return VERSIONS, [Step("setup", 1.0)], "deploy: no" if row.name == "sid" else ""

    def units(row: Row) -> tuple[dict[str, str], str]:
        rows.append(row.name)
        return {"Python": f"{row.python}.1"}, ""

    monkeypatch.setattr(matrix, "commit", lambda: "abc1234")
    monkeypatch.setattr(matrix, "resolved", lambda word, say: Path("/"))
    monkeypatch.setattr(servers, "server", server)
    monkeypatch.setattr(servers, "play", play)
    monkeypatch.setattr("tests.matrix.units.play", units)
    return rows


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Whoever ends the tests ends them as before."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = matrix.main(words)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "one of the arguments --row --all --page --list is required"),
        (("--row",), "expected one argument"),
        (("--row", "woody"), "there is no row 'woody'"),
        (("--row", ""), "there is no row ''"),
        (("--row", "own", "--all"), "not allowed with argument"),
        (("--row", "own", "--port-base", "80"), "--port-base '80' is no whole number from 1024"),
        (("--row", "own", "--port-base", "65500"), "--port-base '65500'"),
        (("--row", "own", "--port-base", "\u0663"), "is no whole number"),
        (("--all", "--replace"), "unrecognized arguments: --replace"),
        (("--page",), "has no file of any row"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tried: list[str], words: tuple[str, ...], named: str
) -> None:
    status, out, err = said(capsys, *words, "--folder", str(tmp_path))
    assert (status, out, tried) == (2, "", [])
    assert named in err and len(err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"row": "own"}', b"[" * 100_000])
@pytest.mark.parametrize("words", [("--all",), ("--page",), ("--list",)], ids=lambda words: words[0])
def test_a_file_that_is_damaged_is_named_and_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tried: list[str], content: bytes, words: tuple[str, ...]
) -> None:
    path = kept.path_of(tmp_path, "own")
    path.write_bytes(content)
    status, _, err = said(capsys, *words, "--folder", str(tmp_path))
    assert status == 2 and err.startswith(f"{path} is damaged: ") and len(err.splitlines()) == 2
    assert (path.read_bytes(), tried) == (content, [])


def test_all_goes_on_where_it_stopped_and_one_is_tried_again_whatever_is_known_of_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tried: list[str]
) -> None:
    folder = ("--folder", str(tmp_path / "rows"))
    kept.save(tmp_path / "rows", WHOLE)
    kept.save(tmp_path / "rows", replace(WHOLE, row="own", commit="fff0000"))
    assert said(capsys, "--all", *folder)[0] == 1  # sid is not whole
    assert tried == [name for name in ROWS if name != "trixie"]
    found = {name: kept.load(tmp_path / "rows", name) for name in ROWS}
    assert {name for name, one in found.items() if one and one.absent} == {row.name for row in SERVERS if row.python}
    assert {name for name, one in found.items() if one and one.wrong} == {"sid"}
    assert found["trixie"] == WHOLE
    del tried[:]
    assert said(capsys, "--all", *folder)[0] == 1 and tried == []
    status, out, _ = said(capsys, "--row", "trixie", *folder)
    assert (status, tried) == (0, ["trixie"])
    assert out.splitlines()[0] == "trixie: Debian 13" and out.splitlines()[-1].startswith("trixie: whole (")
    found["trixie"] = kept.load(tmp_path / "rows", "trixie")
    assert (tmp_path / "rows.md").read_text() == page.page([one for one in found.values() if one])


def test_a_row_that_was_interrupted_is_not_kept_and_those_before_it_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def play(row: Row, laptop: Any, say: Any) -> tuple[dict[str, str], list[Step], str]:
        if row.name == "trixie":
            signal.raise_signal(signal.SIGTERM)
        return {}, [], ""

    monkeypatch.setattr(servers, "play", play)
    status, _, err = said(capsys, "--all", "--folder", str(tmp_path / "rows"))
    assert (status, tried[-1]) == (130, "trixie")
    assert err.startswith("interrupted; ") and len(err.splitlines()) == 1
    assert sorted(path.stem for path in (tmp_path / "rows").iterdir()) == ["bullseye", "own"]


def test_what_is_no_fault_of_the_tools_ends_it_and_no_row_is_blamed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(word: str, say: Any) -> Path:
        raise Refused("the base trixie is made by mmdebstrap, which this machine lacks", "apt-get install mmdebstrap")

    monkeypatch.setattr(matrix, "resolved", refuses)
    for words in (("--row", "trixie"), ("--all",)):
        status, _, err = said(capsys, *words, "--folder", str(tmp_path / "rows"))
        assert (status, len(err.splitlines()), tried) == (12, 2, [])
    assert not (tmp_path / "rows").exists()


def test_a_row_has_its_time_and_the_step_that_took_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def live(laptop: Any) -> Iterator[str]:
        yield "setup"
        yield "deploy"
        try:
            time.sleep(10)
        except Exception:  # as whoever waits for something may catch it
            pytest.fail("it was caught")

    monkeypatch.setattr(servers, "asked", lambda laptop: VERSIONS)
    monkeypatch.setattr(servers, "live", live)
    with within(1):
        versions, steps, wrong = servers.play(ROWS["own"], None, lambda text: None)  # type: ignore[arg-type]
    assert (versions, [step.step for step in steps]) == (VERSIONS, ["setup"])
    assert wrong == "deploy: the row was not over within 1 s"
    assert signal.alarm(0) == 0


@pytest.mark.parametrize("error", [NotSo("2 messages are lost"), AssertionError("one\n  two"), OSError("gone")])
def test_a_step_that_goes_wrong_ends_the_life_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def live(laptop: Any) -> Iterator[str]:
        yield "setup"
        raise error

    monkeypatch.setattr(servers, "asked", lambda laptop: VERSIONS)
    monkeypatch.setattr(servers, "live", live)
    _, steps, wrong = servers.play(ROWS["own"], None, lambda text: None)  # type: ignore[arg-type]
    assert steps == [] and wrong.startswith("setup: ") and "\n" not in wrong
    assert wrong.endswith(("2 messages are lost", "AssertionError: one two", "OSError: gone"))


@pytest.mark.parametrize(
    ("row", "changed", "said"),
    [
        ("sid-containerd", {"store": "overlay2", "cgroup": "2"}, "the engine has the store overlay2 and cgroup 2"),
        ("sid-containerd", {"store": "containerd", "cgroup": "1"}, "the engine has the store containerd and cgroup 1"),
        ("sid-api-floor", {"API": "1.24 to 1.51"}, "the engine speaks API 1.24 to 1.51"),
        ("python-3.8", {"Python": "3.11.2"}, "the server's Python is 3.11.2"),
    ],
)
def test_a_server_that_is_not_what_its_row_is_about_is_not_whole(row: str, changed: dict[str, str], said: str) -> None:
    right = {"store": "containerd", "cgroup": "2", "API": "1.44 to 1.51", "Python": "3.8.18"}
    servers._check(ROWS[row], right)
    with pytest.raises(NotSo, match=said):
        servers._check(ROWS[row], right | changed)


def test_the_rows_are_what_the_sandbox_can_be_and_each_is_told_from_the_others() -> None:
    assert all(name == row.name for name, row in ROWS.items())
    assert {row.base for row in SERVERS} - {""} == set(SUITES)
    assert {row.engine for row in SERVERS} == set(ENGINES)
    assert {row.python for row in SERVERS} >= {"3.8", "3.9", "3.13", "3.14"}
    assert {row.python for row in ROWS.values() if row.units} == {"3.10", "3.11", "3.12", "3.13", "3.14"}
    assert len({replace(row, name="", what="") for row in ROWS.values()}) == len(ROWS)
    assert len({step.__name__ for step in STEPS}) == len(STEPS)


def test_what_is_kept_is_read_equal(tmp_path: Path) -> None:
    for one in (WHOLE, BROKEN, ABSENT):
        kept.save(tmp_path, one)
        assert kept.load(tmp_path, one.row) == one
    assert kept.load(tmp_path, "own") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["laptop-3.14.json", "sid.json", "trixie.json"]


def test_the_page_has_a_line_for_every_row_and_tells_what_is_not_whole_and_what_is_absent() -> None:
    text = page.page([WHOLE, BROKEN, ABSENT])
    assert "| trixie | Debian 13 | 26.1.5 | 1.24 to 1.45 | 1.7.24 |" in text
    assert "| 3.13.5 | whole | 2026-11-29 | abc1234 |\n" in text
    assert "| **not whole** | 2026-11-29 | abc1234 |\n" in text
    assert "\nNot whole:\n\n- sid: deploy: fab deploy ended with 13\n" in text
    assert "\nAbsent:\n\n- laptop-3.14: no Python 3.14 is on this machine\n" in text
    lines = text.splitlines()
    assert all(sum(line.startswith(f"| {name} |") for line in lines) == 1 for name in ROWS)
    assert sum("not tried yet" in line for line in lines) == len(ROWS) - 3


def test_the_python_that_is_absent_here_and_a_bases_own_is_told() -> None:
    absent = replace(ABSENT, row="python-3.13", absent="no Python 3.13 that can be copied is on this machine")
    on_laptop = replace(ABSENT, row="laptop-3.13", absent="no Python 3.13 is on this machine")
    text = page.page([absent, WHOLE, on_laptop])
    assert (
        "- python-3.13: no Python 3.13 that can be copied is on this machine; it is what these have: trixie\n" in text
    )
    assert "- laptop-3.13: no Python 3.13 is on this machine\n" in text


def test_interpreters_are_found_by_what_they_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pyenv of scripts: one that answers, a newer one that is broken, and one that is another than its name says."""
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    for name, answer in (("3.77.1", "3.77"), ("3.77.2", "exit"), ("3.78.0", "3.12"), ("3.79.0", "3.79")):
        tree = tmp_path / "versions" / name
        python = tree / f"bin/python{name.rpartition('.')[0]}"
        python.parent.mkdir(parents=True)
        prefix = "/elsewhere" if name == "3.79.0" else tree
        python.write_text("#!/bin/sh\nexit 1\n" if answer == "exit" else f"#!/bin/sh\necho {answer} {prefix}\n")
        python.chmod(0o755)
    assert pythons.found("3.77") == tmp_path / "versions/3.77.1/bin/python3.77"
    assert pythons.found_tree("3.77") == tmp_path / "versions/3.77.1"
    assert (pythons.found("3.78"), pythons.found("3.99")) == (None, None)
    assert pythons.found("3.79") and pythons.found_tree("3.79") is None  # it would look elsewhere for what it needs


def test_the_page_is_made_of_what_was_found_out() -> None:
    found = [one for name in ROWS if (one := kept.load(kept.FOLDER, name))]
    assert {path.stem for path in kept.FOLDER.glob("*")} == {one.row for one in found}, "a file of no row"
    assert found and (CHECKOUT / "docs/compatibility.md").read_text() == page.page(found), (
        "run python -m tests.matrix --page"
    )


def test_late_is_caught_by_nobody_who_catches_errors() -> None:
    assert not issubclass(Late, Exception)
