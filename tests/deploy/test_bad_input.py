"""Bad input: hosts.yaml, .env, templates and command lines that are wrong, and servers whose answers are."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from gpu_runbook.laptop.errors import BadInput, CannotConnect, Defect, Refused, RunbookError
from sandbox import Sandbox, run_inside
from tests.deploy.laptop import Laptop, new_laptop
from tests.deploy.refused import DEPLOY, passwords, refused, shown
from tests.real import clean

pytestmark = pytest.mark.real

# Answers one verb with what a file says, and leaves every other to the real interpreter.
ODD_PYTHON = """\
#!/usr/bin/python3 -IS
import json, subprocess, sys, zlib
data = rest = sys.stdin.buffer.read()
while rest:
    size, _, rest = rest.partition(b"\\n")
    block, rest = rest[: int(size)], rest[int(size) :]
if json.loads(zlib.decompress(block))["verb"] == "VERB":
    sys.stdout.buffer.write(open("/run/odd-answer", "rb").read())
else:
    subprocess.run(["/usr/bin/python3", *sys.argv[1:]], input=data)
"""


def line_of(laptop: Laptop, key: str) -> int:
    """Where a key first stands in hosts.yaml."""
    lines = (laptop.folder / "hosts.yaml").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.lstrip(" -").startswith(key))


@pytest.fixture
def nowhere(sandbox: Sandbox, tmp_path: Path) -> Iterator[Laptop]:
    """A laptop whose server does not listen: had anything been contacted, that would be the error."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        laptop = new_laptop(tmp_path, sandbox)
        laptop.host["port"] = held.getsockname()[1]
        laptop.save()
        yield laptop


def named(laptop: Laptop, *words: str) -> str:
    """What a `fab` says that must end as bad input, without a traceback or a secret; a deploy without words."""
    said = laptop.fab(*(words or DEPLOY))
    assert said.status == BadInput.exit_code, said.all
    assert said.out == "" and "Traceback" not in said.err
    assert shown(passwords(laptop), said.err) == []
    return said.err


def test_every_mistake_in_hosts_yaml_is_named_at_once_by_line_and_key(nowhere: Laptop) -> None:
    nowhere.host["prot"] = 22
    nowhere.queue["tag"] = 1.0
    nowhere.queue["watch"]["settle"] = "soon"
    nowhere.queue.update(shm_size="8 GB", ports=["80:99999"], options={"name": "mine", "rm": True})
    text = yaml.safe_dump(nowhere.hosts, sort_keys=False)
    server = yaml.safe_dump({"gpu-1": {"address": "twin"}})
    (nowhere.folder / "hosts.yaml").write_text(text.replace("hosts:\n", f"hosts:\n  {server.strip()}\n", 1))
    said = named(nowhere)
    keys = (
        "tag: ",
        "watch.settle: ",
        "shm_size: ",
        "ports.0: ",
        "options.name: is not to be had",
        "options.rm: is not",
    )
    for mistake in ("gpu-1: stands twice", *(f"annotation-queue.{key}" for key in keys)):
        assert mistake in said
    assert "hosts.yaml:" in said
    assert "nothing was contacted or changed" in said


