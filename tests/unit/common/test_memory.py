"""The bound on the memory of a process: it holds, and no program that the process starts has it."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from gpu_runbook.common import command, memory

pytestmark = pytest.mark.usefixtures("no_descriptor_stays_open")


def test_programs_have_the_limit_that_this_process_came_with() -> None:
    program = """
import resource, threading
from gpu_runbook.common import command
from gpu_runbook.server.exposed import guarded
from gpu_runbook.common import memory
resource.setrlimit(resource.RLIMIT_AS, (9 << 30, resource.RLIM_INFINITY))
guarded.prepare("/azaion")
guarded.prepare("/azaion")
said = []
def ask(): said.append(command.run(["sh", "-c", "ulimit -S -v"], 10.0).out.strip())
threads = [threading.Thread(target=ask) for _ in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(set(said) == {str(9 << 20)}, resource.getrlimit(resource.RLIMIT_AS) == (memory.LIMIT, resource.RLIM_INFINITY))
try:
    bytes(memory.LIMIT)
except MemoryError:
    print("bound")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["True", "True", "bound"]


def test_a_process_that_may_have_less_already_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_before", None)
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1 << 30, 2 << 30))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: pytest.fail(f"{limits}"))
    memory.bound()
    assert command.run(["true"], 5.0).ok
    monkeypatch.setattr(memory, "resource", None)  # a minimal Python
    memory.bound()
    assert command.run(["true"], 5.0).ok
