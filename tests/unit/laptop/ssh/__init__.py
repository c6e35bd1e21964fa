"""Unit tests of `gpu_runbook.laptop.ssh`."""
