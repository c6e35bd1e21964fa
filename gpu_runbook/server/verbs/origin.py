"""Verb: what the registry says of images before they are pulled: their platform, when they were built, from what."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Optional

from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.protocol.check import OK, UNKNOWN, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.requests import EngineLogin, ImagesRequest
from gpu_runbook.protocol.snapshot import ImageIdentity
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker import registry
from gpu_runbook.server.docker.engine import Engine

DEADLINE = 12.0  # seconds for one image: a registry has ten, and what drips takes the rest


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    """`request`: an ImagesRequest. The answer has an ImageIdentity of each, or under `untold` why there is none."""
    asked = decode(ImagesRequest, request, "request")
    engine = engines.find(asked.docker_host)
    found: Dict[str, ImageIdentity] = {}
    ask = partial(_about, engine=engine, login=asked.login, found=found)
    rows = ask_all([Question(image, ask, DEADLINE) for image in asked.images])
    untold = {row.name: row.sentence for row in rows if row.level != OK}
    return {"images": {name: encode(found[name]) for name in asked.images if name not in untold}, "untold": untold}


def _about(name: str, engine: Engine, login: Optional[EngineLogin], found: Dict[str, ImageIdentity]) -> Check:
    try:
        from gpu_runbook.server.docker import registry_http
    except ImportError as error:  # a Python that was built without TLS
        return Check(name, UNKNOWN, f"python3 on this server has no {error.name}")
    try:
        image, part = registry_http.about(engine, name, login)
    except registry_http.Undescribed as error:
        return Check(name, UNKNOWN, f"the registry {error}")
    found[name] = registry.identity(image, part)
    return Check(name, OK, "told")
