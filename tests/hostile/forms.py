"""Texts and numbers that have each of the forms, and such as nearly have one: by what a form calls itself."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from gpu_runbook import protocol
from gpu_runbook.laptop.gates import ci
from gpu_runbook.protocol import forms

ONE, TWO = "0123456789abcdef" * 4, "ab" * 32
RUN = "20260420-101112-abcd"
GROWN = f"{RUN}{'-0f0f' * 45}"
STAMP = "2026-04-20T10:11:12"

PROTOCOL = [import_module(f"{protocol.__name__}.{one.name}") for one in pkgutil.iter_modules(protocol.__path__)]

ALL: dict[str, forms.Form] = {
    name: one for module in (*PROTOCOL, ci) for name, one in vars(module).items() if isinstance(one, forms.Form)
}

RIGHT: dict[str, tuple[Any, ...]] = {
    "ServiceName": ("annotation-queue", "q", "A_1.b"),
    "ContainerName": ("annotation-queue", f"annotation-queue.adopted-{RUN}", f"q.{GROWN}"),
    "ContainerId": (ONE, TWO),
    "Digest": (f"sha256:{ONE}",),
    "Pinned": (f"registry.lan:5000/azaion/queue@sha256:{ONE}", f"azaion/queue@sha256:{TWO}", f"q@sha256:{ONE}"),
    "Asked": ("registry.lan:5000/azaion/queue:1.0", f"registry.lan:5000/azaion/queue@sha256:{ONE}", "queue:dev-arm"),
    "ImageId": (f"sha256:{ONE}", TWO),
    "MaybeImageId": (f"sha256:{ONE}", TWO, ""),
    "Image": (f"registry.lan:5000/azaion/queue@sha256:{ONE}", f"sha256:{ONE}", TWO),
    "MaybeImage": (f"registry.lan:5000/azaion/queue@sha256:{ONE}", f"sha256:{ONE}", TWO, ""),
    "Reference": ("registry.lan:5000/azaion/training:current", "queue"),
    "RunId": (RUN, f"{RUN}-0f0f", GROWN),
    "ReleaseId": (RUN, f"adopted-{RUN}", f"adopted-{GROWN}"),
    "MaybeRelease": (RUN, f"adopted-{RUN}", ""),
    "MaybeRun": (RUN, GROWN, ""),
    "Restart": ("no", "always", "unless-stopped", "on-failure", "on-failure:3"),
    "Time": (f"{STAMP}Z", f"{STAMP}.123Z", f"{STAMP}.123456789Z", "0001-01-01T00:00:00Z"),
    "MaybeTime": (f"{STAMP}Z", ""),
    "Revision": ("abcdef0", ONE[:40], ONE),
    "Remark": ("", "main", "größer ✓", ONE),
    "Owner": ("1000:1000", "0:0", "65534", "4294967294:4294967294"),
    "Path": ("/azaion/config.yaml", "/", "/a b/größer", "/azaion/..a", "/azaion/.config.yaml.new"),
    "Place": ("/azaion/models/2026-04-20/best.pt", "/azaion/a/../b"),
    "MaybePlace": ("/azaion/models/2026-04-20/best.pt", ""),
    "EnvName": ("RABBITMQ_HOST", "_a1"),
    "Sha256": (ONE,),
    "MaybeSha256": (ONE, ""),
    "KeyedHash": ("0123456789abcdef", ""),
    "Digest16": ("0123456789abcdef", ""),
    "LogLevel": ("warning", "error", "critical", ""),
    "LogKey": ("level", "log.level", "@timestamp", "x", ""),
    "SpecHash": ("0123456789ab",),
    "Level": ("ok", "warning", "critical", "unknown", "skipped"),
    "KeptLevel": ("ok", "critical", "panic"),
    "UnitName": ("gpu-runbook-azaion-1d6192ec.timer",),
    "MaybeLogin": ("", "deploy", "LAN\\ann", "ann@lan", "host$"),
    "Kind": ("consumer", "batch"),
    "Action": ("deploy", "rollback", "restart", "stop"),
    "Change": ("none", "place", "replace", "restart", "stop", "tag"),
    "Outcome": ("proven", "unproven", "adopted"),
    "RunPhase": ("under-way", "ended", "cut-off"),
    "FileState": ("there", "missing", "unreadable"),
    "ModelState": ("whole", "changed", "damaged", "writing", "missing", "outside"),
    "MaybePath": ("/azaion/models", ""),
    "Way": ("config", "copy", "link"),
    "MovedFrom": ("root", "other", "forget"),
    "ThingKind": ("folder", "container", "image", "journal", "file", "release"),
    "Base64": ("", "QUI9MQo=", "QQ==", "a+b/"),
    "Option": ("--shm-size=8g", "--init=true", "--tmpfs=/tmp:size=1g", "--dns=1.1.1.1", "--add-host=a:::1"),
    "Offset": (0, 7, (1 << 64) - 1),
    "Count": (0, 7, (1 << 64) - 1),
    "Grace": (0, 30, 86400),
    "Span": (0.0, 0.5, 86400.0),
    "Mode": (0, 0o600, 0o7777),
    "Port": (1, 5552, 65535),
}

# What somebody would try, and what a slip of the pen makes: hardly a form takes any of them.
NEVER: tuple[Any, ...] = (
    *("--privileged", "-v/:/host", "$(touch /tmp/owned)", "`id`", "a; rm -rf /", "a && id", "a|b", "x\ny", "x\n"),
    *("../../etc/passwd", "..", ".", "a b", " a", "ü", "\x1b[2J", "\0", "sha256:", "@", "#", "~root"),
    *(None, True, [], {}, -1, 1 << 64, 10**30, float("nan"), float("inf"), -0.5),
)
# What one form does not take; others may.
WRONG: dict[str, tuple[Any, ...]] = {
    "ServiceName": ("", "a" * 64, "a/b", "-a", "annotation-queue\n"),
    "ContainerName": ("", "/queue", "-a", "a" * 402),
    "ContainerId": ("", ONE[:12], ONE.upper(), ONE + "0", ONE + "\n", f"sha256:{ONE}", "annotation-queue"),
    "Digest": ("", ONE, f"sha256:{ONE[:63]}", f"sha512:{ONE}{ONE}", f"SHA256:{ONE}"),
    "Pinned": (f"sha256:{ONE}", f"@sha256:{ONE}", f"-q@sha256:{ONE}", "q:latest", f"q@sha256:{ONE}\n"),
    "Asked": ("", f"@sha256:{ONE}", "-q:latest", f"q@{ONE}", f"q@sha256:{ONE[:63]}", f"q:1.0@sha512:{ONE}", "q:1.0\n"),
    "ImageId": ("", "queue:latest", f"q@sha256:{ONE}", ONE[:12]),
    "MaybeImageId": ("queue:latest", ONE[:12]),
    "Image": ("", "queue:latest", f"--x@sha256:{ONE}", f"q@{ONE}"),
    "MaybeImage": ("queue:latest", f"--x@sha256:{ONE}"),
    "Reference": ("", "-queue", "queue:a b", "q;id", "q" * 402),
    "RunId": ("", "r1", f"adopted-{RUN}", f"{RUN}/..", RUN[:-1], f"{RUN}\n", RUN.upper(), f"{GROWN}-0f0f"),
    "ReleaseId": ("", "r1", f"adopted-adopted-{RUN}", f"{RUN}/../../x", "adopted-", f"adopted-{RUN}/x"),
    "MaybeRelease": ("r1", f"{RUN}/../../x"),
    "MaybeRun": ("r1", f"adopted-{RUN}", f"{RUN}/../../x"),
    "Restart": ("", "never", "on-failure:", "on-failure:-1", "always --privileged", "no\n"),
    "Time": (
        *("", "yesterday", STAMP, f"{STAMP}+02:00", f"{STAMP}Z\n"),
        *("2026-13-20T10:11:12Z", "2026-02-31T10:11:12Z", "0000-01-01T00:00:00Z"),
    ),
    "MaybeTime": ("now", "2026-02-31T10:11:12Z"),
    "Revision": ("", "main", "abcdef", ONE + "0", "ABCDEF0", "-abcdef0"),
    "Remark": ("x" * 201, "a\tb", "a\x9bb"),
    "Option": (
        *("", "queue:latest", "-v=/:/", "--init", "--init=", "--=x", "--dns=a\nb", " --dns=x", "--Dns=x"),
        *("--name=x", "--restart=always", "--label=gpu-runbook.service=q", "--label-file=/x", "--env-file=/x"),
        *("--rm=true", "--detach=true", "--pull=always", "--cidfile=/x"),
    ),
    "Owner": ("", "root", "1000:", ":1", "1000:1000:1000", "4294967295", "-1:0", "1e3"),
    "Path": ("", "azaion", "/azaion/../etc", "/..", "/../etc/passwd", "/a\nb", "/a\x9bb", "/" + "x" * 4096),
    "Place": ("", "azaion", "/a\nb"),
    "MaybePlace": ("azaion", "/a\nb"),
    "EnvName": ("", "1A", "A-B", "A=B", "LD_PRELOAD=x"),
    "Sha256": ("", ONE[:63], ONE.upper()),
    "MaybeSha256": (ONE[:63],),
    "KeyedHash": ("abc", "0123456789ABCDEF", ONE),
    "Digest16": ("abc", "0123456789ABCDEF", ONE),
    "LogLevel": ("info", "ERROR", "error\n"),
    "LogKey": ("a b", "@", "-x", "a" * 62, "a\n"),
    "SpecHash": ("", "0123456789abc", "0123456789aB"),
    "Level": ("", "fine", "OK", "ok\n", "ok|warning"),
    "KeptLevel": ("", "two words", "OK", "ok\n", "a" * 21),
    "UnitName": ("", "cron.timer", "gpu-runbook-a/b", "gpu-runbook-", "gpu-runbook-a\n"),
    "MaybeLogin": ("-a", "a b", "a;b", "a" * 66, "a\n"),
    "Kind": ("", "training"),
    "Action": ("", "prune"),
    "Change": ("", "remove"),
    "Outcome": ("", "failed"),
    "RunPhase": ("", "odd"),
    "FileState": ("", "gone"),
    "ModelState": ("", "good"),
    "MaybePath": ("azaion", "/azaion/../etc", "/a\nb"),
    "Way": ("", "move", "copies"),
    "MovedFrom": ("", "root/..", "ROOT", "all"),
    "ThingKind": ("", "volume"),
    "Base64": ("A", "QQ=", "QQ==\n", "QQ=A", "Q-_A"),
    "Offset": (7.0, "7"),
    "Count": (7.0, "7"),
    "Grace": (86401, 30.0),
    "Span": (86400.5, 86401),
    "Mode": (0o10000,),
    "Port": (0, 65536),
}
