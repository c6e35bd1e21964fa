"""Which process an engine is, when it was started and where it looks for programs."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_runbook.server.docker import engine_process
from tests.unit.processes import made_process


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A socket on which this process listens."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "docker.sock"))
        listening.listen()
        yield f"unix://{tmp_path}/docker.sock"


def test_whoever_listens_is_the_engine_where_it_is_called_so(tmp_path: Path, address: str) -> None:
    me, mine = os.getpid(), os.getuid()
    made_process(tmp_path, me, "dockerd", mine)
    made_process(tmp_path, 20, "dockerd", mine)
    assert engine_process.find(address, str(tmp_path)) == me
    assert engine_process.find(f"unix://{tmp_path}/none.sock", str(tmp_path)) is None


def test_where_systemd_listens_it_is_the_one_engine_of_the_same_user(tmp_path: Path, address: str) -> None:
    me, mine = os.getpid(), os.getuid()
    made_process(tmp_path, me, "systemd", mine)
    assert engine_process.find(address, str(tmp_path)) is None
    made_process(tmp_path, 20, "dockerd", mine)
    made_process(tmp_path, 21, "dockerd", mine + 1)
    made_process(tmp_path, 22, "dockerd", mine, inside=7)
    assert engine_process.find(address, str(tmp_path)) == 20
    made_process(tmp_path, 23, "dockerd", mine)
    assert engine_process.find(address, str(tmp_path)) is None


def test_its_start_and_its_path_are_the_kernels_to_tell(tmp_path: Path) -> None:
    ticks = int((time.clock_gettime(time.CLOCK_BOOTTIME) - 90) * os.sysconf("SC_CLK_TCK"))
    stat, environ = f"20 (a) b) S {'0 ' * 18}{ticks} 0", "A=b\0PATH=/usr/bin:relative::/opt/x\0"
    made_process(tmp_path, 20, "dockerd", os.getuid(), stat=stat, environ=environ)
    assert abs((engine_process.started(20, str(tmp_path)) or 0) - (time.time() - 90)) < 1
    assert engine_process.path(20, str(tmp_path)) == ("/usr/bin", "/opt/x")
    assert (engine_process.started(21, str(tmp_path)), engine_process.path(21, str(tmp_path))) == (None, None)
    assert abs((engine_process.started(os.getpid()) or 0) - time.time()) < 3600
