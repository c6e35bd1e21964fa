"""Measures the tool against what docker and ssh themselves allow, pair by pair on the same sandbox."""
