"""Modules that stay at home: nobody imports them unasked, and what is asked can be answered without the others."""

from __future__ import annotations

import ast
import dataclasses
import http.server
import json
import shutil
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.laptop.deploy import snapshot
from gpu_runbook.laptop.inputs.dotenv import load_env
from gpu_runbook.laptop.inputs.resolve import resolve
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.rpc import bundle, call
from gpu_runbook.laptop.rpc.optional import OPTIONAL, unasked
from gpu_runbook.protocol.check import UNKNOWN
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.consumer import OffsetFile, StreamAddress
from gpu_runbook.protocol.env_file import EnvFile
from gpu_runbook.protocol.health import DiskLimits
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.processes import ProcessMarks
from gpu_runbook.protocol.requests import Checklist, SnapshotRequest
from gpu_runbook.protocol.setup import Directory
from gpu_runbook.protocol.snapshot import Wanted
from gpu_runbook.server.checks.gpu_support import NO_GPU

PROJECT = Path(__file__).parents[4]
WHOLE_PACKETS = 43_000  # bytes that a new connection takes in two round trips where its packets hold 1,500 bytes
ALL = [(verb, module) for verb, modules in OPTIONAL.items() for module in modules]


@pytest.mark.parametrize(("verb", "module"), ALL, ids=map(".".join, ALL))
def test_whoever_imports_one_at_the_top_is_optional_under_the_same_condition(verb: str, module: str) -> None:
    package, _, name = f"{bundle.PACKAGE}.{module}".rpartition(".")
    sources = bundle.sources(bundle.SERVE, f"server.verbs.{verb}")
    assert f"{package}.{name}" in sources, "nobody imports it at all"
    for importer, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom):
                named = {f"{node.module}.{one.name}" for one in node.names} | {str(node.module)}
                if f"{package}.{name}" in named:
                    same = OPTIONAL[verb].get(importer.partition(".")[2])
                    assert same is OPTIONAL[verb][module], importer


class Engine(http.server.BaseHTTPRequestHandler):
    """As much of an engine as a look needs, which has no container."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rpartition("/")[2]
        said: Any = [] if path == "json" else {"ID": "x", "DockerRootDir": "/nowhere", "LiveRestoreEnabled": True}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "s"), Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{tmp_path}/s"
        server.shutdown()


def request(engine: str, folder: Path, *asks: str) -> SnapshotRequest:
    (folder / "offset").write_text("offset: 5\n")
    offset = OffsetFile(str(folder / "offset"), "offset", "next", 1)
    stream = StreamAddress(
        "127.0.0.1", 9, "annotations", user="monitor" if "stream" in asks else "", tls="" if "tls" in asks else None
    )
    files = (EnvFile("queue", str(folder / "env"), {}),) if "env_files" in asks else ()
    tree = (Directory(str(folder)),)
    config = ConfigFile(str(folder / "config.yaml"), model_key="model" if "model" in asks else "")
    process = ProcessMarks("python* *no-such-train.py*") if "process" in asks else None
    return SnapshotRequest(
        root=str(folder),
        state=str(folder / "state"),
        docker_host=engine,
        gpus=2 if "gpus" in asks else 0,
        disk=DiskLimits((str(folder),), 80, 95),
        services=(
            Wanted("queue", "consumer", offset=offset, stream=stream, config=config, text=f"model: {folder}/a\n"),
            Wanted("training", "batch", process=process),
        ),
        batches=(),
        variables={},
        login=None,
        checklist=Checklist(tree, files, ("all",)) if "checklist" in asks else None,
    )


ASKS = ("checklist", "env_files", "gpus", "model", "process", "stream", "tls")


@pytest.mark.parametrize(
    "asks",
    [
        (),
        ("stream",),
        ("checklist",),
        ("checklist", "env_files"),
        ("checklist", "gpus"),
        ("process",),
        ("model",),
        ASKS,
    ],
)
def test_what_is_asked_is_answered_by_the_program_without_what_is_not(
    engine: str, tmp_path: Path, asks: tuple[str, ...]
) -> None:
    wanted = request(engine, tmp_path, *asks)
    without = unasked("snapshot", wanted)
    packed = bundle.pack("snapshot", encode(wanted), "zlib", without)
    command = [sys.executable, "-IS", "-c", bundle.loader("zlib")]
    ran = subprocess.run(command, input=packed, capture_output=True, check=True, timeout=60)
    rows = json.loads(ran.stdout.split(b"\x1e")[-1])["answer"]["rows"]
    assert [row for row in rows if row["level"] == UNKNOWN and "failed by itself" in row["sentence"]] == []
    said = {row["name"]: row["sentence"] for row in rows}
    assert ("tree" in said) == ("docker GPU support" in said) == ("checklist" in asks)
    assert ("queue env file" in said) == ("env_files" in asks)
    assert (NO_GPU in said.get("docker GPU support", NO_GPU)) == ("gpus" not in asks)
    assert ("could not be asked" in said["queue offset"]) == ("stream" in asks)


def test_who_asks_for_less_is_sent_less(tmp_path: Path) -> None:
    whole = request("unix:///s", tmp_path, *ASKS)
    assert unasked("snapshot", whole) == bundle.ALL_ASKED
    little = request("unix:///s", tmp_path)
    assert unasked("snapshot", little) == frozenset(OPTIONAL["snapshot"])
    one = dataclasses.replace(whole, gpus=0)
    assert (
        bundle.size("snapshot", unasked("snapshot", little))
        < bundle.size("snapshot", unasked("snapshot", one))
        < bundle.size("snapshot")
    )


class Asked(Exception):
    """Carries what would have been sent."""


def test_what_the_sample_asks_for_is_answered_by_a_program_that_two_round_trips_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(PROJECT / "hosts.yaml", tmp_path)
    shutil.copytree(PROJECT / "templates", tmp_path / "templates")
    values = load_env(PROJECT / ".env.example").values
    env = tmp_path / ".sandbox/.env"
    env.parent.mkdir()
    env.write_text("".join(f"{name}={value.reveal() or '1'}\n" for name, value in values.items()))
    env.chmod(0o600)
    inventory = load_inventory(tmp_path / "hosts.yaml")
    services = list(inventory.services.values())
    (resolved,) = resolve(inventory, list(inventory.hosts.values()), services).values()

    def look(session: object, verb: str, request: object) -> None:
        raise Asked(request)

    monkeypatch.setattr(call, "look", look)
    with pytest.raises(Asked) as caught:
        snapshot.look(None, inventory, resolved, services, {one.name: one.tag for one in services})  # type: ignore[arg-type]
    without = unasked("snapshot", caught.value.args[0])
    assert without == {"server.checks.env_file", "server.queue.tls", "common.config_key"}
    packed = bundle.pack("snapshot", encode(caught.value.args[0]), bundle.packer("snapshot", without), without)
    assert len(packed) < WHOLE_PACKETS
