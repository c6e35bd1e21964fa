"""Debian's chromium, installed when it is missing, and started so that it asks nobody for anything."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from sandbox.machine import as_root, can_be_root
from sandbox.packages import APT_SECONDS, APT_WAITS, TURN

CHROMIUM = Path("/usr/bin/chromium")
BUSY = "Could not get lock"  # as apt says it when somebody else is at work
FLAGS = (
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def started() -> Iterator[Browser]:
    require_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def require_chromium() -> None:
    """Install it when it is missing; processes that share the tests, and the sandbox's own installing, take turns."""
    if CHROMIUM.exists():
        return
    turn = os.open(TURN, os.O_RDONLY)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not CHROMIUM.exists():
            _install()
    finally:
        os.close(turn)


def _install() -> None:
    if shutil.which("apt-get") is None or not can_be_root():
        raise RuntimeError(f"{CHROMIUM} is missing: these tests need root or passwordless sudo, and apt to install it")
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        deadline = time.monotonic() + APT_SECONDS
        while (said := _apt(*words)) and BUSY in said and time.monotonic() < deadline:
            time.sleep(0.5)
        if said:
            raise RuntimeError(f"chromium cannot be installed: apt-get {words[0]}: {said}")


def _apt(*words: str) -> str:
    """What apt said when it failed, nothing when it did not."""
    command = as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", *APT_WAITS, *words])
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stderr.strip() or done.stdout.strip() or "it failed") if done.returncode else ""
