"""Templates that somebody else wrote: none is run in this process, none gets anywhere, and none is waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import child_process
from gpu_runbook.laptop.inputs.resolve import Purpose, Resolved, resolve
from gpu_runbook.laptop.inventory.model import Inventory, load_inventory
from tests.unit.scene import loaded

PROJECT = Path(__file__).parents[4]
HOSTS = """\
hosts:
  gpu-1: {address: gpu-1.lan, root: /azaion}
services:
  queue:
    kind: consumer
    image: team/queue
    mounts: [/azaion:/azaion]
    config:
      path: /azaion/queue.yaml
      template: queue.j2
"""
SECRET = "v3ry-s3cret-value"
NO_TIME = 0.3  # seconds for what would go on for ever


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "INTERRUPTED_AFTER", 2.0)
    monkeypatch.setattr(child_process, "KILLED_AFTER", 30.0)
    # Seconds of the processor instead of those of the clock, so that a busy machine comes to the same end.
    clock = {"ITIMER_REAL": signal.ITIMER_PROF, "SIGALRM": signal.SIGPROF}
    monkeypatch.setattr(child_process, "signal", SimpleNamespace(**vars(signal) | clock))


def project(folder: Path, template: str = "a: {{ X }}\n", hosts: str = HOSTS) -> Inventory:
    folder.mkdir(exist_ok=True)
    (folder / "queue.j2").write_text(template)
    (folder / ".env").write_text(f"X={SECRET}\n")
    (folder / ".env").chmod(0o600)
    return loaded(folder / "hosts.yaml", hosts)


def resolved(inventory: Inventory, purpose: Purpose = "deploy") -> dict[str, Resolved]:
    return resolve(inventory, inventory.select_hosts(None), inventory.select_services(None), purpose)


def complaint(inventory: Inventory) -> str:
    with pytest.raises(BadInput) as caught:
        resolved(inventory)
    assert SECRET not in caught.value.message
    first, *others = caught.value.message.splitlines()
    assert first.endswith("nothing was contacted or changed.") and len(others) == 1
    return others[0].strip()


# What comes first, that time is up or that there is too much of it, depends on the machine where nothing is said here.
BOMBS = [
    ("a: {{ '%1000000000d' % 1 }}", 1, "memory"),
    ("a: {{ '%*d' % (10 ** 9, 1) }}", 1, "memory"),
    ("a: {{ '%10000000d' % 1 }}", 1, "1 MiB"),
    ("b: 1\na: {{ 'a' * 10 ** 10 }}", 2, "memory"),
    ("b: 1\n\na: {{ 10 ** (10 ** 10) }}", 3, "longer"),
    ("b: 1\n{% for i in range(10 ** 9) %}{% endfor %}", 2, "range"),
    ("{% for i in range(99999) %}{% for j in range(99999) %}\n{% endfor %}{% endfor %}a: 1", 1, ""),
    ("{% for i in range(99999) %}\n{% for j in range(99999) %}{% endfor %}{% endfor %}a: 1", 2, "longer"),
    ("{% for i in range(99999) %}# a line that is repeated\n{% endfor %}a: 1", 1, "1 MiB"),
    ("b: 1\na: {{ 'x' | center(10 ** 10) }}", 2, "memory"),
    ("a: {{ 'x' | indent(10 ** 10, true) }}", 1, "memory"),
    ("a: {{ ('x' * 1000000) | replace('x', 'y' * 1000000) }}", 1, "memory"),
    ("a: {{ ('x' * 1000000).join(range(99999)) }}", 1, "TypeError"),
    ("a: {{ [1] | batch(10 ** 10, 0) | list | length }}", 1, "memory"),
    ("a: {{ [1] | slice(10 ** 10) | list | length }}", 1, ""),
    ("a: {{ 'x'.ljust(10 ** 10) }}", 1, "memory"),
    ("a: {{ '{:>10000000000}'.format(1) }}", 1, "memory"),
    ("a: {{ (1).to_bytes(10 ** 10, 'big') | length }}", 1, "memory"),
    ("{% set n = namespace(x='a') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}a: 1", 1, ""),
    ("{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}a: {{ n.x }}", 1, ""),
    ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}a: {{ m() }}", 1, "calls itself"),
    ("{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", 1, "calls itself"),
]
WITHOUT_A_LINE = [
    ("a: {{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
    ("a: {{ " + "not " * 90_000 + "1 }}", "nested too deeply"),
    ("a: " + "[" * 500 + "]" * 500, "nested too deeply"),
    ("a: 2026-13-45", "broken YAML"),
    ("a: " + "9" * 5000, "broken YAML"),
    (
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{to}: &{to} [{', '.join([f'*{of}'] * 9)}]\n" for of, to in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        "takes too long to read",
    ),
]


@pytest.mark.parametrize(("template", "line", "why"), BOMBS)
def test_a_template_without_measure_is_stopped_at_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, line: int, why: str
) -> None:
    if why in ("", "longer"):
        monkeypatch.setattr(child_process, "INTERRUPTED_AFTER", NO_TIME)
    said = complaint(project(tmp_path, template))
    assert said.startswith(f"{tmp_path}/queue.j2:{line} does not render: "), said
    assert why in said


@pytest.mark.parametrize(("template", "why"), WITHOUT_A_LINE)
def test_what_has_no_line_is_stopped_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, template: str, why: str
) -> None:
    if "too long" in why:
        monkeypatch.setattr(child_process, "INTERRUPTED_AFTER", NO_TIME)
    said = complaint(project(tmp_path, template))
    assert said.startswith(f"{tmp_path}/queue.j2 ") and why in said


def test_a_template_whose_process_dies_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_runbook.laptop.inputs.templates._config", lambda *_: os._exit(9))
    assert complaint(project(tmp_path)) == f"{tmp_path}/queue.j2 does not come to an end within 8 s and 256 MiB."


OUTWARD = (
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "'' | attr('__class__')",
    "['__class__'] | map('attr', '__class__') | list",
    "X.__class__",
    "self.__init__.__globals__",
    "range.__globals__",
    "namespace.__init__.__globals__",
    "'{0.__class__}'.format(1)",
    "('{0.__class__}' | string).format(1)",
    "'{0[a].__class__}'.format_map({0: {'a': 1}})",
    "[].append(1)",
    "dict(a=1).update({})",
    "{}.setdefault('a', 1)",
    "(lipsum | default(range)).__globals__",
    "cycler.__init__.__globals__.os.popen('id').read()",
    "joiner.__init__.__globals__.os.popen('id').read()",
    "(X | attr('format')).__self__",
)


def test_a_template_reaches_nothing_but_its_values(tmp_path: Path) -> None:
    """All in one process, which they are confined to one by one."""
    head, service = HOSTS.split("  queue:\n")
    names = [f"queue-{number}" for number in range(len(OUTWARD))]
    services = [f"  {name}:\n{service}".replace("queue.", f"{name}.") for name in names]
    inventory = project(tmp_path, hosts=head + "".join(services))
    for name, expression in zip(names, OUTWARD, strict=True):
        (tmp_path / f"{name}.j2").write_text(f"b: 1\na: {{{{ {expression} }}}}\n")
    with (tmp_path / ".env").open("a") as env:
        env.write("lipsum=1\ncycler=1\njoiner=1\n")
    with pytest.raises(BadInput) as caught:
        resolved(inventory)
    assert SECRET not in caught.value.message
    said = caught.value.message.splitlines()[1:]
    for name, expression, one in zip(names, OUTWARD, said, strict=True):
        assert one.strip().startswith(f"{tmp_path}/{name}.j2:2 does not render: "), (expression, one)


@pytest.mark.parametrize("name", ["lipsum", "cycler", "joiner", "config", "environ"])
def test_a_name_that_is_no_documented_global_is_a_variable_of_env(tmp_path: Path, name: str) -> None:
    said = complaint(project(tmp_path, f"a: {{{{ {name} }}}}\n"))
    assert said == f"{tmp_path}/.env: {name} is not set; needed by {tmp_path}/queue.j2"


@pytest.mark.parametrize(
    "statement",
    [
        "{% include 'other.j2' %}",
        "{% include X %}",
        "{% import 'other.j2' as o %}",
        "{% from 'other.j2' import o %}",
        "{% extends '/etc/passwd' %}",
        "{% if false %}{% include '../x' ignore missing %}{% endif %}",
    ],
)
def test_a_template_is_one_file(tmp_path: Path, statement: str) -> None:
    (tmp_path / "other.j2").write_text("b: 1\n")
    said = complaint(project(tmp_path, f"a: 1\n{statement}\n"))
    assert said.startswith(f"{tmp_path}/queue.j2:2 is no template: it is to be one file, that includes, imports and")


# In a process that has rendered nothing yet, as each `fab` is: what all filters make of all kinds of values.
FRESH = """
import sys
from functools import partial
from pathlib import Path
from jinja2.defaults import DEFAULT_FILTERS
from gpu_runbook.laptop.inputs import child_process
from gpu_runbook.laptop.inputs import template as render
from gpu_runbook.laptop.inventory.entries import Host
named = {"attr": "'upper'", "batch": "2", "slice": "2", "groupby": "0", "wordwrap": "3", "format": "1", "round": "1"}
named |= {"replace": "'a', 'b'", "truncate": "9", "indent": "2", "map": "'upper'", "default": "1"}
values = ("'abc\\\\tde f'", "[1, 2]", "{'a': 1}", "1.5", "'http://x.lan/<a>'")
calls = [f"({value} | {name}({named.get(name, '')})) | string" for name in DEFAULT_FILTERS for value in values]
path, host = Path(sys.argv[1]), Host(name="gpu-1", address="gpu-1.lan", root="/azaion")
render.read(path)
templates = [render.Template(path, "a: {{ " + call + " }}\\n") for call in calls]
answers = child_process.each([partial(template.render, {}, host) for template in templates])
print(len(calls) - len(answers))
print(*(answer if isinstance(answer, str) else answer and answer.message for answer in answers), sep="\\n")
"""


def test_all_of_jinja2_works_where_nothing_can_be_opened(tmp_path: Path) -> None:
    """Every filter does something or finds fault with its input; none fails for what it would have to import."""
    project(tmp_path)
    command = [sys.executable, "-c", FRESH, str(tmp_path / "queue.j2")]
    left_out, *said = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert left_out == "0" and 'a: "ABC\\tDE F"' in said and len(said) > 200
    assert [line for line in said if "OSError" in line or "ImportError" in line or "None" in line] == []


def test_what_is_given_is_enough_for_a_config(tmp_path: Path) -> None:
    text = "{% for n in range(2) %}{{ 'n' ~ n }}: {{ 'a\\tb' ~ n | string | upper }}\n{% endfor %}"
    text += "c: {{ dict(a=[1, 2]).a | sum }}\n{% set s = namespace(v='é') %}d: {{ s.v }}\n"
    config = resolved(project(tmp_path, text))["gpu-1"].configs["queue"]
    assert yaml.safe_load(config.reveal()) == {"n0": "a\tb0", "n1": "a\tb1", "c": 3, "d": "é"}


def lead(folder: Path, template: str) -> Inventory:
    """A project whose hosts.yaml names this template, beside a folder that is not its own."""
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/config.j2").write_text("a: {{ X }}\n")
    inventory = project(folder / "ours", hosts=HOSTS.replace("queue.j2", template.format(folder)))
    (folder / "ours/link.j2").symlink_to(folder / "elsewhere/config.j2")
    (folder / "ours/within.j2").symlink_to(folder / "ours/queue.j2")
    (folder / "ours/folder").symlink_to(folder / "elsewhere")
    return inventory


@pytest.mark.parametrize(
    "template",
    [
        "../elsewhere/config.j2",
        "{}/elsewhere/config.j2",
        "link.j2",
        "folder/config.j2",
        "folder/../elsewhere/config.j2",
    ],
)
@pytest.mark.parametrize("purpose", ["deploy", "preflight"])
def test_a_template_elsewhere_is_not_even_read(tmp_path: Path, template: str, purpose: Purpose) -> None:
    inventory = lead(tmp_path, template)
    (tmp_path / "elsewhere/config.j2").write_bytes(b"\0")  # of which reading would complain
    with pytest.raises(BadInput) as caught:
        resolved(inventory, purpose)
    where = f"leads to {tmp_path}/elsewhere/config.j2; a template lies below the folder of hosts.yaml"
    assert caught.value.message.splitlines()[1:] == [f"  hosts.yaml:10: services.queue.config.template: {where}"]


@pytest.mark.parametrize("template", ["within.j2", "{}/ours/queue.j2", "../ours/queue.j2"])
def test_a_template_may_be_reached_by_any_way_within_the_folder(tmp_path: Path, template: str) -> None:
    inventory = lead(tmp_path, template)
    assert resolved(inventory)["gpu-1"].configs["queue"].reveal() == f'a: "{SECRET}"\n'
    (tmp_path / "by-link").symlink_to(tmp_path / "ours")  # the folder of hosts.yaml is one itself
    assert resolved(load_inventory(tmp_path / "by-link/hosts.yaml"))["gpu-1"].configs


def test_a_template_that_is_a_pipe_or_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    inventory = project(tmp_path)
    for make in (os.mkfifo, os.mkdir):
        (tmp_path / "queue.j2").unlink()
        make(tmp_path / "queue.j2")
        assert complaint(inventory) == "hosts.yaml:10: services.queue.config.template: is no file"


def test_env_and_known_hosts_may_lie_anywhere_and_env_be_a_pipe(tmp_path: Path) -> None:
    """As `fab deploy` with `env_file: /dev/fd/63` or one that a password manager writes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    (tmp_path / "link").symlink_to(pipe)
    line = f"{{address: gpu-1.lan, root: /azaion, env_file: {tmp_path}/link, known_hosts: /etc/ssh/ssh_known_hosts}}"
    inventory = project(tmp_path / "ours", hosts=HOSTS.replace("{address: gpu-1.lan, root: /azaion}", line))
    writer = threading.Thread(target=pipe.write_text, args=("X=from-a-pipe\n",))
    writer.start()
    assert resolved(inventory)["gpu-1"].configs["queue"].reveal() == 'a: "from-a-pipe"\n'
    writer.join()


def test_a_rollback_does_without_templates_and_is_not_held_back_by_them(tmp_path: Path) -> None:
    for template in (BOMBS[4][0], "a: {{ X", "{% include X %}"):
        assert resolved(project(tmp_path, template), "compare")["gpu-1"].configs == {}
    assert "X" in resolved(project(tmp_path), "compare")["gpu-1"].used
