"""Every path that is read or written on a server, who may write there, and the functions that do: there is no other.

`python -m tests.unit.house.test_paths` prints the list as docs/security.md shows it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import gpu_runbook
from gpu_runbook.laptop.rpc.bundle import TRAVELS

FOLDER = Path(gpu_runbook.__file__).parent
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
        """checks.preflight.config checks.preflight._own facts.snapshot._present run.stage._stage_config
        run.stage._keep_present run.unstage.unstage_all run.swap.forward run.swap.put_config_back run.swap.close
        run.swap._link_back run.swap._is_there run.swap._sync models.choices.named models.apply._present
        models.apply.point verbs.model_use._try_to_write verbs.model_use._read run.leftovers._listed
        run.leftovers.remove""",
    ),
    Places(
        "`offset.file` of a consumer, and for a replay beside it the same three",
        "a container with a read-write mount of the folder; the login user",
        FOREIGN,
        """queue.offset._content checks.preflight._compared run.stage.stage
        run.unstage.unstage_all run.swap._copy
        run.swap.close run.rewind.stage run.replay.place run.replay.undo run.leftovers._listed
        run.leftovers.remove""",
    ),
    Places(
        "`env_file.path` of a service, and beside it `.<name>.new`",
        "`env_file.owner`; a container with a read-write mount of the folder; the login user",
        FOREIGN,
        """checks.env_file.check checks.env_file._read verbs.env._live verbs.env._stage verbs.env._give_up
        verbs.env._keep""",
    ),
    Places(
        "`env.server` of a host",
        "root, or the login user, alone: else it is refused",
        "by name, no link followed; read when it is known to be a regular file",
        "verbs.env_source.answer",
    ),
    Places(
        "`models.folder`, its directories, `models.file` in each and `<file>.sha256` beside it",
        "the training that writes them there; any container with a read-write mount; the login user",
        FOREIGN,
        """verbs.models.answer models.model_files.directories models.model_files._is_directory models.model_files.opened
        verbs.model_use._is_as_verified""",
    ),
    Places(
        "`models.current`, and beside it `.<name>.<run>`, `.<name>.<run>.before`, what was replaced there "
        "(`.<name>.<digits>.kept.<ending>`), and names and times of exported models",
        "the training that puts its model there; any container with a read-write mount; the login user",
        FOREIGN,
        """models.in_force.with_exports models.in_force.sweep models.in_force.set_aside models.in_force.keep
        models.in_force._copied models.in_force._whose models.in_force._may_be verbs.model_use._put""",
    ),
    Places(
        "`checkpoints` of a batch service: names and times of what is in it and in folders right below it; of each "
        "`last.pt`, there and one folder deeper, its structure",
        "the training that writes them there; any container with a read-write mount",
        FOREIGN,
        "checks.batch.newest checks.batch.saved checks.batch._within verbs.training_command._checkpoint",
    ),
    Places(
        "`log_files` of a service, and what they are once rotated, 50 at most; names, sizes and times beside them",
        "a container with a read-write mount of the folder",
        FOREIGN,
        "logs.files.LogFiles logs.files._opened",
    ),
    Places(
        "the directories of `tree:`, and those above one that is made: owner and mode of themselves, nothing in them",
        "a container with a read-write mount; the login user; root",
        FOREIGN,
        """checks.directories.lacks checks.directories.may_make checks.directories.check verbs.setup._apply
        verbs.setup._make""",
    ),
    Places(
        "the data's root itself",
        "a container with a read-write mount of it; the login user; root",
        FOREIGN,
        "checks.preflight.root",
    ),
    Places(
        "`schedule.textfile`, and beside it `.<name>.new`",
        "whoever may write to that folder; containers rarely",
        FOREIGN,
        "schedule.metrics.write",
    ),
    Places(
        "what is written, renamed, linked and removed in such a folder, relative to its open descriptor",
        "as above",
        "the opener itself",
        """exposed.guarded.folder exposed.guarded.inner exposed.guarded.inside exposed.guarded._regular
        exposed.guarded.stage
        exposed.guarded.place exposed.guarded.sync exposed.guarded.remove exposed.guarded.whose
        exposed.guarded.set_aside exposed.guarded._walk exposed.guarded._go exposed.beside.stage_blocks
        exposed.beside.stage_link exposed.beside.link_target exposed.beside.itself exposed.beside._forget
        exposed.beside.real exposed.beside.room
        system.files._folder system.files._new system.files._forget system.files.place system.files.remove""",
    ),
    Places(
        "whether this login may write to a folder, which is for the words of a row alone",
        "as above",
        "by name; nothing is read or changed",
        """checks.preflight.root checks.preflight.config verbs.setup._unfit checks.directories.may_make
        exposed.writable_folders.writable""",
    ),
    Places(
        "the state: record, journals, releases, kept copies, salt, lock, notes, the scheduled check; folders above it",
        "the login user (root with `sudo: true`) alone",
        OURS,
        """run.rollout._enter verbs.model_use._execute verbs.model_use._kept run.outcome.claim verbs.env._live
        verbs.env._keep system.files.make_folder system.files.room system.files.disk system.files.reserve
        system.files.give_up system.files.open_lock system.files.read run.follow.follow
        run.process._live verbs.history._lines state.journal.Journal
        state.journal.read state.journal.alive state.journal.runs state.lock._opened state.lock._is_in_place
        state.lock.holder system.files.held state.stopped._save models.choices.load models.apply.chosen
        models.apply.point models.apply._rewrite_kept state.jsonfile.load state.jsonfile.save
        queue.offset.position state.pause.admit verbs.pause.answer verbs.prune._live verbs.prune._remove
        verbs.prune._room state.record.load state.record.save run.recovery._conclude run.release._placed
        run.release._take_config_along run.release.keep_failed run.replay.place run.replay.undo
        schedule.repair._forget_old_runs schedule.repair._has_ended schedule.repair._is_own
        system.crontab._replace schedule.history.append schedule.history.read schedule.history._trim
        schedule.history._write_anew schedule.installation.forget schedule.installation.lay_down
        schedule.installation._write_program schedule.main._sweep schedule.main._alone
        verbs.schedule.remove.answer state.schedule_files._opened verbs.schedule.show.answer
        schedule.state.save schedule.state._read schedule.state._overwrite schedule.state._clear
        schedule.state.unwritable verbs.schedule.remove._remove_files system.files.write run.stage.stage
        run.stage._config_text run.stage._stage_config run.stage._keep_present run.unstage.unstage_all
        state.store.Store retention.candidates.find retention.candidates._half_written
        retention.candidates._size run.swap.put_config_back run.swap._link_back run.swap._copy run.swap._sync
        retention.after_run.tidy retention.after_run.sweep retention.after_run.stale
        retention.after_run._is_over retention.after_run._drop_folder checks.state.check checks.state.astray
        checks.state._unfit state.make.make state.make._fits state.make._locks verbs.state_move._make_way
        verbs.state_move._prepare verbs.state_move._take_back verbs.state_move._write migration.copy._copied
        migration.copy._copy_file verbs.state_move.forget migration.finish.finish state.store.find_store
        run.unfinished.note""",
    ),
    Places(
        "`.deploy` below the root, where version 0.1.0 kept the state, until it has moved",
        "a container with a read-write mount of the root; the login user",
        "by name, no link followed; moved from one descriptor to the next",
        """verbs.state_move._live verbs.state_move._readable state.schedule_files._opened migration.copy.copied
        migration.copy._copied migration.copy._copy_file migration.copy._opened verbs.state_move._commit
        migration.finish.leave_word migration.finish.finish state.store._are_folders state.store.is_old
        state.store._is_whole state.store.identity""",
    ),
    Places(
        "`~/.docker/config.json` and the contexts beside it",
        "the login user",
        OURS,
        "docker.engine._context verbs.setup._known",
    ),
    Places(
        "`/proc`: processes, their cgroups, command lines, folders and open files, the mounts",
        "the kernel; a process chooses its own name, command line and files",
        SYSTEM,
        """system.processes.named system.processes.of_containers system.processes.text system.processes.words
        checks.batch_processes.find checks.batch_processes._works_in exposed.reach.read_mounts
        models.model_files.open_for_writing state.make.file_system system.crontab.is_running exposed.guarded._admit""",
    ),
    Places(
        "`~/.config/systemd/user/gpu-runbook-*`, as root `/etc/systemd/system/gpu-runbook-*`, on a server without cron",
        "the login user",
        OURS,
        "system.timer._there system.timer._is_at_work system.timer._put system.timer._take_away system.timer.of "
        "system.timer.is_possible",
    ),
    Places(
        "`stream.tls.ca`, or the certificates that the system trusts; never a file below a read-write mount",
        "root, or whose file it is",
        SYSTEM,
        "queue.tls.secured schedule.notify.mail._connected schedule.notify.mail.send",
    ),
    Places(
        "`/etc/docker/certs.d/<registry>/*.crt`: the authorities that docker is given for a registry",
        "root",
        SYSTEM,
        "docker.registry_http._authorities docker.registry_http._context",
    ),
    Places(
        "docker's own folder, as the engine names it: how full its disk is, and nothing in it",
        "root",
        SYSTEM,
        "docker.disk.trouble",
    ),
    Places(
        "`/etc`, `/usr`, `/run/systemd`, `/var/lib/systemd/linger`, docker's and containerd's socket, docker's "
        "command, `/dev`, links over the state, `/`",
        "root",
        SYSTEM,
        """rpc.detach._leave checks.docker_command._not_there checks.docker_gpus.Ability checks.docker_gpus._specs
        checks.docker_gpus.specified checks.preflight.sessions checks.preflight._kills_user_processes
        docker.containers.stopped_by_engine rpc.server._take_channel state.store.machine exposed.reach._is_disk
        exposed.reach._shows exposed.reach.directories exposed.reach.of_containers docker.disk._containerd_root
        docker.disk._is_beside""",
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
    return call in ("open", "model_files.opened", "ssl.create_default_context") or (
        first in (*WHOLE, "files", "guarded") and call not in HARMLESS
    )


def modules() -> Iterator[tuple[str, str]]:
    """Name and source of each module that may run on a server; those of its own half are named from there on."""
    for file in sorted(file for part in TRAVELS for file in (FOLDER / part).rglob("*.py")):
        yield ".".join(file.relative_to(FOLDER).with_suffix("").parts).removeprefix("server."), file.read_text()


@functools.cache
def touched() -> list[tuple[str, str, str]]:
    """(module, function, call) of all that may run on a server."""
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
            assert call.startswith(("guarded.", "model_files.")) or call in held, f"{name} calls {call}"


@pytest.mark.parametrize("module", ["checks.batch", "models.model_files", "verbs.setup"])
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
