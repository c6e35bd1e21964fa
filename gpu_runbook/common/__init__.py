"""What both halves use."""
