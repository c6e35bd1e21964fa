"""The file on a server that its variables come from: what is read of it, and for whose eyes it has to be."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.verbs import env_source

CONTENT = "PASSWORD='kfh28Hskwq3Z'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = Path(os.path.realpath(tmp_path)) / ".env"
    path.write_text(CONTENT)
    path.chmod(0o600)
    return path


def read(path: Path | str) -> bytes:
    answer = env_source.answer({"path": str(path)}, lambda event: None)
    assert list(answer) == ["content"]
    return base64.b64decode(answer["content"])


def refused(path: Path) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path} ") and caught.value.hint
    assert "kfh28Hskwq3Z" not in caught.value.message + caught.value.hint
    return caught.value


@pytest.mark.parametrize("content", [CONTENT.encode(), b"", b"\xff\0\x1b[2J\r\n"], ids=["text", "empty", "bytes"])
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_it_is_read_as_it_is(file: Path, content: bytes, mode: int) -> None:
    file.write_bytes(content)
    file.chmod(mode)
    assert read(file) == content


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601], ids="{:04o}".format)
def test_one_that_is_not_for_its_owner_alone_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    error = refused(file)
    assert (error.kind, error.hint) == ("refused", f"chmod 600 {file}")
    assert error.message == f"{file} is not for its owner alone (mode {mode:04o})"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_it_belongs_to_root_or_to_the_login(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(file, 4321, 4321)
    assert refused(file).message == f"{file} belongs to user 4321, who is neither root nor this login"
    monkeypatch.setenv("SUDO_UID", "1000")
    assert refused(file).kind == "refused"
    monkeypatch.setenv("SUDO_UID", "4321")
    assert read(file) == CONTENT.encode()
    monkeypatch.delenv("SUDO_UID")
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert read(file) == CONTENT.encode()
    os.chown(file, 0, 0)
    assert read(file) == CONTENT.encode()


def gone(path: Path) -> None:
    path.unlink()


def made(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        path.unlink()
        make(path)

    return do


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (gone, "does not exist"),
        (made(lambda path: path.mkdir(mode=0o700)), "is a folder"),
        (made(lambda path: os.mkfifo(path, 0o600)), "is no regular file"),  # and nobody waits for a writer
        (lambda path: path.write_bytes(b"#" * (env_source.LIMIT + 1)), "is larger than 1 MiB"),
    ],
    ids=["gone", "folder", "FIFO", "endless"],
)
def test_what_is_no_such_file_is_said(file: Path, do: Callable[[Path], object], said: str) -> None:
    do(file)
    error = refused(file)
    assert (error.kind, error.message) == ("input", f"{file} {said}")


@pytest.mark.parametrize("where", ["itself", "above it"])
def test_a_link_is_not_followed_wherever_it_leads(file: Path, where: str) -> None:
    link = file.parent / "link"
    link.symlink_to(file if where == "itself" else file.parent)
    path = link if where == "itself" else link / ".env"
    error = refused(path)
    assert error.kind == "refused"
    assert error.message == f"{path} is a link or lies behind one, which leads to {file}"


def test_one_that_the_login_may_not_open_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def forbidden(path: str, flags: int) -> int:
        if not flags & os.O_PATH:
            raise PermissionError(13, "Permission denied")
        return real(path, flags)

    monkeypatch.setattr(os, "open", forbidden)
    error = refused(file)
    assert (error.kind, error.message) == ("refused", f"{file} cannot be read by this login: Permission denied")
