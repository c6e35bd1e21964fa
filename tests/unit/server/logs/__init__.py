"""Unit tests of `gpu_runbook.server.checks`."""
