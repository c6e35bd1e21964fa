"""Makes a stream as the JSON on standard input says; run as a program, with the packages of the consumer image."""

from __future__ import annotations

import asyncio
import json
import sys


async def make(port: int, user: str, password: str, name: str, messages: int, keep: int) -> None:
    from rstream import Producer

    limits = {"max-length-bytes": keep, "stream-max-segment-size-bytes": keep // 2} if keep else {}
    async with Producer("127.0.0.1", port=port, username=user, password=password) as producer:
        await producer.create_stream(name, exists_ok=True, arguments=limits)
        for number in range(messages):
            await producer.send_wait(name, b"%06d" % number + b"." * 1018)


if __name__ == "__main__":
    asyncio.run(make(**json.load(sys.stdin)))
