"""A real `fab` whose command line, settings or keys are wrong: one sentence, exit status 10, nothing contacted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[3]
HOSTS = {
    "defaults": {"root": "/azaion"},
    "hosts": {"gpu-1": {"address": "127.0.0.1", "port": 1, "key": "nowhere"}},
    "services": {"training": {"kind": "batch", "image": "team/training", "container": "training"}},
}
IN_FULL, DRY = "a task's flags are written in full", "--dry (-R) of Fabric concerns no task of this tool"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a hosts.yaml whose key is not there, and a home."""
    (tmp_path / "home").mkdir()
    (tmp_path / ".env").touch(0o600)
    (tmp_path / ".env").write_text("NOTHING=needed\n")
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump(HOSTS, sort_keys=False))
    return tmp_path


def fab(folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit status, and what is said on stdout and stderr."""
    ran = subprocess.run(
        [sys.executable, "-m", "fabric", "--search-root", str(PROJECT), *words],
        cwd=folder,
        env={**os.environ, "HOME": str(folder / "home")},
        capture_output=True,
        text=True,
    )
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        ("staus", 'there is no task "staus"; did you mean "status"?', "fab --list; fab --help"),
        (
            "status extra",
            'there is no task "extra", and fab status takes no such word',
            "fab --list; fab --help status",
        ),
        ("status halth", 'there is no task "halth"; did you mean "health"?', "fab --list; fab --help status"),
        ("models.lst", 'there is no task "models.lst"; did you mean "models.list"?', "fab --list; fab --help"),
        (
            "deploy frames",
            'there is no task "frames", and fab deploy takes no such word',
            "a service is named by --service; fab --list; fab --help deploy",
        ),
        (
            "deploy --service trainin",
            'hosts.yaml has no service "trainin"; did you mean "training"?',
            "Known: training.",
        ),
        ("deploy --service frames", 'hosts.yaml has no service "frames".', "Known: training."),
        ("status --hosts gpu1", 'hosts.yaml has no server or group "gpu1"; did you mean "gpu-1"?', "Known: gpu-1."),
        (
            "deploy --tag trainig=1",
            '--tag trainig=1: no such service is deployed here; did you mean "training"?',
            "known: training",
        ),
        ("status --hots x", 'fab status has no flag "--hots"; did you mean "--hosts"?', "fab --help status"),
        (
            "status --conect-timeout x",
            'fab status has no flag "--conect-timeout"; did you mean "--connect-timeout"?',
            "fab --help status",
        ),
        ("deploy -d", f'fab deploy has no flag "-d"; {IN_FULL}: --dry-run or --debug', "fab --help deploy"),
        ("restart -d training", f'fab restart has no flag "-d"; {IN_FULL}: --debug', "fab --help restart"),
        ("prune -jr", f'fab prune has no flag "-j"; {IN_FULL}: --json', "fab --help prune"),
        ("status -w", f'fab status has no flag "-w"; {IN_FULL}', "fab --help status"),
        ("deploy --dry", DRY, "--dry-run, for the tasks that have it"),
        ("-R restart training", DRY, "--dry-run, for the tasks that have it"),
        ("restart --hots", 'fab restart has no flag "--hots"; did you mean "--hosts"?', "fab --help restart"),
        ("restart", "fab restart: SERVICE is missing", "fab --help restart"),
        ("--bogus status", 'fab has no flag "--bogus"', "fab --help"),
        ("status --hosts", "fab status: --hosts wants a value", "fab --help status"),
        ("status -t x", "-t, -T and -D want a whole number", "fab --help"),
        ("--help nosuch", 'there is no task "nosuch"', "fab --list; fab --help"),
        ("-F bogus --list", "-F wants flat, nested, json, and not 'bogus'", "fab --help"),
        (
            "schedule",
            '"schedule" is a group of tasks: schedule.install, schedule.remove, schedule.show, schedule.test',
            "fab --list schedule",
        ),
    ],
)
def test_a_command_line_that_is_not_understood_is_one_sentence(
    folder: Path, words: str, sentence: str, hint: str
) -> None:
    assert fab(folder, *words.split()) == (10, "", f"{sentence}\n{hint}\n")


def test_with_json_there_is_a_document_of_it(folder: Path) -> None:
    status, out, err = fab(folder, "status", "--json", "--hots", "x")
    error = json.loads(out)["error"]
    assert (status, error["exit_status"], error["outcome"]) == (10, 10, "bad-input")
    assert error["sentence"] == err.splitlines()[0] == 'fab status has no flag "--hots"; did you mean "--hosts"?'


def test_fab_alone_lists_the_tasks_and_says_where_their_flags_are(folder: Path) -> None:
    status, out, err = fab(folder)
    assert (status, err) == (0, "")
    assert "deploy  " in out and "schedule.install  " in out
    assert out.endswith("fab TASK with its flags; fab --help TASK tells them, and fab --help those of every task.\n")


def test_what_fab_tells_of_a_task_is_left_as_it_is(folder: Path) -> None:
    assert "--hosts=STRING" in fab(folder, "--help", "status")[1]
    assert fab(folder, "--list", "models")[1].startswith("Available 'models' tasks:")


@pytest.mark.parametrize("words", ["-h restart", "restart -h", "restart --help", "restart training --help"])
def test_help_is_the_same_everywhere(folder: Path, words: str) -> None:
    status, out, err = fab(folder, *words.split())
    assert (status, err) == (0, "")
    assert " [--core-opts] restart [--options]" in out.splitlines()[0]


def test_no_task_has_a_flag_of_one_letter() -> None:
    from fabfile import namespace

    flags = {flag for task in namespace.to_contexts() for flag in (*task.flags, *task.flags.aliases)}
    assert "--dry-run" in flags
    assert {flag for flag in flags if not flag.startswith("--")} == set()


@pytest.mark.parametrize("words", ["restart --connect-timeout 5 nosuch", "restart -t 5 nosuch", "restart nosuch -t5"])
def test_a_flag_of_fabric_may_stand_before_a_word_that_the_task_wants(folder: Path, words: str) -> None:
    assert 'has no service "nosuch"' in fab(folder, *words.split())[2]


@pytest.mark.parametrize("place", ["hosts", "defaults"])
def test_a_key_that_is_not_there_is_named_by_its_line(folder: Path, place: str) -> None:
    hosts = yaml.safe_load((folder / "hosts.yaml").read_text())
    if place == "defaults":
        hosts["defaults"]["key"] = hosts["hosts"]["gpu-1"].pop("key")
    text = yaml.safe_dump(hosts, sort_keys=False)
    (folder / "hosts.yaml").write_text(text)
    line = next(number for number, one in enumerate(text.splitlines(), 1) if "key: " in one)
    key = {"hosts": "hosts.gpu-1.key", "defaults": "defaults.key"}[place]
    status, out, err = fab(folder, "status")
    assert (status, out) == (10, "")
    assert err.startswith(f"hosts.yaml:{line}: {key}: nowhere does not exist\ncorrect the path")


def test_a_key_of_the_command_line_that_is_not_there_is_named_as_such(folder: Path) -> None:
    status, out, err = fab(folder, "-i", "elsewhere", "status")
    assert (status, out) == (10, "")
    assert err.startswith("fab -i: elsewhere does not exist\n")


@pytest.mark.parametrize(
    ("flag", "file", "content", "said"),
    [
        ("-S", "missing", None, "the ssh_config missing cannot be read: No such file or directory"),
        ("-S", "odd", "Host *\n Port many\n", "odd line 2: Bad port"),
        (
            "-f",
            "settings.yaml",
            "run: 3\n",
            'Fabric\'s settings in settings.yaml cannot be read: its "run" is of another kind',
        ),
        ("-f", "missing.yaml", None, "the settings missing.yaml that -f names are not there"),
    ],
)
def test_files_that_a_flag_names_and_that_cannot_be_read_are_named(
    folder: Path, flag: str, file: str, content: str | None, said: str
) -> None:
    if content:
        (folder / file).write_text(content)
    (folder / "nowhere").write_text("a key")
    (folder / "nowhere.pub").write_text(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFg0lqzvBpnlqTRHa0DjLF9ynWSMnlVBOxbBPcFUJrHA"
    )
    status, out, err = fab(folder, flag, file, "status")
    assert (status, out) == (10, ""), err
    assert said in err
    assert "Traceback" not in err
