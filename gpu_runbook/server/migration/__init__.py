"""Moves the state out of the folder where version 0.1.0 kept it, or out of any other."""
