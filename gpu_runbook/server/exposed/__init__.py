"""What containers can reach on disk: which places these are, and how a file there is opened."""
