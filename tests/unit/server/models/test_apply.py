"""The chosen model in a config: that one value changes and nothing else of the text, or it is refused."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_runbook.common import config_key
from gpu_runbook.common.config_key import Unplaceable
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inputs.template import read
from gpu_runbook.laptop.inventory.model import Host
from gpu_runbook.protocol.plan import ConfigFile
from gpu_runbook.protocol.record import Placed, Record, Release
from gpu_runbook.server.models.apply import chosen, point, with_chosen
from gpu_runbook.server.state import record
from gpu_runbook.server.state.store import Store

PROJECT = Path(__file__).parents[4]
NEW = "/azaion/models/2026-04-20/best.pt"


def with_leaf(document: Any, keys: list[str], new: str) -> Any:
    """A copy of the document in which that one leaf is another."""
    return {**document, keys[0]: with_leaf(document[keys[0]], keys[1:], new) if keys[1:] else new}


def is_the_same_but_for(text: str, key: str) -> bool:
    before, after = yaml.safe_load(text), yaml.safe_load(config_key.replaced(text, key, NEW))
    return repr(after) == repr(with_leaf(before, key.split("."), NEW))


AROUND = """\
# model: a comment
api:
  model: "inner"   # kept: this
  'odd key': {model: flow, list: [1, "]"]}
list:
- model: 1
  other: it's
-
  model: 2
block: |
  model: "in a text
  'open
folded: >-
    model: too
plain: goes on
  model here
