"""Which engine is asked: that of hosts.yaml, else the one that a docker command of this login would talk to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.engine import DEFAULT, Engine

HERE, THERE = "unix:///run/here.sock", "unix:///run/there.sock"


@pytest.mark.parametrize(
    ("wanted", "host", "context", "current", "address"),
    [
        pytest.param("", "", "", None, DEFAULT, id="the usual one"),
        pytest.param("", "", "", "there", THERE, id="of the context in use"),
        pytest.param("", "", "", "gone", DEFAULT, id="of a context that is not there"),
        pytest.param("", "", "there", None, THERE, id="of DOCKER_CONTEXT, without a config.json"),
        pytest.param("", "", "there", "default", THERE, id="of DOCKER_CONTEXT, before config.json"),
        pytest.param("", "", "default", "there", DEFAULT, id="of DOCKER_CONTEXT that takes it back"),
        pytest.param("", HERE, "there", "there", HERE, id="of DOCKER_HOST, before any context"),
        pytest.param(HERE, THERE, "there", "there", HERE, id="of hosts.yaml, before all of them"),
    ],
)
def test_the_engine_is_the_one_that_the_docker_command_would_talk_to(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wanted: str,
    host: str,
    context: str,
    current: str | None,
    address: str,
) -> None:
    def version(engine: Engine, path: str, **_: Any) -> dict[str, str]:
        return {"Version": "28.5.2"}

    monkeypatch.setattr(Engine, "get", version)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", host)
    monkeypatch.setenv("DOCKER_CONTEXT", context)
    meta = tmp_path / "contexts/meta" / hashlib.sha256(b"there").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": THERE}}}))
    if current is not None:
        (tmp_path / "config.json").write_text(json.dumps({"currentContext": current}))
    assert engines.find(wanted).address == address
