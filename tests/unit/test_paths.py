"""Every path that is read or written on a server, who may write there, and the functions that do: there is no other.

`python -m tests.unit.test_paths` prints the list as docs/security.md shows it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import remote

FOLDER = Path(remote.__file__).parent
OS = (
    *(
        "open",
        "stat",
        "lstat",
        "link",
        "symlink",
        "rename",
        "replace",
        "unlink",
        "remove",
        "rmdir",
        "mkdir",
        "makedirs",
    ),
    *("chmod", "chown", "lchown", "listdir", "scandir", "walk", "readlink", "access", "truncate", "utime", "mkfifo"),
    *("mknod", "statvfs", "chdir", "removedirs", "renames", "fwalk", "chroot", "execv", "execve", "execvp"),
)
OS_PATH = ("exists", "lexists", "isdir", "isfile", "islink", "ismount", "realpath", "getsize", "getmtime", "samefile")
WHOLE = ("shutil", "glob", "tempfile", "pathlib", "fileinput")  # modules all of whose functions touch files
HARMLESS = {
    "files.staged_name",
    "files.why",
    "files.refusal",
    "guarded.prepare",
    "guarded.hint",
    "guarded.aside",
    "guarded.identity",
    "guarded.Unfit",
}
FOREIGN, OURS, SYSTEM = "through the opener", "by name", "by name, of the system"


@dataclass(frozen=True)
class Places:
    """Paths of one kind. `how` is how they are opened; `functions` are those that do it, as module.function."""

    paths: str
    writers: str
    how: str
    functions: str


PLACES = (
    Places(
        "`config.path` of a consumer, and beside it `.<name>.<run>`, `.<name>.<run>.before` and `.<name>.back`",
        "a container with a read-write mount of the folder; `config.owner`; the login user",
        FOREIGN,
        """ground.config ground._own view._present stage._stage_config stage._keep_present unstage.unstage_all
        swap.forward
        swap.put_config_back swap.close swap._link_back swap._is_there swap._sync modelchoice.named
        modelkey._present modelkey.point choose._try_to_write choose._read leftovers._listed
        leftovers.remove""",
    ),
    Places(
        "`offset.file` of a consumer, and for a replay beside it the same three",
        "a container with a read-write mount of the folder; the login user",
        FOREIGN,
        """offset._content ground.offset stage.stage unstage.unstage_all swap._copy swap.close rewind.stage replay.place
        replay.undo leftovers._listed leftovers.remove""",
    ),
    Places(
        "`env_file.path` of a service, and beside it `.<name>.new`",
        "`env_file.owner`; a container with a read-write mount of the folder; the login user",
        FOREIGN,
        "envfile.check envfile._read env._live env._stage env._give_up env._keep",
    ),
    Places(
        "`models.folder`, its directories, `models.file` in each and `<file>.sha256` beside it",
        "the training that writes them there; any container with a read-write mount; the login user",
        FOREIGN,
        """models.answer modelfile.directories modelfile._is_directory modelfile.opened choose._is_as_verified""",
    ),
    Places(
        "`checkpoints` of a batch service: names and times of what is in it and in folders right below it",
        "the training that writes them there; any container with a read-write mount",
        FOREIGN,
        "batch.newest batch._files",
    ),
    Places(
        "the directories of `tree:`, and those above one that is made: owner and mode of themselves, nothing in them",
        "a container with a read-write mount; the login user; root",
        FOREIGN,
        "tree.lacks tree.may_make tree.check setup._apply setup._make",
    ),
    Places(
        "the data's root itself",
        "a container with a read-write mount of it; the login user; root",
        FOREIGN,
        "ground.root",
    ),
    Places(
        "`schedule.textfile`, and beside it `.<name>.new`",
        "whoever may write to that folder; containers rarely",
        FOREIGN,
        "scheduled.metrics.write",
    ),
    Places(
        "what is written, renamed, linked and removed in such a folder, relative to its open descriptor",
        "as above",
        "the opener itself",
        """guarded.folder guarded.inner guarded.opened guarded.stage guarded.place guarded.sync guarded.remove
        guarded.whose guarded.set_aside guarded._walk guarded._go files._folder files._new files._forget
        files.place files.remove""",
    ),
    Places(
        "whether this login may write to a folder, which is for the words of a row alone",
        "as above",
        "by name; nothing is read or changed",
        "ground.root ground.config setup._unfit tree.may_make link_makers.writable",
    ),
    Places(
        "the state: record, journals, releases, kept copies, salt, lock, notes, the scheduled check; folders above it",
        "the login user (root with `sudo: true`) alone",
        OURS,
        """carry._enter choose._carry_out choose._kept ends.claim env._live env._keep files.make_folder files.room
        files.disk files.reserve files.give_up files.read follow.follow history._lines journal.Journal
        journal.read journal.alive journal.runs lock._opened lock._is_in_place lock.holder meant._save modelchoice.load
        modelchoice.save modelkey.chosen modelkey.point modelkey._rewrite_kept notes.load notes.save
        offset.position pause.admit pausing.answer prune._live prune._remove prune._room
        record.load record.save recover._conclude release._placed release._take_config_along release.keep_failed
        replay.place replay.undo scheduled.act._forget_old_runs scheduled.act._last_event
        scheduled.act._is_own scheduled.crontab.write scheduled.history.append scheduled.history.read
        scheduled.history._trim scheduled.history._write_anew scheduled.installation.forget
        scheduled.installation.lay_down scheduled.installation._write_program scheduled.main._sweep
        scheduled.main._alone scheduled.remove.answer
        scheduled.remove._await_round scheduled.show.answer scheduled.state.save scheduled.state._read
        scheduled.state._overwrite scheduled.state._clear scheduled.state.unwritable scheduled.remove._remove_files
        files.write stage.stage stage._config_text stage._stage_config
        stage._keep_present unstage.unstage_all store.Store surplus.find surplus._half_written surplus._size
        swap.put_config_back swap._link_back swap._copy swap._sync tidy.tidy tidy.sweep tidy.stale tidy._is_over
        tidy._drop_folder checks.state.check checks.state.astray checks.state._unfit state_make.make state_make._fits
        state_make._locks state_move._make_way state_move._prepare state_move._take_back state_move._write
        state_move._copied state_move._copy_file state_move.forget state_moved.finish store.find_store
        unfinished.note""",
    ),
    Places(
        "`.deploy` below the root, where version 0.1.0 kept the state, until it has moved",
        "a container with a read-write mount of the root; the login user",
        "by name, no link followed; moved from one descriptor to the next",
        """state_move._live state_move._readable state_move._await_round state_move.copied state_move._copied
        state_move._copy_file state_move._opened state_move._commit state_moved.leave_word state_moved.finish
        store._are_folders store.is_old store._is_whole store.identity""",
    ),
    Places(
        "`~/.docker/config.json` and the contexts beside it",
        "the login user",
        OURS,
        "engine._context setup._known",
    ),
    Places(
        "`/proc`: processes, their cgroups and open files, the mounts",
        "the kernel; a process chooses its own name and files",
        SYSTEM,
        """processes.named processes.text modelfile.open_for_writing reach.read_mounts state_make.file_system
        scheduled.crontab.is_running guarded._admit""",
    ),
    Places(
        "docker's own folder, as the engine names it: how full its disk is, and nothing in it",
        "root",
        SYSTEM,
        "docker_disk.trouble",
    ),
    Places(
        "`/etc`, `/usr`, `/run/systemd`, `/var/lib/systemd/linger`, docker's socket, `/dev`, links over the state, `/`",
        "root",
        SYSTEM,
        """detach._leave gpu_support._ways ground.sessions ground._kills_user_processes
        occupants.felled wire._take_channel store.machine reach._is_disk reach._shows reach.directories
        reach.of_containers""",
    ),
)


def touching(text: str) -> Iterator[tuple[str, str]]:
    """(function, call) for each call in a module's source that touches a path, of the system, of ours or foreign."""
    for outer in ast.parse(text).body:
        for node in ast.walk(outer):
            if isinstance(node, ast.Call) and _touches(ast.unparse(node.func)):
                yield getattr(outer, "name", "-"), ast.unparse(node.func)


