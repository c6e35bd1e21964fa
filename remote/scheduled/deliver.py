"""Hands alerts to whoever is to be told: by webhook, by mail, by a command; and says that the check lives.

Every channel is tried at once, each under its own deadline. What one does not take is kept for the next round. No
sentence here quotes an address: those of webhooks are secrets.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Callable, Dict, List, Sequence, Tuple

from remote.checks.together import Question, ask_all
from remote.scheduled.message import Message, fill
from remote.scheduled.settings import Mail, Program, Settings, Webhook
from remote.scheduled.state import MOST_PENDING, Pending
from remote.scheduled.untaken import Untaken
from remote.words import CRITICAL, OK, Check

SECONDS = 10.0  # for one answer
DEADLINE = 25.0  # for all that one channel has to take in a round
HEARTBEAT = "heartbeat"

Take = Callable[[Message], str]


def deliver(settings: Settings, pending: Sequence[Pending]) -> Tuple[Tuple[Pending, ...], List[Check]]:
    """Hand every channel what waits for it, and call the heartbeat.

    What is left, and a row for each channel that was tried; the heartbeat's is the last one.
    """
    takers = channels(settings)
    queues = {name: [one for one in pending if one.channel == name][-MOST_PENDING:] for name in takers}
    questions = [Question(name, partial(_empty, queues[name], take), DEADLINE) for name, take in takers.items()]
    asked = [question for question in questions if queues[question.name]]
    if settings.channels.heartbeat:
        asked.append(Question(HEARTBEAT, partial(_beat, settings.channels.heartbeat), DEADLINE))
    checks = [dataclasses.replace(one, sentence=settings.covered(one.sentence)) for one in ask_all(asked, _nobody)]
    said = {check.name: check.sentence for check in checks}
    left = [
        dataclasses.replace(one, why=said[name], tries=one.tries + 1)
        for name, queue in queues.items()
        for one in list(queue)
    ]
    return tuple(left), checks


def channels(settings: Settings) -> Dict[str, Take]:
    """How each channel takes a message, by its name; raises Untaken when it does not."""
    takers: Dict[str, Take] = {}
    for webhook in settings.channels.webhooks:
        takers[webhook.name] = partial(post, webhook)
    for mail in settings.channels.mails:
        takers[mail.name] = partial(_mail, mail)
    for program in settings.channels.programs:
        takers[program.name] = partial(_run, program)
    return takers


def _empty(queue: List[Pending], take: Take, name: str) -> Check:
    """Hand over what waits, oldest first, until something is not taken."""
    said = ""
    while queue:
        try:
            said = take(queue[0].message)
        except Untaken as error:
            return Check(name, CRITICAL, str(error))
        queue.pop(0)
    return Check(name, OK, said)


def post(webhook: Webhook, message: Message) -> str:
    """Send the webhook's body as JSON; what it answered."""
    import json

    from remote.scheduled import http

    body = json.dumps(fill(webhook.body, message, webhook.limit)).encode()
    headers = {"Content-Type": "application/json"}
    if webhook.token:
        headers["Authorization"] = f"Bearer {webhook.token}"
    return http.call(webhook.url, body, headers, SECONDS)


def _beat(url: str, name: str) -> Check:
    from remote.scheduled import http

    try:
        return Check(name, OK, http.call(url, None, {}, SECONDS))
    except Untaken as error:
        return Check(name, CRITICAL, str(error))


def _mail(mail: Mail, message: Message) -> str:
    from remote.scheduled import smtp

    return smtp.send(mail, message, SECONDS)


def _run(program: Program, message: Message) -> str:
    """Run the command with the text on its standard input; a pipe holds all of it before anybody reads."""
    import os

    from remote import command

    argv = [str(fill(word, message, len(message.text))) for word in program.argv]
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        os.write(writer, message.text.encode("utf-8", "replace"))
    finally:
        os.close(writer)
    try:
        ended = command.run(argv, SECONDS, stdin=reader)
    finally:
        os.close(reader)
    if not ended.ok:
        raise Untaken(f"{program.argv[0]} ended with {ended.status}: {ended.complaint[:200]}")
    return f"{program.argv[0]} has taken it"


def _nobody(check: Check) -> None:
    """Nobody hears of a channel before all were tried."""
