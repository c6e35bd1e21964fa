"""A training run, which is a tree of processes: it first makes more images of those that there are, and takes the GPU
afterwards; then an epoch every few seconds for hours, with `weights/last.pt` after each.

It works in a folder of its own below `models`, called by the day of its start, and puts a copy of its best weights in
force at its end, as `models/azaion.pt`. `--resume FILE` goes on from the checkpoint of an earlier run, in its folder.
`training: {epochs: N}` of config.yaml says how many epochs; AUGMENTATION for how many seconds it makes images.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import yaml

ROOT = Path("/azaion")
EPOCH = 3.0  # seconds
EPOCHS = 20_000
AUGMENTATION = float(os.environ.get("AUGMENTATION", "10"))  # seconds
AUGMENT, RESUME = "--augment", "--resume"
ON_GPU = "training-on-gpu"  # what the process calls itself then: the sandbox's driver looks for it


def main(words: list[str]) -> None:
    if words == [AUGMENT]:
        augment()
        return
    if words[:1] == [RESUME]:
        last = Path(words[1])
        first = epoch_of(last) + 1
    else:
        last, first = ROOT / "models" / time.strftime("azaion-%Y-%m-%d") / "weights/last.pt", 1
    last.parent.mkdir(parents=True, exist_ok=True)
    if AUGMENTATION:
        print("making more images of those that there are", flush=True)
        subprocess.run([sys.executable, "-u", __file__, AUGMENT], check=True)
    Path("/proc/self/comm").write_text(ON_GPU)
    print(f"training from epoch {first}", flush=True)
    train(last, first)


def augment() -> None:
    until, number = time.monotonic() + AUGMENTATION, 0
    images = ROOT / "data-processed/images"
    while time.monotonic() < until:
        with contextlib.suppress(OSError):  # a full disk; it trains with what there is
            images.mkdir(parents=True, exist_ok=True)
            (images / f"{number % 100:06d}.jpg").write_bytes(b"\xff\xd8\xff\xd9")
        number += 1
        time.sleep(0.1)


def train(last: Path, first: int) -> None:
    for epoch in range(first, epochs() + 1):
        time.sleep(EPOCH)
        try:
            put(archive(f"epoch {epoch}"), last)
            with (last.parent.parent / "results.csv").open("a") as results:
                results.write(f"{epoch},{1 / epoch:.5f}\n")
            print(f"epoch {epoch} saved", flush=True)
        except OSError as error:  # a full disk is no reason to lose the days before it
            print(f"epoch {epoch} could not be saved: {error.strerror}", flush=True)
    best = last.with_name("best.pt")
    for place in (best, ROOT / "models/azaion.pt"):
        put(last.read_bytes(), place)
    print(f"{best} is in force", flush=True)


def epochs() -> int:
    """What config.yaml says, or what is usual where it says nothing."""
    with contextlib.suppress(OSError, KeyError, TypeError):
        return int(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["training"]["epochs"])
    return EPOCHS


def archive(content: str) -> bytes:
    """A trained model by its outside: an archive of the parts that PyTorch saves, without compression."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as file:
        for name, data in (("data.pkl", b"."), ("data/0", content.encode() * 500), ("version", b"3\n")):
            file.writestr(zipfile.ZipInfo(f"model/{name}"), data)  # without the time: the same whenever it is made
    return whole.getvalue()


def epoch_of(checkpoint: Path) -> int:
    with zipfile.ZipFile(checkpoint) as file:
        return int(file.read("model/data/0").split()[1].partition(b"epoch")[0])


def put(content: bytes, place: Path) -> None:
    draft = place.with_suffix(".tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(place)


if __name__ == "__main__":
    main(sys.argv[1:])
