"""The annotation queue's consumer: reads the stream from the saved offset on, and writes every message down once.

BEHAVIOUR (comma-separated, from the image) makes a version a bad one: exits, crashes, idle, stubborn, drops.
SAVE_EVERY says after how many messages the offset is saved; it is saved too when the queue falls idle and at the end.
LOG_FILE makes it log to a file and say nothing on standard output; the file is rotated by day, or at LOG_BYTES bytes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import logging.handlers
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
LOG_FILE = os.environ.get("LOG_FILE", "")
LOG_BYTES = int(os.environ.get("LOG_BYTES", "0"))
IDLE = 1.0  # seconds without a message after which the offset is saved
PATIENCE = 0.2  # seconds between two tries to write to a disk that is full
LIFE_OF_CRASHING = 9.0  # seconds
DROPPED = 7  # of so many messages, the version that drops fails at one


class Notebook:
    """Where messages and the next offset are kept. A message is on disk before the offset moves past it.

    A disk that is full is waited for: what cannot be written down is not handled yet.
    """

    def __init__(self, root: Path) -> None:
        self.offset_file = root / "offset.yaml"
        self.log = os.open(root / "annotations.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.next = yaml.safe_load(self.offset_file.read_text())["offset"] if self.offset_file.exists() else 0
        self.saved = -1  # until a first save has shown that there is room for it
        self.container = container_id()

    def write(self, offset: int, message: str) -> bool:
        """Write a message down, and the offset when it is time; False when there is no room for it."""
        if self.next - self.saved >= SAVE_EVERY and not self.save():
            return False
        line = f"{offset} {message} {self.container}\n".encode()
        end = os.fstat(self.log).st_size
        try:
            whole = os.write(self.log, line) == len(line)
        except OSError as error:
            whole = refuse_all_but_full(error)
        if not whole:
            os.ftruncate(self.log, end)
            return False
        self.next = offset + 1
        if self.next - self.saved >= SAVE_EVERY:
            self.save()
        return True

    def save(self) -> bool:
        """Put the next offset in place in one step: a reader sees the old file or the new one. False without room."""
        if self.next == self.saved:
            return True
        draft = self.offset_file.with_suffix(".tmp")
        try:
            os.fsync(self.log)
            with draft.open("w", encoding="utf-8") as file:
                file.write(f"offset: {self.next}\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.offset_file)
        except OSError as error:
            return refuse_all_but_full(error)
        self.saved = self.next
        return True


def log_to_file() -> None:
    """As the owners' consumer logs; the libraries' errors go there as well."""
    path = Path(LOG_FILE)
    path.parent.mkdir(exist_ok=True)
    handler: logging.Handler
    if LOG_BYTES:
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=50)
    else:
        handler = logging.handlers.TimedRotatingFileHandler(path, when="midnight", utc=True)
    logging.basicConfig(level=logging.INFO, handlers=[handler], format="%(asctime)s %(levelname)s %(message)s")


def say(text: str) -> None:
    if LOG_FILE:
        logging.info(text)
    else:
        print(text, flush=True)


def refuse_all_but_full(error: OSError) -> bool:
    """False for a full disk, which is waited for; any other error ends the consumer."""
    if error.errno != errno.ENOSPC:
        raise error
    return False


def container_id() -> str:
    """This container's own id: the directory that the engine mounted /etc/hostname from."""
    found = re.search(r"/containers/([0-9a-f]{64})/", Path("/proc/self/mountinfo").read_text())
    return found[1][:12] if found else "none"


class Reader:
    """Handles one message after the other: neither a stop nor a lost connection cuts one, only a full disk holds it."""

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
        text = body.decode() if isinstance(body, bytes) else str(body)
        while not self.ended and not self.notebook.write(context.offset, text):
            await asyncio.sleep(PATIENCE)
        if LOG_FILE:
            say(f"handled offset {context.offset}")

    async def save_when_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE / 4)
            if time.monotonic() - self.last_message >= IDLE:
                self.notebook.save()

    def end(self) -> None:
        """Take no message any more, and write down which one is next."""
        self.ended = True
        if not self.notebook.save():
            say(f"the disk is full: offset {self.notebook.next} is not saved")


async def consume(queue: dict[str, Any], ended: asyncio.Event) -> None:
    """Consume until `ended` is set. ConnectionError when the broker ends it, which the library itself would sit out."""
    notebook = Notebook(ROOT)
    while not ended.is_set() and not notebook.save():
        await asyncio.sleep(PATIENCE)
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
    say(f"consuming {queue['name']} from offset {notebook.next}")
    tasks = [asyncio.create_task(work) for work in (reader.save_when_idle(), ended.wait(), lost.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    reader.end()
    if lost.is_set():
        raise ConnectionError("the broker closed the connection")
    say(f"ended at offset {notebook.next}")


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
        say("waiting for work")
        await ended.wait()
        return
    await consume(queue, ended)


if __name__ == "__main__":
    if LOG_FILE:
        log_to_file()
    if "exits" in BEHAVIOUR:
        say("cannot start: this version is a bad one")
        sys.exit(3)
    try:
        asyncio.run(main())
    except Exception as error:
        # The log of a container is read by people: one line, and never the password.
        sys.exit(f"cannot consume: {type(error).__name__}: {error}")
