"""A hosts.yaml that was in order is not checked twice, and nothing but that very file is taken from memory."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from docs.examples import EXAMPLES
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory import cache
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.inventory.strict import Strict

PROJECT = Path(__file__).parents[4]
TEXT = "hosts: {gpu-1: {address: gpu-1.lan, port: 22, root: /azaion}}\n"
ASK = """
import sys
from pathlib import Path
from gpu_runbook.laptop.inventory.model import load_inventory
print(load_inventory(Path(sys.argv[1])).hosts["gpu-1"].port, "pydantic" in sys.modules)
"""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hosts.yaml, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "hosts.yaml"
    file.write_text(TEXT)
    return file


def asked(hosts: Path) -> str:
    words = [sys.executable, "-c", ASK, str(hosts)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def kept(hosts: Path) -> Path:
    (file,) = (hosts.parent / "cache" / "gpu-runbook").iterdir()
    return file


def test_the_second_command_does_without_pydantic(hosts: Path) -> None:
    assert asked(hosts) == "22 True"
    assert asked(hosts) == "22 False"


def test_what_is_remembered_is_what_was_read(hosts: Path) -> None:
    first = load_inventory(hosts)
    mark = cache.fingerprint(hosts)
    assert cache.recall(hosts, mark) == first == load_inventory(hosts)


HOST = "hosts: {gpu-1: {address: gpu-1.lan, root: /azaion}}\n"
BODY = "schedule: {alerts: {ops: {kind: webhook, url_variable: U, body: {a: [1, 2.5, null, true, {b: [Path, /x]}]}}}}\n"


@pytest.mark.parametrize("text", [*EXAMPLES.values(), BODY])
def test_every_entry_comes_back_as_it_was(hosts: Path, text: str) -> None:
    hosts.write_text(text if "\nhosts:" in f"\n{text}" else HOST + text)
    found = load_inventory(hosts)
    again = cache.recall(hosts, cache.fingerprint(hosts))
    assert (again, repr(again)) == (found, repr(found))  # a list is no tuple, and True is no 1


def test_it_is_json_and_every_kind_of_entry_has_a_name_of_its_own(hosts: Path) -> None:
    load_inventory(hosts)
    _, (kind, entries) = json.loads(kept(hosts).read_bytes()[64:])
    assert (kind, entries["path"], entries["hosts"]["gpu-1"][1]["port"]) == ("Inventory", ["Path", str(hosts)], 22)

    def below(shape: type[Strict]) -> list[type[Strict]]:
        return [shape, *(inner for one in shape.__subclasses__() for inner in below(one))]

    assert len(below(Strict)) == len(cache._kinds())


def test_a_changed_file_is_read_anew(hosts: Path) -> None:
    load_inventory(hosts)
    hosts.write_text(TEXT.replace("22", "23"))
    assert load_inventory(hosts).hosts["gpu-1"].port == 23
    assert len(list(kept(hosts).parent.iterdir())) == 1


def test_a_wrong_file_is_not_remembered(hosts: Path) -> None:
    hosts.write_text(TEXT.replace("22", "no port"))
    for _ in range(2):
        with pytest.raises(BadInput):
            load_inventory(hosts)
    assert not (hosts.parent / "cache").exists()


def test_all_that_decides_what_a_file_means_is_looked_at(hosts: Path) -> None:
    """By a process of its own: in this one everything has been imported."""
    asked(hosts)
    sources, _ = json.loads(kept(hosts).read_bytes()[64:])
    code = (
        "import sys, gpu_runbook.laptop.inventory.parse\n"
        "print(*(getattr(one, '__file__', None) for one in sys.modules.values()))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {file for file in loaded if file.startswith(f"{PROJECT}/gpu_runbook/")}
    assert ours <= set(sources)
    assert {"text_file.py", "problems.py", "address.py", "placeholders.py"} <= {Path(file).name for file in ours}


@pytest.mark.parametrize("change", ["written", "replaced", "gone"])
def test_another_version_of_the_tool_reads_anew(hosts: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    module = ModuleType("gpu_runbook.rules")
    source = hosts.parent / "rules.py"
    source.write_text("LIMIT = 1\n")
    module.__file__ = str(source)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    load_inventory(hosts)
    mark = cache.fingerprint(hosts)
    assert cache.recall(hosts, mark) is not None
    before = source.stat()
    if change == "replaced":
        source.rename(source.with_suffix(".old"))
    if change != "gone":
        source.write_text("LIMIT = 2\n")
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        source.unlink()
    assert cache.recall(hosts, mark) is None


def test_the_same_file_for_another_home_reads_anew(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts.write_text("hosts: {gpu-1: {address: gpu-1.lan, key: ~/.ssh/key, root: /azaion}}\n")
    load_inventory(hosts)
    monkeypatch.setenv("HOME", str(hosts.parent / "other"))
    assert load_inventory(hosts).hosts["gpu-1"].key == hosts.parent / "other" / ".ssh" / "key"


@pytest.mark.parametrize("damage", [b"", b"short", b"[" * 100_000, None])
def test_a_damaged_memory_is_no_harm(hosts: Path, damage: bytes | None) -> None:
    before = load_inventory(hosts)
    kept(hosts).write_bytes(kept(hosts).read_bytes()[:-9] if damage is None else damage)
    assert load_inventory(hosts) == before
    assert cache.recall(hosts, cache.fingerprint(hosts)) == before


@pytest.mark.parametrize(
    "inventory",
    [
        None,
        {},
        "x",
        ["Inventory", {}],
        ["Host", {"name": 7}],
        ["Path", "/x"],
        ["os.system", {"command": "id"}],
        ["Inventory", {"path": [[], {}], "hosts": {}}],
    ],
)
def test_a_memory_of_another_shape_is_none(hosts: Path, inventory: object) -> None:
    load_inventory(hosts)
    mark = cache.fingerprint(hosts)
    for whole in ([{}, inventory], [inventory, {}], inventory):
        text = json.dumps(whole).encode()
        kept(hosts).write_bytes(cache._digest(mark, text) + text)
        assert cache.recall(hosts, mark) is None


def test_of_what_an_older_version_kept_nothing_is_run(hosts: Path) -> None:
    """It pickled, and whoever could write the file could have anything run."""
    before = load_inventory(hosts)
    canary = hosts.parent / "run"
    kept(hosts).write_bytes(pickle.dumps(Runs(str(canary))))
    assert load_inventory(hosts) == before
    assert not canary.exists()


class Runs:
    """What makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(self.path),)  # type: ignore[return-value]


