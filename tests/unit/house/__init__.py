"""The project itself: its pages, its rooms, what it is installed with, and what its tests stand on."""
