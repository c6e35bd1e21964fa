"""What a command knows of a server whose variables stand on itself: when they are read, and what is said of them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from gpu_runbook.laptop.deploy import state_move
from gpu_runbook.laptop.errors import BadInput, Refused, RunbookError
from gpu_runbook.laptop.inputs.resolve import Purpose, Resolved
from gpu_runbook.laptop.rpc import call
from gpu_runbook.laptop.ssh.session import SessionOptions
from gpu_runbook.laptop.terminal.screen import Screen
from tasks import invocation as invocations
from tasks.invocation import Invocation
from tests.unit.in_process import answering, session

PASSWORD = "kfh28Hskwq3Z"
ENV = f"RABBITMQ_HOST=broker.lan\nRABBITMQ_PORT=5552\nRABBITMQ_MONITOR_USER=me\nRABBITMQ_MONITOR_PASSWORD={PASSWORD}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The variables of a server, which is this machine; its hosts.yaml is in the folder fab is called in."""
    path = Path(os.path.realpath(tmp_path)) / "there" / ".env"
    path.parent.mkdir()
    path.write_text(ENV)
    path.chmod(0o600)
    hosts = {
        "hosts": {"gpu-1": {"address": "gpu-1.lan", "root": "/azaion", "env": {"server": str(path)}}},
        "services": {"queue": {"kind": "consumer", "image": "team/queue", "stream": {"name": "messages"}}},
    }
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    monkeypatch.chdir(tmp_path)
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs that the server was asked, each of which it has answered as it does."""
    return answering(monkeypatch)


def invoked(monkeypatch: pytest.MonkeyPatch, purpose: Purpose = "compare") -> Invocation:
    monkeypatch.setattr(invocations, "host_from_context", lambda context: None)
    monkeypatch.setattr(invocations, "options_from_context", lambda context: SessionOptions())
    invocation = Invocation(None, None, None, machine=False, purpose=purpose)
    invocation.screen = Screen(out=io.StringIO())
    return invocation


def test_they_are_read_once_by_the_first_who_wants_them_and_covered_from_then_on(
    file: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    invocation, line = invoked(monkeypatch, "deploy"), session()
    assert invocation.host(line).env.server == str(file) and invocation.servers == "gpu-1"
    invocation.warn()
    assert asked == []
    first = invocation.resolved(line)
    assert invocation.resolved(line) is first and asked == ["env_source"]
    (queue,) = invocation.services
    password = first.stream_password(queue)
    assert password is not None and password.reveal() == PASSWORD
    assert PASSWORD in line.hidden


def test_whoever_wants_nothing_of_them_reads_nothing(
    file: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.unlink()
    invocation = invoked(monkeypatch, "preflight")
    assert invocation.resolved(session(), needed=False).host.name == "gpu-1"
    assert asked == []


def test_what_was_required_is_checked_as_soon_as_they_are_known(
    file: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(ENV + "MORE=two words\n")
    invocation = invoked(monkeypatch)
    seen: list[list[str]] = []

    def check(known: Sequence[Resolved]) -> None:
        seen.append([one.host.name for one in known])
        if known:
            raise Refused("not so")

    invocation.warn()
    invocation.require(check)
    with pytest.raises(Refused, match="not so"):
        invocation.resolved(session())
    assert seen == [[], ["gpu-1"]]
    out = invocation.screen.out
    assert isinstance(out, io.StringIO)
    assert out.getvalue() == f"warning: gpu-1:{file}:5: MORE: a shell ends the value at the first blank; quote it\n"


@pytest.mark.parametrize(
    ("content", "mode", "status", "said"),
    [
        (
            ENV.replace("RABBITMQ_PORT=5552\n", ""),
            0o600,
            10,
            "gpu-1:{file}: RABBITMQ_PORT is not set; needed by services",
        ),
        (ENV + f"A='{PASSWORD}\n", 0o600, 10, "gpu-1:{file}:5: the line cannot be read"),
        (ENV.encode() + b"A=\xff\n", 0o600, 10, "gpu-1:{file} is not UTF-8 text (line 5)."),
        (ENV + "A=\0\n", 0o600, 10, "gpu-1:{file} is a binary file."),
        ("", 0o600, 10, "gpu-1:{file} is empty."),
        ("# nothing\n", 0o600, 10, "gpu-1:{file}: no variable stands in it"),
        (ENV + "#" * (1 << 20), 0o600, 10, "gpu-1: {file} is larger than 1 MiB"),
        (ENV, 0o644, 12, "gpu-1: {file} is not for its owner alone (mode 0644)"),
    ],
    ids=["unset", "line", "encoding", "binary", "empty", "comment", "long", "mode"],
)
def test_a_file_that_is_none_ends_a_command_in_one_sentence(
    file: Path,
    asked: list[str],
    monkeypatch: pytest.MonkeyPatch,
    content: str | bytes,
    mode: int,
    status: int,
    said: str,
) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)
    with pytest.raises(RunbookError) as caught:
        invoked(monkeypatch, "ask").resolved(session())
    error = caught.value
    assert (error.exit_code, said.format(file=file) in error.message) == (status, True), error.message
    assert "contacted" not in error.message and PASSWORD not in error.message + error.hint and error.hint


def test_an_answer_that_is_none_is_a_defect_that_says_nothing_of_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "_ask", lambda *given: {"content": PASSWORD + "!"})
    with pytest.raises(RunbookError) as caught:
        invoked(monkeypatch).resolved(session())
    assert caught.value.message == "gpu-1: the answer is not what it should be (content: not base64)"
    assert not isinstance(caught.value, BadInput)


def test_a_check_that_moves_with_the_state_is_laid_down_with_what_stands_on_the_server(
    file: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    invocation = invoked(monkeypatch, "preflight")
    request = state_move._check_anew(session(), invocation.inventory, invocation.host(session()))
    (queue,) = request.settings.questions.consumers
    assert (queue.password, asked) == (PASSWORD, ["env_source"])
    file.write_text("RABBITMQ_HOST=broker.lan\n")
    with pytest.raises(Refused, match=rf"gpu-1:{file}: RABBITMQ_PORT is not set") as caught:
        state_move._check_anew(session(), invocation.inventory, invocation.host(session()))
    assert "nothing was changed" in caught.value.message
