"""When the check that lies on a server is the one that would be written there."""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from types import CodeType

import pytest

from gpu_runbook.server.schedule.program import archive, is_same

SOURCES = {"half": "", "half.one": 'BRACKETS = "[", "[", "]"\n', "half.two": "import half.one\n"}


def test_what_a_process_has_met_before_makes_no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    known, dumps = archive(SOURCES), marshal.dumps

    def otherwise(code: CodeType) -> bytes:
        return dumps(code, 2)

    monkeypatch.setattr(marshal, "dumps", otherwise)
    assert archive(SOURCES) != known
    assert is_same(known, archive(SOURCES))


def test_other_sources_and_another_python_make_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    known = archive(SOURCES)
    assert not is_same(known, archive({**SOURCES, "half.two": "import half\n"}))
    assert not is_same(known, archive({**SOURCES, "half.three": ""}))
    monkeypatch.setattr(importlib.util, "MAGIC_NUMBER", b"\0\0\r\n")
    assert not is_same(known, archive(SOURCES))


def test_other_code_below_the_same_source_makes_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    known, dumps = archive(SOURCES), marshal.dumps
    monkeypatch.setattr(marshal, "dumps", lambda code: dumps(compile("import os", "half/one.py", "exec")))
    assert not is_same(archive(SOURCES), known)


def test_one_that_is_damaged_is_written_anew() -> None:
    known = archive(SOURCES)
    assert not is_same(b"", known)
    assert not is_same(b"print(1)\n", known)
    for length in range(0, len(known), 7):
        assert not is_same(known[:length], known)
    with zipfile.ZipFile(io.BytesIO(known)) as file:
        middles = [one.header_offset + 30 + len(one.filename) + one.compress_size // 2 for one in file.infolist()]
    for at in middles:
        assert not is_same(known[:at] + bytes([known[at] ^ 0xFF]) + known[at + 1 :], known), at
