"""The server's half: standard library only, Python 3.8 and later, sent along with every call."""
