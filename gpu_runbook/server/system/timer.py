"""The timers of systemd that start the check where there is no cron: unit files of ours, and nobody else's.

Each begins with the block that a crontab would have, in our marks, so that both are read and written as one text. They
are the login user's own, and root's are the system's. A user's timers end with its last session unless it lingers.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shlex
from typing import Dict, Iterator, Match, Optional, Tuple

from gpu_runbook.common import command
from gpu_runbook.common.command import Ended
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.schedule import CheckTimer
from gpu_runbook.server.system import files

SECONDS = 20.0
BOOTED = "/run/systemd/system"  # is there where systemd runs
OF_USER, OF_SYSTEM = ".config/systemd/user", "/etc/systemd/system"
_BLOCK = re.compile(  # in a unit file the line in the middle is a comment, too
    r"^(?P<begin># BEGIN gpu-runbook (?P<root>[^\s:]+):[^\n]*\n)"
    r"(?:# )?(?P<line>(?P<minute>\S+) \S+ \S+ \S+ \S+ (?P<program>\S+ -IS \S+/check\.pyz) <[^\n]*\n)"
    r"(?P<end># END gpu-runbook (?P=root)\n)",
    re.MULTILINE,
)
_HEAD = "\n[Unit]\nDescription=The scheduled check of gpu-runbook for {root}\n\n"
_SERVICE = "[Service]\nType=oneshot\nExecStart={program}\nStandardOutput=null\nStandardError=null\nKillMode=process\n"
_TIMER = "[Timer]\nOnCalendar={when}\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"


def is_possible() -> bool:
    """Whether systemd runs here."""
    return os.path.isdir(BOOTED)


def blocks() -> Dict[str, str]:
    """The block of each of our timers, by its root. Raises Refusal for a file of such a name that is not ours."""
    return {block["root"]: _text(block) for block in _there().values()}


def stands(text: str) -> bool:
    """Whether there is a timer at work for each block of the text, as it would be written now, and none beside them."""
    wanted = _wanted(text)
    return _there().keys() == wanted.keys() and all(_is_at_work(name, block) for name, block in wanted.items())


def write(text: str) -> None:
    """Have a timer for each block of the text, and none for any other. Raises Refusal."""
    wanted = _wanted(text)
    for name in [name for name in _there() if name not in wanted]:
        _take_away(name)
    for name, block in wanted.items():
        if not _is_at_work(name, block):
            _put(name, block)


def of(root: str) -> Optional[CheckTimer]:
    """The timer for a root, None without one."""
    name = _unit(root)
    if not is_possible() or not os.path.exists(os.path.join(_folder(), f"{name}.timer")):
        return None
    return CheckTimer(f"{name}.timer", "" if _outlives() else _login())


def is_active(timer: CheckTimer) -> bool:
    """Whether it starts the check, now and when nobody is logged in."""
    return _systemctl("is-active", timer.unit).ok and not timer.login


def is_doubled(root: str) -> bool:
    """Whether a crontab starts the check, too: a cron that was taken away and came back has kept its own."""
    ended = command.run(["crontab", "-l"], SECONDS)
    return ended.ok and f"\n# BEGIN gpu-runbook {root}:" in f"\n{ended.out}"


def status(timer: CheckTimer) -> str:
    """The line that shows how it does."""
    return f"systemctl {'--user ' if os.geteuid() else ''}status {timer.unit}"


def _wanted(text: str) -> Dict[str, Match[str]]:
    """The blocks of a text, by the name of the units of each."""
    return {_unit(block["root"]): block for block in _BLOCK.finditer(text)}


def _there() -> Dict[str, Match[str]]:
    """The block of each of our timers, by the name of its units."""
    folder, found = _folder(), {}
    for entry in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        name, end = os.path.splitext(entry)
        if entry.startswith("gpu-runbook-") and end == ".timer":
            path = os.path.join(folder, entry)
            block = _BLOCK.match((files.read(path) or b"").decode("utf-8", "replace"))
            if block is None or _unit(block["root"]) != name:
                raise Refusal(f"{path} is not as we wrote it; nothing was changed", "move it away; then run it again")
            found[name] = block
    return found


def _text(block: Match[str]) -> str:
    """A block as it stands in a crontab."""
    return block["begin"] + block["line"] + block["end"]


def _is_at_work(name: str, block: Match[str]) -> bool:
    as_written = all(files.read(path) == content for path, content in _units(name, block))
    return as_written and _systemctl("is-active", f"{name}.timer").ok


def _put(name: str, block: Match[str]) -> None:
    """Write both units and have the timer started. Raises Refusal with those that were there before."""
    units = dict(_units(name, block))
    before = {path: files.read(path) for path in units}
    files.make_folder(_folder())
    for path, content in units.items():
        files.write(path, content, 0o644)
    ended = _systemctl("daemon-reload")
    if ended.ok:
        ended = _systemctl("enable", "--now", f"{name}.timer")
    if not ended.ok:
        for path, old in before.items():
            files.write(path, old, 0o644) if old is not None else files.remove(path)
        _systemctl("daemon-reload")
        raise _refusal(ended)


def _take_away(name: str) -> None:
    ended = _systemctl("disable", "--now", f"{name}.timer")
    if not ended.ok:
        raise _refusal(ended)
    for end in (".timer", ".service"):
        files.remove(os.path.join(_folder(), name + end))
    _systemctl("daemon-reload")


def _units(name: str, block: Match[str]) -> Iterator[Tuple[str, bytes]]:
    """Path and content of each unit."""
    minute, head = block["minute"], f"{block['begin']}# {block['line']}{block['end']}"
    when = "*:0" if minute == "0" else "*:*" if minute == "*" else f"*:0/{minute[2:]}"
    words = {"root": block["root"], "program": block["program"].replace("%", "%%"), "when": when}
    for end, content in ((".service", _SERVICE), (".timer", _TIMER)):
        yield os.path.join(_folder(), name + end), (head + (_HEAD + content).format(**words)).encode()


def _unit(root: str) -> str:
    """What the units of a root are called, like no other root's."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", root).strip("-")[-60:]
    return f"gpu-runbook-{readable}-{hashlib.sha256(root.encode()).hexdigest()[:8]}"


def _login() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _folder() -> str:
    return os.path.join(pwd.getpwuid(os.geteuid()).pw_dir, OF_USER) if os.geteuid() else OF_SYSTEM


def _outlives() -> bool:
    """Whether timers go on without a session; where nobody can say, it is not asked for."""
    if not os.geteuid():
        return True
    ended = command.run(["loginctl", "show-user", _login(), "--property=Linger"], SECONDS)
    return not ended.ok or ended.out.strip() != "Linger=no"


def _systemctl(*words: str) -> Ended:
    """Of the login user's own systemd, or as root of the system's."""
    uid = os.geteuid()
    runtime = {"XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{uid}")} if uid else {}
    return command.run(["systemctl", *(["--user"] if uid else []), *words], SECONDS, env=runtime)


def _refusal(ended: Ended) -> Refusal:
    said = f"systemd does not do what it is told ({' '.join(ended.argv)}): {ended.complaint}"
    hint = (
        f"as root, once: {shlex.join(['loginctl', 'enable-linger', _login()])}; then log in anew"
        if os.geteuid()
        else ""
    )
    return Refusal(said, hint or "see journalctl -b -u init.scope", "server")
