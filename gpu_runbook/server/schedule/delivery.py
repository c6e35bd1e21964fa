"""Hands alerts to whoever is to be told: by webhook, by mail, by a command; and says that the check lives.

Every channel is tried at once, each under its own deadline. What one does not take is kept for the next round, and
keeps later alerts waiting for its own tries at most. No sentence here quotes an address: those of webhooks are secrets.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, Callable, List, Sequence, Tuple
from urllib.parse import urlsplit, urlunsplit

from gpu_runbook.common.parallel import Question, ask_all
from gpu_runbook.protocol.check import CRITICAL, OK, Check
from gpu_runbook.protocol.schedule import Settings
from gpu_runbook.server.schedule import waiting
from gpu_runbook.server.schedule.notify import channels
from gpu_runbook.server.schedule.notify.channels import Channel
from gpu_runbook.server.schedule.notify.errors import REFUSED, TRIES, UNREAD, Undelivered
from gpu_runbook.server.schedule.notify.message import Message, legible
from gpu_runbook.server.schedule.state import Pending

DEADLINE = 25.0  # seconds for all that one channel has to take in a round
HEARTBEAT = "heartbeat"


class Unwritten(Undelivered):
    """An alert that nobody was given, by a defect or by data that nobody thought of."""


def deliver(
    settings: Settings, pending: Sequence[Pending], failed: bool = False
) -> Tuple[Tuple[Pending, ...], List[Check]]:
    """Hand every channel what waits for it, and call the heartbeat; `failed`: to say that the check itself is not well.

    What is left, and a row for each channel that was tried; the heartbeat's is the last one.
    """
    turns = {name: _Turn(settings, name, channel, pending) for name, channel in channels.of(settings).items()}
    asked = [Question(name, turn.empty, DEADLINE) for name, turn in turns.items() if turn.queue]
    if settings.channels.heartbeat:
        url = settings.channels.heartbeat
        asked.append(Question(HEARTBEAT, partial(_beat, failing(url) if failed else url), DEADLINE))
    checks = [dataclasses.replace(one, sentence=settings.covered(one.sentence)) for one in ask_all(asked)]
    said = {check.name: check.sentence for check in checks}
    left = [dataclasses.replace(one, why=said[name]) for name, turn in turns.items() for one in list(turn.queue)]
    return tuple(left), checks


class _Turn:
    """One channel in one round: what waits for it, oldest first, and whether it has taken anything."""

    def __init__(self, settings: Settings, name: str, channel: Channel, pending: Sequence[Pending]) -> None:
        self.settings = settings
        self.name = name
        self.channel = channel
        self.queue = [one for one in pending if one.channel == name]
        self.said = ""  # the last answer
        self.alive = False  # it has taken something
        self.lost = ""  # why an alert was dropped

    def empty(self, name: str) -> Check:
        """Hand over what waits until something has to wait on. What is itself at fault is dropped, which is told.

        An alert is at fault when its tries are used up and the channel takes another in its place: one plain line that
        says so, or a later alert. A channel that takes none of these is away, and whatever waits for it stays.
        """
        while self.queue:
            try:
                self._hand_over(0)
            except Undelivered as error:
                why = self._in_the_way(error)
                if why:
                    return Check(name, CRITICAL, why)
        return Check(name, CRITICAL if self.lost else OK, self.lost or self.said)

    def _hand_over(self, index: int) -> None:
        """Raises Undelivered with the alert left in its place."""
        one = self.queue[index] = dataclasses.replace(self.queue[index], tries=self.queue[index].tries + 1)
        self._send(self.channel.write, one.message)
        self.queue.pop(index)

    def _send(self, write: Callable[[Message], Any], message: Message) -> None:
        try:
            self.said = self.channel.send(write(legible(message)))
        except Undelivered:
            raise
        except OSError as error:  # of this server, as when no file can be opened any more: the alert is not at fault
            raise Undelivered(f"could not be called from here: {error.strerror}", UNREAD) from error
        except Exception as error:  # whatever it is, it must not keep later alerts from those who are to be told
            said = f"could not be written as {self.name} wants it: {type(error).__name__}"
            raise Unwritten(said, REFUSED) from error
        self.alive = True

    def _in_the_way(self, error: Undelivered) -> str:
        """What becomes of the first alert, which was not taken: why it stays, empty when it was dropped."""
        covered, fault = self.settings.covered(str(error)), self._fault(error)
        one = self.queue[0] = dataclasses.replace(self.queue[0], why=covered)
        if error.tries == UNREAD or one.tries < error.tries:
            return covered
        try:
            self._send(self.channel.write_plainly, waiting.untold(one, fault))
            self.queue.pop(0)
        except Undelivered as answer:
            if not (self.alive or self._takes_a_later_one(one, answer)):
                cause = answer if isinstance(error, Unwritten) else error
                return f"an alert {self._fault(cause)}" if isinstance(cause, Unwritten) else str(cause)
            self.queue = waiting.without(self.queue, [one], self.settings.server)
        self.lost = f"an alert {fault}"
        return ""

    def _takes_a_later_one(self, first: Pending, answer: Undelivered) -> bool:
        """Whether the channel takes the oldest alert that has tries left, once the first one has none."""
        later = [index for index, one in enumerate(self.queue) if index and one.tries < TRIES]
        if answer.tries == UNREAD or first.tries < TRIES or not later:
            return False
        try:
            self._hand_over(later[0])
        except Undelivered:
            return False
        return True

    def _fault(self, error: Undelivered) -> str:
        """What was the matter with an alert, as it follows that word."""
        if isinstance(error, Unwritten):
            return str(error)
        return f"was not taken: {self.settings.covered(str(error))}"


def failing(url: str) -> str:
    """The address that says a job has failed, as Healthchecks and its like have it.

    Who does not know it answers with an error, and takes it for the silence that he waits for.
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/fail"))


def _beat(url: str, name: str) -> Check:
    from gpu_runbook.server.schedule.notify import webhook

    try:
        return Check(name, OK, webhook.call(url, None, {}, channels.SECONDS))
    except Undelivered as error:
        return Check(name, CRITICAL, str(error))
