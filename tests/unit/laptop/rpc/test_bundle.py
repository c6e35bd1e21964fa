"""What travels with a call: the modules a verb can come to import, no more, and a command line every shell takes."""

from __future__ import annotations

import ast
import functools
import importlib.util
import json
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gpu_runbook.laptop.inputs.dotenv import load_env
from gpu_runbook.laptop.inputs.secret import Secret, spellings
from gpu_runbook.laptop.rpc import bundle
from gpu_runbook.laptop.rpc.optional import OPTIONAL, unasked
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.requests import RunRequest

PROJECT = Path(__file__).parents[4]
SERVER = "server/rpc/server.py"
FILES = sorted(file for room in bundle.TRAVELS for file in (bundle.FOLDER / room).rglob("*.py"))
SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "ksh", "tcsh", "fish") if shutil.which(shell)]


def test_a_small_verb_takes_little_along() -> None:
    assert [name for name, source in bundle.program("ping").items() if source] == [
        "gpu_runbook.common.failure",
        "gpu_runbook.common.limits",
        "gpu_runbook.protocol.errors",
        "gpu_runbook.protocol.foreign_text",
        "gpu_runbook.server.rpc.server",
        "gpu_runbook.server.verbs.ping",
    ]


VERBS = sorted(
    ".".join(file.relative_to(bundle.FOLDER / "server/verbs").with_suffix("").parts)
    for file in (bundle.FOLDER / "server/verbs").rglob("*.py")
    if "\ndef answer(" in file.read_text()
)


TWO_FLIGHTS = 40_000  # bytes that a new connection takes in two round trips


ROOM = 6_000  # bytes below that for what deploys will learn


@pytest.mark.parametrize("verb", VERBS)
def test_no_program_is_longer_than_what_a_new_connection_takes_in_two_round_trips(verb: str) -> None:
    """With what every call of the verb takes along; `test_optional` shows what those of the sample take."""
    assert bundle.size(verb, frozenset(OPTIONAL.get(verb, {}))) < TWO_FLIGHTS - 1_000  # what a question is at most


def test_there_is_room_for_more() -> None:
    assert bundle.size("run", frozenset(OPTIONAL["run"])) <= TWO_FLIGHTS - ROOM


@pytest.mark.parametrize(
    ("log", "most"), [({}, TWO_FLIGHTS), ({"files": ["/azaion/logs/*.log"], "level": "error"}, 43_000)]
)
def test_a_deploy_with_all_that_it_brings_takes_no_more(log: dict[str, Any], most: int) -> None:
    """A plan of two services, a config, a whole .env, and everything by which its secrets are recognised. One whose
    watch reads log files may fill the packets of 1,500 bytes that are taken in two round trips, and none besides.

    A server's Python without bz2 may take a round trip more.
    """
    drawn = Random(1)  # noqa: S311  as long as any others, and always the same
    random = [urlsafe_b64encode(drawn.randbytes(9)).decode() for _ in range(8)]
    secret = [f'{first}$x}} #"&: @ü{last}' for first, last in pairwise(random)][::2]
    variables = {name: f"{name.lower()}.example.com" for name in load_env(PROJECT / ".env.example").values}
    variables |= zip([name for name in variables if "PASSWORD" in name], secret, strict=True)
    config = (PROJECT / "templates/config.yaml.j2").read_text() + "".join(secret)
    secrets = {
        "configs": {"annotation-queue": config},
        "passwords": {"annotation-queue": secret[0]},
        "variables": variables,
        "hidden": spellings([Secret(text) for text in secret]),
    }
    plan = json.loads((PROJECT / "tests/data/plan.json").read_text())
    for step in plan["consumers"]:
        step["watch"]["log"] = log
    request = decode(RunRequest, {"plan": plan, "secrets": secrets}, "request")
    assert request.plan.consumers
    without = unasked("run", request)
    assert len(bundle.pack("run", encode(request), bundle.packer("run", without), without)) < most


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server's half that is small."""
    written(tmp_path, dict.fromkeys((SERVER, "server/verbs/ping.py", "server/rpc/bootstrap.py"), "print(1)\n"))
    monkeypatch.setattr(bundle, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    another_process()
    yield tmp_path
    another_process()


def written(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def another_process() -> None:
    """What this one knows already is forgotten."""
    for known in (bundle._states, bundle._compressed, bundle.program):
        known.cache_clear()


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("__pycache__/*"))


def test_what_is_sent_is_made_once_and_kept_as_python_keeps_what_it_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bundle.pack("ping", {}, "zlib")
    tag = sys.implementation.cache_tag
    assert [file.name for file in kept(folder)] == [f"ping.zlib.{tag}.packed"]
    another_process()
    monkeypatch.setattr(bundle, "_packed", None)
    assert bundle.pack("ping", {}, "zlib") == first


@pytest.mark.parametrize("change", ["a file", "another file", "the same bytes anew", "cut off", "a bit"])
def test_it_is_made_anew_when_anything_is_another(folder: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    first = bundle.pack("ping", {}, "zlib")
    if change == "a file":
        (folder / SERVER).write_text("print(2)\n")
    elif change == "another file":
        (folder / "server/far.py").write_text("2\n")
    elif change == "the same bytes anew":
        (folder / "new").write_text("print(1)\n")
        (folder / "new").replace(folder / SERVER)
    else:
        (file,) = kept(folder)
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] if change == "cut off" else whole[:-1] + bytes([whole[-1] ^ 1]))
    another_process()
    made: list[str] = []
    packed = bundle._packed

    def noted(bootstrap: str, modules: dict[str, str], packer: str) -> bytes:
        made.append(packer)
        return packed(bootstrap, modules, packer)

    monkeypatch.setattr(bundle, "_packed", noted)
    again = bundle.pack("ping", {}, "zlib")
    assert made and (again == first) == (change != "a file")


