"""Makes a stream as the JSON on standard input says; run as a program, with the packages of the consumer image."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def make(
    login: dict[str, Any], name: str, messages: int, size: int, keep: int, batch: int, at_once: bool
) -> None:
    """`size`: bytes of a message; `keep`: bytes that the stream keeps, 0 for all; `batch`: so many messages become one
    entry in gzip, 0 for none; `at_once`: do not wait for each to be confirmed before the next.
    """
    from rstream import AMQPMessage, CompressionType, ConfirmationStatus, Producer

    confirmed = 0

    async def on_confirm(status: ConfirmationStatus) -> None:
        nonlocal confirmed
        confirmed += status.is_confirmed

    bodies = [b"%06d" % number + b"." * (size - 6) for number in range(messages)]
    limits = {"max-length-bytes": keep, "stream-max-segment-size-bytes": keep // 2} if keep else {}
    async with Producer("127.0.0.1", **login) as producer:
        await producer.create_stream(name, exists_ok=True, arguments=limits)
        if batch:
            for at in range(0, messages, batch):
                entry = [AMQPMessage(body=body) for body in bodies[at : at + batch]]
                await producer.send_sub_entry(name, entry, CompressionType.Gzip, on_publish_confirm=on_confirm)
        elif at_once:
            for body in bodies:
                await producer.send(name, body, on_publish_confirm=on_confirm)
        else:
            for body in bodies:
                await producer.send_wait(name, body)
        while (batch or at_once) and confirmed < messages // (batch or 1):
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(make(**json.load(sys.stdin)))
