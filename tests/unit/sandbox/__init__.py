"""Unit tests of `sandbox`, of what needs none."""
