"""One call of a server: what travels, and what comes back."""
