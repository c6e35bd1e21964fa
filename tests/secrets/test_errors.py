"""What is wrong with an input is said, and with --debug where it was found; the value that is wrong is not."""

from __future__ import annotations

import base64
import json
import signal
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from invoke.exceptions import Exit
from pydantic import TypeAdapter

from gpu_runbook.laptop.errors import BadInput, RunbookError
from gpu_runbook.laptop.inputs.dotenv import read_env
from gpu_runbook.laptop.inputs.resolve import resolve
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inputs.template import read
from gpu_runbook.laptop.inventory.model import Host, load_inventory
from gpu_runbook.laptop.terminal import traceback
from tasks import shared
from tests.secrets.hunt import hunt_for
from tests.secrets.story import fresh

HOST = Host(name="gpu-1", address="gpu-1.lan", root="/azaion")

# One word, as YAML, its anchors and tags, and .env take it without quotes.
WORD = "kfh28Hskwq3ZcorrectHorse-9Battery-s7dkWmz0qLp"

TEMPLATES = [
    "a: {{ X | int }}",
    "a: {{ X | round }}",
    "a: {{ X | batch(0) }}",
    "a: {{ X | dictsort }}",
    "a: {{ X.first.second }}",
    "a: {{ X() }}",
    "a: {{ X / 2 }}",
    "a: {{ {}[X] }}",
    "a: {{ {}[X].more }}",
    "a: {{ self[X]() }}",
    "a: {{ 1 | attr(X) }}",
    "a: {{ [1] | map(X) | list }}",
    "a: {{ [1] | map(attribute=X) | list }}",
    "a: {{ 1 is sameas }}",
    "a: {{ '%d' | format(X) }}",
    "a: {{ range(X) }}",
    "a: {{ namespace(X) }}",
    "a: {{ [X] }}",
    "a: {% include X %}",
    "{% extends X %}",
    "{% import X as x %}",
    "{% for a, b, c in [X] %}{% endfor %}",
    "a: {{ X | no_such_filter }}",
    "a: {{ UNSET ~ X }}",
    "a: {{ X",
    "{{ X }}",
    "a: '{{ X }}'",
    "a: b {{ X }}",
    "a: 1 # {{ X }}",
    "a: [{{ X }}",
    "a: &{{ X }} 1",
    "a: *{{ X }}",
    "a: !{{ X }} 1",
    "{{ X }}: {{ X }}: 1",
    "a: |\n  {{ X }}",
]

LINES = [
    "PASSWORD='{}",
    'PASSWORD="{}',
    "PASSWORD='{}' and more",
    "PASSWORD={}\nPASSWORD={}",
    "PASSWORD={} #{}",
    "PASSWORD=${{{}}}",
    "PASSWORD = {}  ",
    "export PASSWORD=it's {}",
    "PASSWORD\n{}\n{}==\n={}\n'{}'=1",
]

# Places of hosts.yaml into which somebody might put a password by mistake.
PLACES = [
    "registry: {{server: reg.lan, username: me, password: {}}}",
    "registry: {{server: reg.lan, username: 'me:{}'}}",
    "registry: {{server: 'me:{}@reg.lan'}}",
    "registry: *{}",
    "registry: &{} [",
    "registry: !{} x",
    "registry: !{}!x y",
    "registry: %{}",
    "registry: '{}",
    "registry: {}: {}",
    "keep_releases: {}",
    "services: {{queue: {{kind: '{}', image: a}}}}",
    "services: {{queue: {{kind: consumer, image: 'a {}'}}}}",
    "services: {{queue: {{kind: consumer, image: a, tag: '{} '}}}}",
    "services: {{queue: {{kind: consumer, image: a, gpus: '{}', memory: '{}', stop_grace: '{}'}}}}",
    "services: {{queue: {{kind: consumer, image: a, mounts: ['{}'], environment: ['{}']}}}}",
    "services: {{queue: {{kind: consumer, image: a, offset: {{file: '{}', means: '{}'}}}}}}",
]


def everything(error: RunbookError) -> str:
    """All that is ever shown of an error: to people, to scripts, and with --debug."""
    return "\n".join([str(error), error.hint, json.dumps(error.as_result()), *traceback.lines(error)])


