"""How long the server's half may take for what a laptop waits for, in seconds."""

from __future__ import annotations

PATIENCE = 90.0  # an engine that went away, or cannot act, is waited for, and a container that does not end
QUICK = 60.0  # a command that only changes the engine's own notes
PULL_STANDS_STILL = 600.0  # a pull that gets no further, before it is given up
REMOVED = 600.0  # an image of many gigabytes
MOVED = 900.0  # the whole move of a state
