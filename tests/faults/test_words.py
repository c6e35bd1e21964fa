"""What `make faults` says of bad input, how a part goes on where it stopped, and what page is made of the parts."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.errors import Refused
from sandbox.place import CHECKOUT
from tests.faults import __main__ as faults
from tests.faults import kept, report, servers
from tests.faults.deaths import DEATHS
from tests.faults.kept import Outcome, Results
from tests.faults.matrix import rows
from tests.faults.parts import PARTS
from tests.faults.servers import Case, Deal, Track, play_all
from tests.faults.shim import Point
from tests.faults.story import ACTIONS, Played

BASE = 26950
WHOLE = Outcome("deploy, laptop before call 1", "deploy | laptop | command", twice=3)
BROKEN = Outcome("deploy, laptop at line 2", "deploy | laptop | command", ("2 consumers run",), helped=True)
MENDED = Outcome("deploy, process after call 5 and a round", "deploy | process | round", helped=True)
NONE = Outcome("deploy, laptop before call 2", "deploy | laptop | command", came=False)
KNOWN = Results("line", "abc1234", 7, "2026-11-28T08:00:00Z", 90.0, 2, True, (WHOLE, BROKEN, NONE))


@pytest.fixture
def commit(monkeypatch: pytest.MonkeyPatch) -> str:
    """That which this is taken to be; whatever goes past a check brings no server up."""
    monkeypatch.setattr(kept, "commit", lambda: "abc1234")
    monkeypatch.setattr(faults, "play_all", lambda *given: pytest.fail("it was played"))
    return "abc1234"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    status = faults.main(words)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "one of the arguments --part --all --page --list is required"),
        (("--part",), "expected one argument"),
        (("--part", "boredom"), "there is no part 'boredom'"),
        (("--part", ""), "there is no part ''"),
        (("--part", "line", "--all"), "not allowed with argument"),
        (("--part", "line", "--cases", "0"), "--cases '0' is no whole number from 1"),
        (("--part", "line", "--cases", "\u0663"), "is no whole number from 1"),
        (("--part", "line", "--seed", "-1"), "--seed '-1'"),
        (("--part", "line", "--jobs", "0"), "--jobs '0' is no whole number from 1 to 10"),
        (("--part", "line", "--jobs", "many"), "--jobs 'many'"),
        (("--part", "line", "--port-base", "80"), "--port-base '80'"),
        (("--part", "line", "--only", "boredom"), "no case of this part has 'boredom' in its name"),
        (("--all", "--cases", "3"), "--only and --cases are for one part"),
        (("--page",), "has no file of any part"),
        (("--deaths", "laptop"), "one of the arguments"),
        (("--part", "line", "--deaths", "laptop"), "unrecognized arguments: --deaths laptop"),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, commit: str, words: tuple[str, ...], named: str
) -> None:
    status, out, err = said(capsys, *words, "--folder", str(tmp_path))
    assert (status, out) == (2, "")
    assert named in err and len(err.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"part": "line"}', b"[" * 100_000, b"{}\n" * 2],
    ids=["empty", "torn", "a list", "no text", "half", "deep", "two"],
)
@pytest.mark.parametrize(
    "words", [("--part", "line"), ("--page",), ("--list",), ("--all",)], ids=lambda words: words[0]
)
def test_a_file_that_is_damaged_is_named_and_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, commit: str, content: bytes, words: tuple[str, ...]
) -> None:
    path = tmp_path / "line.json"
    path.write_bytes(content)
    status, _, err = said(capsys, *words, "--folder", str(tmp_path))
    assert status == 2 and err.startswith(f"{path} is damaged: ") and len(err.splitlines()) == 2
    assert path.read_bytes() == content


def test_a_part_of_another_commit_is_refused_and_so_is_another_seed_and_another_parts_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, commit: str
) -> None:
    kept.save(tmp_path, replace(KNOWN, commit="fff0000"))
    status, _, err = said(capsys, "--part", "line", "--folder", str(tmp_path))
    assert (status, err.splitlines()) == (
        2,
        [f"{tmp_path}/line.json is of commit fff0000, and this is abc1234", "--replace begins it anew"],
    )
    kept.save(tmp_path, KNOWN)
    status, _, err = said(capsys, "--part", "line", "--seed", "8", "--folder", str(tmp_path))
    assert (status, err.splitlines()[0]) == (2, "the part line was begun with --seed 7")
    (tmp_path / "line.json").rename(tmp_path / "power.json")
    status, _, err = said(capsys, "--part", "power", "--folder", str(tmp_path))
    assert (status, err.splitlines()[0]) == (2, f"{tmp_path}/power.json is of the part 'line'")


def test_what_is_kept_is_read_equal(tmp_path: Path) -> None:
    kept.save(tmp_path, KNOWN)
    assert kept.load(tmp_path, "line") == KNOWN
    assert kept.load(tmp_path, "power") is None
    assert [path.name for path in tmp_path.iterdir()] == ["line.json"]


def deal(folder: Path, known: tuple[Outcome, ...] = (), **more: Any) -> tuple[Deal, list[str]]:
    """Two points that a run comes to, the one that it does not, and a case beside them; and what was played."""
    played: list[str] = []

    def case(name: str, **how: Any) -> Case:
        def play(scene: object) -> Outcome:
            played.append(name)
            if how.get("raises"):
                raise RuntimeError("nothing works")
            return Outcome(name, "row", came=how.get("came", True))

        return Case(name, "row", play)

    points = Track([case("point 1"), case("point 2"), case("point 3", came=False), case("point 4")], endless=True)
    results = Results("line", "abc1234", 7, "2026-11-28T08:00:00Z", outcomes=known)
    return Deal(results, folder, [points, Track([case("beside", raises=True)])], lambda text: None, **more), played


def host(number: int) -> Any:
    class Scene:
        def __enter__(self) -> None: ...

        def __exit__(self, *raised: object) -> None: ...

    return Scene()


def test_a_part_that_was_interrupted_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first, played = deal(tmp_path, limit=2)
    play_all(first, 1, host, lambda scene, ground: None)
    assert played == ["point 1", "point 2"]
    found = kept.load(tmp_path, "line")
    assert found and not found.whole and found.cases == 2

    further, played = deal(tmp_path, found.outcomes)
    play_all(further, 2, host, lambda scene, ground: None)
    assert sorted(played) == ["beside", "point 3"]
    found = kept.load(tmp_path, "line")
    assert found and found.whole and found.cases == 3
    assert [one.case for one in found.wrong] == ["beside"]
    assert found.wrong[0].wrong == ("RuntimeError: nothing works",)

    again, played = deal(tmp_path, found.outcomes)
    play_all(again, 2, host, lambda scene, ground: None)
    assert played == []


def test_a_case_that_was_interrupted_is_not_kept(tmp_path: Path) -> None:
    going, played = deal(tmp_path)
    play_all(going, 1, host, lambda scene, ground: going.stopped.set())
    assert played == ["point 1"]
    assert kept.load(tmp_path, "line") is None


def test_a_commit_is_that_of_the_code_and_says_when_something_was_changed_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        kept._git("-c", "user.name=a", "-c", "user.email=a@b.lan", *words)

    monkeypatch.setattr(kept, "CHECKOUT", tmp_path)
    with pytest.raises(kept.WrongInput, match="git does not say which commit this is"):
        kept.commit()
    git("init", "--quiet")
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "--quiet", "--message=first")
    first = kept.commit()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/line.json").write_text("{}")
    (tmp_path / "README.md").write_text("new")
    assert kept.commit() == first
    git("add", ".")
    git("commit", "--quiet", "--message=pages")
    assert kept.commit() == first
    (tmp_path / "code.py").write_text("2")
    changed = kept.commit()
    assert changed.startswith(f"{first}+")
    (tmp_path / "other.py").write_text("3")
    assert kept.commit() not in (first, changed)
    (tmp_path / "é link").symlink_to("docs")
    git("init", "--quiet", "within")
    assert kept.commit() not in (first, changed)


def test_every_part_has_cases_of_names_of_their_own() -> None:
    for part in PARTS.values():
        names = [case.name for track in part.tracks(1) for case in track.cases]
        assert names and len(names) == len(set(names)), part.name
        if part.counted:
            assert len(names) == part.cases, part.name


def test_a_seed_draws_the_same_cases_again() -> None:
    for name in ("twice", "evil"):
        drawn = [[case.name for track in PARTS[name].tracks(seed) for case in track.cases] for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]


def test_the_list_names_every_part_with_its_cases(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    kept.save(tmp_path, KNOWN)
    status, out, _ = said(capsys, "--list", "--folder", str(tmp_path))
    assert status == 0
    assert [line.split()[0] for line in out.splitlines() if not line.startswith(" ")] == list(PARTS)
    assert "line     about 252 cases  the laptop or its line dies\n" in out
    assert "line: 2 cases, 1 wrong (2026-11-28, commit abc1234, seed 7, 2 minutes)\n" in out


@pytest.mark.real
def test_a_port_that_somebody_holds_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "quiet", lambda text: None)
    with socket.create_server(("127.0.0.1", BASE + 22)):
        words = ("--part", "line", "--jobs", "1", "--port-base", str(BASE), "--folder", str(tmp_path))
        status, _, err = said(capsys, *words)
    assert status == Refused.exit_code, err
    assert f"already in use on 127.0.0.1: port {BASE + 22} (ssh)" in err
    assert len(err.splitlines()) == 2


def test_every_death_strikes_in_every_kind_of_run() -> None:
    played = {(row.action, row.death) for row in rows(list(DEATHS))}
    assert played == {(action, death) for action in ACTIONS for death in DEATHS}
    in_parts = {
        case.row.rpartition(" | ")[0]
        for part in PARTS.values()
        if not part.counted
        for track in part.tracks(1)
        for case in track.cases
    }
    assert {f"{action} | {death}" for action, death in played} <= in_parts


def test_a_round_helps_after_each_death_after_which_somebody_may_have_to() -> None:
    helped = {(row.action, row.death) for row in rows(list(DEATHS)) if row.helper == "round"}
    deaths = ("process", "process and children", "engine", "reboot", "disk full", "disk stays full")
    assert helped == {(action, death) for action in ACTIONS for death in deaths}


def test_a_case_is_named_by_what_is_struck_where() -> None:
    played = Played("deploy", Point("after", 5), "process", came=True, helper="round")
    assert str(played) == MENDED.case


def test_the_table_counts_what_was_struck_and_what_was_whole() -> None:
    assert report.struck_at_points([MENDED, WHOLE, BROKEN]).splitlines()[2:] == [
        "| deploy | laptop | command | 2 | 1 | 1 | 3 |",
        "| deploy | process | round | 1 | 1 | 0 | 0 |",
        "| all |  |  | 3 | 2 | 1 | 3 |",
    ]


def test_the_page_has_a_row_for_every_part_and_names_each_case_that_was_not_whole() -> None:
    pressed = Outcome("Ctrl-C, before call 1", "Ctrl-C", ("no answer",))
    people = Results("people", "def5678", 9, "2026-11-29T01:00:00Z", 600.0, outcomes=(pressed,))
    text = report.page([KNOWN, people], [("day", "days in minutes")])
    assert "| line | 2 | 1 | 2026-11-28 | abc1234 | 2 | 2 | 7 |\n" in text
    assert "| people | 1, not all | 1 | 2026-11-29 | def5678 | 10 | 1 | 9 |\n" in text
    assert "| day | none yet |" in text
    assert "- deploy, laptop at line 2: 2 consumers run\n" in text
    assert "- Ctrl-C, before call 1: no answer\n" in text
    assert "| Ctrl-C | 1 | 1 |\n" in text
    assert "before call 2" not in text


def test_the_page_is_made_of_what_was_found_out() -> None:
    found = [results for name in PARTS if (results := kept.load(kept.FOLDER, name))]
    missing = [(part.name, part.what) for part in PARTS.values() if part.name not in {one.part for one in found}]
    page = (CHECKOUT / "docs/reliability.md").read_text()
    assert not found or page == report.page(found, missing), "run python -m tests.faults --page"
