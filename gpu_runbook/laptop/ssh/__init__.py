"""One strict connection to a server."""
