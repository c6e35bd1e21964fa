"""Unit tests of `gpu_runbook.common`."""
