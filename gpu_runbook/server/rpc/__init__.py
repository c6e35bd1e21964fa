"""The server's end of a call: from the bytes that arrive to the verb that answers."""
