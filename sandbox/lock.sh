#!/bin/sh
# Makes the lock files: every package that the short lists bring in, with its hashes, for Python 3.10 and all after it.
# What a lock has already stays as it is as long as it fits; remove the locks first to have everything renewed.
set -eu
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    echo "Installing uv into a folder of its own, which goes again."
    "${1:-python3}" -m venv "$scratch"
    "$scratch/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
    uv=$scratch/bin/uv
fi

lock() {
    "$uv" pip compile --quiet --universal --generate-hashes --python-version 3.10 --no-emit-index-url \
        --custom-compile-command "make lock" --output-file "$@"
}
lock requirements.lock requirements.txt
lock requirements-dev.lock --constraint requirements.lock requirements-dev.txt
lock sandbox/requirements-image.lock sandbox/requirements-image.txt
