"""What went wrong, as one sentence for a person."""

from __future__ import annotations

import errno
import sys
import traceback
from typing import Any, Dict

from gpu_runbook.common import limits
from gpu_runbook.protocol.errors import Refusal

DEFECT = "defect"
UNUSABLE = ["EACCES", "EDQUOT", "EIO", "ENOSPC", "EROFS"]  # what a file system may say of any file: no defect of ours


def failure(error: Exception) -> Dict[str, Any]:
    """What went wrong and where: a refusal, a file of the server that could not be used, or a defect.

    The text of a defect stays here: it may quote a secret out of the request.
    """
    if limits.reached(error):
        file, said = getattr(error, "filename", None), getattr(error, "strerror", None) or str(error)
        where = f"{file} cannot be used" if file else "the server gives no more"
        error = Refusal(f"{where}: {said or 'no memory is left'}", limits.HINT)
    if isinstance(error, OSError) and errno.errorcode.get(error.errno or 0) in UNUSABLE:
        said = f"{error.filename or 'a file'} cannot be used: {error.strerror}"
        error = Refusal(said, "see df, df -i and the mount on the server")
    if isinstance(error, Refusal):
        return {"kind": error.kind, "message": error.message, "hint": error.hint}
    frames = traceback.extract_tb(sys.exc_info()[2])
    place = next((frame for frame in reversed(frames) if frame.filename.startswith("gpu_runbook/")), frames[-1])
    message = f"{type(error).__name__} in {place.filename} line {place.lineno}"
    debug = "".join(traceback.format_list(frames)) + type(error).__name__
    return {"kind": DEFECT, "message": message, "hint": "", "debug": debug}
