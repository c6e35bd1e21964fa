"""The scheduled check: one round every few minutes, what it does and whom it tells while nobody looks."""
