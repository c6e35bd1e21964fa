"""The stream that a consumer reads, and how far it has come."""
