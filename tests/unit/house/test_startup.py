"""`fab --list` is there at once: it reads the tasks and nothing below them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fabric import Config

from tasks import fabric_settings

PROJECT = Path(__file__).resolve().parents[3]
LOADED = "import sys, fabfile; print(*sorted(name for name in sys.modules if name.startswith('gpu_runbook')))"


def test_what_lists_the_tasks_loads_nothing_of_either_half() -> None:
    said = subprocess.run([sys.executable, "-c", LOADED], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert said.stdout.split() == []


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("settings.yaml", b"a: [\n", "line 2 is no YAML"),
        ("settings.yaml", b"\xff", "it is no UTF-8"),
        ("settings.yaml", b"words", "it is no mapping (key: value)"),
        ("settings.yaml", b"run: 3", 'its "run" is of another kind than Fabric expects'),
        ("settings.yaml", b"sudo: {prompt: {a: 1}}", 'its "sudo.prompt" is of another kind than Fabric expects'),
        ("settings.json", b"{", "line 1 is not understood"),
        ("settings.py", b"a(", "line 1 is not understood"),
        ("settings", b"", "its name ends in none of"),
        ("settings.yaml/", b"", "Is a directory"),
    ],
)
def test_settings_of_fabric_s_own_that_cannot_be_read_are_one_sentence(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    path = tmp_path / name.rstrip("/")
    path.mkdir() if name.endswith("/") else path.write_bytes(content)
    config = Config(lazy=True)
    config.set_runtime_path(str(path))
    sentence = None
    try:
        config.load_runtime()
    except Exception as error:
        sentence = fabric_settings.explained(error)
    assert sentence is not None
    assert sentence.exit_code == 10
    assert sentence.message.startswith(f"Fabric's settings in {path} cannot be read: ")
    assert why in sentence.message


def test_another_error_is_left_to_python() -> None:
    assert fabric_settings.explained(ValueError("elsewhere")) is None


def test_fab_takes_lines_of_ssh_config_that_its_own_parser_does_not(tmp_path: Path) -> None:
    """And shows none of its tracebacks for them, whichever task it is."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host other # Bob's\n User x\n")
    ran = subprocess.run(
        [sys.executable, "-m", "fabric", "sandbox.status"],
        cwd=PROJECT,
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in ran.stderr
    assert "sandbox" in ran.stdout + ran.stderr
