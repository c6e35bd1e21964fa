"""The inputs of one command line: read and checked as a whole before the first connection is opened."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_runbook.laptop.answers.contract import SCHEMA
from gpu_runbook.laptop.errors import BadInput, CannotConnect, RunbookError
from gpu_runbook.laptop.inputs.resolve import Purpose, Resolved, resolve
from gpu_runbook.laptop.inventory.image_tag import SAYS, flaw, is_pinned, is_tag, short
from gpu_runbook.laptop.inventory.model import Host, Inventory, Service, load_inventory
from gpu_runbook.laptop.inventory.problems import nearest, printable
from gpu_runbook.laptop.inventory.yaml_document import complaint
from gpu_runbook.laptop.rpc.call import cancelled
from gpu_runbook.laptop.ssh.session import Session, SessionOptions, host_from_context, options_from_context
from gpu_runbook.laptop.terminal.screen import Screen, put, show_error
from gpu_runbook.laptop.terminal.spool import pieces
from gpu_runbook.protocol.forms import RunId, has

if TYPE_CHECKING:
    from gpu_runbook.laptop.deploy.plan import Order

Result = dict[str, Any]  # of one server, as --json prints it
PROJECT = Path(__file__).resolve().parent.parent


class Invocation:
    """hosts.yaml, .env and the templates as one command line sees them, and the sessions with its servers."""

    def __init__(
        self, context: Any, hosts: str | None, service: str | None, machine: bool, purpose: Purpose | None = "compare"
    ) -> None:
        """`purpose`: what is wanted of .env, None where nothing is, so that it need not be there."""
        self.context = context
        self.screen = Screen(machine)
        self.inventory: Inventory = load_inventory(_hosts_file())
        wanted = given("--hosts", hosts) or host_from_context(context)
        self.hosts: Sequence[Host] = self.inventory.select_hosts(wanted)
        self.services: Sequence[Service] = self.inventory.select_services(given("--service", service))
        self._purpose = purpose
        self._known: dict[str, Resolved] = {}
        if purpose:
            self._known |= resolve(self.inventory, self.hosts, self.services, purpose)
        self._checks: list[Callable[[Sequence[Resolved]], object]] = []

    def warn(self) -> None:
        """Say which lines of .env other readers would take differently."""

        def warn(known: Sequence[Resolved]) -> None:
            for warning in dict.fromkeys(text for one in known for text in one.env.warnings):
                self.screen.say(f"warning: {warning}", "yellow")

        self.require(warn)

    def require(self, check: Callable[[Sequence[Resolved]], object]) -> None:
        """Have what is sent to the servers checked as soon as it is known: now, or when variables were read there."""
        self._checks.append(check)
        check([one for one in self._known.values() if not one.unread])

    @property
    def servers(self) -> str:
        """The names of all that are asked for."""
        return ", ".join(host.name for host in self.hosts)

    def host(self, session: Session) -> Host:
        """The entry of a session's server."""
        return self.inventory.hosts[session.host.name]

    def resolved(self, session: Session, needed: bool = True) -> Resolved:
        """What a server will be sent. Variables that stand on itself are read there, once, where they are `needed`.

        Raises what `server_env.read` raises, BadInput as `resolve`, and what the checks that were required raise.
        """
        server, found = session.host.name, self._known[session.host.name]
        if not found.unread or not needed:
            return found

        from gpu_runbook.laptop.rpc import server_env

        there = {server: server_env.read(session, found.host.env.server or "")}
        found = resolve(self.inventory, [found.host], self.services, self._purpose or "ask", there)[server]
        session.hidden = found.hidden_here
        for check in self._checks:
            check([found])
        self._known[server] = found
        return found

    def sessions(self) -> Iterator[Session]:
        """One server after the other, each in a session that is closed before the next one is opened.

        It is opened in the background: what a task imports only now costs no time. What ssh_config says of several
        servers, and their keys, are read for all of them before the first is contacted. Raises BadInput.
        """
        options = options_from_context(self.context)
        sessions = [Session(host, self._options(options, host)) for host in self.hosts]
        if len(sessions) > 1:
            with ThreadPoolExecutor(max_workers=8) as pool:
                for _ in pool.map(Session.prepare, sessions):
                    pass
        for session in sessions:
            with session:
                session.begin()
                yield session

    def _options(self, options: SessionOptions, host: Host) -> SessionOptions:
        """Those of the command line with what is known of a server alone."""

        def complain(key: str, sentence: str) -> str:
            return complaint(self.inventory.path, ("hosts", host.name, key), sentence, ("defaults", key))

        known = self._known.get(host.name)
        return replace(options, hidden=known.hidden_here if known else (), complaint=complain)

    def ask_each(self, ask: Callable[[Session], Mapping[str, object]]) -> list[Result]:
        """What each server answers, where nothing is changed: one that gives no answer hides no other.

        Raises, once all were asked, the error of the one that gave none; of several, one that counts them. A Ctrl-C
        ends it, with the results up to it.
        """
        results: list[Result] = []
        failed: list[RunbookError] = []
        for session in self.sessions():
            results.append({"server": session.host.name})
            try:
                results[-1] |= ask(session)
            except KeyboardInterrupt:
                left = cancelled(session)
                left.results = [*results[:-1], results[-1] | left.as_result()]
                raise left from None
            except RunbookError as error:
                results[-1] |= error.as_result()
                if error.interrupted:
                    error.results = results
                    raise
                failed.append(error)
                if len(self.hosts) > 1:
                    show_error(error)
            finally:
                self._show_notices(session)
        if failed:
            raise _unanswered(failed, results)
        return results

    def _show_notices(self, session: Session) -> None:
        for text in session.notices:
            self.screen.say(f"{session.host.name}: {text}", "yellow")

    def _say_untouched(self, begun: Set[str]) -> None:
        left = [host.name for host in self.hosts if host.name not in begun]
        if left:
            self.screen.say(f"{', '.join(left)}: not asked any more, nothing was changed there", "yellow")

    def change_each(self, change: Callable[[Session], Mapping[str, object]]) -> list[Result]:
        """What became of one server after the other; the first failure or Ctrl-C ends it, with the results up to it."""
        results: list[Result] = []
        try:
            for session in self.sessions():
                results.append({"server": session.host.name})
                try:
                    results[-1] |= change(session)
                except KeyboardInterrupt:
                    raise cancelled(session) from None
                finally:
                    self._show_notices(session)
        except RunbookError as error:
            if results:
                results[-1] |= error.as_result()
                self._say_untouched({str(result["server"]) for result in results})
            error.results = results
            raise
        return results


