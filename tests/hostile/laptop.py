"""What a person writes on the laptop: hosts.yaml, .env, and the values that end up in config.yaml."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.dotenv import read_env
from gpu_runbook.laptop.inputs.template import read
from gpu_runbook.laptop.inventory.model import Inventory
from gpu_runbook.laptop.inventory.parse import load
from tests.hostile.conduct import nothing_done, well_said
from tests.hostile.damage import damaged, torn
from tests.hostile.properties import Ground, Property

SAMPLE = (Path(__file__).parents[2] / "hosts.yaml").read_text()
DATA: dict[str, Any] = yaml.safe_load(SAMPLE)
DATA["services"]["training"] |= {
    "shm_size": "8g",
    "ulimits": {"nofile": "1:2"},
    "entrypoint": ["a", "b"],
    "cpus": 1.5,
    "group_add": [44],
    "extra_hosts": {"a.lan": "10.0.0.1"},
    "tmpfs": ["/tmp:size=1g"],
    "log_options": {"compress": True},
    "options": {"dns": ["1.1.1.1"], "read-only": True, "pids-limit": 5},
    "mounts": ["/azaion:/azaion:ro,z", "v:/c"],
}

# What YAML makes something of that nobody meant, and what makes YAML itself stumble.
FRAGMENTS = [
    *(
        ".nan",
        ".inf",
        "-.inf",
        "1.0e+999",
        "0x" + "F" * 4000,
        "9" * 5000,
        "0o17",
        "0755",
        "1_000",
        "-0",
        "1:" * 200 + "1",
    ),
    *("no", "Yes", "~", "null", "2026-04-20", "2026-04-20T10:11:12Z", "12:30", "=", "<<: *defaults", "{<<: {port: 1}}"),
    *("!!python/object/apply:os.system ['touch /tmp/owned']", "!!python/name:os.system", "!!binary aGk=", "!!set {a}"),
    *("!!int ''", "!!float ''", "!!bool maybe", "!!null x", "!!str {a: b}", "!!omap [a: b]", "!unknown x", "!<%ZZ> x"),
    *(
        '"\\UFFFFFFFF"',
        '"\\ud800"',
        '"\\0"',
        '"\\e[2J"',
        "\t",
        "'",
        '"',
        "|",
        ">",
        "|9",
        "@",
        "`",
        "%YAML 9.9",
        "--- x",
    ),
    *("&a [*a]", "&a {*a : 1}", "*nobody", "? [a, b]", "? {a: b}", "[" * 400, "{a: " * 150, "- " * 200, "...", "# x"),
    *("[" * 210 + "]" * 210, "{" + ", ".join(f"k{number}: 1" for number in range(300)) + "}", "x" * 70_000),
    *("a\N{CYRILLIC SMALL LETTER ER}t: 22", "p\N{CYRILLIC SMALL LETTER O}rt: 22", "\N{RIGHT-TO-LEFT OVERRIDE}a: 1"),
    "&a [x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], c: &c [*b,*b,*b,*b,*b,*b], d: [*c,*c,*c,*c]",
]
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "latin-1")


@st.composite
def hosts_files(draw: st.DrawFn) -> bytes:
    """A hosts.yaml: the sample with damage to its data, its lines or its bytes."""
    if draw(st.booleans()):
        data = draw(damaged(DATA))
        text = json.dumps(data) if draw(st.booleans()) else yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    else:
        text = _spliced(draw, SAMPLE)
    if draw(st.integers(0, 9)) == 0:
        text = text.replace("\n", draw(st.sampled_from(["\r\n", "\r", "\n\n", "\x85", "\u2028"])))
    data_bytes = text.encode(draw(st.sampled_from(ENCODINGS)), "surrogatepass" if text.isascii() else "replace")
    return draw(torn(data_bytes)) if draw(st.integers(0, 3)) == 0 else data_bytes


def _spliced(draw: st.DrawFn, text: str) -> str:
    """Other values behind some keys, other keys before some values, lines that are there twice or not at all."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        key, colon, value = lines[at].partition(": ")
        fragment = draw(st.sampled_from(FRAGMENTS))
        match draw(st.integers(0, 5)):
            case 0 | 1 | 2 if colon:
                lines[at] = f"{key}: {fragment}"
            case 3 if colon:
                blanks = key[: len(key) - len(key.lstrip())]
                lines[at] = f"{blanks}{fragment}: {value}"
            case 4:
                lines.insert(at, lines[at])
            case _:
                lines[at : at + 1] = [fragment] if draw(st.booleans()) else []
    return "\n".join(lines) + "\n"


