"""The entry `schedule` of hosts.yaml and the variables of .env, as what is left on a server."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.resolve import resolve
from gpu_runbook.laptop.inventory.model import load_inventory
from gpu_runbook.laptop.rpc.requests import request_for
from gpu_runbook.laptop.schedule.client import ready
from gpu_runbook.laptop.schedule.settings import compared, comparison, settings_for
from gpu_runbook.protocol.check import OK, WARNING, Check
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.schedule import Mail, Settings, Webhook, keyed_hash

URL = "https://hooks.chat.lan/services/T0001/B0002/verysecretpart1234"
ENV = {
    "RABBITMQ_HOST": "rabbit.lan",
    "RABBITMQ_PORT": "5552",
    "RABBITMQ_MONITOR_USER": "monitor",
    "RABBITMQ_MONITOR_PASSWORD": "hunter2hunter2",
    "CHAT_URL": URL,
    "NTFY_URL": "https://ntfy.lan/gpu-alerts",
    "PING_URL": "http://ping.lan/0a1b2c3d-0000",
    "MAIL_PASSWORD": "m41l-password",
    "HOOK_TOKEN": "t0ken-t0ken",
}
SCHEDULE: dict[str, Any] = {
    "every": "10m",
    "repeat": "2h",
    "restart_stuck": True,
    "heartbeat_variable": "PING_URL",
    "textfile": "/var/lib/node_exporter/gpu-runbook.prom",
    "alerts": {
        "chat": {"kind": "slack", "url_variable": "CHAT_URL"},
        "phone": {"kind": "ntfy", "url_variable": "NTFY_URL"},
        "hook": {
            "kind": "webhook",
            "url_variable": "CHAT_URL",
            "token_variable": "HOOK_TOKEN",
            "body": {"a": "{title}"},
        },
        "mail": {
            "kind": "smtp",
            "host": "mail.lan",
            "sender": "gpu@team.lan",
            "recipients": ["me@team.lan"],
            "user": "gpu",
            "password_variable": "MAIL_PASSWORD",
        },
        "shell": {"kind": "command", "command": ["/usr/bin/apprise", "-t", "{title}"]},
    },
}


def project(folder: Path, schedule: dict[str, Any], **env: str | None) -> Path:
    hosts = {
        "hosts": {"gpu-1": {"address": "gpu-1.lan", "root": "/azaion", "gpus": 2}},
        "services": {
            "queue": {
                "kind": "consumer",
                "image": "team/queue",
                "mounts": ["/azaion:/azaion"],
                "offset": {"file": "/azaion/offset.yaml"},
                "stream": {"name": "messages"},
                "stop_grace": 20,
            },
            "training": {"kind": "batch", "image": "team/training", "container": "training"},
        },
        "schedule": schedule,
    }
    (folder / "hosts.yaml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    values = {name: value for name, value in (ENV | env).items() if value is not None}
    (folder / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
    (folder / ".env").chmod(0o600)
    return folder / "hosts.yaml"


def settings(folder: Path, schedule: dict[str, Any] | None = None, **env: str | None) -> Settings:
    inventory = load_inventory(project(folder, SCHEDULE if schedule is None else schedule, **env))
    found = resolve(inventory, inventory.select_hosts(None), inventory.select_services(None), "schedule")
    ready(inventory, list(found.values()))
    return settings_for(inventory, found["gpu-1"])


def test_everything_that_a_round_needs_is_there(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert (made.server, made.root, made.every, made.repeat) == ("gpu-1", "/azaion", 600, 7200)
    assert [one.service for one in made.questions.consumers] == ["queue"]
    assert made.questions.consumers[0].password == "hunter2hunter2"
    assert [(one.service, one.stop_grace, one.stuck) for one in made.restarts] == [("queue", 20, True)]
    assert made.channels.names == ("chat", "phone", "hook", "mail", "shell")
    phone = next(one for one in made.channels.webhooks if one.name == "phone")
    assert (phone.url, phone.body["topic"]) == ("https://ntfy.lan/", "gpu-alerts")
    hook = next(one for one in made.channels.webhooks if one.name == "hook")
    assert hook == Webhook("hook", URL, {"a": "{title}"}, 20_000, "t0ken-t0ken")
    assert made.channels.mails == (
        Mail("mail", "mail.lan", 587, "gpu@team.lan", ("me@team.lan",), "starttls", "gpu", "m41l-password"),
    )
    assert made.channels.heartbeat == ENV["PING_URL"]


def test_the_settings_come_back_as_they_were_sent_and_show_no_secret(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert decode(Settings, encode(made), "settings") == made
    for secret in (URL, ENV["NTFY_URL"], ENV["PING_URL"], "m41l-password", "t0ken-t0ken", "hunter2hunter2"):
        assert secret not in repr(made)


def test_what_is_said_covers_addresses_and_their_long_parts(tmp_path: Path) -> None:
    made = settings(tmp_path)
    for name in ("CHAT_URL", "PING_URL", "MAIL_PASSWORD", "HOOK_TOKEN", "RABBITMQ_MONITOR_PASSWORD"):
        assert ENV[name] not in made.covered(f"it says {ENV[name]}!")
    assert "verysecretpart1234" not in made.covered("no_service verysecretpart1234")


def test_without_the_entry_there_is_a_check_that_tells_nobody(tmp_path: Path) -> None:
    made = settings(tmp_path, {})
    assert (made.every, made.channels.names, made.channels.heartbeat) == (300, (), "")
    assert [(one.service, one.dead, one.stuck) for one in made.restarts] == [("queue", True, False)]
    (restart,) = settings(tmp_path, {"restart_dead": False, "restart_stuck": True}).restarts
    assert (restart.dead, restart.stuck) == (False, True)


def test_no_batch_service_is_ever_among_those_that_are_started_again(tmp_path: Path) -> None:
    assert "training" not in {one.service for one in settings(tmp_path).restarts}


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"every": 0}, "schedule.every: a time from 60 to 3600 seconds is expected"),
        ({"every": "7m"}, "schedule: every: 1m, 2m, 3m, 4m, 5m, 6m, 10m"),
        ({"every": "90s"}, "schedule: every: 1m"),
        ({"every": "2h"}, "schedule.every: a time from 60 to 3600"),
        ({"repeat": "1s"}, "schedule.repeat: a time from 300"),
        ({"textfile": "/var/lib/gpu.txt"}, "files that end in .prom only"),
        ({"textfile": "gpu.prom"}, "schedule.textfile: an absolute path"),
        ({"alerts": {"heartbeat": {"kind": "slack", "url_variable": "CHAT_URL"}}}, "heartbeat is the name of"),
        ({"alerts": {"chat": {"kind": "slak"}}}, "schedule.alerts.chat.kind: 'slack'"),
        ({"alerts": {"chat": {"kind": "slack"}}}, "schedule.alerts.chat: slack needs url_variable"),
        ({"alerts": {"chat": {"kind": "smtp", "host": "mail.lan"}}}, "smtp needs sender and recipients"),
        ({"alerts": {"c": {"kind": "command"}}}, "alerts.c"),
        ({"alerts": {"chat": {"kind": "slack", "url_variable": "CHAT_URL", "port": 25}}}, "slack takes no port"),
        (
            {"alerts": {"chat": {"kind": "slack", "url_variable": "CHAT_URL", "body": {"a": "b"}}}},
            "slack takes no body",
        ),
        ({"alerts": {"hook": {"kind": "webhook", "url_variable": "CHAT_URL", "body": {"a": "{tittle}"}}}}, "{tittle}"),
        ({"alerts": {"chat": {"kind": "slack", "url": "https://x"}}}, "url: is not a known key"),
        (
            {"alerts": {"m": {"kind": "smtp", "host": "m", "sender": "a@b", "recipients": ["a@b"], "user": "x"}}},
            "schedule.alerts.m",
        ),
        (
            {"alerts": {"mail": {"kind": "smtp", "host": "m.lan", "sender": "nobody", "recipients": ["a@b.lan"]}}},
            "schedule.alerts.mail.sender: a mail address is expected",
        ),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, schedule: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as error:
        load_inventory(project(tmp_path, schedule))
    assert said in error.value.message


@pytest.mark.parametrize(
    "value",
    ["chat.lan/hook", "ftp://chat.lan/x", "https://?q=1", "https:///path", "https://chat.lan:99999/x", "http://a b/"],
)
def test_an_address_that_is_none_is_named_and_not_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(BadInput) as error:
        settings(tmp_path, CHAT_URL=value)
    assert ".env: CHAT_URL is no http:// or https:// address" in error.value.message
    assert value not in error.value.message


def test_a_topic_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="NTFY_URL does not end in a topic"):
        settings(tmp_path, NTFY_URL="https://ntfy.lan/")


def test_every_variable_that_is_missing_is_named_with_who_needs_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        settings(tmp_path, CHAT_URL=None, MAIL_PASSWORD="", PING_URL=None)
    for said in (
        "CHAT_URL is not set; needed by schedule.alerts.",
        "MAIL_PASSWORD is empty; needed by schedule.alerts.mail",
        "PING_URL is not set; needed by schedule.heartbeat_variable",
    ):
        assert said in error.value.message


def test_a_health_check_compares_the_settings_only_where_it_can_make_them(tmp_path: Path) -> None:
    inventory = load_inventory(project(tmp_path, SCHEDULE))
    hosts, services = inventory.select_hosts(None), inventory.select_services(None)
    resolved = resolve(inventory, hosts, services, "ask")["gpu-1"]
    keys = {comparison(inventory, resolved) for _ in range(2)}
    assert [len(key) for key in keys] == [64, 64]
    inventory = load_inventory(project(tmp_path, SCHEDULE, CHAT_URL=None))
    assert comparison(inventory, resolve(inventory, hosts, services, "ask")["gpu-1"]) == ""


def test_settings_are_compared_without_sending_them(tmp_path: Path) -> None:
    """The server has what the laptop left there, as JSON has brought it; it answers with a hash."""
    inventory = load_inventory(project(tmp_path, SCHEDULE))
    resolved = resolve(inventory, inventory.select_hosts(None), inventory.select_services(None), "ask")["gpu-1"]
    left = decode(Settings, json.loads(json.dumps(encode(settings(tmp_path)))), "settings")
    fine, late = Check("schedule", OK, "it looked 1 min ago"), Check("schedule", WARNING, "overdue", hint="see cron")
    for row, level, hint in ((fine, WARNING, "fab schedule.install"), (late, WARNING, "see cron")):
        told = {"every": 300, "settings": keyed_hash(left, "a key")}
        same = compared(dataclasses.replace(row, figures=told), inventory, resolved, "a key")
        assert same == dataclasses.replace(row, figures={"every": 300})
        told["settings"] = keyed_hash(dataclasses.replace(left, repeat=1), "a key")
        other = compared(dataclasses.replace(row, figures=told), inventory, resolved, "a key")
        assert other.sentence == f"{row.sentence}; its settings are not what hosts.yaml and .env say now"
        assert (other.level, other.hint, other.figures) == (level, hint, {"every": 300})
        unasked = compared(dataclasses.replace(row, figures=told), inventory, resolved, "")
        assert unasked == dataclasses.replace(row, figures={"every": 300})
    assert compared(fine, inventory, resolved, "a key") == fine


def test_a_server_is_asked_for_its_health_without_an_address_and_a_mail_password(tmp_path: Path) -> None:
    inventory = load_inventory(project(tmp_path, SCHEDULE))
    hosts, services = inventory.select_hosts(None), inventory.select_services(None)
    resolved = resolve(inventory, hosts, services, "ask")["gpu-1"]
    request = request_for(inventory, hosts[0], services, resolved)
    sent = json.dumps(encode(dataclasses.replace(request, schedule=comparison(inventory, resolved))))
    asked_for = {name: value.reveal() for name, value in resolved.used.items() if name in inventory.schedule.variables}
    assert {"CHAT_URL", "MAIL_PASSWORD", "PING_URL"} <= set(asked_for)
    assert [name for name, value in asked_for.items() if value in sent] == []


def test_settings_that_differ_in_anything_are_others(tmp_path: Path) -> None:
    made = settings(tmp_path)
    assert dataclasses.replace(made, repeat=1) != made
    assert settings(tmp_path, MAIL_PASSWORD="an0ther-password") != made
