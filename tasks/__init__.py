"""What a person types: flags, printing and exit statuses, a few lines each over runbook/."""
