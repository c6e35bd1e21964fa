"""Which containers reach a folder: by mounts, through links and bind mounts of the host, or as good as root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.server.docker.engine import EngineError
from gpu_runbook.server.docker.inspected import ListedContainer
from gpu_runbook.server.exposed import reach
from gpu_runbook.server.exposed.reach import READ, ROOT, WRITE, MountLine, Reach

FOLDER = "/home/deploy/.local/state/gpu-runbook/azaion@01234567"
MOUNTS = [
    MountLine("/", "8:1", "/"),
    MountLine("/proc", "0:5", "/"),
    MountLine("/data", "8:2", "/"),
    MountLine("/run", "0:20", "/"),
    MountLine("/srv/everything", "8:1", "/"),  # bind mounts of the host
    MountLine("/srv/homes", "8:1", "/home"),
    MountLine("/srv/far/state", "8:1", "/home/deploy/.local/state"),
]


class Containers:
    """An engine that knows these containers, by name: their mounts and what else their HostConfig says."""

    address = "unix:///var/run/docker.sock"

    def __init__(self, volumes: dict[str, Any] | None = None, **containers: Any) -> None:
        self.found = containers
        self.volumes = volumes or {}

    @property
    def listed(self) -> list[ListedContainer]:
        return [ListedContainer(name, (f"web/{name}", name), "running") for name in self.found]

    def full_spec(self, name: str) -> dict[str, Any] | None:
        mounts, host = self.found[name]
        return {"Id": name, "Name": f"/{name}", "Mounts": mounts, "HostConfig": host}

    def get(self, path: str, shape: Any = None) -> Any:
        name = path.rpartition("/")[2]
        if name not in self.volumes:
            raise EngineError(404, "no such volume")
        return self.volumes[name]


@pytest.fixture(autouse=True)
def a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "read_mounts", lambda: MOUNTS)


def seen(engine: Containers, folder: str = FOLDER) -> list[Reach]:
    return reach.of_containers(engine, engine.listed, folder)  # type: ignore[arg-type]


def bind(source: str, writes: bool = True) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return [{"Type": "bind", "Source": source, "RW": writes}], {}


@pytest.mark.parametrize(
    "source",
    [
        FOLDER,
        f"{FOLDER}/health",  # a part of it
        "/home/deploy/.local/state",
        "/home/deploy",
        "/home",
        "/",
        "/srv/everything",  # by another name
        "/srv/everything/home/deploy",
        "/srv/homes",
        "/srv/homes/deploy",
        "/srv",  # which brings the mounts below it along
        "/srv/far",
        "/srv/far/state/gpu-runbook",
    ],
)
def test_what_holds_the_folder_reaches_it(source: str) -> None:
    for writes, how in ((True, WRITE), (False, READ)):
        found = seen(Containers(one=bind(source, writes)))
        assert Reach("one", how, source) in found
        assert len(found) == (2 if source == "/" else 1), "the whole disk has docker's socket in it, too"


@pytest.mark.parametrize(
    "source", ["/azaion", "/data", "/home/ann", "/home/deploy/models", "/srv/homes/ann", "/home/deploy/.local/state2"]
)
def test_what_lies_beside_it_does_not(source: str) -> None:
    assert seen(Containers(one=bind(source))) == []


def test_a_link_on_the_way_to_it_is_a_way_in(tmp_path: Path) -> None:
    (tmp_path / "azaion/state").mkdir(parents=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.local").symlink_to(tmp_path / "azaion/state")
    folder = str(tmp_path / "home/.local/gpu-runbook")
    assert seen(Containers(one=bind(str(tmp_path / "azaion"))), folder) == [
        Reach("one", WRITE, str(tmp_path / "azaion"))
    ]
    assert seen(Containers(one=bind(str(tmp_path / "home"))), folder) == [Reach("one", WRITE, str(tmp_path / "home"))]


def test_a_source_that_is_a_link_counts_for_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "home/state").mkdir(parents=True)
    (tmp_path / "share").symlink_to(tmp_path / "home")
    found = seen(Containers(one=bind(str(tmp_path / "share"))), str(tmp_path / "home/state"))
    assert found == [Reach("one", WRITE, str(tmp_path / "share"))]


def test_a_volume_that_is_a_bind_mount_counts_for_what_it_binds() -> None:
    mounts = [{"Type": "volume", "Name": "homes", "Source": "/var/lib/docker/volumes/homes/_data", "RW": True}]
    bound = {"homes": {"Name": "homes", "Options": {"type": "none", "o": "bind", "device": "/home"}}}
    assert seen(Containers(bound, one=(mounts, {}))) == [Reach("one", WRITE, "/home")]
    assert seen(Containers({"homes": {"Name": "homes", "Options": None}}, one=(mounts, {}))) == []
    assert seen(Containers({}, one=(mounts, {}))) == []


@pytest.mark.parametrize(
    ("host", "by"),
    [
        ({"Privileged": True}, "it is privileged"),
        ({"CapAdd": ["SYS_ADMIN"]}, "it has the capability SYS_ADMIN"),
        ({"CapAdd": ["CAP_SYS_PTRACE"]}, "it has the capability SYS_PTRACE"),
        ({"CapAdd": ["all"]}, "it has the capability ALL"),
        ({"CapAdd": ["CAP_DAC_READ_SEARCH"]}, "it has the capability DAC_READ_SEARCH"),
        ({"Devices": [{"PathOnHost": "/dev/mem"}]}, "it has the device /dev/mem"),
    ],
)
def test_what_makes_a_container_root_is_named(host: dict[str, Any], by: str) -> None:
    assert seen(Containers(one=([], host))) == [Reach("one", ROOT, by)]


@pytest.mark.parametrize(
    "host",
    [{}, {"CapAdd": ["NET_ADMIN", "IPC_LOCK"]}, {"Devices": [{"PathOnHost": "/dev/nvidia0"}]}, {"Devices": [None]}],
)
def test_what_an_ordinary_gpu_container_has_makes_it_no_root(host: dict[str, Any]) -> None:
    assert seen(Containers(one=([], host))) == []


@pytest.mark.parametrize("source", ["/var/run/docker.sock", "/var/run", "/run/docker.sock"])
@pytest.mark.parametrize("writes", [True, False])
def test_the_socket_makes_a_container_root_and_read_only_is_no_help(
    source: str, writes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = {"/var/run/docker.sock": "/run/docker.sock", "/var/run": "/run"}
    monkeypatch.setattr(os.path, "realpath", lambda path: real.get(path, path))
    assert seen(Containers(one=bind(source, writes))) == [Reach("one", ROOT, f"docker's socket ({source})")]


def test_directories_are_those_that_the_kernel_walks_through(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    found = reach.directories(str(tmp_path / "link/b/c"))
    assert found[-3:] == [str(tmp_path / "a"), str(tmp_path / "a/b"), str(tmp_path / "a/b/c")]
    (tmp_path / "round").symlink_to("round")
    assert reach.directories(str(tmp_path / "round/c"))[-1].endswith("/c"), "a link to itself ends"


def test_mountinfo_is_read_as_the_kernel_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "mountinfo"
    path.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "33 22 8:2 /@data /mnt/a\\040b rw - btrfs /dev/sdb rw\n"
        "44 22 0:4 mnt:[4026532634] /run/snap rw - nsfs nsfs rw\n"
        "broken\n"
    )
    assert REAL_READ(str(path)) == [MountLine("/", "8:1", "/"), MountLine("/mnt/a b", "8:2", "/@data")]


REAL_READ = reach.read_mounts
