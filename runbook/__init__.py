"""The laptop's half: reads hosts.yaml and .env, renders, plans, connects, follows and shows."""

__version__ = "0.1.0"
