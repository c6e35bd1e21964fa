#!/usr/bin/python3 -IS
"""Stands in for nvidia-smi, and answers as /var/lib/nvidia-smi.json tells it to."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/nvidia-smi.json")
HEALTHY: dict[str, Any] = {
    "gpus": 2,
    "lost": [],
    "exit": 0,
    "text": "",
    "hang": "",
    "processes": "auto",
    "refuses": [],
    "values": {},
    "mig": [],
}
STUCK = Path("/run/stuck/driver")
NAME, DRIVER, TOTAL_MIB = "NVIDIA L40S", "550.90.07", 46068
ON_GPU = "training-on-gpu"  # what a training of the sandbox calls itself once it works there

Row = dict[str, str]


def main(arguments: list[str]) -> int:
    state = {**HEALTHY, **(json.loads(STATE.read_text()) if STATE.exists() else {})}
    if state["hang"] == "unkillable":
        STUCK.read_bytes()  # never returns: nobody answers for that file
    if state["hang"]:
        time.sleep(86400)
    if state["exit"]:
        print(state["text"])
        return int(state["exit"])
    processes = list(training_processes()) if state["processes"] == "auto" else state["processes"]
    present = [index for index in range(state["gpus"]) if index not in state["lost"]]
    if not present:
        print("No devices were found")
        return 6
    return answer(arguments, state, present, processes)


def answer(arguments: list[str], state: dict[str, Any], present: list[int], processes: list[dict[str, Any]]) -> int:
    options = dict(word.lstrip("-").partition("=")[::2] for word in arguments)
    told = {"mig.mode.current": "Enabled" if state["mig"] else "[N/A]", **state["values"]}
    gpus = [{**gpu(index, any(process["gpu"] == index for process in processes)), **told} for index in present]
    if options.get("format", "csv,noheader,nounits") != "csv,noheader,nounits":
        return refuse("Only the format csv,noheader,nounits is played here.")
    if "query-gpu" in options:
        refuses = tuple(state["refuses"])
        known = {name: "" for name in {**gpu(0, busy=False), **told} if not (refuses and name.startswith(refuses))}
        return table(options["query-gpu"], gpus, known)
    if "query-remapped-rows" in options:
        return table(options["query-remapped-rows"], ({**one, "gpu_uuid": one["uuid"]} for one in gpus), remapped())
    if "query-compute-apps" in options:
        return table(options["query-compute-apps"], map(application, processes), known=application(None))
    if set(options) <= {"L", "list-gpus"} and options:
        for row in gpus:
            print(f"GPU {row['index']}: {NAME} (UUID: {row['uuid']})")
            for number, profile in enumerate(state["mig"]):
                print(f"  MIG {profile:<11} Device  {number}: (UUID: {uuid(10 * int(row['index']) + number, 'MIG')})")
        return 0
    if set(options) == {"q"}:
        for row in gpus:
            whole(row, state["mig"], [one for one in processes if str(one["gpu"]) == row["index"]])
        return 0
    if options:
        return refuse("Invalid combination of input arguments. Please run 'nvidia-smi -h' for help.")
    print(f"NVIDIA-SMI {DRIVER}   Driver Version: {DRIVER}   GPUs: {len(gpus)}")
    return 0


def gpu(index: int, busy: bool) -> Row:
    """Every field that --query-gpu knows, with values as nvidia-smi spells them."""
    return {
        "index": str(index),
        "uuid": uuid(index),
        "name": NAME,
        "driver_version": DRIVER,
        "memory.used": "20480" if busy else "4",
        "memory.total": str(TOTAL_MIB),
        "utilization.gpu": "97" if busy else "0",
        "temperature.gpu": "71" if busy else "34",
        "ecc.errors.uncorrected.volatile.total": "0",
        "retired_pages.pending": "[N/A]",
        "remapped_rows.pending": "No",
        "remapped_rows.failure": "No",
        **{f"clocks_{word}_reasons.hw_thermal_slowdown": "Not Active" for word in ("event", "throttle")},
        **{f"clocks_{word}_reasons.hw_power_brake_slowdown": "Not Active" for word in ("event", "throttle")},
    }


def remapped() -> Row:
    """The fields that --query-remapped-rows knows."""
    return dict.fromkeys(("gpu_uuid", "remapped_rows.pending", "remapped_rows.failure"), "")


def whole(row: Row, profiles: list[str], processes: list[dict[str, Any]]) -> None:
    """As much of -q as tells which MIG device a process is on: a process's `mig` is the device's number."""
    print(f"GPU 00000000:0{row['index']}:00.0\n    Product Name : {NAME}\n    GPU UUID : {row['uuid']}")
    for number, _ in enumerate(profiles):
        print(f"    MIG Device\n        Index : {number}\n        GPU Instance ID : {number + 7}")
        print("        Compute Instance ID : 0\n        Device Attributes")
    print("    Processes")
    for one in processes:
        instance = one.get("mig", 0) + 7 if profiles else "N/A"
        print(f"        GPU instance ID : {instance}\n        Compute instance ID : {0 if profiles else 'N/A'}")
        print(f"        Process ID : {one['pid']}\n            Type : C\n            Name : {one['name']}")


def application(process: dict[str, Any] | None) -> Row:
    """Every field that --query-compute-apps knows; without a process, only their names count."""
    process = process or {"pid": 0, "name": "", "memory": 0, "gpu": 0}
    return {
        "pid": str(process["pid"]),
        "process_name": process["name"],
        "used_memory": str(process["memory"]),
        "gpu_uuid": uuid(process["gpu"]),
    }


def uuid(index: int, kind: str = "GPU") -> str:
    return f"{kind}-5a7d0c1e-0000-4000-8000-{index:012d}"


def training_processes() -> Iterator[dict[str, Any]]:
    """The driver reports the host's numbers of whatever trains, in a container or not."""
    for entry in sorted(Path("/proc").glob("[0-9]*")):
        try:
            called, program = (
                (entry / "comm").read_text().rstrip("\n"),
                (entry / "cmdline").read_bytes().split(b"\0")[0],
            )
        except OSError:  # it ended while we looked
            continue
        if called == ON_GPU:
            yield {"pid": int(entry.name), "name": program.decode(), "memory": 20476, "gpu": 0}


def table(query: str, rows: Iterable[Row], known: Row) -> int:
    names = query.split(",")
    for name in names:
        if name not in known:
            return refuse(f'Field "{name}" is not a valid field to query.')
    for row in rows:
        print(", ".join(row[name] for name in names))
    return 0


def refuse(text: str) -> int:
    print(text)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