def given_away(secrets: Iterable[str], text: str) -> list[str]:
    return hunt_for({f"secret {at}": secret for at, secret in enumerate(secrets)}).found(text)


@pytest.mark.parametrize("text", TEMPLATES)
def test_a_template_that_fails(tmp_path: Path, text: str) -> None:
    template = tmp_path / "config.yaml.j2"
    template.write_text(text + "\n")
    for secret in (fresh(), WORD):
        with pytest.raises(BadInput) as caught:
            read(template).render({"X": Secret(secret)}, HOST)
        assert "config.yaml.j2" in caught.value.message
        assert given_away([secret], everything(caught.value)) == []


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_env_that_cannot_be_read_or_is_read_differently(tmp_path: Path, line: str) -> None:
    path = tmp_path / ".env"
    path.write_text(line.format(*[WORD] * 9) + "\n")
    env, problems = read_env(path)
    said = [*problems, *env.warnings, repr(env)]
    assert problems or "mode" not in env.warnings[-1]
    assert given_away([WORD], "\n".join(said)) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_password_that_stands_in_hosts_yaml_by_mistake(tmp_path: Path, place: str) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(f"hosts: {{gpu-1: {{address: gpu-1.lan, root: /azaion}}}}\n{place.format(*[WORD] * 9)}\n")
    with pytest.raises(BadInput) as caught:
        load_inventory(path)
    assert "hosts.yaml" in caught.value.message
    assert given_away([WORD], everything(caught.value)) == []


@pytest.mark.parametrize("spelled", ["{plain}", "amqp://me:{url}@broker/", "Basic {base64}"])
def test_a_password_in_a_containers_environment_is_refused_in_every_spelling(tmp_path: Path, spelled: str) -> None:
    secret = "kfh28Hskwq3Z/@:" + WORD
    encoded = base64.b64encode(f"me:{secret}".encode()).decode()
    value = spelled.format(plain=secret, url=urllib.parse.quote(secret, safe=""), base64=encoded)
    service = {"kind": "batch", "image": "a", "container": "run", "environment": {"BROKER": value}}
    hosts = {"hosts": {"gpu-1": {"address": "gpu-1.lan", "root": "/azaion"}}, "services": {"queue": service}}
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump(hosts))
    (tmp_path / ".env").write_text(f"BROKER_PASSWORD='{secret}'\n")
    inventory = load_inventory(tmp_path / "hosts.yaml")
    with pytest.raises(BadInput, match=r"environment\.BROKER: holds the value of BROKER_PASSWORD") as caught:
        resolve(inventory, list(inventory.hosts.values()), list(inventory.services.values()))
    assert given_away([secret], everything(caught.value)) == []


def foreign(secret: str) -> Iterable[Exception]:
    """Errors of other libraries that quote what they could not take."""
    for take in (
        lambda: {"a": 1}[secret],
        lambda: int(secret),
        lambda: json.loads(f'{{"a": "{secret[:12]}'),
        lambda: secret.encode("ascii"),
        lambda: yaml.safe_load(f"a: *{secret}"),
        lambda: TypeAdapter(int).validate_python(secret),
        lambda: open(secret),  # noqa: SIM115, PTH123
        lambda: getattr(1, secret),
    ):
        try:
            take()
        except Exception as error:
            yield error


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A task leaves Ctrl-C unheard behind it."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_error_of_another_library_is_shown_by_its_kind_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    secret = WORD + "é"
    errors = list(foreign(secret))
    assert len(errors) == 8
    assert sum(secret[:12] in f"{error!r}" for error in errors) >= 5  # by themselves they would say it

    @shared.guarded
    def task(json: bool, debug: bool) -> None:
        raise ValueError(secret) from errors.pop()

    while errors:
        kind = type(errors[-1]).__name__
        with pytest.raises(Exit):
            task(json=True, debug=True)
        said = "".join(capsys.readouterr())
        assert given_away([secret], said) == []
        assert f"\n{kind}" in said and "in foreign" in said and "ValueError in " in said


def test_what_a_server_printed_when_it_choked_is_reduced_to_frames_and_kinds() -> None:
    complaint = (
        'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n'
        f"ValueError: invalid literal for int() with base 10: b'{WORD}\n{WORD}Error in it\n"
    )
    assert traceback.of_a_complaint(complaint) == '  File "<string>", line 1\nValueError'
