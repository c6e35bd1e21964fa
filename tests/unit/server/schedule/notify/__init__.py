"""Unit tests of `gpu_runbook.server.schedule.notify`."""
