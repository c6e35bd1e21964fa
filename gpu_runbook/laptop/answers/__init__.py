"""What `--json` prints: the shape of every answer, as types, of which docs/json.md is made."""
