"""The entry `schedule` of hosts.yaml; each class is also the rule by which its entry is read."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

from gpu_runbook.laptop.inventory import fields
from gpu_runbook.laptop.inventory.strict import Strict, about
from gpu_runbook.protocol.placeholders import WORDS, strange_words
from gpu_runbook.protocol.values import dataclass, field

WEBHOOKS = ("slack", "discord", "ntfy", "teams", "webhook")
PORTS = {"starttls": 587, "tls": 465, "none": 25}
# What each kind of alert takes beside `kind`; what it cannot do without comes first.
NEEDS = {
    **dict.fromkeys(WEBHOOKS, ("url_variable",)),
    "smtp": ("host", "sender", "recipients"),
    "command": ("command",),
}
TAKES = {
    **dict.fromkeys(WEBHOOKS, ("token_variable",)),
    "webhook": ("token_variable", "body"),
    "smtp": ("port", "security", "user", "password_variable"),
    "command": (),
}
RESERVED = "heartbeat"  # the name under which the heartbeat is shown


@dataclass(frozen=True, kw_only=True)
class Alert(Strict):
    """Somebody to be told. Addresses that let anybody write there are secrets: they stand in .env."""

    kind: Literal["slack", "discord", "ntfy", "teams", "webhook", "smtp", "command"] = field(
        metadata=about("slack is also for Mattermost and Rocket.Chat; webhook for anything else that takes JSON.")
    )
    url_variable: fields.Variable | None = field(
        default=None, metadata=about("Of a webhook: the variable of .env that holds its address.")
    )
    token_variable: fields.Variable | None = field(
        default=None, metadata=about("Of a webhook: what is sent along as a bearer token.")
    )
    body: dict[str, Any] | None = field(
        default=None,
        metadata=about(f"Of kind webhook: the JSON; {', '.join(f'{{{word}}}' for word in WORDS)} are put in."),
    )
    host: fields.Address | None = field(default=None, metadata=about("Of kind smtp: the mail server."))
    port: fields.Port | None = field(default=None, metadata=about("Of kind smtp: 587, 465 with tls, 25 with none."))
    security: Literal["starttls", "tls", "none"] = field(
        default="starttls", metadata=about("Of kind smtp: how the connection is made safe.")
    )
    user: str | None = field(default=None, metadata=about("Of kind smtp: who logs in; without it nobody does."))
    password_variable: fields.Variable | None = field(
        default=None, metadata=about("Of kind smtp: that user's password in .env.")
    )
    sender: fields.MailAddress | None = field(default=None, metadata=about("Of kind smtp: whom the mail is from."))
    recipients: tuple[fields.MailAddress, ...] = field(default=(), metadata=about("Of kind smtp: who gets it."))
    command: tuple[str, ...] = field(
        default=(),
        metadata=about("Of kind command: a program of the server and its arguments; the text is on standard input."),
    )

    def __post_init__(self) -> None:
        needs, known = NEEDS[self.kind], (*NEEDS[self.kind], *TAKES[self.kind])
        missing = [key for key in needs if not getattr(self, key)]
        if missing:
            raise ValueError(f"{self.kind} needs {' and '.join(missing)}")
        given = [one.name for one in dataclasses.fields(self) if getattr(self, one.name) != one.default]
        strange = [key for key in given if key not in ("kind", *known)]
        if strange:
            raise ValueError(f"{self.kind} takes no {strange[0]}")
        if bool(self.user) != bool(self.password_variable):
            raise ValueError("user and password_variable are set together or not at all")
        wrong = strange_words(self.body) + strange_words(self.command)
        if wrong:
            raise ValueError(f"{{{wrong[0]}}} means nothing; known: {', '.join(f'{{{word}}}' for word in WORDS)}")
        if any("\0" in word for word in self.command):
            raise ValueError("command: holds a NUL character")

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of .env that it needs."""
        return tuple(name for name in (self.url_variable, self.token_variable, self.password_variable) if name)


@dataclass(frozen=True, kw_only=True)
class Schedule(Strict):
    """How a server is checked while nobody looks; fab schedule.install leaves it there."""

    every: Annotated[int, fields.duration(60, 3600)] = field(
        default=300, metadata=about("Between two rounds: whole minutes that divide the hour.")
    )
    restart_dead: bool = field(
        default=True, metadata=about("Start a consumer again that has died, at most 3 times an hour.")
    )
    restart_stuck: bool = field(
        default=False, metadata=about("Also restart one that runs and does not advance while messages wait.")
    )
    alerts: dict[fields.Name, Alert] = field(
        default_factory=dict, metadata=about("Who is told, each under a name of your choice.")
    )
    repeat: Annotated[int, fields.duration(300, 604_800)] = field(
        default=14_400, metadata=about("What lasts is told again after so long.")
    )
    heartbeat_variable: fields.Variable | None = field(
        default=None, metadata=about("The variable of .env with an address that is called every round.")
    )
    textfile: fields.AbsolutePath | None = field(
        default=None, metadata=about("A file of figures for Prometheus' node exporter, ending in .prom.")
    )
    keep: Annotated[int, fields.duration(86_400, 31_536_000)] = field(
        default=2_592_000, metadata=about("How far back the history goes.")
    )

    def __post_init__(self) -> None:
        if self.every % 60 or 3600 % self.every:
            raise ValueError("every: 1m, 2m, 3m, 4m, 5m, 6m, 10m, 12m, 15m, 20m, 30m or 1h is expected")
        if self.textfile and not self.textfile.endswith(".prom"):
            raise ValueError("textfile: the collector reads files that end in .prom only")
        if RESERVED in self.alerts:
            raise ValueError(f"alerts: {RESERVED} is the name of the heartbeat; another one is expected")

    @property
    def variables(self) -> dict[str, str]:
        """The variables of .env that it needs, each with the key that names it."""
        named = {name: f"schedule.alerts.{key}" for key, alert in self.alerts.items() for name in alert.variables}
        return named | ({self.heartbeat_variable: "schedule.heartbeat_variable"} if self.heartbeat_variable else {})
