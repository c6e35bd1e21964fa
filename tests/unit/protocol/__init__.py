"""What travels between the halves."""
