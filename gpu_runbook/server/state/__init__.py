"""The folder of the state: record, journals, lock, pause, and what was stopped on purpose."""
