"""The project itself: its pages, its rooms, what it stands on and its tests do, and what holds everywhere in it."""