def test_an_unknown_key_is_named_with_the_one_that_was_meant(nowhere: Laptop) -> None:
    nowhere.host["rot"] = "/azaion"
    nowhere.save()
    assert 'hosts.gpu-1.rot: is not a known key; did you mean "root"?' in named(nowhere)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("deploy", "--hosts", "gpu-2"), 'has no server or group "gpu-2"; did you mean "gpu-1"?'),
        (("deploy", "--hosts", ""), "--hosts is given without a value"),
        (("deploy", "--service", "queue"), 'has no service "queue"'),
        (("deploy", "--service", ""), "--service is given without a value"),
        (("deploy", "--tag", "queue=1.0"), "--tag queue=1.0: no such service"),
        (("deploy", "--tag", "1.0 && reboot"), "is no tag"),
        (("deploy", "--tag", "sha256:0123456789ab"), "--tag 'sha256:0123456789ab' is no digest"),
        (
            ("diff", "--tag", f"sha256:{'a' * 64}"),
            "--tag sha256:aaaaaaaaaaaa is one image, and those of annotation-queue",
        ),
        (("deploy", "--tag", ""), "--tag is given without a value"),
        (("rollback", "--to", ""), "--to is given without a value"),
        (("follow", "--run", ""), "--run is given without a value"),
        (("status", "--hosts", "gpu-2"), 'has no server or group "gpu-2"'),
        (("health", "--service", "queue"), 'has no service "queue"'),
    ],
)
def test_a_command_line_that_names_what_is_not_there(nowhere: Laptop, words: tuple[str, ...], sentence: str) -> None:
    said = named(nowhere, *words)
    assert sentence in said
    assert len(said.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda env: env.unlink(), ".env does not exist"),
        (lambda env: env.write_text("\n"), ".env is empty"),
        (lambda env: env.write_text("# nothing but a remark\n"), ".env: no variable stands in it"),
        (lambda env: env.write_bytes(b"RABBITMQ_HOST=a\0b\n"), ".env is a binary file"),
        (lambda env: env.write_bytes(b"RABBITMQ_HOST=\xff\xfe\n"), ".env is not UTF-8 text (line 1)"),
        (lambda env: env.write_text(env.read_text() + "REGISTRY_PASSWORD='open\n"), "the line cannot be read"),
        (lambda env: env.write_text(env.read_text() + "REGISTRY_PASSWORD=other\n"), "REGISTRY_PASSWORD: stands twice"),
    ],
)
def test_an_env_file_that_is_none(nowhere: Laptop, write: Callable[[Path], object], sentence: str) -> None:
    write(nowhere.folder / ".env")
    assert sentence in named(nowhere)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "does not exist"),
        ("queue: {{ RABBITMQ_HOST", "config.yaml.j2:1 is no template"),
        ("a: 1\nb: {{ '%1000000000d' % 1 }}\n", "config.yaml.j2:2 does not render: it takes more memory than"),
        ("a: {{ ''.__class__ }}\n", "config.yaml.j2:1 does not render: it reaches for what a template may not touch"),
        ("port: {{ RABBITMQ_PASSWORD | int }}\n", "config.yaml.j2:1 does not render: a value is no whole number"),
        ("queue: {{ NOT_IN_ENV }}\n", "NOT_IN_ENV is not set; needed by "),
        ("queue: [{{ RABBITMQ_PASSWORD }}\n", "renders to broken YAML (line 2 of the result)"),
        ("# {{ RABBITMQ_PASSWORD }}\n", "renders to YAML that is not a mapping"),
    ],
)
def test_a_template_that_makes_no_config(nowhere: Laptop, text: str | None, sentence: str) -> None:
    template = nowhere.folder / "templates/config.yaml.j2"
    template.unlink() if text is None else template.write_text(text)
    assert sentence in named(nowhere)


