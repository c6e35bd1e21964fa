"""Unit tests of `gpu_runbook.laptop.commands`."""