def hosts_yaml_is_read_or_refused(content: bytes, ground: Ground) -> None:
    path = ground.folder / "hosts.yaml"
    path.write_bytes(content)
    with nothing_done():
        try:
            assert isinstance(load(path), Inventory)
        except BadInput as error:
            well_said(error)
            first, *others = error.message.split("\n")
            assert str(path) in first
            assert all(line.startswith(("  hosts.yaml:", "  … and ")) for line in others), error.message


_printable = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=6)
_names = st.from_regex(r"[a-z][a-z0-9.-]{1,8}", fullmatch=True)
_paths = st.lists(_names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))
_hosts = st.fixed_dictionaries(
    {"address": _names, "root": _paths, "port": st.integers(1, 65535)},
    optional={
        "user": st.just("deploy"),
        "sudo": st.booleans(),
        "gpus": st.integers(0, 64),
        "groups": st.lists(_names.map(lambda name: f"{name}-group"), max_size=2),
        "connect_timeout": st.sampled_from([1, 300, "20", "30s", "2m"]),
    },
)


def sound_inventories() -> st.SearchStrategy[dict[str, Any]]:
    """Data of a hosts.yaml in which nothing is wrong."""
    consumer = st.fixed_dictionaries(
        {
            "kind": st.just("consumer"),
            "image": _names.map(lambda name: f"team/{name}x".replace(".", "").replace("-", "")),
        },
        optional={
            "command": st.lists(_printable, max_size=3),
            "environment": st.dictionaries(st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), _printable, max_size=3),
            "stop_grace": st.integers(0, 3600),
            "mounts": st.lists(_paths.map(lambda path: f"{path}x:{path}y:ro"), max_size=2),
            "shm_size": st.sampled_from(["64m", "8g"]),
            "ulimits": st.dictionaries(st.sampled_from(["core", "nofile"]), st.sampled_from([-1, 9, "9:10", "22:22"])),
            "extra_hosts": st.dictionaries(_names, st.sampled_from(["::1", "10.0.0.5", "host-gateway"]), max_size=2),
            "options": st.fixed_dictionaries({"pids-limit": st.integers(1, 99), "dns": st.just(["1.1.1.1"])}),
            "log": st.fixed_dictionaries({"size": st.just("5m")}, optional={"files": st.integers(1, 100)}),
        },
    )
    hosts = st.dictionaries(_names, _hosts, min_size=1, max_size=3).map(_apart)
    return st.fixed_dictionaries(
        {"hosts": hosts}, optional={"services": st.dictionaries(_names, consumer), "keep_releases": st.integers(1, 100)}
    )


def _apart(hosts: dict[str, Any]) -> dict[str, Any]:
    """No two servers at one address."""
    return {name: {**host, "address": f"{name}.lan"} for name, host in hosts.items()}


def one_content_is_one_inventory(data: dict[str, Any], ground: Ground) -> None:
    """However it is written: as blocks, as JSON, with the keys in another order, by an editor of Windows'."""
    turned = {key: data[key] for key in reversed(data)}
    texts = [
        yaml.safe_dump(data, allow_unicode=True),
        json.dumps(data, ensure_ascii=False),
        "\ufeff" + json.dumps(turned, ensure_ascii=False, indent=1).replace("\n", "\r\n"),
    ]
    read = []
    for text in texts:
        path = ground.folder / "hosts.yaml"
        path.write_text(text, encoding="utf-8")
        read.append(load(path))
    assert all(one == read[0] for one in read[1:])
    for name, host in data["hosts"].items():
        assert (read[0].hosts[name].address, read[0].hosts[name].port) == (host["address"], host["port"])


@st.composite
def env_files(draw: st.DrawFn) -> bytes:
    """A .env of lines that are right, nearly right, and of no kind at all."""
    lines = draw(
        st.lists(
            st.text(alphabet="AB_=#'\"${}\\ \t\nx\r", max_size=20)
            | st.sampled_from(
                ["A=1", "B='x'", "export C=d", "D", "=", "A='", 'B="', "A=$(id)", "A=${B}", "# c", "A=1 # c"]
            )
            | st.sampled_from(
                ["A" * 5000 + "=1", "A=" + "x" * 70_000, "\ufeffA=1", "\x1b[2J=1", "A='x\\'", 'A="\\x00"']
            ),
            max_size=8,
        )
    )
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines)
    data = text.encode(draw(st.sampled_from(ENCODINGS)), "replace")
    return draw(torn(data)) if draw(st.integers(0, 3)) == 0 else data