def _touches(call: str) -> bool:
    first, _, rest = call.partition(".")
    if first == "os":
        return rest in OS or (rest.startswith("path.") and rest[len("path.") :] in OS_PATH)
    return call in ("open", "modelfile.opened") or (first in (*WHOLE, "files", "guarded") and call not in HARMLESS)


def modules() -> Iterator[tuple[str, str]]:
    """Name and source of each module of the server's half."""
    for file in sorted(FOLDER.rglob("*.py")):
        yield ".".join(file.relative_to(FOLDER).with_suffix("").parts), file.read_text()


@functools.cache
def touched() -> list[tuple[str, str, str]]:
    """(module, function, call) of the whole server's half."""
    return [(module, function, call) for module, text in modules() for function, call in touching(text)]


def test_no_function_touches_a_path_that_is_not_on_the_list_and_none_is_listed_in_vain() -> None:
    seen = {f"{module}.{function}" for module, function, _ in touched()}
    listed = {function for places in PLACES for function in places.functions.split()}
    assert sorted(seen - listed) == []
    assert sorted(listed - seen) == []


def test_what_containers_can_reach_is_opened_by_the_opener_alone() -> None:
    """A function that reads or writes foreign paths calls nothing by name, unless listed with another kind too."""
    others = {function for places in PLACES if places.how != FOREIGN for function in places.functions.split()}
    foreign = {function for places in PLACES if places.how == FOREIGN for function in places.functions.split()}
    held = ("os.listdir", "os.scandir", "os.mkdir", "os.chmod", "os.chown")  # given a descriptor, below
    for module, function, call in touched():
        name = f"{module}.{function}"
        if name in foreign - others:
            assert call.startswith(("guarded.", "modelfile.")) or call in held, f"{name} calls {call}"


@pytest.mark.parametrize("module", ["batch", "modelfile", "setup"])
def test_what_is_listed_or_changed_of_foreign_folders_is_a_descriptor(module: str) -> None:
    text = dict(modules())[module]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.scandir", "os.chmod", "os.chown"):
            assert ast.unparse(node.args[0]) in ("at", "below", "held"), ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.mkdir":
            assert "dir_fd" in [keyword.arg for keyword in node.keywords]


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("def f():\n    with open(path) as file: pass", "open"),
        ("def f():\n    return os.stat(path)", "os.stat"),
        ("def f():\n    return [os.path.exists(path) for path in x]", "os.path.exists"),
        ("def f():\n    shutil.rmtree(path)", "shutil.rmtree"),
        ("def f():\n    files.read(path)", "files.read"),
        ("def f():\n    guarded.read(path)", "guarded.read"),
        ("def f():\n    os.path.join(path); file.open(); guarded.hint(x)", ""),
    ],
)
def test_the_scan_sees_every_way_to_touch_a_path(source: str, call: str) -> None:
    assert [found for _, found in touching(source)] == ([call] if call else [])


def table() -> str:
    """The list for people."""
    lines = ["| path on the server | who may write there | how it is opened |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {places.paths} | {places.writers} | {places.how} |" for places in PLACES)])


def test_the_page_about_security_shows_the_list() -> None:
    assert table() in (FOLDER.parent / "docs/security.md").read_text()


if __name__ == "__main__":
    print(table())
