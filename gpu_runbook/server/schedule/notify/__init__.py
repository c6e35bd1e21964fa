"""Whom a round tells what, and how it gets there."""
