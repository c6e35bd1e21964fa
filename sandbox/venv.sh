#!/bin/sh
# Makes .venv with the packages of a lock file. Debian and Ubuntu ship Python without venv: it is installed then.
set -eu
python=${1:-python3} lock=${2:-requirements-dev.lock}

if ! command -v "$python" >/dev/null; then
    echo "There is no $python here: install Python 3.10 or newer, or say make PYTHON=/path/to/python3." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
    echo "$("$python" --version) is too old: Python 3.10 or newer is needed (make PYTHON=/path/to/python3)." >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    echo "Installing python3-venv, which makes the virtual environment."
    as_root=""
    [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
    if ! { $as_root apt-get update -qq && $as_root apt-get install -qq -y --no-install-recommends python3-venv; } >.venv.log 2>&1; then
        tail -n 5 .venv.log >&2
        echo "python3-venv could not be installed: install it by hand (apt install python3-venv)." >&2
        exit 1
    fi
    rm -f .venv.log
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing the Python packages of $lock into .venv."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
