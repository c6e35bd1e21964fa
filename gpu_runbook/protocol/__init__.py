"""What travels between the halves, as frozen values. Imports nothing of the others."""
