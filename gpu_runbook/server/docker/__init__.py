"""The docker engine: questions over its socket, commands that change something, and whose its containers are."""
