"""How each kind of channel takes an alert: as a webhook's JSON, as a mail, as a command's arguments and input."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Callable, Dict, List, Tuple

from gpu_runbook.protocol.schedule import Mail, Program, Settings, Webhook
from gpu_runbook.protocol.values import dataclass
from gpu_runbook.server.schedule.notify.errors import Undelivered
from gpu_runbook.server.schedule.notify.message import Message, fill, fill_plainly, simple

SECONDS = 10.0  # for one answer

Call = Tuple[List[str], str]  # a command's arguments and its input


@dataclass(frozen=True)
class Channel:
    """What is written of an alert, and what of its title alone, for when the first cannot be; and who is given that.

    `send` says what was answered. It raises Undelivered.
    """

    write: Callable[[Message], Any]
    write_plainly: Callable[[Message], Any]
    send: Callable[[Any], str]


def of(settings: Settings) -> Dict[str, Channel]:
    """The channels of hosts.yaml, by name."""
    named: Dict[str, Channel] = {}
    for webhook in settings.channels.webhooks:
        named[webhook.name] = Channel(partial(body, webhook), partial(plain_body, webhook), partial(_post, webhook))
    for mail in settings.channels.mails:
        named[mail.name] = Channel(partial(letter, mail), partial(plain_letter, mail), partial(_mail, mail))
    for program in settings.channels.programs:
        named[program.name] = Channel(partial(call, program), partial(plain_call, program), _run)
    return named


def body(webhook: Webhook, message: Message) -> bytes:
    """What is posted."""
    return json.dumps(fill(webhook.body, message, webhook.limit)).encode()


def plain_body(webhook: Webhook, message: Message) -> bytes:
    return fill_plainly(webhook.body, message).encode()


def letter(mail: Mail, message: Message) -> bytes:
    """What is mailed."""
    from gpu_runbook.server.schedule.notify import mail as smtp

    return smtp.letter(mail, message)


def plain_letter(mail: Mail, message: Message) -> bytes:
    from gpu_runbook.server.schedule.notify import mail as smtp

    return smtp.plain_letter(mail, simple(message.title))


def call(program: Program, message: Message) -> Call:
    """How the command is called."""
    return [str(fill(word, message, len(message.text))) for word in program.argv], message.text


def plain_call(program: Program, message: Message) -> Call:
    return [str(word) for word in json.loads(fill_plainly(program.argv, message))], simple(message.title)


def _post(webhook: Webhook, data: bytes) -> str:
    from gpu_runbook.server.schedule.notify import webhook as http

    headers = {"Content-Type": "application/json"}
    if webhook.token:
        headers["Authorization"] = f"Bearer {webhook.token}"
    return http.call(webhook.url, data, headers, SECONDS)


def _mail(mail: Mail, data: bytes) -> str:
    from gpu_runbook.server.schedule.notify import mail as smtp

    return smtp.send(mail, data, SECONDS)


def _run(called: Call) -> str:
    """Run the command with the text on its standard input; a pipe holds all of it before anybody reads."""
    import os

    from gpu_runbook.common import command

    argv, text = called
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        os.write(writer, text.encode("utf-8", "replace"))
    finally:
        os.close(writer)
    try:
        ended = command.run(argv, SECONDS, stdin=reader)
    finally:
        os.close(reader)
    if ended.status is None:
        raise Undelivered(f"{argv[0]} did not answer within {ended.seconds:.0f} s")
    if not ended.ok and not (ended.err.strip() or ended.out.strip()):
        raise Undelivered(f"{argv[0]} ended with {ended.status} and said nothing")
    if not ended.ok:
        raise Undelivered(f"{argv[0]} ended with {ended.status}: {ended.complaint[:200]}")
    return f"{argv[0]} has taken it"
