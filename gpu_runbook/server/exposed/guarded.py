"""Files that containers can reach: opened from folder to folder, through no link that a container could have made.

A container exchanges any name below its mounts at any moment for a link, a pipe, a device, a folder or a file without
end. So nothing is opened before it is known to be a regular file, nothing is waited for or read beyond a bound, and all
that is said of a file is asked of the one descriptor that it is read from. A hard link gains nobody anything: what is
read goes back only with that file's own owner and mode, and nothing is ever written into a file that is there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import IO, FrozenSet, Iterator, List, Optional, Set, Tuple

from gpu_runbook.common import memory
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.server.exposed import writable_folders
from gpu_runbook.server.system import files

LIMIT = 1 << 20  # bytes of a file, where nobody says otherwise
LINKS = 40  # in one path, as the kernel has it
HINT = "name in hosts.yaml what it leads to, or mount that in its place (mount --bind)"

_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a lease of somebody else's is not waited for either


class Unfit(OSError):
    """A file is not what it should be; says so in words, `strerror` too."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EINVAL, message)

    def __str__(self) -> str:
        return str(self.strerror)


class Outside(Unfit):
    """A link leads out of the folder that it may not lead out of."""


Identity = Tuple[int, int, int]  # mode, uid and gid
Folders = List[Tuple[str, os.stat_result]]  # with their paths without links

_settled: Tuple[str, str, FrozenSet[str]] = ("", "", frozenset())  # as `prepare` was told
_admitted: Set[Tuple[int, ...]] = set()  # links that were followed before: nobody has touched them since


def prepare(root: str, docker_host: str = "", ours: FrozenSet[str] = frozenset()) -> None:
    """Before a process reads its first foreign file: its memory is bound, and it is noted whom to ask of containers.

    `root`: of the data. `ours`: containers, if any, one of which the engine has to know, where only its usual address
    is known: another engine's list would prove nothing.
    """
    global _settled
    _settled = root, docker_host, ours
    memory.bound()


@contextlib.contextmanager
def held(path: str) -> Iterator[int]:
    """An O_PATH descriptor of what is there, whatever that is. Raises OSError."""
    at, _ = _walk(path)
    try:
        yield at
    finally:
        os.close(at)


@contextlib.contextmanager
def folder(path: str) -> Iterator[int]:
    """A descriptor of a folder, to list it and to name files in it. Raises OSError."""
    with held(path) as at:
        handle = os.open(".", _READ | os.O_DIRECTORY, dir_fd=at)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def inner(at: int, name: str) -> Iterator[int]:
    """The same of a folder that is in an open one, and no link. Raises OSError."""
    handle = os.open(name, _READ | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def opened(path: str, rest: str = "") -> Iterator[IO[bytes]]:
    """A regular file. `rest` is that of its path in which any link may be, as long as it stays below `path`.

    Raises OSError: Outside for a link that leads elsewhere, Unfit for any other that may not be followed.
    """
    at, _ = _walk(path, rest)
    with _regular(at) as file:
        yield file


@contextlib.contextmanager
def inside(folder: int, name: str) -> Iterator[IO[bytes]]:
    """A regular file that is in an open folder, and no link. Raises OSError."""
    with _regular(os.open(name, _HOLD, dir_fd=folder)) as file:
        yield file


@contextlib.contextmanager
def _regular(at: int) -> Iterator[IO[bytes]]:
    """The file of an O_PATH descriptor, which is closed. Raises OSError for what is none."""
    try:
        mode = os.fstat(at).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise Unfit("it is not a file")  # and is not opened: to open a device may do something
        handle = os.open(f"/proc/self/fd/{at}", _READ)
    finally:
        os.close(at)
    with os.fdopen(handle, "rb") as file:
        yield file


def content(file: IO[bytes], limit: int = LIMIT) -> bytes:
    """All that is in an open file. Raises Unfit when that is more than `limit` bytes."""
    try:
        data = file.read(limit + 1)
    except MemoryError:
        raise Unfit("there is no memory to read it") from None
    if len(data) > limit:
        raise Unfit(f"it is longer than {limit >> 10} KiB")
    return data


def read(path: str, limit: int = LIMIT) -> Optional[Tuple[bytes, os.stat_result]]:
    """What is in a regular file, and whose it is; None when there is none. Raises OSError."""
    try:
        with opened(path) as file:
            state = os.fstat(file.fileno())
            return content(file, limit), state
    except FileNotFoundError:
        return None


def found(path: str, rest: str = "") -> os.stat_result:
    """What is there, `rest` as in `opened`. Raises OSError."""
    at, _ = _walk(path, rest)
    try:
        return os.fstat(at)
    finally:
        os.close(at)


def leads(path: str) -> str:
    """Where the links of a path lead, to stand behind it in a sentence; empty without links."""
    with contextlib.suppress(OSError):
        at, real = _walk(path)
        os.close(at)
        return "" if real == os.path.normpath(path) else f" (which leads to {real})"
    return ""


def hint(said: object, otherwise: str = "let the login user own it") -> str:
    """What to do about a file that cannot be read; the words about a link have it in them."""
    return "" if HINT in str(said) else otherwise


def stage(path: str, data: bytes, mode: int, owner: Optional[Tuple[int, int]], suffix: str) -> str:
    """As `files.stage`."""
    return files.stage(path, data, mode, owner, suffix, folder)


def place(staged: str, path: str) -> None:
    """As `files.place`; a folder that somebody has put there goes out of the way: no consumer stays down for it."""
    try:
        files.place(staged, path, folder)
    except IsADirectoryError:
        with folder(os.path.dirname(path)) as at:
            name = os.path.basename(path)
            os.rename(name, f"{name}.{os.urandom(8).hex()}", src_dir_fd=at, dst_dir_fd=at)
        files.place(staged, path, folder)


def write(path: str, data: bytes, mode: int, owner: Tuple[int, int], suffix: str) -> None:
    """Stage, place and sync in one go, under another name where that of `suffix` is blocked."""
    try:
        staged = stage(path, data, mode, owner, suffix)
    except Refusal as refusal:
        if not isinstance(refusal.__cause__, FileExistsError):
            raise
        staged = stage(path, data, mode, owner, os.urandom(8).hex())
    try:
        place(staged, path)
        sync(path)
    except OSError as error:
        raise files.refusal(path, "replaced", error) from error


def sync(path: str) -> None:
    """Let the name of a file outlast a power cut."""
    files.sync_folder(os.path.dirname(path), folder)


def remove(path: str) -> bool:
    """As `files.remove`; a folder of that name is nothing of ours, and stays."""
    try:
        return files.remove(path, folder)
    except Refusal as refusal:
        if not isinstance(refusal.__cause__, IsADirectoryError):
            raise
        return False


def whose(path: str) -> Identity:
    """Mode and owner of a regular file; where there is none, 0644 and the owner of its folder."""
    with folder(os.path.dirname(path)) as at:
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(os.path.basename(path), dir_fd=at, follow_symlinks=False)
            if stat.S_ISREG(there.st_mode):
                return identity(there)
        return 0o644, os.fstat(at).st_uid, os.fstat(at).st_gid


def aside(staged: str) -> str:
    """Where what a staged file is to replace stands as well, until a run is over."""
    return f"{staged}.before"


def set_aside(file: IO[bytes], aside: str) -> None:
    """Give an open file a second name beside its own, where that can be.

    By that name it comes back without taking up room, after its own was given to another file.
    """
    with contextlib.suppress(OSError), folder(os.path.dirname(aside)) as at:
        name = os.path.basename(aside)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=at)
        os.link(f"/proc/self/fd/{file.fileno()}", name, dst_dir_fd=at)


