"""Runs a Python program many times at the cost of one start: a process that has imported what it needs forks for each.

What is imported before should do nothing but define: it is one for all runs, as is the order of a set's elements, which
Python draws at its start.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shutil
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

ITSELF = os.getpid()  # a fork has another
LONGEST = 1000  # bytes of an order or an answer
FLAGS = (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)  # of the three streams


class Preloaded:
    """`python -m MODULE`, again and again, one at a time."""

    def __init__(self, module: str, packages: Sequence[str], path: str = "") -> None:
        """`packages`: modules that are imported once for all; `path`: where else they are looked for."""
        self._module, self._packages, self._path = module, packages, path
        self._lock = Lock()
        self._server: _Server | None = None
        atexit.register(self.close)

    def run(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], input: str = "", seconds: float = 120
    ) -> CompletedProcess[str]:
        """Run it to its end. Raises TimeoutExpired, with what it has said, where that does not come in time.

        Raises Defect where the process that forks has ended. Whoever interrupts this ends the program, too.
        """
        with self._lock:
            if self._server is None:
                self._server = _Server(self._module, self._packages, self._path)
            try:
                return self._server.run(words, cwd, env, input, seconds)
            except TimeoutExpired:
                raise
            except BaseException:  # its answer would be taken for that of the next order
                self.close()
                raise

    def close(self) -> None:
        """End it. May be repeated; the next run begins anew."""
        if self._server:
            self._server.end()
        self._server = None


class _Server:
    """The process that forks. It ends with its line, and with it what it runs."""

    def __init__(self, module: str, packages: Sequence[str], path: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._module, self._folder = module, Path(tempfile.mkdtemp(prefix="preloaded-"))
        self._line, theirs = socket.socketpair()
        argv = [sys.executable, __file__, str(self._folder), module, *packages]
        self._process = subprocess.Popen(argv, stdin=theirs.fileno(), env={**kept, "PYTHONPATH": path})
        theirs.close()

    def run(
        self, words: Sequence[str], cwd: Path, env: Mapping[str, str], input: str, seconds: float
    ) -> CompletedProcess[str]:
        order = {"words": words, "cwd": str(cwd), "env": dict(env), "seconds": seconds}
        try:
            for name, text in (("order", json.dumps(order)), ("0", input), ("1", ""), ("2", "")):
                (self._folder / name).write_text(text)
            self._line.send(b"\n")
            answer = json.loads(self._line.recv(LONGEST))
        except (OSError, ValueError) as error:
            from gpu_runbook.laptop.errors import Defect  # not for the process that forks: it loads nothing of ours

            raise Defect(f"the process that runs {self._module} has ended: what it says stands above") from error
        out, err = ((self._folder / name).read_text() for name in ("1", "2"))
        if answer["late"]:
            raise TimeoutExpired(self._module, seconds, out, err)
        return CompletedProcess([self._module, *words], answer["status"], out, err)

    def end(self) -> None:
        self._line.close()
        self._process.wait()


def serve(folder: str, module: str, *packages: str) -> None:
    """Carry out each order, and answer how it ended; a fork becomes the program. Ends with whoever orders."""
    try:
        for name in packages:
            importlib.import_module(name)
        gc.freeze()
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the program that a Ctrl-C is for
        line = socket.socket(fileno=0)
        while line.recv(LONGEST):
            order = json.loads(Path(folder, "order").read_text())
            child = os.fork()
            if not child:
                signal.signal(signal.SIGINT, interrupt)
                line.detach()
                _become(Path(folder), module, order)
                return
            answer = _ended(child, order["seconds"])
            with contextlib.suppress(OSError):  # nobody is there any more
                line.send(json.dumps(answer).encode())
    finally:
        if os.getpid() == ITSELF:
            shutil.rmtree(folder, ignore_errors=True)  # it holds the environment of the last order


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
    sys.path[:0] = [str(Path.cwd()), *filter(None, order["env"].get("PYTHONPATH", "").split(":"))]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    del sys.path[0]  # this folder, whose modules have names like those of others
    serve(*sys.argv[1:])
