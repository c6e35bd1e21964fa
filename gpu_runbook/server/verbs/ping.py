"""The smallest verb: who answers, with which Python, and what time it is there."""

from __future__ import annotations

import os
import pwd
import sys
import time
from typing import Any, Callable, Dict


def answer(request: Dict[str, Any], emit: Callable[[Dict[str, Any]], None]) -> Dict[str, Any]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"python": python, "user": pwd.getpwuid(os.geteuid()).pw_name, "time": time.time()}
