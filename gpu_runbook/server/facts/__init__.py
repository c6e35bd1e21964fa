"""What a server is like at one moment."""
