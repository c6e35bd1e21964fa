"""What a registry says of an image that is not on the server yet, asked over HTTP as the docker engine would ask.

Of an image for several platforms the one for this kind of machine is meant. What comes is bounded, and held against its
digest: whoever answers in a registry's place can keep silent, and tell nothing.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import ipaddress
import json
import os
import re
import socket
import ssl
import time
import urllib.parse
import urllib.request
from typing import Any, Callable, Dict, Iterator, Optional, Tuple
from urllib.error import HTTPError

from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import one_line
from gpu_runbook.protocol.forms import NONE, Digest, fits
from gpu_runbook.protocol.requests import EngineLogin
from gpu_runbook.server.docker import inspected
from gpu_runbook.server.docker.engine import Engine
from gpu_runbook.server.docker.inspected import LocalImage
from gpu_runbook.server.docker.registry import machines

SECONDS = 10.0  # for all that is asked about one image
MOST = 4 << 20  # bytes of a manifest or of an image's config
CERTIFICATES = "/etc/docker/certs.d"
HUB = "registry-1.docker.io"  # where docker.io is
KINDS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)

# What is relied upon in an answer, as `fits` reads it.
INFO = {"RegistryConfig": (NONE, {"IndexConfigs": (NONE, dict), "InsecureRegistryCIDRs": [str]})}
INDEX = {"manifests": [{"digest": Digest, "platform": (NONE, {"os": str, "architecture": str})}]}
MANIFEST = {"config": {"digest": Digest}}
CONFIG = {"config": (NONE, dict), "rootfs": (NONE, {"diff_ids": [str]})}


class Undescribed(Exception):
    """The registry does not say; the text says why, and goes on after its name."""


def about(engine: Engine, image: str, login: Optional[EngineLogin]) -> Tuple[LocalImage, str]:
    """An image, `repository@digest`, and the digest of its manifest where that one is of several platforms.

    Raises Undescribed, and EngineError for an engine that does not say how it speaks to registries.
    """
    name, _, digest = image.partition("@")
    there = Repository(engine, name, login)
    said, part = there.document(f"manifests/{digest}", digest), ""
    if "manifests" in said:
        part = _ours(_held(said, INDEX))
        said = there.document(f"manifests/{part}", part)
    config = str(_held(said, MANIFEST)["config"]["digest"])
    return _made(config, there.document(f"blobs/{config}", config)), part


def _ours(index: Dict[str, Any]) -> str:
    """The digest of the manifest that is for this kind of machine."""
    for machine in machines():
        found = {
            str(one["digest"])
            for one in index["manifests"] or ()
            if one["platform"] and (one["platform"]["os"], one["platform"]["architecture"]) == ("linux", machine)
        }
        if len(found) > 1:
            raise Undescribed(f"has several images for linux/{machine} in one")
        if found:
            return found.pop()
    raise Undescribed(f"has none in it for {os.uname().machine}")


def _made(digest: str, config: Dict[str, Any]) -> LocalImage:
    """As the engine would show it."""
    _held(config, CONFIG)
    said = {
        "Id": digest,
        "Config": config.get("config"),
        "RootFS": {"Layers": (config.get("rootfs") or {}).get("diff_ids")},
        "Os": config.get("os"),
        "Architecture": config.get("architecture"),
        "Created": config.get("created"),
    }
    try:
        return inspected.image(said)
    except Malformed as error:
        raise Undescribed(f"describes it otherwise than images are described ({one_line(str(error), 200)})") from None


def _held(said: Any, shape: Any) -> Dict[str, Any]:
    if not fits(shape, said):
        raise Undescribed("describes it otherwise than images are described")
    found: Dict[str, Any] = said
    return found


class Repository:
    """One repository of a registry. Everything is over SECONDS after it was made, but for peers that drip."""

    def __init__(self, engine: Engine, name: str, login: Optional[EngineLogin]) -> None:
        first, _, rest = name.partition("/")
        hub = not rest or not re.search(r"[.:]|^localhost$", first)
        self.server = "docker.io" if hub else first
        host = HUB if self.server == "docker.io" else self.server
        path = rest if not hub else name if rest else f"library/{name}"
        self._until = time.monotonic() + SECONDS
        self._path = path
        self._host = host
        self._login = login if login and login.serveraddress == self.server else None
        self._authorization = ""
        info = engine.get("/info", shape=INFO)
        self._proxies = _proxies(info, host)
        self._secure = _is_secure(info.get("RegistryConfig") or {}, self.server)
        self._schemes = ["https"] if self._secure else ["https", "http"]  # in the engine's own order
        self._opener: Any = None

    def document(self, where: str, digest: str) -> Dict[str, Any]:
        """A JSON mapping of the repository that has this digest. Raises Undescribed."""
        raw = self._asked(f"/v2/{urllib.parse.quote(self._path)}/{where}")
        if f"sha256:{hashlib.sha256(raw).hexdigest()}" != digest:
            raise Undescribed("gives something that has another digest")
        return _mapping(raw)

    def _asked(self, target: str) -> bytes:
        failure = Undescribed("could not be reached")
        while self._schemes:
            try:
                return self._with_login(f"{self._schemes[0]}://{self._host}{target}")
            except (OSError, http.client.HTTPException) as error:
                failure = Undescribed(f"could not be reached ({one_line(str(getattr(error, 'reason', error)), 200)})")
                self._schemes.pop(0)
        raise failure

    def _with_login(self, url: str) -> bytes:
        """Raises OSError where nothing answers, and Undescribed for an answer that is no good."""
        status, challenge, raw = self._get(url, self._authorization)
        if status == 401 and not self._authorization:
            self._authorization = self._answered(url, challenge)
            status, _, raw = self._get(url, self._authorization)
        if status != 200:
            raise Undescribed(f"answers HTTP {status}")
        return raw

    def _answered(self, url: str, challenge: str) -> str:
        """What answers a challenge: the login itself, or the token that somebody gives for it."""
        words = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not re.match("bearer ", challenge, re.IGNORECASE):
            if not self._login:
                raise Undescribed("wants a login")
            return self._basic()
        realm = urllib.parse.urlsplit(words.get("realm", ""))
        asked = urllib.parse.urlsplit(url)
        if realm.scheme not in ("https", asked.scheme):
            raise Undescribed("wants a token that is given without TLS")
        wanted = {"service": words.get("service", ""), "scope": f"repository:{self._path}:pull"}
        given = realm.scheme == "https" or (realm.scheme, realm.netloc) == (asked.scheme, asked.netloc)
        query = urllib.parse.urlencode(wanted)
        status, _, raw = self._get(f"{words['realm']}?{query}", self._basic() if self._login and given else "")
        if status != 200:
            raise Undescribed(f"wants a token, and who gives it answers HTTP {status}")
        said = _mapping(raw)
        token = said.get("token") or said.get("access_token")
        if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
            raise Undescribed("wants a token, and who gives it gives none")
        return f"Bearer {token}"

    def _basic(self) -> str:
        assert self._login  # noqa: S101  the caller asked
        pair = f"{self._login.username}:{self._login.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode()

    def _get(self, url: str, authorization: str) -> Tuple[int, str, bytes]:
        """Status, challenge and body. Raises OSError where nothing answers. A redirect goes without the login."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Undescribed(f"did not come to an end within {SECONDS:.0f} s")
        headers = {"Accept": KINDS, "User-Agent": "gpu-runbook"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  its opener knows HTTP alone
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        self._opener = self._opener or _opener(self._proxies, _context(self.server, self._secure))
        try:
            with self._opener.open(request, timeout=left) as answer:
                raw: bytes = answer.read(MOST + 1)
        except HTTPError as error:
            with error:
                return error.code, error.headers.get("WWW-Authenticate", ""), b""
        if len(raw) > MOST:
            raise Undescribed(f"gives more than {MOST >> 20} MiB")
        return 200, "", raw


def _mapping(raw: bytes) -> Dict[str, Any]:
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Undescribed("gives something that is no JSON mapping")
    return said


def _opener(proxies: Dict[str, str], context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    """Of HTTP alone: a redirect leads to no file and no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _context(server: str, secure: bool) -> ssl.SSLContext:
    """Whom TLS trusts: what the server trusts anyway, and the authorities that docker is given for this registry."""
    context = ssl.create_default_context()
    if not secure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in _authorities(os.path.join(CERTIFICATES, server)) if secure else ():
        context.load_verify_locations(path)
    return context


def _authorities(folder: str) -> Iterator[str]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    yield from (os.path.join(folder, name) for name in names if name.endswith(".crt"))


def _is_secure(config: Dict[str, Any], server: str) -> bool:
    """Whether the engine speaks to a registry by TLS alone: not on loopback, nor where its settings say otherwise."""
    known = (config.get("IndexConfigs") or {}).get(server)
    if isinstance(known, dict) and isinstance(known.get("Secure"), bool):
        return bool(known["Secure"])
    networks = ["127.0.0.0/8", "::1/128", *(config.get("InsecureRegistryCIDRs") or ())]
    host = urllib.parse.urlsplit(f"//{server}").hostname or ""
    try:
        addresses = {ipaddress.ip_address(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
        return not any(one in ipaddress.ip_network(network) for one in addresses for network in networks)
    except (OSError, ValueError):
        return True


def _proxies(info: Dict[str, Any], host: str) -> Dict[str, str]:
    """Those that the engine itself is told to use."""
    name = urllib.parse.urlsplit(f"//{host}").hostname or ""
    if name == "localhost" or re.fullmatch(r"127\.[\d.]+|::1", name):
        return {}
    spared: Callable[..., Any] = getattr(urllib.request, "proxy_bypass_environment")  # noqa: B009  mypy knows it not
    if spared(host, {"no": str(info.get("NoProxy") or "")}):
        return {}
    found = {"http": info.get("HttpProxy"), "https": info.get("HttpsProxy")}
    return {scheme: proxy for scheme, proxy in found.items() if isinstance(proxy, str) and proxy}