def _unanswered(failed: Sequence[RunbookError], results: list[Result]) -> RunbookError:
    """The error that a command ends with when servers gave no answer; each was shown where there are several."""
    error = failed[0]
    if len(results) > 1:
        count = f"{len(failed)} of {len(results)} servers gave no answer"
        error = CannotConnect(count, "what is wrong there is said above")
        error.__cause__ = failed[0]
    error.results = results
    return error


def _hosts_file() -> Path:
    """hosts.yaml of the folder fab was called in, or of the project."""
    here = Path("hosts.yaml")
    return here if here.exists() else PROJECT / "hosts.yaml"


def given(flag: str, value: str | None) -> str | None:
    """A flag's value, None without the flag. An empty one is a script's unset variable: it must not mean everything."""
    if value is not None and not value.strip():
        raise BadInput(f"{flag} is given without a value", f"leave {flag} out, or say what it is to be")
    return value


def run_id(flag: str, value: str | None) -> str:
    """A flag's run, nothing without the flag. Raises BadInput."""
    if given(flag, value) is None:
        return ""
    if not has(RunId, value):
        raise BadInput(f"{flag} {value!r} is no run", "fab history names them, such as 20260420-101112-abcd")
    return str(value)


def whole_number(flag: str, value: str) -> int:
    """A flag's number, from 1 up. Raises BadInput."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}", value):
        raise BadInput(f"{flag} {value} is no whole number from 1 up")
    return int(value)


def seconds(flag: str, value: str, longest: int) -> int:
    """A flag's time, written 90s, 30m, 2h or 1d, in seconds. Raises BadInput."""
    from gpu_runbook.laptop.inventory import fields

    try:
        return int(fields.duration(1, longest).parse(value))
    except ValueError as error:
        raise BadInput(f"{flag} {value}: {error}") from None


def order(tags: dict[str, str], **asked: Any) -> Order:
    """What was asked for, by whom, from where."""
    from gpu_runbook.laptop.deploy.plan import Order

    return Order(getpass.getuser(), socket.gethostname(), tags, **asked)


def tags_for(services: Sequence[Service], tag: str | None) -> dict[str, str]:
    """`1.1` for every service, or `annotation-queue=1.1,training=2.0`; hosts.yaml says the rest. Raises BadInput.

    A digest, `sha256:…`, is one image, and for services of that image alone. A service without an image has none.
    """
    tags = {service.name: service.tag for service in services if service.image}
    wanted = given("--tag", tag)
    if wanted is None:
        return tags
    if "=" not in wanted:
        one = _valid(wanted.strip())
        images = {service.name: service.image for service in services if service.image}
        if is_pinned(one) and len(set(images.values())) > 1:
            raise BadInput(
                f"--tag {short(one)} is one image, and those of {' and '.join(images)} are different ones",
                f"say whose it is: --tag {next(iter(images))}={short(one)}…, or name it with --service",
            )
        return dict.fromkeys(tags, one)
    for part in wanted.split(","):
        name, _, value = part.strip().partition("=")
        if name not in tags:
            sentence = f"--tag {printable(part.strip())}: no such service is deployed here{nearest(name, tags)}"
            raise BadInput(sentence, f"known: {', '.join(tags)}")
        tags[name] = _valid(value)
    return tags


def _valid(tag: str) -> str:
    if is_tag(tag):
        return tag
    if is_pinned(tag):
        raise BadInput(f"--tag {tag!r} is no digest", flaw(tag))
    raise BadInput(f"--tag {tag!r} is no tag", f"{SAYS} is expected, 128 characters at most")


def print_json(answer: Mapping[str, object]) -> None:
    """The one document of a command on stdout, below the number of the contract that it keeps."""
    for piece in pieces({"schema": SCHEMA, **answer}):
        put(piece, end="")
    put("")
