"""fab env.import: what of a file here is another in the server's, in names, and what becomes of it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from gpu_runbook.laptop.answers.change import EnvImportAnswer
from gpu_runbook.laptop.commands import env_import
from gpu_runbook.laptop.errors import BadInput, Refused, RunbookError
from gpu_runbook.laptop.inputs.secret import DOTS
from gpu_runbook.laptop.inventory.model import Inventory, load_inventory
from gpu_runbook.laptop.terminal.screen import Screen
from tests.unit.in_process import answering, session

HERE = "HOST=broker.lan\nPASSWORD=here-kfh28H\nALONE=alone-s7dkW\n"
THERE = "# the server's\nHOST=broker.lan\nPASSWORD=there-mz0qLp\nNEW=new-Zc0rre\n"
VALUES = ("here-kfh28H", "alone-s7dkW", "there-mz0qLp", "new-Zc0rre")


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file on the server, which is this machine."""
    answering(monkeypatch)
    path = Path(os.path.realpath(tmp_path)) / "there"
    path.write_text(THERE)
    path.chmod(0o600)
    return path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    path = tmp_path / "laptop" / ".env"
    path.parent.mkdir()
    path.write_text(HERE)
    path.chmod(0o644)
    return path


def inventory(here: Path, env: str = "") -> Inventory:
    (here.parent / "hosts.yaml").write_text(
        f"hosts: {{gpu-1: {{address: a, root: /azaion{env}}}, gpu-2: {{address: b, root: /b}}}}"
    )
    return load_inventory(here.parent / "hosts.yaml")


def wish(
    here: Path,
    source: Path | str | None,
    out: str | None = None,
    yes: bool = False,
    dry_run: bool = False,
    env: str = "",
) -> env_import.ImportWish:
    known = inventory(here, env)
    return env_import.wish(
        known, known.select_hosts("gpu-1"), None if source is None else str(source), out, yes, dry_run
    )


def brought(asked: env_import.ImportWish) -> tuple[EnvImportAnswer, str]:
    screen = Screen(out=io.StringIO())
    answer = env_import.brought(session(), asked, screen)
    assert isinstance(screen.out, io.StringIO)
    said = screen.out.getvalue()
    assert not any(value in said + str(answer) for value in VALUES)
    return answer, said


def beside(here: Path) -> list[Path]:
    return sorted(path for path in here.parent.iterdir() if path.name not in (".env", "hosts.yaml"))


def test_what_would_be_lost_is_named_before_anything_is_written(here: Path, there: Path) -> None:
    with pytest.raises(Refused) as caught:
        brought(wish(here, there))
    lost = "the values of PASSWORD and what it has alone (ALONE)"
    assert caught.value.message == f"gpu-1: {here} would lose {lost}; nothing was changed"
    assert "--yes" in caught.value.hint
    answer, said = brought(wish(here, there, yes=True, dry_run=True))
    assert answer["outcome"] == "dry-run" and f"{here} would be written" in said
    assert here.read_text() == HERE and beside(here) == []


def test_it_is_written_for_its_owner_alone_and_the_one_before_is_kept_beside_it(here: Path, there: Path) -> None:
    answer, said = brought(wish(here, there, yes=True))
    (kept,) = beside(here)
    assert answer == {
        "server": "gpu-1",
        "outcome": "done",
        "source": str(there),
        "file": str(here),
        "added": ["NEW"],
        "changed": ["PASSWORD"],
        "removed": ["ALONE"],
        "same": ["HOST"],
        "kept": str(kept),
    }
    assert said.splitlines() == [
        f"gpu-1:{there}, to be {here}",
        "  new: NEW",
        "  other values: PASSWORD",
        f"  in {here} alone: ALONE",
        "  the same: HOST",
        f"{here} was written, and {kept} is the one before",
    ]
    assert (here.read_text(), kept.read_text()) == (THERE, HERE)
    assert [path.stat().st_mode & 0o777 for path in (here, kept)] == [0o600, 0o600]
    assert kept.name.startswith(".env.before-")
    again, said = brought(wish(here, there))
    assert again["outcome"] == "up-to-date" and "nothing was written" in said
    assert beside(here) == [kept]


