"""The laptop's half, room by room."""