def linked(file: Path) -> None:
    file.rename(file.with_suffix(".elsewhere"))
    file.symlink_to(file.with_suffix(".elsewhere"))


def of_a_group(file: Path) -> None:
    file.chmod(0o620)


def for_a_reader(file: Path) -> None:
    """Nobody writes to it, and whoever opens it for reading waits."""
    file.unlink()
    os.mkfifo(file, 0o600)


def folder_linked(file: Path) -> None:
    linked(file.parent)


def folder_of_all(file: Path) -> None:
    file.parent.chmod(0o777)


@pytest.mark.parametrize("changed", [linked, of_a_group, for_a_reader, folder_linked, folder_of_all])
def test_what_others_could_have_put_there_is_not_read(hosts: Path, changed: Callable[[Path], None]) -> None:
    before = load_inventory(hosts)
    mark = cache.fingerprint(hosts)
    changed(kept(hosts))
    assert cache.recall(hosts, mark) is None
    assert load_inventory(hosts) == before


def test_what_belongs_to_another_user_is_not_read(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_inventory(hosts)
    mark = cache.fingerprint(hosts)
    monkeypatch.setattr(os, "geteuid", lambda: hosts.stat().st_uid + 1)
    assert cache.recall(hosts, mark) is None


@pytest.mark.parametrize("changed", [folder_linked, folder_of_all])
def test_nothing_is_written_where_others_could_write_or_through_a_link(
    hosts: Path, changed: Callable[[Path], None]
) -> None:
    load_inventory(hosts)
    file = kept(hosts)
    changed(file)
    hosts.write_text(TEXT.replace("22", "23"))
    before = file.read_bytes()
    assert load_inventory(hosts).hosts["gpu-1"].port == 23
    assert (file.read_bytes(), list(file.parent.iterdir())) == (before, [file])


def test_a_link_in_its_place_is_replaced_and_not_written_through(hosts: Path) -> None:
    load_inventory(hosts)
    target = hosts.parent / "mine"
    target.write_text("mine")
    file = kept(hosts)
    file.unlink()
    file.symlink_to(target)
    load_inventory(hosts)
    assert (target.read_text(), file.is_symlink()) == ("mine", False)


def test_it_is_the_users_own(hosts: Path) -> None:
    load_inventory(hosts)
    assert kept(hosts).stat().st_mode & 0o777 == 0o600
    assert kept(hosts).parent.stat().st_mode & 0o777 == 0o700


def test_nowhere_to_remember_is_no_harm(hosts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    assert load_inventory(hosts) == load_inventory(hosts)


@pytest.mark.parametrize(("said", "kept"), [({}, True), ({"PYTHONDONTWRITEBYTECODE": "1"}, False)])
def test_what_was_compiled_is_kept_although_invoke_forbids_it(said: dict[str, str], kept: bool) -> None:
    code = "import sys; sys.dont_write_bytecode = True; import tasks; print(not sys.dont_write_bytecode)"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | said
    ran = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == str(kept), ran.stderr
