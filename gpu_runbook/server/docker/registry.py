"""What the docker engine asks of a registry, which digest a tag has; and what an image says of itself."""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.parse
from typing import Dict, Optional, Sequence, Tuple

from gpu_runbook.common.clock import utc
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import NONE, Digest
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
CREATED = "org.opencontainers.image.created"
REVISION = "org.opencontainers.image.revision"
MACHINES = {"x86_64": ("amd64", "386"), "aarch64": ("arm64", "arm")}  # which images each kind runs by itself
FIRST = "2000"  # a year that no image is from: builds that are to be the same each time write an earlier one
LONGEST = 80  # characters of what a label says of a commit; the longest one has 64

# What is relied upon in an answer, as `fits` reads it.
DESCRIBED = {"Descriptor": {"digest": Digest}, "Platforms": [{"os": (str, NONE), "architecture": (str, NONE)}]}


def manifest(engine: Engine, image: str, login: Optional[EngineLogin] = None) -> Tuple[str, Tuple[str, ...]]:
    """The digest `sha256:…` that the registry holds for a tag or digest, asked by the engine itself without pulling;
    and the platforms that it is for, such as linux/amd64, nothing where that is not known.

    Raises EngineError: 401 or 403 for a refused login, 404 for a tag or repository that is not there.
    """
    path = "/distribution/{}/json".format(urllib.parse.quote(image, safe="/:@"))
    said = engine.read(engine.ask(path, headers=login_header(login), seconds=30.0), DESCRIBED)
    platforms = [(one.get("os"), one.get("architecture")) for one in said.get("Platforms") or ()]
    known = all(all(one) for one in platforms)
    return str(said["Descriptor"]["digest"]), tuple("/".join(one) for one in platforms if known)


def identity(image: LocalImage, part: str = "") -> ImageIdentity:
    """What tells it apart; with when and from which commit it was built, as the labels say that build tools write.

    The commit may be anything, in one short line: whether it is one is for whoever asks for it. `part`: the digest of
    its manifest, where its own is that of an image for several platforms.
    """
    built = max(utc(image.labels.get(CREATED, "")) or utc(image.created), FIRST)
    return ImageIdentity(
        *(image.id, one_line(image.labels.get(REVISION, ""), LONGEST), image.layers),
        built="" if built == FIRST else built,
        platform=one_line(image.platform, LONGEST) if image.machine else "",
        manifest=part,
    )


def runs_here(image: LocalImage) -> bool:
    """Whether an image is made for this kind of machine, as far as both are known.

    An image of a digest need not be: a digest may stand for one of each platform, and somebody has pulled another.
    """
    return not image.machine or serves((image.platform,))


def serves(platforms: Sequence[str]) -> bool:
    """Whether one of the platforms is this server's, as far as both are known."""
    return not machines() or not platforms or any(f"linux/{machine}" in platforms for machine in machines())


def machines() -> Tuple[str, ...]:
    """What this kind of machine runs by itself, as docker calls it, its own first; nothing where that is not known."""
    return MACHINES.get(os.uname().machine, ())


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
