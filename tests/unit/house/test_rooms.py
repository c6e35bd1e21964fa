"""The rules of the house hold, and each of them sees what breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import rooms

HOUSE = {
    "laptop/deploy/plan.py": "from gpu_runbook.protocol import plan\nfrom gpu_runbook.laptop import errors\n",
    "laptop/errors.py": "import paramiko\n",
    "server/docker/engine.py": "import os\nfrom gpu_runbook.common.text import one_line\n",
    "server/run/swap.py": "from gpu_runbook.server.docker import engine\n",
    "common/text.py": "from gpu_runbook.protocol.plan import Plan\n",
    "protocol/plan.py": "class Plan: ...\n",
}


def said(folder: Path, **more: str) -> list[str]:
    """What is said of the small house with some files added or put in place of its own; `__` stands for a slash."""
    for name, text in {**HOUSE, **{name.replace("__", "/") + ".py": text for name, text in more.items()}}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    rooms._files.cache_clear()
    return [sentence.replace(f"{folder}/", "") for sentence in rooms.complaints(folder)]


def test_the_house_is_as_it_is_built() -> None:
    assert list(rooms.complaints()) == []


def test_a_house_that_is_as_it_should_be_is_praised_by_silence(tmp_path: Path) -> None:
    assert said(tmp_path) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("laptop__x", "from gpu_runbook.server.docker import engine\n", "laptop/x.py:1: laptop imports server"),
        (
            "server__x",
            "def f():\n    from gpu_runbook.laptop.errors import E\n",
            "server/x.py:2: server imports laptop",
        ),
        ("common__x", "import gpu_runbook.server.docker.engine\n", "common/x.py:1: common imports server"),
        ("protocol__x", "from gpu_runbook import common\n", "protocol/x.py:1: protocol imports common"),
        ("server__x", "import yaml\n", "server/x.py:1: yaml is not in the standard library"),
        ("protocol__x", "from jinja2 import T\n", "protocol/x.py:1: jinja2.T is not in the standard library"),
        ("server__x", "f = globals()['f']\n", "server/x.py:1: globals finds what no name leads to"),
        ("common__x", "from . import text\n", "common/x.py:1: ..text is not in the standard library"),
        (
            "server__docker__engine",
            "from gpu_runbook.server.run import swap\n",
            "rooms in a circle: server.docker -> server.run -> server.docker",
        ),
        ("server__run__y", "class Plan: ...\n", "server/run/y.py:1: Plan is a class of protocol/plan.py as well"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(tmp_path: Path, file: str, text: str, complaint: str) -> None:
    assert said(tmp_path, **{file: text}) == [complaint]


@pytest.mark.parametrize(
    ("text", "line"), [('"""The server\'s half."""\n\nX = 1\n', 3), ("X = 1\n", 1), ("X = 1\nY = 2\n", 2), ("", 1)]
)
def test_a_package_that_does_something_or_says_nothing_is_told_of(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "server").mkdir()
    (tmp_path / "server/__init__.py").write_text(text)
    assert said(tmp_path) == [f"server/__init__.py:{line}: a package has a docstring and nothing else"]
