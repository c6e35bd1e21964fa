"""Is RabbitMQ reachable from this server, and is it the stream port that answers?"""

from __future__ import annotations

from typing import Tuple

from gpu_runbook.protocol.check import CRITICAL, OK, WARNING, Check
from gpu_runbook.protocol.foreign_text import named
from gpu_runbook.server.queue import stream

_HINTS = {
    "refused": "see that RabbitMQ runs, and that RABBITMQ_HOST and RABBITMQ_PORT name it",
    "timeout": "check the network and the firewall between this server and RabbitMQ",
    "unknown-name": "check RABBITMQ_HOST, and the name service on this server",
    "broke-off": "see RabbitMQ's log; a proxy in between may have lost the broker behind it",
}


def check(name: str, place: Tuple[str, int]) -> Check:
    host, port = place
    try:
        greeting = stream.greeting(host, port)
    except stream.StreamError as error:
        return Check(name, CRITICAL, error.message, {"failure": error.kind}, _HINTS.get(error.kind, ""))
    figures = {"seconds": round(greeting.seconds, 4), "speaks": greeting.speaks, "version": greeting.version}
    if greeting.speaks == "stream":
        version = f" {named(greeting.version)}" if greeting.version else ""
        sentence = f"RabbitMQ{version} answers at {host}:{port} after {greeting.seconds * 1000:.0f} ms"
        return Check(name, OK, sentence, figures)
    what = "RabbitMQ's AMQP port" if greeting.speaks == "amqp" else "something else than a stream port"
    hint = "set RABBITMQ_PORT to the broker's stream port (5552 unless somebody moved it)"
    return Check(name, WARNING, f"{host}:{port} is {what}", figures, hint)
