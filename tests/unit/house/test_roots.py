"""The root of a sandbox's machine is laid out again over what an interrupted run has left of it."""

from __future__ import annotations

from pathlib import Path

from sandbox import roots


def test_what_is_borrowed_of_this_machine_may_be_there_already(tmp_path: Path) -> None:
    source, target = tmp_path / "alternatives", tmp_path / "root/alternatives"
    (source / "inner").mkdir(parents=True)
    (source / "vi").symlink_to("/usr/bin/vim")
    (source / "inner/ld").symlink_to("/usr/bin/ld")
    (source / "README").write_text("x")
    for _ in range(2):
        roots._borrow(source, target)
        assert (target / "vi").readlink() == Path("/usr/bin/vim") and (target / "inner/ld").is_symlink()
        assert (target / "README").read_text() == "x"
