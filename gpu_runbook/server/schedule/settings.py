"""How a server is checked while nobody looks: what the laptop leaves there, as frozen values that travel as JSON."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass, field
from typing import Any, Dict, Tuple

from gpu_runbook.protocol.check import encode
from gpu_runbook.protocol.forms import Count, Grace, Path, Port, ServiceName, Time
from gpu_runbook.protocol.forms import Restart as Policy
from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.server.state.store import Store

PROGRAM, SETTINGS, STATE, HISTORY, LOCK = "check.pyz", "settings.json", "state.json", "history.jsonl", "lock"
KEPT = (  # of the environment of the login that installs
    *("PATH", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *(name for proxy in ("http_proxy", "https_proxy", "no_proxy", "all_proxy") for name in (proxy, proxy.upper())),
)


def place(store: Store, file: str) -> str:
    """Where a file of the scheduled check lies."""
    return os.path.join(store.folder, "health", file)


@dataclass(frozen=True)
class Webhook:
    """An address that takes JSON. In the texts of `body` stand words such as {title}, which `message` knows."""

    name: str
    url: str = field(repr=False)
    body: Any = None
    limit: int = 3500  # characters of {text}: what the service takes
    token: str = field(default="", repr=False)  # sent as a bearer's


@dataclass(frozen=True)
class Mail:
    """A mail server. `security` is starttls, tls or none; without a user nobody logs in."""

    name: str
    host: str
    port: Port
    sender: str
    recipients: Tuple[str, ...]
    security: str = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Program:
    """A command that is given the alert: its text on standard input, and words such as {title} in its arguments."""

    name: str
    argv: Tuple[str, ...]


@dataclass(frozen=True)
class Channels:
    """Whom to tell. The heartbeat is an address that is called every round, so that silence is noticed."""

    webhooks: Tuple[Webhook, ...] = ()
    mails: Tuple[Mail, ...] = ()
    programs: Tuple[Program, ...] = ()
    heartbeat: str = field(default="", repr=False)

    @property
    def names(self) -> Tuple[str, ...]:
        return tuple(one.name for kind in (self.webhooks, self.mails, self.programs) for one in kind)


@dataclass(frozen=True)
class Restart:
    """How a consumer is started again: one that is dead, or one that runs and does not get on with its stream."""

    service: ServiceName
    stop_grace: Grace = 30  # seconds
    policy: Policy = "unless-stopped"
    dead: bool = True
    stuck: bool = False


@dataclass(frozen=True)
class Settings:
    """Everything a round needs to know. Holds secrets: it rests in one file of mode 0600. Times in seconds."""

    server: str
    root: Path
    every: Count
    questions: Request
    state: Path = ""  # as in a Plan
    stale_after: Count = 1800  # so long an offset may stand still while messages wait
    repeat: Count = 14400  # an alert that lasts is told again after so long
    keep: Count = 30 * 86400  # how far back the history goes
    restarts: Tuple[Restart, ...] = ()
    batches: Tuple[BatchMarks, ...] = ()  # of whose runs no container is touched, whatever else it looks like
    channels: Channels = field(default_factory=Channels)
    textfile: str = ""  # for Prometheus' node exporter, empty for none
    hidden: Tuple[str, ...] = field(default=(), repr=False)  # spellings of secrets, longest first

    def covered(self, text: str) -> str:
        """The text with dots for every secret in it."""
        for secret in self.hidden:
            text = text.replace(secret, "•••")
        return text


def keyed_hash(settings: Settings, key: str) -> str:
    """By which settings are compared that somebody else may not have. The key is drawn anew for each comparison."""
    text = json.dumps(encode(settings), sort_keys=True)
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Installed:
    """What `settings.json` holds: the settings, and what was found out where they were left."""

    settings: Settings
    version: str
    program: str  # the hash of its sources, by which a laptop recognises its own
    at: Time
    who: str
    laptop: str
    environment: Dict[str, str] = field(default_factory=dict)  # of the login, that cron does not have: PATH, a proxy
