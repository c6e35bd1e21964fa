"""What is said is written in any encoding, replaced where it has no sign; JSON is escaped, and loses nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import encoding

PROJECT = Path(__file__).parents[3]
FAB = [sys.executable, "-m", "fabric", "--search-root", str(PROJECT)]
BY_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SAID = "password: ••• … gpü-Ω ✓ 🚀 \udcff"


def written(kind: str, document: bool, monkeypatch: pytest.MonkeyPatch) -> str:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=kind, errors="strict") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        encoding.fit(document)
        print(json.dumps([SAID], ensure_ascii=False) if document else SAID, file=stream)
        stream.flush()
        return raw.getvalue().decode(kind)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ascii", "password: *** ... gp?-? + ? ?\n"),
        ("latin-1", "password: *** ... gpü-? + ? ?\n"),
        ("cp1252", "password: ••• … gpü-? + ? ?\n"),
        ("koi8-r", "password: *** ... gp?-? + ? ?\n"),
        ("shift_jis", "password: *** … gp?-Ω + ? ?\n"),
        ("utf-8", "password: ••• … gpü-Ω ✓ 🚀 ?\n"),
    ],
)
def test_what_has_no_sign_is_replaced_by_one_that_looks_like_it(
    kind: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert written(kind, False, monkeypatch) == said
    assert json.loads(written(kind, True, monkeypatch)) == [SAID]


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "cp1252"}, BY_LOCALE], ids=str)
def test_a_command_writes_what_it_is_told_in_any_locale(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "hosts.yaml").write_text("hosts: {gpu-1: {address: gpu, root: /azaion, 'größe-Ω': 1}}\n", "utf-8")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "HOME": str(tmp_path), **environment}
    done = subprocess.run([*FAB, "status", "--json"], cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 10, done.stderr
    assert b"is not a known key" in done.stderr
    kind = environment.get("PYTHONIOENCODING", "ascii")
    assert "größe-Ω" in json.loads(done.stdout.decode(kind))["error"]["sentence"]
