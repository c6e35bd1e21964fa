"""Unit tests of `tasks`."""
