#!/usr/bin/python3 -IS
"""A file system of one directory in which every look at a file hangs, for SIGKILL too, as a stuck driver does.

    stuck-driver DIRECTORY     mount and serve there until killed, which also releases whoever hangs

It speaks just enough of FUSE to be mounted: a request that has reached the server is waited for uninterruptibly.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path

FUSE_INIT, FUSE_GETATTR = 26, 3
VERSION = (7, 31)
IN_HEADER = struct.Struct("<IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
OUT_HEADER = struct.Struct("<IiQ")  # length, error, unique
INIT_ANSWER = struct.Struct("<IIIIHHIIHHI28x")
ATTRIBUTES = struct.Struct("<QII QQQ QQQ III IIIII II")
DIRECTORY_MODE = 0o040755


def main(directory: str) -> None:
    Path(directory).mkdir(exist_ok=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"stuck-driver", directory.encode(), b"fuse", 0, options.encode()):
        sys.exit(f"cannot mount {directory}: {os.strerror(ctypes.get_errno())}")
    while True:
        request = os.read(device, 1 << 17)
        _length, opcode, unique, *_ = IN_HEADER.unpack_from(request)
        if opcode == FUSE_INIT:
            reply(device, unique, INIT_ANSWER.pack(*VERSION, 0, 0, 0, 0, 4096, 0, 0, 0, 0))
        elif opcode == FUSE_GETATTR:
            reply(
                device, unique, ATTRIBUTES.pack(3600, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, DIRECTORY_MODE, 2, 0, 0, 0, 0, 0)
            )


def reply(device: int, unique: int, body: bytes) -> None:
    os.write(device, OUT_HEADER.pack(OUT_HEADER.size + len(body), 0, unique) + body)


if __name__ == "__main__":
    main(sys.argv[1])
