"""Publish numbered messages to the sandbox's stream, each confirmed by the broker; or begin the stream anew.

Both run this module as a process of its own, with the packages of the consumer image.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpu_runbook.laptop.errors import Defect
from sandbox.passwords import read
from sandbox.place import CHECKOUT, STREAM, Sandbox
from sandbox.preloaded import Preloaded

BATCHES_PER_SECOND = 20
ENDLESS = -1  # as a count: until standard input is closed


def start_publishing(sandbox: Sandbox, count: int, rate: float = 0, first: int = 1) -> subprocess.Popen[str]:
    """Start publishing `count` messages named msg-000001 and on, `rate` a second (0: as fast as it goes)."""
    return _start(sandbox, count=count, rate=rate, first=first)


def keep_publishing(sandbox: Sandbox, rate: float, first: int = 1) -> subprocess.Popen[str]:
    """Start publishing `rate` messages a second until `finish`."""
    return _start(sandbox, count=ENDLESS, rate=rate, first=first)


def finish(process: subprocess.Popen[str]) -> int:
    """Wait until everything is confirmed; how many messages that were. A producer without a count ends now."""
    output, errors = process.communicate()
    return _confirmed(process.returncode, output, errors)


def publish(sandbox: Sandbox, count: int, rate: float = 0, first: int = 1) -> int:
    """Publish `count` messages; how many were confirmed."""
    return _ended(sandbox, count=count, rate=rate, first=first)


def renew_stream(sandbox: Sandbox) -> None:
    """Delete the stream and create it empty, so that offsets begin at 0 again."""
    _ended(sandbox, count=0)


@functools.cache
def _preloaded(libraries: Path) -> Preloaded:
    return Preloaded("sandbox.producer", ("rstream",), str(libraries))


def _ended(sandbox: Sandbox, **order: float) -> int:
    """Let it do all that it was ordered to; how many messages were confirmed."""
    ended = _preloaded(sandbox.libraries).run((), CHECKOUT, _environment(sandbox), _order(sandbox, **order))
    return _confirmed(ended.returncode, ended.stdout, ended.stderr)


def _confirmed(status: int, output: str, errors: str) -> int:
    if status:
        raise Defect(f"the producer failed: {' '.join(errors.splitlines()[-1:])}")
    return int(output)


def _environment(sandbox: Sandbox) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(sandbox.libraries)}


def _order(sandbox: Sandbox, **order: float) -> str:
    """A line for the standard input of this module."""
    variables = read(sandbox.env_file)
    login = {"port": sandbox.stream_port, "username": variables["RABBITMQ_USER"]}
    login["password"] = variables["RABBITMQ_PASSWORD"]
    return json.dumps({"login": login, **order}) + "\n"


def _start(sandbox: Sandbox, **order: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.producer"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=_environment(sandbox),
    )
    if process.stdin:  # it always is: PIPE above
        process.stdin.write(_order(sandbox, **order))
        process.stdin.flush()
    return process


async def _renew(login: dict[str, Any]) -> None:
    from rstream import Producer

    async with Producer("127.0.0.1", **login) as producer:
        await producer.delete_stream(STREAM)
        await producer.create_stream(STREAM)


async def _publish(login: dict[str, Any], count: int, rate: float, first: int) -> int:
    """Send in small batches on a timetable, and wait for the confirmation of every message."""
    from rstream import AMQPMessage, ConfirmationStatus, Producer

    sent = confirmed = 0
    told = asyncio.Event()  # that it is enough

    async def on_confirm(status: ConfirmationStatus) -> None:
        nonlocal confirmed
        confirmed += status.is_confirmed

    async def all_confirmed() -> None:
        while confirmed < sent:
            await asyncio.sleep(0.01)

    # Odd, so that batches do not end just where a consumer saves its offset.
    batch = round(rate / BATCHES_PER_SECOND) | 1 if rate else 499
    async with Producer("127.0.0.1", **login) as producer:
        loop = asyncio.get_running_loop()
        if count == ENDLESS:
            loop.add_reader(sys.stdin, told.set)
        started = loop.time()
        while sent != count and not told.is_set():
            if rate:
                await asyncio.sleep(max(0.0, started + sent / rate - loop.time()))
            size = batch if count == ENDLESS else min(batch, count - sent)
            messages = [AMQPMessage(body=f"msg-{first + sent + at:06d}".encode()) for at in range(size)]
            sent += size
            await producer.send_batch(STREAM, messages, on_publish_confirm=on_confirm)
        await asyncio.wait_for(all_confirmed(), 30)
    return confirmed


def main() -> None:
    order = json.loads(sys.stdin.readline())
    if order["count"]:
        print(asyncio.run(_publish(**order)))
    else:
        asyncio.run(_renew(order["login"]))
        print(0)


if __name__ == "__main__":
    main()
