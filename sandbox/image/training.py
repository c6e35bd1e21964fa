"""A training run: an epoch every few seconds for hours, a checkpoint after each, resumed from the last one."""

from __future__ import annotations

import os
import time
from pathlib import Path

CHECKPOINTS = Path("/azaion/checkpoints")
EPOCH = 3.0  # seconds
EPOCHS = 20_000


def main() -> None:
    checkpoint = CHECKPOINTS / "last.ckpt"
    first = int(checkpoint.read_text()) + 1 if checkpoint.exists() else 1
    print(f"training from epoch {first}", flush=True)
    for epoch in range(first, EPOCHS + 1):
        time.sleep(EPOCH)
        try:
            save(checkpoint, epoch)
            print(f"epoch {epoch} saved", flush=True)
        except OSError as error:  # a full disk is no reason to lose the days before it
            print(f"epoch {epoch} could not be saved: {error.strerror}", flush=True)


def save(checkpoint: Path, epoch: int) -> None:
    draft = checkpoint.with_suffix(".tmp")
    with draft.open("w") as file:
        file.write(f"{epoch}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(checkpoint)


if __name__ == "__main__":
    main()
