"""How long the server's half may take for what a laptop waits for, in seconds."""

from __future__ import annotations

PATIENCE = 90.0  # seconds an engine that went away, or cannot act, is waited for, and a container that does not end


QUICK = 60.0  # deadline of commands that only change the engine's own notes


STILL = 600.0  # seconds after which a pull that gets no further is given up


SLOW = 600.0  # seconds: an image of many gigabytes


DONE = 900.0  # seconds for all of it
