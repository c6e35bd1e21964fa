"""Deploys, checks and rolls back the containers of a GPU server over SSH.

`protocol` is what travels between the two halves, `laptop` is the half that a person starts, `server` the one that
travels to a server with every call, and `common` the few helpers of both.
"""

__version__ = "0.1.0"
