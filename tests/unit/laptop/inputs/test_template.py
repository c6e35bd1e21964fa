"""Templates: every value survives, and what would damage one is an error that shows none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import template as render
from gpu_runbook.laptop.inputs.child_process import TooLong
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inputs.template import read
from gpu_runbook.laptop.inventory.model import Host

PROJECT = Path(__file__).parents[4]
HOST = Host(name="gpu-1", address="gpu-1.lan", root="/azaion")
AWKWARD = [
    "it's",
    '"',
    "#x",
    "a: b",
    "- a",
    "x #y",
    "\n\n",
    " \t",
    "007",
    "no",
    "1e5",
    "null",
    "~",
    "{{ X }}",
    "{% x %}",
]
AWKWARD += [
    "☃",
    "\U0001f600",
    "\x85\u2028\ufeff",
    "\x00\x1b[2J",
    "",
    "2026-04-20",
    "1:30",
    "&a",
    "*a",
    "!!int 3",
    "\\n",
    "%",
]


def template(folder: Path, text: str) -> Path:
    path = folder / "config.yaml.j2"
    path.write_text(text)
    return path


def rendered(folder: Path, text: str, **values: str) -> Any:
    secrets = {name: Secret(value) for name, value in values.items()}
    return yaml.safe_load(read(template(folder, text)).render(secrets, HOST))


def complaint(folder: Path, text: str, **values: str) -> str:
    with pytest.raises(BadInput) as caught:
        rendered(folder, text, **values)
    message = caught.value.message
    assert caught.value.hint
    assert not any(value in message + caught.value.hint for value in values.values() if len(value) > 3)
    return message


def test_the_projects_template_renders_the_azaion_configuration() -> None:
    path = PROJECT / "templates/config.yaml.j2"
    numbers = {"RABBITMQ_PORT": "5552", "TRAINING_EPOCHS": "120", "TRAINING_BATCH_SIZE": "16"}
    values = {name: Secret(numbers.get(name, f"{name}: '#")) for name in read(path).variables}
    assert yaml.safe_load(read(path).render(values, HOST)) == {
        "api": {"url": "AZAION_API_URL: '#", "email": "AZAION_API_EMAIL: '#", "password": "AZAION_API_PASSWORD: '#"},
        "queue": {
            "host": "RABBITMQ_HOST: '#",
            "port": 5552,
            "user": "RABBITMQ_USER: '#",
            "password": "RABBITMQ_PASSWORD: '#",
            "name": "RABBITMQ_QUEUE_NAME: '#",
        },
        "dirs": {
            "root": "AZAION_ROOT_DIR: '#",
            "data": "AZAION_DATA_DIR: '#",
            "data_seed": "AZAION_DATA_SEED_DIR: '#",
            "data_deleted": "AZAION_DATA_DELETED_DIR: '#",
            "models": "AZAION_ROOT_DIR: '#/models",
        },
        "training": {"model": "TRAINING_MODEL: '#", "epochs": 120, "batch_size": 16},
        "export": {"format": "EXPORT_FORMAT: '#"},
    }


def test_the_variables_of_env_are_told_from_what_every_template_is_given(tmp_path: Path) -> None:
    path = template(tmp_path, "a: {{ A }}\nb: {{ root ~ B }}\nc: {{ server }}\n{% for x in [1] %}{% endfor %}")
    assert read(path).variables == {"A", "B"}


@pytest.mark.parametrize("value", AWKWARD)
def test_an_awkward_value_survives(tmp_path: Path, value: str) -> None:
    assert rendered(tmp_path, "a: {{ X }}\nb: [{{ X }}, 1]\n", X=value) == {"a": value, "b": [value, 1]}


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z_]{0,6}", fullmatch=True), st.text() | st.sampled_from(AWKWARD), max_size=5
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_survive(tmp_path: Path, values: dict[str, str]) -> None:
    text = "".join(f'"{name}": {{{{ {name} }}}}\n' for name in values) + "end: 1\n"
    assert rendered(tmp_path, text, **values) == {**values, "end": 1}


def test_a_long_value_stays_on_one_line(tmp_path: Path) -> None:
    path = template(tmp_path, "a:\n  b: {{ X }}\n")
    assert read(path).render({"X": Secret("word " * 100)}, HOST).count("\n") == 2


def test_numbers_and_nothing_keep_their_kind(tmp_path: Path) -> None:
    text = "port: {{ P | int }}\nmodel: {{ none }}\nflag: {{ true }}\nname: {{ 'no' }}\n"
    assert rendered(tmp_path, text, P="05552") == {"port": 5552, "model": None, "flag": True, "name": "no"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {{ X }}\nb: {{ MISSING }}\n", "config.yaml.j2:2 does not render: 'MISSING' is undefined."),
        ("a: 1\nb: {{ X\n", "config.yaml.j2:2 is no template: unexpected end of template"),
        ("a: 1\n\nb: {% if X %}\n", "config.yaml.j2:3 is no template: "),
        ("a: {{ X | int }}\n", "config.yaml.j2:1 does not render: a value is no whole number."),
        ("a: {{ {'b': 1}[X] }}\n", "config.yaml.j2:1 does not render: UndefinedError."),
        ("a: {{ [X] }}\n", "an expression is neither text nor a number nor nothing"),
        ("a: 1\n{% include X %}\n", "config.yaml.j2:2 is no template: it is to be one file, that includes, imports"),
        (
            'b: 1\na: "{{ X }}/m"\n',
            """config.yaml.j2:2 has quotes around an expression: "{{ X }}/m" (line 2 of the result); """
            """write {{ X ~ "/m" }}.""",
        ),
        (
            "a: '{{ X }} s3cret x'\n",
            "quotes around an expression: '{{ X }} …' (line 1 of the result); write {{ X ~ ' …' }}.",
        ),
        ('"{{ X }}"', 'config.yaml.j2:1 has quotes around an expression: "{{ X }}" (line 1 of the result)'),
        ("b: 1\na: {{ X }}/more\n", "renders to broken YAML (line 2 of the result)."),
        ("b: 1\na: '{{ X }}'\n", "config.yaml.j2:2 has quotes around an expression: '{{ X }}' (line 2 of the result)"),
        ("a: |\n  {{ X }}\n", "an expression does not stand alone"),
        ("a: 1 # {{ X }}\n", "an expression does not stand alone"),
        ("a: {{ X }}\na: 1\n", "an expression does not stand alone"),
        ("{% macro m() %}{{ X }}{% endmacro %}a: {{ m() }}\n", "an expression does not stand alone"),
        ("- {{ X }}\n", "renders to YAML that is not a mapping"),
        ("a: &a [*a]\n", "renders to YAML that is nested too deeply"),
        ("{{ X }}", "renders to YAML that is not a mapping"),
    ],
)
def test_a_template_that_would_damage_a_value_is_refused_without_showing_it(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in complaint(tmp_path, text, X="s3cret x")


def test_a_template_that_is_missing_or_binary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read(tmp_path / "none.j2")
    (tmp_path / "binary.j2").write_bytes(b"\x00\x01")
    with pytest.raises(BadInput, match="is a binary file"):
        read(tmp_path / "binary.j2")


def test_what_is_stopped_between_two_pieces_is_told_by_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopping:
        def __lt__(self, size: int) -> bool:
            raise TooLong

    monkeypatch.setattr(render, "LIMIT", Stopping())
    said = complaint(tmp_path, "a: 1\nb:\n{% for i in [1] %}\n- {{ i }}\n{% endfor %}\n")
    assert said.endswith("config.yaml.j2:1 does not render: it takes longer than 5 s.")