@pytest.mark.parametrize("old", [None, "", "HOST=broker.lan\n"], ids=["none", "empty", "a part of it"])
def test_where_nothing_is_lost_nothing_more_is_asked(here: Path, there: Path, old: str | None) -> None:
    here.unlink() if old is None else here.write_text(old)
    answer, _ = brought(wish(here, there))
    assert (answer["outcome"], answer["changed"], answer["removed"]) == ("done", [], [])
    assert here.read_text() == THERE and here.stat().st_mode & 0o777 == 0o600
    assert len(beside(here)) == (old is not None)


def test_the_file_on_either_side_is_that_of_hosts_yaml_unless_it_is_said(here: Path, there: Path) -> None:
    named = f", env: {{server: {there}}}"
    asked = wish(here, None, env=named)
    assert (asked.source, asked.target) == (str(there), here)
    assert "hosts.yaml goes on reading the server's own" in brought(wish(here, None, yes=True, env=named))[1]
    assert wish(here, "/etc/other", str(here.parent / "b"), env=named).source == "/etc/other"
    assert wish(here, there, env=", env: {file: prod.env}").target == here.parent / "prod.env"
    with pytest.raises(BadInput, match="names no file of variables on gpu-1"):
        wish(here, None)
    with pytest.raises(BadInput, match="--from there: an absolute path"):
        wish(here, "there")
    known = inventory(here)
    with pytest.raises(BadInput, match="brings the file of one server"):
        env_import.wish(known, known.select_hosts(None), str(there), None, False, False)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("link", "is a link"),
        ("FIFO", "is no regular file"),
        ("folder", "is no regular file"),
        ("line", "1 error, nothing was contacted or changed"),
        ("bytes", "is not UTF-8 text (line 1)"),
    ],
)
def test_a_file_here_that_would_not_be_kept_is_refused_before_anything_is_contacted(
    here: Path, there: Path, what: str, said: str
) -> None:
    here.unlink()
    if what == "link":
        here.symlink_to(there)
    elif what == "FIFO":
        os.mkfifo(here)
    elif what == "folder":
        here.mkdir()
    else:
        here.write_bytes(b"A='open-kfh28H\n" if what == "line" else b"A=\xff\n")
    with pytest.raises(BadInput) as caught:
        wish(here, there, yes=True)
    assert str(here) in caught.value.message and said in caught.value.message
    assert "kfh28H" not in caught.value.message


@pytest.mark.parametrize(
    ("content", "mode", "status", "said"),
    [
        (b"A='open-kfh28H\n", 0o600, 10, "gpu-1:{there}:1: the line cannot be read"),
        (b"A=\xff\n", 0o600, 10, "gpu-1:{there} is not UTF-8 text (line 1)."),
        (THERE.encode(), 0o640, 12, "gpu-1: {there} is not for its owner alone (mode 0640)"),
    ],
    ids=["line", "bytes", "mode"],
)
def test_a_file_there_that_cannot_be_read_changes_nothing_here(
    here: Path, there: Path, content: bytes, mode: int, status: int, said: str
) -> None:
    there.write_bytes(content)
    there.chmod(mode)
    with pytest.raises(RunbookError) as caught:
        brought(wish(here, there, yes=True))
    assert (caught.value.exit_code, said.format(there=there) in caught.value.message) == (status, True)
    assert here.read_text() == HERE and beside(here) == []


def test_paths_are_told_as_they_were_given(here: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here.parent)
    answer, said = brought(wish(here, there, ".env", yes=True))
    assert (answer["file"], Path(answer["kept"]).parent) == (".env", Path())
    assert f".env was written, and {answer['kept']} is the one before" in said


def test_one_that_somebody_has_changed_meanwhile_is_left_as_it_is(here: Path, there: Path) -> None:
    asked = wish(here, there, yes=True)
    here.write_text("MORE=1\n")
    with pytest.raises(Refused, match="was changed meanwhile"):
        brought(asked)
    assert here.read_text() == "MORE=1\n" and beside(here) == []


def test_a_name_that_may_be_a_part_of_a_value_is_covered(here: Path, there: Path) -> None:
    there.write_text(THERE + "kfh28H/s7==\n")
    answer, _ = brought(wish(here, there, yes=True))
    assert answer["added"] == ["NEW", DOTS]
