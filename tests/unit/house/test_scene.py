"""The scene of other tests, which reads each hosts.yaml once."""

from __future__ import annotations

from pathlib import Path

from gpu_runbook.laptop.inventory.model import load_inventory
from tests.unit import scene
from tests.unit.laptop.commands import test_training_command


def test_what_was_read_elsewhere_is_what_is_read_here(tmp_path: Path) -> None:
    assert scene.bare(tmp_path).inventory == load_inventory(tmp_path / "hosts.yaml")
    assert test_training_command.inventory(tmp_path) == load_inventory(tmp_path / "full.yaml")
