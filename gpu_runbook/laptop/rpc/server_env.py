"""The variables of a server that stand in a file on itself: read there for one command, and kept nowhere."""

from __future__ import annotations

import base64

from gpu_runbook.laptop.inputs.dotenv import Env, parsed
from gpu_runbook.laptop.inventory.text_file import decoded
from gpu_runbook.laptop.rpc.call import entry, look
from gpu_runbook.laptop.ssh.session import Session
from gpu_runbook.protocol.forms import Base64
from gpu_runbook.protocol.requests import EnvSourceRequest

MISSING = "Fill it in on the server; .env.example names every variable, and what it is for."


def content(session: Session, path: str) -> bytes:
    """One exchange. Raises what `call.look` raises: BadInput or Refused for a file that is not as it should be."""
    answer = look(session, "env_source", EnvSourceRequest(path))
    return base64.b64decode(entry(session.host.name, answer, "content", Base64))


def read(session: Session, path: str) -> tuple[Env, list[str]]:
    """What could be read, and what is wrong with the rest. Raises as `content`, and BadInput for what is no text."""
    source = f"{session.host.name}:{path}"
    return parsed(decoded(content(session, path), source, MISSING), source, source)
