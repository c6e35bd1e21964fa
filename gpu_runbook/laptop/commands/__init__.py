"""The other commands: what each asks a server, and how the answer is shown."""
