"""Deploy, rollback, restart: look, plan, show, run, tell."""
