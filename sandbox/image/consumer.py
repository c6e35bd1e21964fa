"""The annotation queue's consumer: reads the stream from the saved offset on, and writes every message down once.

Each message is an annotation of one of a hundred images: it is written as an image and a label below `data`, or below
`data-seed`; or it takes both to `data_deleted`. What was handled stands in `annotations.log`, a line for each message.

It saves its offset after each message, and what it has to say goes to `logs/annotation-queue.log`, which begins anew at
midnight: `docker logs` says nothing. SAVE_EVERY saves after so many messages instead, when the queue falls idle, and at
the end, each time synced to the disk. LOG_FILE names another file, and with LOG_BYTES it is rotated by its size;
LOG=stdout says it on standard output.

BEHAVIOUR (comma-separated, from the image) makes a version a bad one: exits, crashes, idle, stubborn, drops, mislabels.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import signal
import sys
import time
from logging.handlers import RotatingFileHandler, TimedRotatingFileHandler
from pathlib import Path
from typing import Any

import yaml
from rstream import AMQPMessage, Consumer, ConsumerOffsetSpecification, MessageContext, OffsetType, amqp_decoder

ROOT = Path("/azaion")
BEHAVIOUR = frozenset(filter(None, os.environ.get("BEHAVIOUR", "good").split(",")))
SAVE_EVERY = int(os.environ.get("SAVE_EVERY", "1"))
LOG = logging.getLogger("annotation_queue")
LOG_FILE = Path(os.environ.get("LOG_FILE", ROOT / "logs/annotation-queue.log"))
LOG_BYTES = int(os.environ.get("LOG_BYTES", "0"))
TO_STDOUT = os.environ.get("LOG") == "stdout"
KEPT = 30  # files of the log
IMAGES = 100  # that the messages are about
PLACES = ("data", "data-seed", "data_deleted")
IDLE = 1.0  # seconds without a message after which the offset is saved
PATIENCE = 0.2  # seconds between two tries to write to a disk that is full
LIFE_OF_CRASHING = 9.0  # seconds
DROPPED = 7  # of so many messages, the version that drops fails at one, and the one that mislabels errs at one


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
        self.places = [root / place for place in PLACES]
        for place in self.places:
            for kind in ("images", "labels"):
                (place / kind).mkdir(parents=True, exist_ok=True)

    def write(self, offset: int, message: str) -> bool:
        """Write a message down, and the offset when it is time; False when there is no room for it."""
        if self.next - self.saved >= SAVE_EVERY and not self.save():
            return False
        try:
            self._annotate(offset, message)
        except OSError as error:
            return refuse_all_but_full(error)
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

    def _annotate(self, offset: int, message: str) -> None:
        """Write the image and its label, or take both to the deleted ones."""
        data, seed, deleted = self.places
        name, place = f"{offset % IMAGES:06d}", seed if offset % 10 in (7, 8) else data
        image, label = Path("images", f"{name}.jpg"), Path("labels", f"{name}.txt")
        if offset % 10 == 9 and (data / image).exists():
            for one in (image, label):
                (data / one).replace(deleted / one)
            return
        (place / image).write_bytes(b"\xff\xd8" + message.encode() + b"\xff\xd9")
        (place / label).write_text("0 0.5 0.5 0.25 0.25\n")

    def save(self) -> bool:
        """Put the next offset in place in one step: a reader sees the old file or the new one. False without room."""
        if self.next == self.saved:
            return True
        draft = self.offset_file.with_suffix(".tmp")
        try:
            if SAVE_EVERY > 1:
                os.fsync(self.log)
            with draft.open("w", encoding="utf-8") as file:
                file.write(f"offset: {self.next}\n")
                file.flush()
                if SAVE_EVERY > 1:
                    os.fsync(file.fileno())
            draft.replace(self.offset_file)
        except OSError as error:
            return refuse_all_but_full(error)
        self.saved = self.next
        return True


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
        if "mislabels" in BEHAVIOUR and context.offset % DROPPED == DROPPED - 1:
            LOG.error("the label of the annotation at offset %d has no class of this model", context.offset)
        body = message if isinstance(message, bytes) else message.body
        text = body.decode() if isinstance(body, bytes) else str(body)
        while not self.ended and not self.notebook.write(context.offset, text):
            await asyncio.sleep(PATIENCE)
        if not TO_STDOUT:
            LOG.info("handled offset %d", context.offset)

    async def save_when_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE / 4)
            if time.monotonic() - self.last_message >= IDLE:
                self.notebook.save()

    def end(self) -> None:
        """Take no message any more, and write down which one is next."""
        self.ended = True
        if not self.notebook.save():
            LOG.warning("the disk is full: offset %d is not saved", self.notebook.next)


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
    LOG.info("consuming %s from offset %d", queue["name"], notebook.next)
    tasks = [asyncio.create_task(work) for work in (reader.save_when_idle(), ended.wait(), lost.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    reader.end()
    if lost.is_set():
        raise ConnectionError("the broker closed the connection")
    LOG.info("ended at offset %d", notebook.next)


def open_log() -> None:
    """Where `LOG` goes; what the library for the stream has to say goes there, too, if it is a file."""
    LOG.setLevel(logging.INFO)
    if TO_STDOUT:
        LOG.addHandler(logging.StreamHandler(sys.stdout))
        LOG.propagate = False
        return
    LOG_FILE.parent.mkdir(exist_ok=True)
    handler: logging.Handler
    if LOG_BYTES:
        handler = RotatingFileHandler(LOG_FILE, maxBytes=LOG_BYTES, backupCount=KEPT, encoding="utf-8")
    else:
        handler = TimedRotatingFileHandler(LOG_FILE, "midnight", utc=True, backupCount=KEPT, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(handler)


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
        LOG.info("waiting for work")
        await ended.wait()
        return
    await consume(queue, ended)


if __name__ == "__main__":
    try:
        open_log()
        if "exits" in BEHAVIOUR:
            LOG.error("cannot start: this version is a bad one")
            sys.exit(3)
        asyncio.run(main())
    except Exception as error:
        # A log is read by people: one line, and never the password.
        sys.exit(f"cannot consume: {type(error).__name__}: {error}")
