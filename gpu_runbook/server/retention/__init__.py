"""What is no longer needed: after a run, and when somebody asks."""
