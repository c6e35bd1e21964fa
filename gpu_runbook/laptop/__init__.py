"""The laptop's half: reads hosts.yaml and .env, renders, plans, connects, follows and shows."""
