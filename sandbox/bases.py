"""Bases: roots of other Debians, whose programs a sandbox's machines run instead of this machine's own.

One that has a name is made by mmdebstrap when it is first asked for, and kept in a cache folder of the user.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gpu_runbook.laptop.errors import BadInput, Refused
from sandbox.machine import as_root, can_be_root
from sandbox.packages import APT_WAITS, PROGRAMS
from sandbox.place import OWN
from sandbox.say import Say

SERVER = (
    *("docker.io", "containerd", "runc", "iptables", "openssh-server", "python3", "cron"),
    *("procps", "iproute2", "e2fsprogs"),
)
SERVICES = ("rabbitmq-server", "docker-registry")
NEEDED = ("dockerd", "docker", "sshd", "python3", "ps", "cron")  # what a server cannot do without
FOLDERS = ("usr/sbin", "usr/bin")
DEFAULT_MIRROR = "http://deb.debian.org/debian"
LONGEST = 1800  # seconds that making one may take
# Of what this machine's apt is told about fetching: the way to the mirror, and what it may say of its age.
PASSED_ON = ("http::", "https::", "retries", "forceipv4", "forceipv6", "check-valid-until", "check-date")
LEFT_OUT = ("man", "doc", "locale", "info")
NO_SERVICE = 'printf "#!/bin/sh\\nexit 101\\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"'
# A Debian of before 2023 would keep /bin apart from /usr/bin, if nothing else was there when its packages came.
MERGED = 'for name in bin sbin lib lib64; do mkdir -p "$1/usr/$name"; ln -s "usr/$name" "$1/$name"; done'
INSTALL = "apt-get install mmdebstrap debian-archive-keyring"


@dataclass(frozen=True)
class Suite:
    """A Debian that can be made. `apart`: it would keep /bin apart from /usr/bin, if nobody said otherwise."""

    packages: tuple[str, ...]
    megabytes: int
    apart: bool = False


# Bullseye's broker has no streams: what a base lacks of the services is this machine's own.
SUITES = {
    "bullseye": Suite(SERVER, 420, apart=True),
    "trixie": Suite((*SERVER, "docker-cli", *SERVICES), 500),
    "sid": Suite((*SERVER, "docker-cli", *SERVICES), 650),
}


def resolved(word: str, say: Say) -> Path:
    """The root that `--base` means: a name of `SUITES`, which is made if it is not there yet, or a folder.

    Raises BadInput for what is no base, Refused where one cannot be made.
    """
    if word in SUITES:
        path = folder() / word
        if not path.exists():
            _make(word, path, say)
    else:
        path = Path(word).expanduser().absolute()
        if not word or ("/" not in word and not path.is_dir()):
            raise BadInput(f"there is no base {word!r}", f"known: {', '.join(SUITES)}; or a folder with a Debian in it")
    check(path)
    return path


def check(base: Path) -> None:
    """Raises BadInput for a folder of whose programs no server can be made."""
    if base == OWN:
        return
    if not base.is_dir():
        raise BadInput(f"--base {base} is no folder", f"known by name: {', '.join(SUITES)}")
    if not (base / "usr/bin").is_dir() or not (base / "etc/os-release").exists():
        raise BadInput(f"--base {base} holds no Debian: it has no usr/bin or no etc/os-release", "mmdebstrap makes one")
    if not (base / "bin").is_symlink():
        raise BadInput(f"--base {base} keeps /bin apart from /usr/bin", "install usrmerge in it, which merges them")
    if lacking := [name for name in NEEDED if not has(base, name)]:
        wanted = [program.packages[0] for program in PROGRAMS if program.binary in lacking]
        hint = f"rm -r {base}: it is made anew" if base.parent == folder() else f"install {', '.join(wanted)} in it"
        raise BadInput(f"--base {base} lacks {', '.join(lacking)}: no server can be made of it", hint)


def has(base: Path, program: str) -> bool:
    """A link may lead to where only the base's own root has something."""
    return any(os.path.lexists(base / place / program) for place in FOLDERS)


def folder() -> Path:
    """Where those with a name are kept, for the user who runs this."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpu-runbook/bases"


def _make(name: str, path: Path, say: Say) -> None:
    """Make one beside its place, and move it there when it is whole. Raises Refused."""
    if shutil.which("mmdebstrap") is None:
        raise Refused(f"the base {name} is made by mmdebstrap, which this machine lacks", INSTALL)
    if not can_be_root():
        raise Refused("a base is made by root, and `sudo -n` does not make you root", "make test-unit needs nothing")
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    draft, log = path.with_name(f".{name}.{os.getpid()}"), path.with_suffix(".log")
    say(f"making the base {name} in {path.parent}: about {SUITES[name].megabytes} MB, a minute or three; it is kept")
    try:
        _run(name, draft, log)
        if path.exists():  # somebody else has made it meanwhile
            return
        draft.rename(path)
        log.unlink()
    finally:
        subprocess.run(as_root(["rm", "-rf", "--one-file-system", str(draft)]), check=True)


def _run(name: str, target: Path, log: Path) -> None:
    with log.open("w") as heard:
        try:
            ended = subprocess.run(
                as_root(_command(name, target)),
                stdin=subprocess.DEVNULL,
                stdout=heard,
                stderr=heard,
                timeout=LONGEST,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise Refused(f"mmdebstrap has not made {name} within {LONGEST // 60} minutes", f"see {log}") from None
    if ended:
        errors = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("E: ")]
        said = errors[0] if errors else f"it ended with exit status {ended}"
        raise Refused(f"mmdebstrap could not make {name}: {said}", f"all that it said is in {log}")


def _command(name: str, target: Path) -> list[str]:
    suite = SUITES[name]
    words = ["mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(suite.packages)}"]
    words += [f"--setup-hook={MERGED}"] if suite.apart else []
    words += ['--aptopt=APT::Install-Recommends "false"', *(f"--aptopt={line}" for line in _options())]
    words += [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in LEFT_OUT]
    return [*words, f"--essential-hook={NO_SERVICE}", name, str(target), f"deb {_mirror()} {name} main"]


def _mirror() -> str:
    """Where this machine's own apt has Debian from; where it has another system, Debian's own address."""
    form = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    listed = _asked(["apt-get", *APT_WAITS, "indextargets", "--format", form, "Created-By: Packages"])
    of_debian = (line.rpartition("|") for line in listed)
    return next((address for kind, _, address in of_debian if kind == "Debian|Debian|main"), DEFAULT_MIRROR)


def _options() -> list[str]:
    """What this machine's apt is told about fetching, line by line as `apt-config dump` has it."""
    prefixes = tuple(f"acquire::{name}" for name in PASSED_ON)
    return [line for line in _asked(["apt-config", "dump"]) if line.lower().startswith(prefixes) and '""' not in line]


def _asked(argv: list[str]) -> list[str]:
    if shutil.which(argv[0]) is None:
        return []
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
