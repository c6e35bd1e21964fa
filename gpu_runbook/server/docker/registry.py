"""What the docker engine asks of a registry, which digest a tag has; and what an image says of itself."""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from typing import Dict, Optional

from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import Digest
from gpu_runbook.protocol.requests import EngineLogin
from gpu_runbook.protocol.snapshot import ImageIdentity
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import LocalImage

REMEDIES = (
    (
        r"credential",
        "install the helper that credsStore or credHelpers in ~/.docker/config.json names, or take it out of there",
    ),
    (r"server gave HTTP response", 'it speaks http: name it in "insecure-registries" of /etc/docker/daemon.json'),
    (r"x509|certificate", "put the certificate of its authority into /etc/docker/certs.d/{}/ca.crt"),
    (r"proxyconnect", "docker's engine is told to use a proxy: systemctl show docker --property Environment"),
    (r"no such host|server misbehaving", "the server cannot resolve that name: see /etc/resolv.conf there"),
    (r"toomanyrequests|rate limit", "the registry wants fewer pulls: wait, or log in"),
    (r"no space left", "fab prune makes room"),
    (r"unauthorized|denied|authentication", "check registry.username in hosts.yaml and REGISTRY_PASSWORD in .env"),
    (r"manifest unknown|not found", "the registry has it no more: push it again, or name another --tag"),
    (r"", "check that the registry runs and that the server reaches it"),
)
REVISION = "org.opencontainers.image.revision"
MACHINES = {"x86_64": ("amd64", "386"), "aarch64": ("arm64", "arm")}  # which images each kind runs by itself
LONGEST = 80  # characters of what a label says of a commit; the longest one has 64


def manifest(engine: Engine, image: str, login: Optional[EngineLogin] = None) -> str:
    """The digest `sha256:…` that the registry holds for a tag or digest, asked by the engine itself without pulling.

    Raises EngineError: 401 or 403 for a refused login, 404 for a tag or repository that is not there.
    """
    path = "/distribution/{}/json".format(urllib.parse.quote(image, safe="/:@"))
    raw = engine.ask(path, headers=login_header(login), seconds=30.0)
    return str(engine.read(raw, {"Descriptor": {"digest": Digest}})["Descriptor"]["digest"])


def identity(image: LocalImage) -> ImageIdentity:
    """What tells it apart; with the commit it was built from, as the label says that build tools write.

    That may say anything, in one short line: whether it is a commit is for whoever asks for it.
    """
    return ImageIdentity(image.id, one_line(image.labels.get(REVISION, ""), LONGEST), image.layers)


def runs_here(image: LocalImage) -> bool:
    """Whether an image is made for this kind of machine, as far as both are known.

    An image of a digest need not be: a digest may stand for one of each platform, and somebody has pulled another.
    """
    runs = MACHINES.get(os.uname().machine)
    return not runs or not image.machine or (image.machine in runs and image.system == "linux")


def remedy(said: str, server: str) -> str:
    """What to do about a registry that gives nothing, by what docker says of it: who is at fault stands there."""
    return next(hint for pattern, hint in REMEDIES if re.search(pattern, said, re.IGNORECASE)).format(server)


def login_header(login: Optional[EngineLogin]) -> Dict[str, str]:
    if not login:
        return {}
    return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(encode(login)).encode()).decode()}


def repository(image: str) -> str:
    """`server/name` of `server/name:tag` or `server/name@digest`; a port of the server is no tag."""
    name = image.partition("@")[0]
    head, _, tail = name.rpartition(":")
    return name if not head or "/" in tail else head
