"""How a server is checked while nobody looks: what the laptop leaves there, as frozen values that travel as JSON."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Dict, Optional, Tuple

from gpu_runbook.protocol.check import Check
from gpu_runbook.protocol.codec import encode
from gpu_runbook.protocol.forms import (
    Annotated,
    Count,
    Grace,
    KeptLevel,
    MaybePlace,
    Path,
    Place,
    Port,
    Restart,
    ServiceName,
    Time,
    maybe,
    text,
)
from gpu_runbook.protocol.health import Request
from gpu_runbook.protocol.plan import BatchMarks
from gpu_runbook.protocol.values import dataclass, field


@dataclass(frozen=True)
class Webhook:
    """An address that takes JSON. In the texts of `body` stand words such as {title}, as in `protocol.placeholders`."""

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
class RestartRule:
    """How a consumer is started again: one that is dead, or one that runs and does not get on with its stream."""

    service: ServiceName
    stop_grace: Grace = 30  # seconds
    policy: Restart = "unless-stopped"
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
    restarts: Tuple[RestartRule, ...] = ()
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


UnitName = Annotated[str, text("the name of a unit", r"gpu-runbook-[A-Za-z0-9.-]{1,90}")]
MaybeLogin = Annotated[str, maybe(text("a login name", r"[A-Za-z0-9_][\w.@\\+-]{0,62}\$?"))]


@dataclass(frozen=True)
class CheckTimer:
    """The timer of systemd that starts the check, on a server without cron."""

    unit: UnitName  # the name of its unit
    login: MaybeLogin = ""  # whose last session it ends with, until that login may linger; empty where it goes on


@dataclass(frozen=True)
class Installation:
    """What was written (state, program, settings, crontab, timer), our block of the crontab, and whether cron runs.

    `running` is None where that cannot be seen. `moved`: from where to where the state was moved, empty for most.
    """

    changed: Tuple[str, ...]
    crontab: str
    running: Optional[bool]
    moved: Tuple[Place, ...] = ()
    timer: Optional[CheckTimer] = None  # what starts it where there is no cron; of that `running` is told then


@dataclass(frozen=True)
class Removed:
    """What was taken away (the crontab's block, and files by name), and where the history is, empty without one."""

    removed: Tuple[str, ...]
    history: MaybePlace


@dataclass(frozen=True)
class Alarm:
    """What is known of one row that is not well, and what was told of it."""

    count: Count = 0  # rounds in a row
    since: Time = ""  # the first of them
    told: KeptLevel = ""  # the worst level that was told, empty while nobody was told anything
    quiet: float = 0.0  # seconds since somebody was told


@dataclass(frozen=True)
class InstalledCheck:
    """What was left there, by whom and when; `every` is in seconds, `channels` are names."""

    version: str  # the version of this tool that left it there
    program: str  # the hash of its sources
    at: Time  # when it was left there, by the server's clock
    who: str  # who left it there
    laptop: str  # from which computer
    every: Count  # seconds from one round to the next
    channels: Tuple[str, ...]  # the names of the channels that it tells
    heartbeat: bool  # whether an address is called every round


@dataclass(frozen=True)
class Untold:
    """An alert that a channel has not taken yet, and why."""

    channel: str  # the name of the channel
    why: str  # why it has not taken it
    since: Time  # since when it waits


@dataclass(frozen=True)
class Remembered:
    """What the rounds remember: of `server/schedule/state.py`, as a person is shown it."""

    at: Time = ""  # when the last round was, empty before the first
    level: KeptLevel = ""  # what it came to
    silent: str = ""  # why it told nobody anything: a run, or a pause; usually empty
    rounds: Count = 0  # how many were made since it was installed
    alarms: Dict[str, Alarm] = field(default_factory=dict)  # row -> what is known of it, of those that are not well
    restarts: Dict[ServiceName, Tuple[Time, ...]] = field(default_factory=dict)  # by service: when it was started again
    pending: Tuple[Untold, ...] = ()  # alerts that wait for a channel to take them
    troubles: Dict[str, str] = field(default_factory=dict)  # of the check itself: what, and why


@dataclass(frozen=True)
class PastEvent:
    """An action, or the title of an alert."""

    at: Time  # when, by the server's clock
    what: str  # `action` or `alert`
    text: str  # what was done, or the alert's title


@dataclass(frozen=True)
class Shown:
    """All that is known of the check on a server. Nothing in it is a secret."""

    row: Check
    crontab: str  # our block, empty without one
    problem: str  # why the crontab cannot be read
    running: Optional[bool]  # whether cron does, None when that cannot be seen
    installed: Optional[InstalledCheck]
    there: bool  # whether the program is
    state: Optional[Remembered]
    told: Tuple[PastEvent, ...]  # the newest actions and alerts, oldest first
    timer: Optional[CheckTimer] = None  # what starts it where there is no cron; of that `running` is told then