"quoted": 'one: line'
"""


@pytest.mark.parametrize(
    "line",
    [
        "model: /a/b.pt",
        'model: "/a/b.pt"',
        "model: '/a/b.pt'",
        'model: "a \\" # b"  # a comment: "x"',
        "model: 'it''s' # why",
        'model :   "spaced"',
        '"model": null',
        "model: ~",
        "model: 2026-04-20",
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_one_value_changes_and_nothing_else_of_the_text(line: str, ends: str) -> None:
    text = (AROUND + line + "\nlast: 1\n").replace("\n", ends)
    assert is_the_same_but_for(text, "model")
    assert is_the_same_but_for(text, "api.model")
    begin, end = config_key.span(text, "model")
    after = config_key.replaced(text, "model", NEW)
    assert (after[:begin], after[begin : begin + len(NEW) + 2], after[begin + len(NEW) + 2 :]) == (
        text[:begin],
        f'"{NEW}"',
        text[end:],
    )
    assert config_key.replaced(after, "model", NEW) == after


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("", "model", "it has no model"),
        ("other: 1\n", "model", "it has no model"),
        ("api:\n  model: x\n", "model", "it has no model"),
        ("model: x\n", "api.model", "it has no api.model"),
        ("api:\n  url: 1\n", "api.model", "it has no api.model"),
        ("- model: x\n", "model", "it has no model"),
        ("list:\n- a: 1\n  model: x\n", "list.model", "it has no list.model"),
        ("odd key:\n  model: x\n", "model", "it has no model"),
        ("{model: x}\n", "model", "it has no model"),
        ("text: |\n  model: x\n", "text.model", "it has no text.model"),
        ("model: a\nmodel: b\n", "model", "it has more than one model"),
        ("api:\n  model: a\napi:\n  url: b\n", "api.model", "it has more than one api.model"),
        ("model:\n", "model", "model is not one text on its line"),
        ("model: # none\n", "model", "model is not one text on its line"),
        ("model:\n  path: x\n", "model", "model is not one text on its line"),
        ("model: [a]\n", "model", "model is not one text on its line"),
        ("model: &here x\n", "model", "model is not one text on its line"),
        ("model: !!str x\n", "model", "model is not one text on its line"),
        ("model: *there\n", "model", "model is not one text on its line"),
        ("model: |\n  x\n", "model", "model is not one text on its line"),
        ("model: two words\n", "model", "model is not one text on its line"),
        ("model: x\n  goes on\n", "model", "a value in it goes on over several lines"),
        ('model: "x\n  y"\n', "model", "a value in it goes on over several lines"),
        ('a: "x\nmodel: y"\n', "model", "a value in it goes on over several lines"),
        ("a: 'x\nmodel: y'\n", "model", "a value in it goes on over several lines"),
        ("a: [x,\nmodel: y]\n", "model", "a value in it goes on over several lines"),
        ("a: x\u2028model: y\nmodel: z\n", "model", "a value in it goes on over several lines"),
        ("a: x\rmodel: y\nmodel: z\n", "model", "a value in it goes on over several lines"),
    ],
)
def test_what_is_not_exactly_one_text_on_a_line_is_refused(text: str, key: str, said: str) -> None:
    with pytest.raises(Unplaceable) as caught:
        config_key.replaced(text, key, NEW)
    assert str(caught.value).startswith(said)


def test_the_projects_template_takes_a_model() -> None:
    path = PROJECT / "templates/config.yaml.j2"
    numbers = dict.fromkeys(("RABBITMQ_PORT", "TRAINING_EPOCHS", "TRAINING_BATCH_SIZE"), "16")
    values = {name: Secret(numbers.get(name, f"{name}: '#\n\"")) for name in read(path).variables}
    text = read(path).render(values, Host(name="gpu-1", address="gpu-1.lan", root="/azaion"))
    assert is_the_same_but_for(f"{text}model: current\n", "model")
    assert is_the_same_but_for(text, "training.model")


VALUES = st.text() | st.sampled_from(
    ["model: x", "\nmodel: x\n", '"', "'", "# model: y", "|", "[", "\x85\u2028", "a: {"]
)


@given(st.lists(st.tuples(st.sampled_from(["a", "api", "z-1", "b b", "n"]), VALUES), max_size=6), VALUES, st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_template_renders_only_the_model_changes(
    tmp_path: Path, entries: list[tuple[str, str]], model: str, nested: bool
) -> None:
    named = {f"{name}{at}": value for at, (name, value) in enumerate(entries)}
    lines = [f"{name}: {{{{ V{at} }}}}  # model: no" for at, name in enumerate(named)]
    lines += [f"list{at}:\n- model: {{{{ V{at} }}}}\n  b: [{{{{ V{at} }}}}]" for at in range(len(named))]
    lines += ["deep:", "  model: {{ M }}", "  more: {{ M }}"] if nested else ["model: {{ M }}", "after: {{ M }}"]
    (tmp_path / "t.j2").write_text("\n".join(lines) + "\n")
    values = {f"V{at}": Secret(value) for at, value in enumerate(named.values())} | {"M": Secret(model)}
    text = read(tmp_path / "t.j2").render(values, Host(name="gpu-1", address="gpu-1.lan", root="/azaion"))
    assert is_the_same_but_for(text, "deep.model" if nested else "model")


SCRAPS = [
    "model: ",
    "api:\n",
    "  model: ",
    "- ",
    '"',
    "'",
    "|\n",
    "[",
    "]",
    "{",
    "}",
    "#",
    "a: ",
    "\n",
    "  ",
    "x",
    ",",
    ":",
]


@given(st.lists(st.sampled_from(SCRAPS), max_size=14).map("".join))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_of_any_text_at_all_only_that_value_changes_or_nothing_does(text: str) -> None:
    """Such as somebody writes by hand: every text that YAML can read and that is not refused."""
    try:
        before = yaml.safe_load(text)
    except yaml.YAMLError:
        return
    if not isinstance(before, dict):
        return
    for key in ("model", "api.model"):
        try:
            after = config_key.replaced(text, key, NEW)
        except Unplaceable:
            continue
        assert repr(yaml.safe_load(after)) == repr(with_leaf(before, key.split("."), NEW)), text


R1, R2, OLD = "20260420-101112-0001", "20260420-101112-0002", "0123456789abcdef"


def config(store: Store) -> ConfigFile:
    return ConfigFile(f"{store.root}/config.yaml", model_key="model")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"path": 7}', b'{"path": "/a\\u0085b"}', b'{"path": "/a"', b"[" * 9999]
)
def test_a_damaged_choice_is_told_from_none_and_changes_no_text(store: Store, content: bytes) -> None:
    assert chosen(store) == ""
    Path(store.model).write_bytes(content)
    assert chosen(store) == ("" if not content else None)
    assert with_chosen(store, config(store), "model: x\n") == "model: x\n"


def test_the_chosen_model_goes_where_there_is_a_key_for_it(store: Store) -> None:
    Path(store.model).write_text(json.dumps({"path": NEW}))
    assert with_chosen(store, config(store), "model: x\n") == f'model: "{NEW}"\n'
    assert with_chosen(store, config(store), "other: x\n") is None
    assert with_chosen(store, ConfigFile("/config.yaml"), "model: x\n") == "model: x\n"


def test_the_config_in_place_and_the_kept_one_are_led_to_the_choice_with_the_record(store: Store) -> None:
    old = Release(R1, "2026-04-20T10:11:12Z", "ann", "proven", {"q": Placed("consumer", "1", "", config_hash=OLD)})
    new = Release(R2, "2026-04-20T10:11:12Z", "ann", "proven", {"q": Placed("consumer", "2", "", config_hash=OLD)})
    record.save(store, Record(R1, (new, old)))
    for name in (R1, R2):
        Path(store.release(name, "q")).mkdir(parents=True)
        Path(store.release(name, "q"), "config.yaml").write_text(f"release: {name}\nmodel: x\n")
    place = Path(config(store).path)
    place.write_text("hand: made\nmodel: y\n")
    place.chmod(0o640)
    Path(store.model).write_text(json.dumps({"path": NEW}))
    for _ in range(2):  # it may be repeated
        point(store, "run", {"q": config(store), "gone": ConfigFile(f"{store.root}/none", model_key="model")})
        assert place.read_text() == f'hand: made\nmodel: "{NEW}"\n'
        assert place.stat().st_mode & 0o777 == 0o640
        kept = f'release: {R1}\nmodel: "{NEW}"\n'
        assert Path(store.release(R1, "q"), "config.yaml").read_text() == kept
        assert Path(store.release(R2, "q"), "config.yaml").read_text() == f"release: {R2}\nmodel: x\n"
        known, _ = record.load(store)
        hashes = [entry.services["q"].config_hash for entry in known.releases]
        assert (hashes, known.current) == ([OLD, store.keyed_hash(kept)], R1)
    assert sorted(entry.name for entry in Path(store.root).iterdir()) == ["config.yaml", "state"]


@pytest.mark.parametrize("line", ["a" + " " * 1_000_000 + "x", "a:" * 500_000, "'" * 1_000_000, "[" + "] " * 500_000])
def test_no_line_that_a_container_writes_is_a_day_s_work(line: str) -> None:
    begun = time.monotonic()
    with contextlib.suppress(Unplaceable):
        config_key.span(line, "model")
    assert time.monotonic() - begun < 5