@pytest.mark.parametrize("verb", [DEPLOY, ("diff",), ("preflight",)])
def test_a_link_that_leads_out_of_the_folder_of_hosts_yaml(
    nowhere: Laptop, tmp_path_factory: pytest.TempPathFactory, verb: tuple[str, ...]
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "config.yaml.j2"
    template = nowhere.folder / "templates/config.yaml.j2"
    elsewhere.write_text(template.read_text())
    template.unlink()
    template.symlink_to(elsewhere)
    where = (
        f"hosts.yaml:{line_of(nowhere, 'template:')}: services.annotation-queue.config.template: leads to {elsewhere};"
    )
    assert where in named(nowhere, *verb)


def test_a_public_that_is_no_variable(nowhere: Laptop) -> None:
    nowhere.hosts["public"] = ["RABBITMQ_HOST", "TOKENISER"]
    nowhere.save()
    line = line_of(nowhere, "TOKENISER")
    said = named(nowhere, "health")
    assert f"hosts.yaml:{line}: public.1: TOKENISER is no variable of .env" in said


Odd = Callable[[str, str], Laptop]


@pytest.fixture(scope="module")
def bare(sandbox: Sandbox) -> Sandbox:
    """A server on which nothing was ever deployed; what odd answers may not change."""
    clean(sandbox)
    return sandbox


@pytest.fixture
def odd(bare: Sandbox, tmp_path: Path) -> Iterator[Odd]:
    """Makes a laptop whose server answers a verb with a text of the test's own."""

    def make(verb: str, answer: str) -> Laptop:
        put(bare, "/usr/local/bin/odd-python", ODD_PYTHON.replace("VERB", verb))
        put(bare, "/run/odd-answer", answer)
        laptop = new_laptop(tmp_path, bare)
        laptop.host["python"] = "odd-python"
        laptop.save()
        return laptop

    yield make
    run_inside(bare, ["rm", "/usr/local/bin/odd-python", "/run/odd-answer"])


def put(sandbox: Sandbox, path: str, text: str) -> None:
    run_inside(sandbox, ["tee", path], input=text)
    run_inside(sandbox, ["chmod", "755", path])


LEVELLED = (
    '\x1e{"answer": {"hostname": "a", "at": "2026-04-20T10:11:12Z", "user": "c", "rows": '
    '[{"name": "a", "level": "\\u001b[2J", "sentence": "b"}]}}\n'
)


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ('\x1e{"answer": {"hostna', Defect, "the answer was cut off"),
        ('\x1e{"answer": {}}\n', Defect, "the snapshot is not what it should be (snapshot.hostname: missing)"),
        ('\x1e{"answer": "' + "x" * (5 << 20), Defect, "a message is longer than 4 MiB"),
        ("\x1b[2J" * 20_000, Defect, "the login shell prints more than 64 KiB"),
        ("\x1b]0;owned\x07\x1b[2J\n", CannotConnect, "the login ended without an answer"),
        (
            '\x1e{"error": {"kind": "refused", "message": "no \\u001b[2J\\u202e", "hint": "\\u0007"}}\n',
            *(Refused, "gpu-1: no \ufffd[2J\ufffd"),
        ),
        (LEVELLED, Defect, "gpu-1: the snapshot is not what it should be (snapshot.rows[0].level: not a level)"),
    ],
    ids=["truncated", "empty", "huge", "noisy", "controls", "controls in an error", "no level"],
)
def test_a_look_that_is_none(odd: Odd, answer: str, error: type[RunbookError], sentence: str) -> None:
    said = refused(odd("snapshot", answer), error)
    assert sentence in said.err
    assert not controls(said.all)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ('\x1e{"event": {"event": "journal"}}\n', "gpu-1: an event is not what it should be"),
        ('\x1e{"event": {"event": "journal", "line": []}}\n', "gpu-1: an event is not what it should be"),
        ('\x1e{"event": {"event": "watching", "window": "x"}}\n', "gpu-1: an event is not what it should be"),
        (
            '\x1e{"answer": {"run": "20260420-101112-abcd", "end": {"outcome": "done"}}}\n',
            "the end of run 20260420-101112-abcd is not what it should be",
        ),
        (
            '\x1e{"answer": {"run": "20260420-101112-abcd", "end": {"outcome": "odd", "sentence": ""}}}\n',
            "is not what it should be",
        ),
    ],
    ids=["no line", "no mapping", "no number", "no sentence", "no known outcome"],
)
def test_a_run_that_is_told_wrongly(odd: Odd, answer: str, sentence: str) -> None:
    said = odd("run", answer).fab(*DEPLOY)
    assert said.status == Defect.exit_code, said.all
    assert sentence in said.err
    assert "Traceback" not in said.all


def controls(text: str) -> set[str]:
    """The characters in a text that steer a terminal."""
    return {char for char in text if char < " " and char != "\n"} | set("\x7f\x9b\u202e") & set(text)
