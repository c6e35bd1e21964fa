"""Trained models on disk, and which was chosen."""
