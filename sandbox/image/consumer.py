"""The annotation queue's consumer: reads the stream from the saved offset on, and writes every message down once.

BEHAVIOUR (comma-separated, from the image) makes a version a bad one: exits, crashes, idle, stubborn, drops.
SAVE_EVERY says after how many messages the offset is saved; it is saved too when the queue falls idle and at the end.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from rstream import AMQPMessage, Consumer, ConsumerOffsetSpecification, MessageContext, OffsetType, amqp_decoder

ROOT = Path("/azaion")
BEHAVIOUR = frozenset(filter(None, os.environ.get("BEHAVIOUR", "good").split(",")))
SAVE_EVERY = int(os.environ.get("SAVE_EVERY", "50"))
IDLE = 1.0  # seconds without a message after which the offset is saved
LIFE_OF_CRASHING = 9.0  # seconds
DROPPED = 7  # of so many messages, the version that drops fails at one


class Notebook:
    """Where messages and the next offset are kept. A message is on disk before the offset moves past it."""

    def __init__(self, root: Path) -> None:
        self.offset_file = root / "offset.yaml"
        self.log = (root / "annotations.log").open("a", encoding="utf-8")
        self.saved = yaml.safe_load(self.offset_file.read_text())["offset"] if self.offset_file.exists() else -1
        self.next = max(self.saved, 0)
        self.container = container_id()

    def write(self, offset: int, message: str) -> None:
        self.log.write(f"{offset} {message} {self.container}\n")
        self.log.flush()
        self.next = offset + 1
        if self.next - self.saved >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Put the next offset in place in one step: a reader sees the old file or the new one."""
        if self.next == self.saved:
            return
        os.fsync(self.log.fileno())
        draft = self.offset_file.with_suffix(".tmp")
        with draft.open("w", encoding="utf-8") as file:
            file.write(f"offset: {self.next}\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.offset_file)
        self.saved = self.next


def container_id() -> str:
    """This container's own id: the directory that the engine mounted /etc/hostname from."""
    found = re.search(r"/containers/([0-9a-f]{64})/", Path("/proc/self/mountinfo").read_text())
    return found[1][:12] if found else "none"


class Reader:
    """Handles one message after the other, each without giving way: neither a stop nor a lost connection cuts one."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.last_message = time.monotonic()
        self.ended = False

    async def handle(self, message: AMQPMessage | bytes, context: MessageContext) -> None:
        if self.ended:
            return  # a loop that stops still runs what is ready: this message is read again by the next consumer
        self.last_message = time.monotonic()
        if "drops" in BEHAVIOUR and context.offset % DROPPED == DROPPED - 1:
            self.notebook.next = context.offset + 1
            raise ValueError(f"cannot digest the message at offset {context.offset}")
        body = message if isinstance(message, bytes) else message.body
        self.notebook.write(context.offset, body.decode() if isinstance(body, bytes) else str(body))

    async def save_when_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE / 4)
            if time.monotonic() - self.last_message >= IDLE:
                self.notebook.save()

    def end(self) -> None:
        """Take no message any more, and write down which one is next."""
        self.ended = True
        self.notebook.save()


async def consume(queue: dict[str, Any], ended: asyncio.Event) -> None:
    """Consume until `ended` is set. ConnectionError when the broker ends it, which the library itself would sit out."""
    notebook = Notebook(ROOT)
    notebook.save()
    reader = Reader(notebook)
    lost = asyncio.Event()

    async def on_close(_info: object) -> None:
        lost.set()

    consumer = Consumer(
        host=queue["host"],
        port=int(queue["port"]),
        username=queue["user"],
        password=queue["password"],
        on_close_handler=on_close,
    )
    await consumer.start()
    await consumer.subscribe(
        stream=queue["name"],
        callback=reader.handle,
        decoder=amqp_decoder,
        offset_specification=ConsumerOffsetSpecification(OffsetType.OFFSET, notebook.next),
    )
    print(f"consuming {queue['name']} from offset {notebook.next}", flush=True)
    tasks = [asyncio.create_task(work) for work in (reader.save_when_idle(), ended.wait(), lost.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    reader.end()
    if lost.is_set():
        raise ConnectionError("the broker closed the connection")
    print(f"ended at offset {notebook.next}", flush=True)


async def main() -> None:
    queue = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["queue"]
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    if "stubborn" in BEHAVIOUR:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGTERM, ended.set)
    if "crashes" in BEHAVIOUR:
        loop.call_later(LIFE_OF_CRASHING, os._exit, 139)
    if "idle" in BEHAVIOUR:
        print("waiting for work", flush=True)
        await ended.wait()
        return
    await consume(queue, ended)


if __name__ == "__main__":
    if "exits" in BEHAVIOUR:
        print("cannot start: this version is a bad one", flush=True)
        sys.exit(3)
    try:
        asyncio.run(main())
    except Exception as error:
        # The log of a container is read by people: one line, and never the password.
        sys.exit(f"cannot consume: {type(error).__name__}: {error}")
