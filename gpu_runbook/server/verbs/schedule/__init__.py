"""What a server can be asked about the scheduled check."""
