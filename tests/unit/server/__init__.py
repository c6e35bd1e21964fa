"""The server's half, room by room."""
