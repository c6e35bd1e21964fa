"""The gates against forges and scanners that answer as documented, and as they should not."""
