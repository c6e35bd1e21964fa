"""Verb: pulls images by digest while everything works on. Giving it up at any time leaves nothing half done."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, Optional, Tuple

from gpu_runbook.common import command
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.deadlines import QUICK
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.foreign_text import MOST, quoted
from gpu_runbook.protocol.requests import EngineLogin, ImagesRequest
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import pull, registry
from gpu_runbook.server.docker.engine import Engine, EngineError

SAY = 0.5  # seconds between two lines of progress

Emit = Callable[[Dict[str, Any]], None]


def answer(request: Dict[str, Any], emit: Emit) -> Dict[str, Any]:
    """`request`: a ImagesRequest. The answer has an ImageIdentity of each."""
    asked = decode(ImagesRequest, request, "request")
    engine = engines.find(asked.docker_host)
    fetched: Dict[str, Any] = {}
    for image in asked.images:
        found = engine.image(image)
        if found and not registry.runs_here(found):  # nor is a digest overwritten
            command.run(["docker", "rmi", image], QUICK, env=engine.environment)
        if found is None or not registry.runs_here(found):
            _pull(engine, image, asked.login, emit)
            found = engine.image(image)
        if found is None:
            raise Refusal(f"{image} was pulled and is not there", "see docker images on the server", "server")
        if not registry.runs_here(found):
            said = f"{image} is made for {quoted(found.platform)}, and this server is {os.uname().machine}"
            raise Refusal(f"{said}; nothing was changed", "build it for this server: docker buildx build --platform")
        emit({"event": "fetched", "image": image})
        fetched[image] = encode(registry.identity(found))
    return {"images": fetched}


def _pull(engine: Engine, image: str, login: Optional[EngineLogin], emit: Emit) -> None:
    layers: Dict[str, Tuple[Any, Any]] = {}
    said = 0.0
    emit({"event": "pulling", "image": image, "done": 0, "total": 0})
    try:
        for progress in pull.pull(engine, image, login):
            detail = progress.get("progressDetail") or {}
            layer, sizes = progress.get("id", ""), (detail.get("current"), detail.get("total"))
            if progress.get("status") == "Downloading" and all(isinstance(size, int) for size in sizes):
                layers[layer] = sizes
            elif progress.get("status") == "Download complete" and layer in layers:
                layers[layer] = (layers[layer][1],) * 2
            if time.monotonic() - said > SAY:
                said = time.monotonic()
                done, total = (sum(pair[at] for pair in layers.values()) for at in (0, 1))
                emit({"event": "pulling", "image": image, "done": done, "total": total})
    except EngineError as error:
        why = f"{image} could not be pulled: {quoted(error.message, MOST)}"
        hint = registry.remedy(error.message, image.partition("/")[0])
        raise Refusal(f"{why}; nothing was changed", f"{hint}; then run it again") from error
