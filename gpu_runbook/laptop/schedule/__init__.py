"""The scheduled check from the laptop's side: what it is to be, leaving it on a server, and showing what it saw."""
