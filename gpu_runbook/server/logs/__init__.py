"""What services log: the files that they write, and what a line says of itself."""