@pytest.mark.parametrize("obstacle", ["no bytecode", "a file", "a folder"])
def test_where_nothing_can_be_kept_it_is_made_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    (folder / "__pycache__").mkdir()
    tag = sys.implementation.cache_tag
    if obstacle == "no bytecode":
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
    elif obstacle == "a file":
        (folder / "__pycache__").rmdir()
        (folder / "__pycache__").write_text("x")
    else:
        (folder / f"__pycache__/ping.zlib.{tag}.packed/x").mkdir(parents=True)
    had = kept(folder)
    first = bundle.pack("ping", {}, "zlib")
    another_process()
    assert bundle.pack("ping", {}, "zlib") == first
    assert kept(folder) == had


@pytest.mark.parametrize(
    "line",
    [
        "from gpu_runbook.server import far",
        "from gpu_runbook.server import near, far",
        "from gpu_runbook.server import far as away",
        "from gpu_runbook.server import (\n    near,  # this one\n    far,\n)",
        "from gpu_runbook.server.far import thing",
        "import gpu_runbook.server.far",
        "def answer():\n    from gpu_runbook.server import far\n    return far.thing",
        "def answer():\n    from gpu_runbook.server.far import thing\n    return thing",
        "from gpu_runbook.server.box import lid",
        "from gpu_runbook.server.box.lid import thing",
    ],
)
def test_every_way_to_import_a_module_takes_it_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    used = f"{line}\nnear, far, away, thing, lid"
    further = "from gpu_runbook.server import farther\nfarther"
    modules = {"verbs/verb": used, "rpc/server": "", "near": "", "far": further, "farther": ""}
    boxed = {"box/__init__": "", "box/lid": "from gpu_runbook.server import far\nfar"}
    written(tmp_path, {f"server/{name}.py": text for name, text in {**modules, **boxed}.items()})
    monkeypatch.setattr(bundle, "FOLDER", tmp_path)
    another_process()
    taken = bundle.program("verb")
    another_process()
    assert {"gpu_runbook.server.far", "gpu_runbook.server.farther"} <= set(taken)
    assert ("gpu_runbook.server.near" in taken) == ("near" in line)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_scan_agrees_with_the_grammar(file: Path) -> None:
    """For every module of the server's half: the imports found by scanning are those that Python sees."""
    named: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gpu_runbook":
            named |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names if alias.name.startswith("gpu_runbook.")}
    modules = {name for name in named if importable(name)}
    packages = {package for name in modules for package in accumulate(name.split(".")[:-1], "{}.{}".format)}
    found = {f"gpu_runbook.{name}" for name in bundle.imported(file.read_text())}
    assert found == (modules | packages) - {"gpu_runbook"}


@functools.cache
def importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what looks like its package is a module
        return False


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("python", [sys.executable, "its python"])
def test_the_command_line_runs_in_any_login_shell(tmp_path: Path, shell: str, python: str) -> None:
    if python != sys.executable:
        python = str(tmp_path / python)
        Path(python).symlink_to(sys.executable)
    command = bundle.command_line(python, False, "zlib")
    ran = subprocess.run([shell, "-c", command], input=bundle.pack("ping", {}, "zlib"), capture_output=True)
    assert json.loads(ran.stdout.strip(b"\x1e\n"))["answer"]["user"]


def test_sudo_is_asked_never_to_prompt() -> None:
    assert bundle.command_line("python3", True, "zlib").startswith("sudo -n python3 -IS -c ")