def bring_back(aside: str, path: str, data: bytes, whose: Optional[Identity] = None) -> bool:
    """Whether the file that was set aside is still as it was, and back in its place."""
    try:
        there = read(aside)
        if there is None or there[0] != data or whose not in (None, identity(there[1])):
            return False
        place(aside, path)
        sync(path)
    except OSError:
        return False
    return True


def identity(state: os.stat_result) -> Identity:
    return stat.S_IMODE(state.st_mode), state.st_uid, state.st_gid


def _walk(path: str, rest: str = "") -> Tuple[int, str]:
    """An O_PATH descriptor of what an absolute path leads to, for the caller to close, and the path without links.

    After each link it goes from the root again: no folder is ever left upwards, whatever is done to it meanwhile.
    """
    base = ""
    if rest:
        at, base = _walk(path)
        os.close(at)
    whole = os.path.normpath(os.path.join(base or path, rest))
    for _ in range(LINKS):
        at, real, left, above = _go(whole)
        link = os.fstat(at)
        if not stat.S_ISLNK(link.st_mode):
            return at, real
        target = os.readlink("", dir_fd=at)
        os.close(at)
        led = os.path.normpath(os.path.join(os.path.dirname(real), target))
        if not (base and real.startswith(f"{base}/")):
            _admit(real, target, link, above)
        elif target.startswith(f"{path}/"):
            led = base + led[len(path) :]
        elif not led.startswith(f"{base}/"):
            raise Outside(f"it is a link that leads out of {path}")
        whole = os.path.join(led, left)
    raise Unfit("its links lead in a circle")


def _go(path: str) -> Tuple[int, str, str, Folders]:
    """Along a path to its end or its first link: that, its own path, what is left to go, and the folders above it."""
    at, real, names = os.open("/", _HOLD), "/", [name for name in path.split("/")[::-1] if name]
    above: Folders = []
    try:
        state = os.fstat(at)
        while names and not stat.S_ISLNK(state.st_mode):
            above.append((real, state))
            real = os.path.join(real, names[-1])
            below = os.open(names.pop(), _HOLD, dir_fd=at)
            os.close(at)
            at, state = below, os.fstat(below)
    except OSError:
        os.close(at)
        raise
    return at, real, "/".join(names[::-1]), above


def _admit(real: str, target: str, link: os.stat_result, above: Folders) -> None:
    """Raise Unfit for a link that somebody but root and the login could have made."""
    place = above[-1][1]
    known = (link.st_dev, link.st_ino, link.st_ctime_ns, place.st_dev, place.st_ino)
    if known in _admitted:
        return
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        table = file.read()
    folders = [(path, one.st_uid, one.st_mode) for path, one in above]
    who = writable_folders.maker(folders, link.st_uid, os.geteuid(), _mounts(), table)
    if who:
        raise Unfit(f"{real} is a link to {target!r:.200}, which {who} could have made: {HINT}")
    _admitted.add(known)


def _mounts() -> List[writable_folders.WritableFolder]:
    """What containers can write to, as the engine lists it now; all of the root where it does not say."""
    from gpu_runbook.server.docker import engine  # for this alone, which is rare

    root, docker_host, ours = _settled
    try:
        listed = engine.find(docker_host).containers()
    except Refusal:
        listed = None
    if listed is None or (ours and ours.isdisjoint(entry.id for entry in listed)):
        return [writable_folders.WritableFolder(root, "a container (the docker engine does not say)")] if root else []
    return list(writable_folders.writable(listed))
