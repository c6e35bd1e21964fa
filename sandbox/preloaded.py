"""Runs a Python program many times at the cost of one start: a process that has imported what it needs forks for each.

What is imported before is other people's. The program's own modules are loaded in every run, as they are for a user.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from threading import Lock
from typing import Any

ORDER = b"\n"  # says that there is one in the folder
LONGEST = 1000  # bytes of an answer
FLAGS = (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)  # of the three streams


class Preloaded:
    """`python -m MODULE`, again and again, one at a time."""

    def __init__(self, module: str, packages: Sequence[str], path: str = "") -> None:
        """`packages`: modules of others that are imported once for all; `path`: where else they are looked for."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._module = module
        self._lock = Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="preloaded-")
        self._line, theirs = socket.socketpair()
        argv = [sys.executable, __file__, self._folder.name, module, *packages]
        self._process = subprocess.Popen(argv, stdin=theirs.fileno(), env={**kept, "PYTHONPATH": path})
        theirs.close()
        atexit.register(self.close)

    def run(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], input: str = "", seconds: float = 120
    ) -> CompletedProcess[str]:
        """Run it to its end. Raises TimeoutExpired, with what it has said, where that does not come in time."""
        with self._lock:
            order = {"words": words, "cwd": str(cwd), "env": dict(env), "seconds": seconds}
            for name, text in (("order", json.dumps(order)), ("0", input), ("1", ""), ("2", "")):
                Path(self._folder.name, name).write_text(text)
            self._line.send(ORDER)
            answer = json.loads(self._line.recv(LONGEST))
            out, err = (Path(self._folder.name, name).read_text() for name in ("1", "2"))
        if answer["late"]:
            raise TimeoutExpired(self._module, seconds, out, err)
        return CompletedProcess([self._module, *words], answer["status"], out, err)

    def close(self) -> None:
        """End it. May be repeated."""
        self._line.close()
        self._process.wait()
        self._folder.cleanup()


def serve(folder: str, module: str, *packages: str) -> None:
    """Carry out each order, and answer how it ended; a fork becomes the program. Ends with whoever orders."""
    for name in packages:
        importlib.import_module(name)
    gc.freeze()
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the program that a Ctrl-C is for
    line = socket.socket(fileno=0)
    while line.recv(len(ORDER)):
        order = json.loads(Path(folder, "order").read_text())
        child = os.fork()
        if not child:
            signal.signal(signal.SIGINT, interrupt)
            line.detach()
            _become(Path(folder), module, order)
            return
        line.send(json.dumps(_ended(child, order["seconds"])).encode())


def _ended(child: int, seconds: float) -> dict[str, Any]:
    """Wait for it. It is killed when its time is over, and where nobody is there any more to give orders."""
    handle = os.pidfd_open(child)
    late = not select.select([handle, 0], [], [], seconds)[0]
    os.kill(child, signal.SIGKILL)  # one that has ended, and was not waited for yet, does not mind
    os.close(handle)
    return {"status": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "late": late}


def _become(folder: Path, module: str, order: dict[str, Any]) -> None:
    for number, flags in enumerate(FLAGS):
        file = os.open(folder / str(number), flags)
        os.dup2(file, number)
        os.close(file)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = [module, *order["words"]]
    sys.path[:1] = [str(Path.cwd()), *filter(None, order["env"].get("PYTHONPATH", "").split(":"))]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
