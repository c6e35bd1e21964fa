"""Who could have made a link: containers by their mounts, other users by owners and modes, and nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.exposed import guarded
from gpu_runbook.server.exposed.writable_folders import WritableFolder, maker, writable
from tests.unit.docker_answers import ONE, entry, listed

# A disk with two partitions. /azaion is bound to a folder of /data, /azaion/models is the second partition.
TABLE = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 8:2 / /data rw - ext4 /dev/sda2 rw
31 22 8:2 /azaion /azaion rw - ext4 /dev/sda2 rw
32 31 8:3 / /azaion/models rw - ext4 /dev/sda3 rw
33 22 8:4 / /with\\040blank rw - ext4 /dev/sda4 rw
34 22 8:5 / /with\\040blank rw - ext4 /dev/sda5 rw
"""
LOGIN = 1000


def made_by(*path: str, owner: int = LOGIN, mount: str = "", uid: int = 0, mode: int = 0o755) -> str:
    """For a link in the last of these folders. `uid` and `mode` are those of this folder; above it all is root's."""
    above = [(folder, 0, 0o755) for folder in ("/", *path[:-1])]
    mounts = [WritableFolder(mount, "container queue")] if mount else []
    return maker([*above, (path[-1], uid, mode)], owner, LOGIN, mounts, TABLE)


@pytest.mark.parametrize("owner", [0, LOGIN])
def test_what_root_or_the_login_made_where_no_container_writes_is_nobody_elses(owner: int) -> None:
    assert made_by("/srv", owner=owner) == ""
    assert made_by("/srv", owner=owner, uid=LOGIN, mode=0o775) == ""
    assert made_by("/srv", owner=owner, mount="/srv/queue") == ""
    assert made_by("/srv", owner=owner, mount="/sr") == ""
    assert made_by("/tmp", owner=owner, mode=0o1777) == ""


@pytest.mark.parametrize(
    ("folder", "mount"),
    [
        ("/srv", "/srv"),
        ("/srv", "/"),
        ("/srv/a/b", "/srv/a"),
        ("/azaion/sub", "/data"),  # one folder by two paths
        ("/data/azaion", "/azaion"),
        ("/azaion/models", "/azaion"),  # mounted below what the container has
        ("/with blank/x", "/with blank"),
    ],
)
@pytest.mark.parametrize("owner", [0, LOGIN, 2000])
def test_what_a_container_can_write_to_it_could_have_made_whoever_owns_it(folder: str, mount: str, owner: int) -> None:
    assert made_by(folder, owner=owner, mount=mount) == "container queue"


def test_a_mount_beside_it_proves_nothing() -> None:
    assert made_by("/azaion/models", mount="/data") == ""  # another partition lies over that folder of it
    assert made_by("/data/other", mount="/azaion") == ""
    assert made_by("/with blank", mount="/with") == ""


def test_other_users_could_have_made_it_by_owner_and_mode() -> None:
    assert made_by("/srv", uid=33) == "user 33, who owns /srv,"
    assert made_by("/srv", mode=0o777) == "anybody, as /srv is open to all,"
    assert made_by("/srv", owner=33) == "user 33"
    above = [("/", 0, 0o755), ("/home/ann", 33, 0o755), ("/home/ann/x", LOGIN, 0o755)]
    assert maker(above, LOGIN, LOGIN, [], TABLE) == "user 33, who owns /home/ann,"


def test_the_engines_list_is_read_with_its_names_and_links(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    found = [
        entry(listed("a" * 64, "queue", Mounts=[{"Source": f"{tmp_path}/link", "RW": True}])),
        entry(listed("b" * 64, Names=[], Mounts=[{"Source": "/x", "RW": True}, {"Source": "/y", "RW": False}, {}])),
        entry(listed("c" * 64, "none", Mounts=None)),
        entry(listed("d" * 64, "untold", Mounts=[{"Source": "/z", "RW": None}, {"Source": None, "RW": True}])),
    ]
    assert list(writable(found)) == [
        WritableFolder(f"{tmp_path}/data", "container queue"),
        WritableFolder(f"{tmp_path}/link", "container queue"),
        WritableFolder("/x", f"container {'b' * 12}"),
        WritableFolder("/z", "container untold"),  # it is not said that it may not
    ]


@pytest.mark.parametrize(
    ("said", "ours", "reached"),
    [
        ([], frozenset(), []),
        ([listed(Mounts=[{"Source": "/x", "RW": True}])], frozenset([ONE]), ["/x"]),
        ([listed()], frozenset(["d" * 64]), ["/azaion"]),  # another engine than ours
        ([listed(Mounts=[{"Source": 7}])], frozenset([ONE]), ["/azaion"]),  # what it says cannot be read
        (None, frozenset(), ["/azaion"]),
    ],
)
def test_an_engine_that_does_not_say_leaves_all_of_the_root_in_reach(
    monkeypatch: pytest.MonkeyPatch, said: Any, ours: frozenset[str], reached: list[str]
) -> None:
    def ask(self: Engine, path: str, *words: Any, **more: Any) -> bytes:
        if said is None:
            raise EngineError(0, "it is away")
        return json.dumps(said if path == "/containers/json" else {}).encode()

    monkeypatch.setattr(Engine, "ask", ask)
    monkeypatch.setattr(guarded, "_settled", ("/azaion", "unix:///nowhere", ours))
    assert [mount.folder for mount in guarded._mounts()] == reached
