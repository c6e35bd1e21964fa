"""Makes of hosts.yaml and .env what the scheduled check of one server is to do."""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
from urllib.parse import urlsplit

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.resolve import Resolved
from gpu_runbook.laptop.inputs.secret import Secret, spellings
from gpu_runbook.laptop.inventory.model import Consumer, Inventory
from gpu_runbook.laptop.inventory.schedule_entries import PORTS, WEBHOOKS, Alert
from gpu_runbook.laptop.rpc.requests import batch_marks, request_for
from gpu_runbook.laptop.schedule.presets import PRESETS, with_topic
from gpu_runbook.protocol.check import OK, WARNING, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.schedule import Channels, Mail, Program, RestartRule, Settings, Webhook, keyed_hash


def settings_for(wanted: Inventory, resolved: Resolved) -> Settings:
    """Holds secrets. Raises BadInput for a variable that is not what it should be, by name and never by value."""
    schedule, host = wanted.schedule, resolved.host
    consumers = [one for one in wanted.services.values() if isinstance(one, Consumer)]
    questions = request_for(wanted, host, list(wanted.services.values()), resolved)
    return Settings(
        server=host.name,
        root=host.root,
        state=host.place[1],
        every=schedule.every,
        questions=dataclasses.replace(questions, await_move=0.0),  # the next round tells whether it has moved
        stale_after=wanted.health.offset.stale_after,
        repeat=schedule.repeat,
        keep=schedule.keep,
        restarts=tuple(
            RestartRule(one.name, one.stop_grace, one.restart, schedule.restart_dead, schedule.restart_stuck)
            for one in consumers
        ),
        batches=batch_marks(wanted),
        channels=_channels(wanted, resolved),
        textfile=schedule.textfile or "",
        hidden=_hidden(wanted, resolved),
    )


def comparison(wanted: Inventory, resolved: Resolved) -> str:
    """The key for a server to hash its own settings with; empty when .env lacks something that ours need.

    Ours stay here: a server that has no schedule gets to know of none.
    """
    return "" if any(name not in resolved.used for name in wanted.schedule.variables) else secrets.token_hex()


def compared(row: Check, wanted: Inventory, resolved: Resolved, key: str) -> Check:
    """The server's row, without the hash of its settings; a warning where ours are others."""
    theirs = row.figures.get("settings")
    if theirs is None:
        return row
    figures = {name: value for name, value in row.figures.items() if name != "settings"}
    row = dataclasses.replace(row, figures=figures)
    # Ours by way of JSON, as theirs came: a list there is a list here.
    ours = decode(Settings, json.loads(json.dumps(encode(settings_for(wanted, resolved)))), "settings") if key else None
    if ours is None or keyed_hash(ours, key) == theirs:
        return row
    text, hint = "its settings are not what hosts.yaml and .env say now", "fab schedule.install"
    level = WARNING if row.level == OK else row.level
    return dataclasses.replace(row, level=level, sentence=f"{row.sentence}; {text}", hint=row.hint or hint)


def check(wanted: Inventory, resolved: Resolved) -> list[str]:
    """What is wrong with the variables of the alerts: a sentence for each."""
    problems = []
    for name, alert in wanted.schedule.alerts.items():
        try:
            _alert(name, alert, resolved)
        except BadInput as error:
            problems.append(error.message)
    if wanted.schedule.heartbeat_variable:
        try:
            _url(wanted.schedule.heartbeat_variable, resolved)
        except BadInput as error:
            problems.append(error.message)
    return problems


def _channels(wanted: Inventory, resolved: Resolved) -> Channels:
    made = [_alert(name, alert, resolved) for name, alert in wanted.schedule.alerts.items()]
    heartbeat = wanted.schedule.heartbeat_variable
    return Channels(
        webhooks=tuple(one for one in made if isinstance(one, Webhook)),
        mails=tuple(one for one in made if isinstance(one, Mail)),
        programs=tuple(one for one in made if isinstance(one, Program)),
        heartbeat=_url(heartbeat, resolved) if heartbeat else "",
    )


def _alert(name: str, alert: Alert, resolved: Resolved) -> Webhook | Mail | Program:
    if alert.kind in WEBHOOKS:
        return _webhook(name, alert, resolved)
    if alert.kind == "command":
        return Program(name, alert.command)
    assert alert.host and alert.sender  # noqa: S101  seen when the entry was read
    return Mail(
        name=name,
        host=alert.host,
        port=alert.port or PORTS[alert.security],
        sender=alert.sender,
        recipients=alert.recipients,
        security=alert.security,
        user=alert.user or "",
        password=_value(alert.password_variable, resolved),
    )


def _webhook(name: str, alert: Alert, resolved: Resolved) -> Webhook:
    assert alert.url_variable  # noqa: S101  seen when the entry was read
    preset, url = PRESETS[alert.kind], _url(alert.url_variable, resolved)
    body = preset.body if alert.body is None else alert.body
    if alert.kind == "ntfy":
        if not re.fullmatch(r"[\w-]{1,64}", urlsplit(url).path.rpartition("/")[2], re.ASCII):
            raise BadInput(
                f"{resolved.env.source}: {alert.url_variable} does not end in a topic, as https://ntfy.sh/TOPIC"
            )
        url, body = with_topic(url, body)
    return Webhook(name, url, body, preset.limit, _value(alert.token_variable, resolved))


def _url(variable: str, resolved: Resolved) -> str:
    value = _value(variable, resolved)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", value):
        raise BadInput(f"{resolved.env.source}: {variable} is no http:// or https:// address")
    return value


def _value(variable: str | None, resolved: Resolved) -> str:
    return resolved.used[variable].reveal() if variable and variable in resolved.used else ""


def _hidden(wanted: Inventory, resolved: Resolved) -> tuple[str, ...]:
    """What the check covers wherever it writes or says something: also each long part of the addresses."""
    known = [resolved.used[name] for name in wanted.schedule.variables if name in resolved.used]
    parts = [Secret(part) for one in known for part in re.split(r"[/?&=]", one.reveal()) if len(part) >= 16]
    return tuple(sorted({*resolved.hidden, *spellings(parts)}, key=lambda form: (-len(form), form)))