def env_is_read_or_refused(content: bytes, ground: Ground) -> None:
    path = ground.folder / ".env"
    path.write_bytes(content)
    with nothing_done():
        try:
            env, problems = read_env(path)
        except BadInput as error:
            well_said(error)
            assert str(path) in error.message
            return
    for line in (*problems, *env.warnings):
        well_said(BadInput(line))
        assert line.startswith(".env:"), line
    assert all(value.reveal().find("\0") < 0 for value in env.values.values())


# All that a .env can hold: python-dotenv and a file of lines know no NUL, and read a CR as the end of a line.
_AWKWARD = [
    *(
        "it's",
        '"',
        "'",
        "#x",
        "a: b",
        "x #y",
        "\n\n",
        " \t",
        "007",
        "no",
        "~",
        "{{ X }}",
        "{% x %}",
        "{#",
        "\x85\u2028\ufeff",
    ),
    *("&a", "*a", "!!int 3", "\\n", "%", "- a", "|", ">", "1:30", "2026-04-20", "\\", "\\'", "\x1b[2J", "x" * 20_000),
]
_values = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=40) | st.sampled_from(_AWKWARD)
_variables = st.dictionaries(st.from_regex(r"[A-Z][A-Z_]{0,6}", fullmatch=True), _values, min_size=1, max_size=5)


def a_value_survives_from_env_to_config(values: dict[str, str], ground: Ground) -> None:
    """Written in single quotes into .env, read, rendered, and read back from config.yaml: what went in."""
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in values.items()}
    env_file, template = ground.folder / ".env", ground.folder / "config.yaml.j2"
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in quoted.items()), encoding="utf-8", newline="")
    template.write_text("".join(f'"{name}": {{{{ {name} }}}}\nall_{name}: [1, {{{{ {name} }}}}]\n' for name in values))
    with nothing_done():
        env, problems = read_env(env_file)
        assert problems == []
        text = read(template).render(env.values, ground.scene.resolved.host)
    expected: dict[str, Any] = copy.deepcopy(dict(values))
    expected |= {f"all_{name}": [1, value] for name, value in values.items()}
    assert yaml.safe_load(text) == expected


def a_template_is_rendered_or_refused(source: str, ground: Ground) -> None:
    """Whatever a template is: a mapping comes of it, or one sentence that shows no value."""
    env_file, template = ground.folder / ".env", ground.folder / "config.yaml.j2"
    env_file.write_text("X='s3cret: #x'\n")
    template.write_text(source, encoding="utf-8", newline="")
    env, _ = read_env(env_file)
    with nothing_done():
        try:
            text = read(template).render(env.values, ground.scene.resolved.host)
        except BadInput as error:
            well_said(error)
            assert str(template) in error.message
            assert "s3cret" not in error.message + error.hint
            return
    assert isinstance(yaml.safe_load(text), dict)


_PIECES = [
    *("{{ X }}", "{{ Y }}", "{{ X | int }}", "{{ X ~ 1 }}", "{% if X %}", "{% endif %}", "{{", "}}", "{%", "{#", "#}"),
    *(
        "a: ",
        "\n",
        "b: ",
        "- ",
        "'",
        '"',
        "&a ",
        "*a",
        "[",
        "]",
        "|\n  ",
        "# ",
        "!!python/object:x ",
        "\t",
        "---\n",
        ": ",
    ),
    *(
        "{{ [X] }}",
        "{{ 1/0 }}",
        "{{ 1e999 }}",
        "{{ none }}",
        "{{ true }}",
        "{{ X.a.b }}",
        "{{ X[99] }}",
        "{{ ''.__class__ }}",
    ),
]
_pieces = st.sampled_from(_PIECES)
templates = (
    st.lists(_pieces | st.text(max_size=4), max_size=10)
    .map("".join)
    .filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
)

PROPERTIES = (
    Property("hosts.yaml, damaged", hosts_files(), hosts_yaml_is_read_or_refused),
    Property("hosts.yaml, sound", sound_inventories(), one_content_is_one_inventory),
    Property(".env, damaged", env_files(), env_is_read_or_refused),
    Property("values from .env to config.yaml", _variables, a_value_survives_from_env_to_config),
    Property("templates", templates, a_template_is_rendered_or_refused),
)
