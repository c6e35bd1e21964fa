"""Unit tests of `gpu_runbook.server.docker`."""
