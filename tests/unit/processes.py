"""Makes what the kernel shows of a process, as files."""

from __future__ import annotations

from pathlib import Path


def made_process(
    folder: Path,
    pid: int,
    name: str,
    user: int,
    inside: int | None = None,
    cgroup: str = "0::/system.slice/cron.service",
    **files: str,
) -> None:
    """A process in a folder that stands for /proc; `inside` is its id in a container's own namespace."""
    ids = f"{pid}\t{inside}" if inside else f"{pid}"
    told = {"comm": name, "cgroup": cgroup, "status": f"Name:\t{name}\nUid:\t{user}\t0\t0\t0\nNSpid:\t{ids}"}
    (folder / str(pid)).mkdir()
    for file, text in {**told, **files}.items():
        (folder / str(pid) / file).write_text(f"{text}\n")
