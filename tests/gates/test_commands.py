"""Is a commit green? Commands, and what is put into their words."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.gate_entries import Ci
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN
from tests.gates.asking import TARGET, by_command
from tests.gates.forge import HEAD, REPOSITORY


@pytest.mark.parametrize(
    ("script", "level", "sentence"),
    [
        ("echo fine", OK, "commit 1a2b3c4d: sh says that it is green"),
        ("echo one; echo build 7 failed; exit 1", CRITICAL, "commit 1a2b3c4d: sh says no: build 7 failed"),
        ("exit 125", CRITICAL, "commit 1a2b3c4d: sh says no: sh ended with status 125"),
        ("echo why >&2; exit 126", UNKNOWN, "sh could not be run: why"),
        ("nothing-of-this-name", UNKNOWN, "sh could not be run: "),
        ("kill -9 $$", UNKNOWN, "sh was ended by signal 9"),
        ("printf 'a\\033[2Jb\\n'; exit 1", CRITICAL, "commit 1a2b3c4d: sh says no: a\N{REPLACEMENT CHARACTER}[2Jb"),
    ],
)
def test_each_verdict_of_a_command(script: str, level: str, sentence: str) -> None:
    row = by_command("sh", "-c", script)
    assert row.level == level
    assert row.sentence.startswith(sentence)


def test_a_command_that_is_not_there_or_never_ends_said_nothing() -> None:
    row = by_command("/nonexistent/ci")
    assert (row.level, row.sentence.startswith("/nonexistent/ci could not be run")) == (UNKNOWN, True)
    row = by_command("sleep", "600", timeout=1)
    assert (row.level, row.sentence) == (UNKNOWN, "sleep did not answer within 1 s")


def test_a_command_knows_what_is_asked_and_nothing_of_the_token() -> None:
    """Words are filled in and stay words; what it is told stands in its environment."""
    shows = "import os, sys; print(sys.argv[1:], *(os.environ[n] for n in sys.argv[4:]), os.environ); sys.exit(9)"
    names = ("REVISION", "BRANCH", "SERVICE", "IMAGE")
    row = by_command(
        sys.executable, "-c", shows.replace(", os.environ)", ")"), "{service} x", "{image}:{tag}", "$(id)", *names
    )
    told = f"['annotation-queue x', '{REPOSITORY}:1.0', '$(id)', 'REVISION', 'BRANCH', 'SERVICE', 'IMAGE']"
    assert told in row.sentence
    assert by_command("sh", "-c", 'echo "$REVISION $BRANCH $SERVICE $IMAGE"; exit 1').sentence.endswith(
        f"{HEAD} dev annotation-queue {REPOSITORY}"
    )
    assert by_command("sh", "-c", "env; exit 1 #", revision="").level == CRITICAL
    row = by_command("sh", "-c", "env | grep -c ghp_; exit 1")
    assert row.sentence.endswith("says no: 0")


def test_braces_that_mean_nothing_are_named() -> None:
    with pytest.raises(BadInput, match=r"hosts\.yaml: ci\.command: \{servce\} is none of .*did you mean \"service\"\?"):
        TARGET.fill("ci.command", "x {servce}")
    with pytest.raises(BadInput, match=r"hosts\.yaml: scan\.report: \} stands alone"):
        TARGET.fill("scan.report", "x}")
    assert TARGET.fill("scan.command", "{image}", image=TARGET.reference) == TARGET.reference
    for wrong in ({"command": ("x", "{{.Id}}")}, {"command": ("x\0",)}):
        with pytest.raises(ValueError, match="command: "):
            Ci(**wrong)


@pytest.mark.parametrize("revision", ["--upload-pack=touch /tmp/owned", "$(id)", "main", "abcdef0; id", "abcdef0\n"])
def test_a_command_is_not_asked_for_what_is_no_commit(tmp_path: Path, revision: str) -> None:
    """An image says what it likes of itself, and a command may put it among the arguments of another one."""
    asked = tmp_path / "asked"
    row = by_command("sh", "-c", f'echo "$REVISION" > {asked}', revision=revision)
    if revision.strip() == "abcdef0":  # cut out of its line
        assert (row.level, asked.read_text()) == (OK, "abcdef0\n")
        return
    assert (row.level, asked.exists()) == (UNKNOWN, False)
    assert "which is no commit" in row.sentence
