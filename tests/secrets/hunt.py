"""Finds secrets in whatever was said, written or passed on: whole or cut, in every spelling a program might give them.

A secret that is hunted begins and ends with twelve random letters, so that half of one is recognised as well.
"""

from __future__ import annotations

import base64
import html
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from sandbox import Sandbox, run_inside
from sandbox.machine import as_root

PIECE = 12  # characters of each end
# What is no file of the server's own: the kernel's, the real machine's programs, and the layers of images.
WITHOUT = ("/proc", "/sys", "/dev", "/usr", "/run/docker/netns", "/var/lib/docker/overlay2")

_SEARCH = r"""
import base64, json, os, stat, sys
asked = json.load(sys.stdin)
forms = [(base64.b64decode(form), label) for form, label in asked["forms"].items()]
found = {}
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.path.join(directory, name) not in asked["without"]]
    for name in files + names:
        path = os.path.join(directory, name)
        data = os.fsencode(path)
        try:
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    data += b"\n" + file.read()
        except FileNotFoundError:  # a draft, renamed while we looked
            continue
        labels = sorted({label for form, label in forms if form in data})
        if labels:
            found[path] = [f"{status.st_mode & 0o7777:04o} {status.st_uid}:{status.st_gid}", labels]
print(json.dumps(found))
"""

# Reads the argument list and the environment of every process that begins, again and again, until nobody writes to it.
_WATCH = r"""
import os, select, sys
old, seen = set(filter(str.isdigit, os.listdir("/proc"))), set()
while not select.select([0], [], [], 0.005)[0]:
    for process in filter(str.isdigit, os.listdir("/proc")):
        for file in ("cmdline", "environ") if process not in old else ():
            try:
                with open(f"/proc/{process}/{file}", "rb") as stream:
                    seen.add(stream.read())
            except OSError:
                continue
sys.stdout.buffer.write(b"\n".join(seen))
"""


@dataclass
class Sampled:
    """What the processes of this machine, and of those within it, were started with; complete at the end."""

    text: bytes = b""


@dataclass(frozen=True)
class Hunt:
    """Secrets by name, and what gives each of them away."""

    forms: dict[bytes, str] = field(default_factory=dict)  # bytes -> which secret, in which spelling

    def found(self, said: str | bytes) -> list[str]:
        """The secrets in a text, each with its spelling."""
        data = said.encode("utf-8", "surrogateescape") if isinstance(said, str) else said
        return sorted({label for form, label in self.forms.items() if form in data})

    def on_the_server(self, sandbox: Sandbox) -> dict[str, tuple[str, list[str]]]:
        """By path: mode and owner, and the secrets, of each file on the server that holds one or is named by one."""
        forms = {base64.b64encode(form).decode(): label for form, label in self.forms.items()}
        asked = json.dumps({"forms": forms, "without": WITHOUT})
        answer: dict[str, Any] = json.loads(run_inside(sandbox, ["python3", "-IS", "-c", _SEARCH], input=asked).stdout)
        return {path: (owned, labels) for path, (owned, labels) in answer.items()}

    def in_folder(self, folder: Path) -> dict[str, list[str]]:
        """By path relative to a folder: the secrets of each file that holds one."""
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return {name: labels for name, data in files.items() if (labels := self.found(name.encode() + b"\n" + data))}


def hunt_for(secrets: Mapping[str, str]) -> Hunt:
    forms: dict[bytes, str] = {}
    for name, secret in secrets.items():
        assert len(secret) >= 2 * PIECE, f"{name} is too short to be recognised by half of it"
        assert "://" not in secret, f"{name} begins as every URL does"
        for what, part in (("whole", secret), ("beginning", secret[:PIECE]), ("end", secret[-PIECE:])):
            forms |= {form: f"{name}, {what}, {spelling}" for spelling, form in _spellings(part)}
    return Hunt(forms)


def _spellings(text: str) -> Iterator[tuple[str, bytes]]:
    written = json.dumps(text)[1:-1]
    for spelling, form in {
        "plain": text,
        "URL": quote(text, safe=""),
        "path of a URL": quote(text),
        "form": quote_plus(text),
        "lower-case URL": quote(text, safe="").lower(),
        "JSON": written,
        "JSON in UTF-8": json.dumps(text, ensure_ascii=False)[1:-1],
        "JSON in JSON": json.dumps(written)[1:-1],
        "for a shell": shlex.quote(text),
        "repr": repr(text)[1:-1],
        "repr of bytes": repr(text.encode())[2:-1],
        "HTML": html.escape(text),
        "hex": text.encode().hex(),
    }.items():
        yield spelling, form.encode()
    yield "UTF-16", text.encode("utf-16-le")
    for before in range(3):
        raw = text.encode()
        # Of the digits at the ends, those that hold bits of what stands around are not known.
        inner = base64.b64encode(b"\0" * before + raw)[before and before + 1 : -4]
        yield f"base64 + {before}", inner
        yield f"base64 + {before} for URLs", inner.replace(b"+", b"-").replace(b"/", b"_")


@contextmanager
def sampling() -> Iterator[Sampled]:
    """While it lasts, every process that begins is looked at, on the real machine and so in those within it."""
    sampled = Sampled()
    watch = as_root([sys.executable, "-IS", "-c", _WATCH])
    with subprocess.Popen(watch, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield sampled
        finally:
            sampled.text, _ = process.communicate()
