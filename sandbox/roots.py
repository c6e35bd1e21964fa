"""The private root of a machine: directories of its own around the real machine's /usr."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.place import LOGIN_USER, Machine

LOGIN_UID = 1000
SHARED_GID = 2000  # of the group that the login user and the containers are in
DIRECTORIES = (
    *("dev", "etc", "home", "opt", "proc", "root", "run", "sys", "tmp", "usr"),
    *("var/lib", "var/log", "var/cache", "var/tmp"),
)
# What programs under /usr expect to find in /etc, where their base has it.
BORROWED = (
    *("alternatives", "ca-certificates", "debian_version", "erlang", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("localtime", "os-release", "profile", "protocols", "python3", "resolv.conf", "services", "ssl"),
)


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    home: str
    shell: str = "/usr/sbin/nologin"


ROOT = User("root", 0, "/root", "/bin/bash")
LOGIN = User(LOGIN_USER, LOGIN_UID, f"/home/{LOGIN_USER}", "/bin/bash")
SSHD = User("sshd", 105, "/run/sshd")
RABBITMQ = User("rabbitmq", 106, "/var/lib/rabbitmq")
REGISTRY = User("registry", 107, "/var/lib/registry")

SERVER_USERS = (ROOT, SSHD, LOGIN)
SERVICE_USERS = (ROOT, RABBITMQ, REGISTRY)
Groups = Mapping[str, tuple[int, str]]  # by name: the number, the members
# Docker's number is one that no real machine's crontab has: those are counted up from 100, or down from 999.
GROUPS: Groups = {
    "docker": (500, LOGIN_USER),
    "azaion": (SHARED_GID, LOGIN_USER),
    "tty": (5, ""),
    "nogroup": (65534, ""),
}


def build(machine: Machine, users: tuple[User, ...], groups: Groups = GROUPS) -> None:
    """Lay out a machine's root; building it again changes nothing that its programs have written."""
    root = machine.root
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in ("tmp", "var/tmp"):
        (root / name).chmod(0o1777)
    for name in ("bin", "sbin"):
        (machine.local / name).mkdir(parents=True, exist_ok=True)
    for link in filter(_leads_to_usr, machine.base.iterdir()):
        _link(root / link.name, link.readlink())
    _link(root / "var/run", Path("/run"))
    for name in BORROWED:
        _borrow(machine.base / "etc" / name, root / "etc" / name)
    _write_names(machine, users, groups)
    for user in users:
        give_directory(root / user.home.lstrip("/"), user.uid)


def give_directory(path: Path, uid: int, mode: int = 0o755, gid: int | None = None) -> None:
    path.mkdir(parents=True, exist_ok=True)
    os.chown(path, uid, uid if gid is None else gid)
    path.chmod(mode)


def give_file(path: Path, content: str | bytes, uid: int = 0, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    os.chown(path, uid, uid)
    path.chmod(mode)


def _write_names(machine: Machine, users: tuple[User, ...], groups: Groups) -> None:
    etc = machine.root / "etc"
    passwd = [f"{user.name}:x:{user.uid}:{user.uid}::{user.home}:{user.shell}" for user in users]
    # A star is "no password will do", and not "locked": sshd lets a key in.
    shadow = [f"{user.name}:*:20000:0:99999:7:::" for user in users]
    group = [f"{user.name}:x:{user.uid}:" for user in users]
    group += [f"{name}:x:{gid}:{members}" for name, (gid, members) in groups.items()]
    give_file(etc / "passwd", "\n".join(passwd) + "\n")
    give_file(etc / "shadow", "\n".join(shadow) + "\n", mode=0o600)
    give_file(etc / "group", "\n".join(group) + "\n")
    give_file(etc / "nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n")
    give_file(etc / "hostname", f"{machine.hostname}\n")
    give_file(etc / "machine-id", f"{machine.machine_id}\n", mode=0o444)
    give_file(etc / "hosts", f"127.0.0.1 localhost {machine.hostname}\n::1 localhost\n")


def _leads_to_usr(entry: Path) -> bool:
    return entry.is_symlink() and entry.readlink().parts[0] == "usr"


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target)


def _borrow(source: Path, target: Path) -> None:
    def there(folder: str, names: list[str]) -> set[str]:
        """Links are not written over."""
        return {name for name in names if (target / Path(folder).relative_to(source) / name).is_symlink()}

    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=there, ignore_dangling_symlinks=True, dirs_exist_ok=True)
    elif source.exists() and not os.path.lexists(target):
        # resolv.conf and localtime are links into places that the machine does not have.
        shutil.copy2(source, target)
