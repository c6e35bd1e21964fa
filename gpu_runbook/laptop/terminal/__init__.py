"""Where a person reads: rows, colours, Ctrl-C, and texts made fit for a terminal."""
