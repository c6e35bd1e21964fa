"""What a person types: flags, printing and exit statuses, a few lines each over gpu_runbook/laptop/."""

import sys

# Invoke lets Python keep nothing that it compiles, unless --write-pyc is given: every command would compile all of this
# anew, which takes longer than everything else that it does here. What the user has said to Python holds.
sys.dont_write_bytecode = bool(sys.flags.dont_write_bytecode)
