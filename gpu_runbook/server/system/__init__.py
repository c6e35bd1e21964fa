"""Files, owners, memory and processes of the server."""
