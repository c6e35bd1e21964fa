"""One run, from its plan to its end: stage, swap, watch, record; or back to how it was."""
