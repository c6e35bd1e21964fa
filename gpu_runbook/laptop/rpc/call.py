"""One exchange with a server: ask a verb, hear its events, get its answer or the error that it stands for."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Set
from typing import Any, TypeVar

from gpu_runbook.common import humanize, limits
from gpu_runbook.common.command import FAILING
from gpu_runbook.common.container import KILLED
from gpu_runbook.laptop.errors import (
    BadInput,
    Cancelled,
    CannotConnect,
    Defect,
    LostContact,
    NeedsPerson,
    Refused,
    RunbookError,
    ServerTraceback,
)
from gpu_runbook.laptop.inputs.secret import masked
from gpu_runbook.laptop.rpc import bundle
from gpu_runbook.laptop.rpc.frames import restored
from gpu_runbook.laptop.rpc.optional import unasked
from gpu_runbook.laptop.sanitize import clean
from gpu_runbook.laptop.ssh.session import Call, Session
from gpu_runbook.laptop.terminal import interrupts, traceback
from gpu_runbook.protocol.codec import LARGEST, decode, encode
from gpu_runbook.protocol.errors import Malformed
from gpu_runbook.protocol.foreign_text import LONGEST, one_line, quoted

SILENCE = 20.0  # seconds; a server that works beats every 3
ANSWER = 300.0  # seconds for an answer to which no bound of its own is known
DAY = 86400.0  # seconds that nothing takes
MESSAGE_LIMIT = 4 << 20  # bytes of one message
TOTAL_LIMIT = 64 << 20  # bytes of all that one call answers
MOST_MESSAGES = 200_000  # of one call
NOISE_LIMIT = 1 << 16  # bytes that a login shell may print before the first message
SAID = 200  # characters of what a shell or sudo says
SUDO = re.compile(  # how a line begins in which it refuses, and does not only warn
    "sudo: (?!unable to resolve host|setrlimit)|Sorry, user .* is not allowed|.* not in the sudoers file"
)
EXPIRED = re.compile(
    "password has expired|password is expired|Password change required|required to change your password"
)
NO_COMMANDS = re.compile(
    "not available|allows sftp connections only|git shell is not enabled|unrecognized command|restricted: cannot"
)
PATIENCE = 2.0  # seconds for the exit status and the complaint of a command that has closed its output

T = TypeVar("T")

KINDS: dict[str, type[RunbookError]] = {
    "refused": Refused,
    "server": CannotConnect,
    "person": NeedsPerson,
    "input": BadInput,
    "defect": Defect,
}


class Deadline:
    """How long a server is waited for: `whole` seconds in all, and `still` seconds without anything new.

    A beat says that the server is there, not that it gets on. Only waiting counts, not what is done with what came; and
    it counts on over several calls.
    """

    def __init__(self, whole: float = ANSWER, still: float = math.inf) -> None:
        self.whole, self.still = whole, still
        self._waited = 0.0
        self._heard = 0.0  # how long was waited until something new came last

    @property
    def left(self) -> float:
        return min(self.whole, self._heard + self.still) - self._waited

    @property
    def over(self) -> bool:
        return self.left <= 0

    @property
    def stands_still(self) -> bool:
        """Whether what passes first is the time without anything new."""
        return self._heard + self.still < self.whole

    def waited(self, seconds: float) -> None:
        self._waited += seconds

    def heard(self) -> None:
        """Something new came."""
        self._heard = self._waited

    def allow(self, seconds: float) -> None:
        """More is known of what is asked: it may take so many seconds from now on."""
        self.whole = self._waited + seconds


def ask(
    session: Session,
    verb: str,
    request: Any,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    silence: float = SILENCE,
    endless: bool = False,
    deadline: Deadline | None = None,
) -> dict[str, Any]:
    """Ask the server one thing and return its answer; no text in answer or events holds control characters.

    `request`: a value of `protocol.requests`, or a mapping of plain JSON types.

    What a server says beside its answer, for a person to know, goes to the session's notices.

    An `endless` call may say more in its events than the memory could hold: whoever hears them hands them on.

    Raises what the server refuses with, CannotConnect, LostContact when it falls silent, the connection ends or the
    deadline passes, and Defect for an answer that is none. Whatever interrupts it closes the call, and the server's end
    with it.
    """
    interrupts.hear()
    limit, deadline = math.inf if endless else TOTAL_LIMIT, deadline or Deadline()
    is_value = dataclasses.is_dataclass(request)
    asked, without = (encode(request), unasked(verb, request)) if is_value else (request, bundle.ALL_ASKED)
    packer = bundle.packer(verb, without)
    try:
        return _ask(session, verb, asked, without, packer, on_event, silence, limit, deadline)
    except WithoutBz2:  # nothing of the call has run there
        return _ask(session, verb, asked, without, "zlib", on_event, silence, limit, deadline)


def _ask(
    session: Session,
    verb: str,
    asked: dict[str, Any],
    without: Set[str],
    packer: str,
    on_event: Callable[[dict[str, Any]], None] | None,
    silence: float,
    limit: float,
    deadline: Deadline,
) -> dict[str, Any]:
    command = bundle.command_line(session.host.python, session.host.sudo, packer)
    with session.call(command, bundle.pack(verb, asked, packer, without)) as call:
        hearing = Hearing(session.host.name, call, silence, limit, deadline)
        for message in hearing.messages():
            if "answer" in message:
                answer: dict[str, Any] = message["answer"]
                return answer
            if "error" in message:
                raise _error(session.host.name, message["error"])
            if "event" in message:
                deadline.heard()
                if message["event"].get("event") == "notice":
                    session.notices[str(message["event"].get("text", ""))] = None
                elif on_event:
                    on_event(message["event"])
        raise _unanswered(session, call, hearing)


def look(session: Session, verb: str, request: Any, **how: Any) -> dict[str, Any]:
    """`ask` where nothing is changed: whoever loses contact has only not seen it. Raises what `ask` does."""
    try:
        return ask(session, verb, request, **how)
    except LostContact as error:
        raise only_looked(error) from error


def only_looked(error: LostContact) -> CannotConnect:
    """What lost contact is where nothing was changed."""
    return CannotConnect(f"{error.message}; the server was only looked at", "run it again")


def change(session: Session, verb: str, request: Any, doubt: str, hint: str, **how: Any) -> dict[str, Any]:
    """`ask` where something is changed, which may be done although its answer is not heard. Raises what `ask` does.

    Ctrl-C is contact lost, too, once anything was asked; afterwards it is not heard until more is asked, while what was
    changed is told. `doubt` says what may have become of it, and `hint` what shows that.
    """
    before = session.facts.channels
    try:
        return ask(session, verb, request, **how)
    except KeyboardInterrupt:
        if session.facts.channels == before:
            raise
        left = LostContact(f"{session.host.name}: you left before the answer; {doubt}", hint)
        left.interrupted = True
        raise left from None
    except LostContact as error:
        raise LostContact(f"{error.message}; {doubt}", hint) from error
    finally:
        interrupts.heard = False


def cancelled(session: Session) -> Cancelled:
    """What a Ctrl-C is that came before what was asked for; something else may have been done first, and told."""
    return Cancelled(
        f"{session.host.name}: cancelled, nothing changed{' but what is said above' if session.facts.changes else ''}"
    )


class WithoutBz2(Defect):
    """The Python there was built without the module that unpacks the program."""


class Hearing:
    """Reads the messages of one call out of its output: parsed strictly, bounded in size, fit for a terminal."""

    def __init__(self, server: str, call: Call, silence: float, limit: float, deadline: Deadline) -> None:
        self._server = server
        self._call = call
        self._silence = silence
        self._limit = limit  # bytes
        self._deadline = deadline
        self._mark = time.monotonic()
        self.begun = False
        self.noise = b""  # what was printed before the first message

    def messages(self) -> Iterator[dict[str, Any]]:
        pending = bytearray()
        total, count = 0, 0
        while block := self._block():
            total += len(block)
            if total > self._limit:
                raise Defect(f"{self._server}: the answer is longer than {TOTAL_LIMIT >> 20} MiB")
            pending += block
            if pending[:1] == b"\x1e" and b"\n" not in block:  # a message that goes on: what came before was searched
                self.begun = True
                self._bound(pending)
                continue
            while b"\x1e" in pending:
                before, _, rest = pending.partition(b"\x1e")
                self._skip(before)
                self.begun = True
                text, end, after = rest.partition(b"\n")
                self._bound(text)
                if not end:
                    pending = bytearray(b"\x1e") + rest
                    break
                count += 1
                if count > MOST_MESSAGES and self._limit < math.inf:
                    raise Defect(f"{self._server}: the answer has more than {MOST_MESSAGES} parts")
                message = self._message(bytes(text))
                self._charge()
                yield message
                self._mark = time.monotonic()  # what was done with it is no time of the server's
                pending = after
            else:
                self._skip(pending)
                pending = bytearray()

    def _bound(self, text: bytearray) -> None:
        if len(text) > MESSAGE_LIMIT:
            raise Defect(f"{self._server}: a message is longer than {MESSAGE_LIMIT >> 20} MiB")

    def _block(self) -> bytes:
        left = self._deadline.left
        if left <= 0:
            raise self._late()
        try:
            return self._call.read(min(self._silence, left))
        except TimeoutError as error:
            if left < self._silence:
                raise self._late() from error
            raise LostContact(f"{self._server}: nothing was heard for {self._silence:g} s") from error
        finally:
            self._charge()

    def _late(self) -> LostContact:
        deadline = self._deadline
        if deadline.stands_still:
            return LostContact(f"{self._server}: nothing new came for {humanize.span(deadline.still)}")
        return LostContact(f"{self._server}: no answer came within {humanize.span(deadline.whole)}")

    def _charge(self) -> None:
        """What has passed since the last time was spent on the server."""
        now = time.monotonic()
        self._deadline.waited(now - self._mark)
        self._mark = now

    def _skip(self, noise: bytearray) -> None:
        self.noise += noise
        if len(self.noise) > NOISE_LIMIT:
            raise Defect(
                f"{self._server}: the login shell prints more than {NOISE_LIMIT >> 10} KiB",
                "let its start-up files print for interactive shells only",
            )

    def _message(self, text: bytes) -> dict[str, Any]:
        try:
            message = _cleaned(json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole))
        except (ValueError, RecursionError) as error:
            raise Defect(f"{self._server}: a message is not JSON") from error
        if not _is_message(message):
            raise Defect(f"{self._server}: a message is of no known kind")
        checked: dict[str, Any] = message
        return checked


def read(server: str, kind: type[T], data: Any, place: str, hint: str = "") -> T:
    """What a server says, as a value. Raises Defect, with the place of what is not as it should be."""
    try:
        return decode(kind, data, place)
    except Malformed as error:
        raise Defect(f"{server}: the answer is not what it should be ({error})", hint) from error


def entry(server: str, answer: dict[str, Any], name: str, kind: type[T], hint: str = "") -> T:
    """One entry of an answer, as a value. Raises Defect when it is missing, or not of that kind."""
    if name not in answer:
        raise Defect(f"{server}: the answer is not what it should be ({name}: missing)", hint)
    return read(server, kind, answer[name], name, hint)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _finite(number: str) -> float:
    """JSON writes 1e999 as readily as NaN, and Python reads it as infinite."""
    if math.isinf(float(number)):
        _refuse(number)
    return float(number)


def _whole(number: str) -> int:
    """No number of ours is so long, and one of thousands of digits cannot even be printed."""
    if len(number) > len(str(LARGEST)) or abs(int(number)) >= LARGEST:
        _refuse(number[:20])
    return int(number)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): _cleaned(item) for key, item in value.items()}
    return value


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or len(message) != 1:
        return False
    (kind, content), *_ = message.items()
    if kind == "beat":
        return isinstance(content, int)
    if kind == "error" and isinstance(content, dict):
        texts = [content.get(name) for name in ("kind", "message", "hint")]
        return all(isinstance(text, str) for text in texts) and content["kind"] in KINDS
    return kind in ("event", "answer") and isinstance(content, dict)


def _error(server: str, content: dict[str, Any]) -> RunbookError:
    error = KINDS[content["kind"]](f"{server}: {content['message']}", one_line(content["hint"], LONGEST))
    if isinstance(content.get("debug"), str):
        error.__cause__ = ServerTraceback(restored(content["debug"]))
    return error


def _unanswered(session: Session, call: Call, hearing: Hearing) -> RunbookError:
    """What it means that the output ended without an answer."""
    server = session.host.name
    if call.broken:
        return LostContact(f"{server}: the connection ended before the answer")
    status = call.status(PATIENCE)
    complaint = clean(masked(call.complaint(PATIENCE), session.hidden))
    if not hearing.begun and _has_no_room(complaint):
        return _not_run(session, status, complaint.strip())
    if hearing.begun or "Traceback" in complaint:
        end = "killed" if status is None or status > 128 else f"exit status {status}"
        kind = WithoutBz2 if not hearing.begun and "No module named '_bz2'" in complaint else Defect
        error = kind(f"{server}: the answer was cut off ({end})")
        error.__cause__ = ServerTraceback(traceback.of_a_complaint(complaint))
        return error
    said = complaint or clean(masked(hearing.noise.decode("utf-8", "replace"), session.hidden))
    return _not_run(session, status, said.strip())


def _not_run(session: Session, status: int | None, said: str) -> CannotConnect:
    """What it means that not even the bootstrap ran; shells and sudo say it in words, after those of start-up files."""
    server, python = session.host.name, session.host.python
    lines = said.splitlines() or ["it said nothing"]
    last = ([line for line in lines if FAILING.search(line)] or lines)[-1]
    last = quoted(last, SAID) if said else last
    if _has_no_room(said):
        message = f"{server}: the limits of {session.user} leave no room for a command ({last})"
        return CannotConnect(message, limits.HINT)
    if session.host.sudo and re.search(r"\bsudo\b.*not found|Unknown command:? '?sudo", said):
        return CannotConnect(f"{server}: sudo is not installed", "install it, or log in as root without sudo: true")
    if status in (126, 127) or re.search(rf"{re.escape(python)}\W.*not found", said, re.IGNORECASE):
        return CannotConnect(
            f"{server}: {python} cannot be run ({last})", "install python3 there, or say python: in hosts.yaml"
        )
    refused = next(filter(SUDO.match, lines), "") if session.host.sudo else ""
    if refused:
        message = f"{server}: sudo refuses {session.user} ({quoted(refused, SAID)})"
        tty = f"say Defaults:{session.user} !requiretty in sudoers" if "tty" in refused else ""
        return CannotConnect(message, tty or "give the user NOPASSWD in sudoers, or drop sudo: true")
    if "Unknown option: -I" in said:
        return CannotConnect(f"{server}: {python} is Python 2; 3.8 or newer is needed", "say python: in hosts.yaml")
    expired = next(filter(EXPIRED.search, lines), "")
    if expired:
        message = f"{server}: the password of {session.user} has expired ({quoted(expired, SAID)})"
        return CannotConnect(message, f"log in by hand and change it, or chage -M -1 {session.user} there, as root")
    if NO_COMMANDS.search(said):
        return CannotConnect(
            f"{server}: the account {session.user} may run no commands ({last})",
            f"give it a shell (usermod -s /bin/bash {session.user} there, as root); a ForceCommand in sshd_config or a "
            "command= before its key keeps it from one, too",
        )
    if status in (None, KILLED):
        return CannotConnect(f"{server}: {python} was killed before it could answer ({last})", limits.HINT)
    hint = f"run {python} -V there: a limit (ulimit -v) or a line of the login's ~/.bashrc may end it"
    if said:
        hint = f"ssh there and run {python} -V: it shows whether it is the login, its shell or its start-up files"
    return CannotConnect(f"{server}: the login ended without an answer (exit status {status}): {last}", hint)


def _has_no_room(said: str) -> bool:
    """Whether a shell or Python says that a limit of the login keeps it from working."""
    return limits.told(said) or bool(re.search(r"new thread|MemoryError|: Error (11|12|24)\b", said))
