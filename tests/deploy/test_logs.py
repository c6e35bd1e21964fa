"""fab logs on real containers: whole lines, no secret, through restarts and deploys, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO

import pytest

from gpu_runbook.laptop.errors import LostContact, Refused
from sandbox import Sandbox, run_inside, set_line, start, stop
from sandbox.machine import wait_until
from tests.deploy.laptop import FAB, QUEUE, Laptop
from tests.deploy.refused import refused
from tests.deploy.standing import watched
from tests.real import ROOT, consumer_image, docker, logged_in, published, started_training, wait_for_annotations

pytestmark = pytest.mark.real

TALKER = "talker"
SAYS = r"""
import sys, time
secret = sys.argv[1].encode()
def say(data, stream=sys.stdout):
    stream.buffer.write(data)
    stream.buffer.flush()
say(b"login with " + secret[:9])
time.sleep(0.1)
say(secret[9:] + b"\n")
say(b"\xff \x1b[31mred\n")
time.sleep(0.1)
say(b"on the other stream\n", sys.stderr)
time.sleep(0.1)
say(b"x" * (16384 - 9) + secret + b"y" * 40000 + b"\n")
say(b"the end")
"""
FLOOD = r"""
import time
for _ in range(400):
    print("\n".join(["x" * 60] * 1000))
while True:
    print("done")
    time.sleep(0.1)
"""
COUNTS = """
import itertools, time
for number in itertools.count():
    print(number)
    time.sleep(0.05)
"""
CALL = "^python3 -IS -c import sys"  # how the server's end of every call begins
MOST = 48 << 10  # KiB that a process may come to hold, however much there is to read


def talker(laptop: Laptop, program: str, *words: str, options: tuple[str, ...] = ()) -> None:
    """A service whose container is started by hand and says what the program says."""
    laptop.hosts["services"][TALKER] = {"kind": "batch", "image": "azaion/annotation-queue", "container": TALKER}
    laptop.save()
    logged_in(laptop.sandbox)
    rotated = ("--log-opt", "max-size=20m", "--log-opt", "max-file=10")
    image = consumer_image(laptop.sandbox, "1.0")
    named = ("--name", TALKER, *rotated, *options, "--entrypoint", "python3")
    docker(laptop.sandbox, "run", "--detach", *named, image, "-u", "-c", program, *words)


def calls(sandbox: Sandbox) -> list[int]:
    """The processes that answer a laptop on the server."""
    return [int(pid) for pid in run_inside(sandbox, ["pgrep", "--full", CALL], check=False).stdout.split()]


def held_back(sandbox: Sandbox, pid: int) -> bool:
    """Whether a process has written more than all buffers on the way hold, and writes no more."""

    def written() -> int:
        io = run_inside(sandbox, ["cat", f"/proc/{pid}/io"]).stdout
        return int(io.split("wchar:")[1].split()[0])

    first = written()
    time.sleep(0.5)
    return first == written() > 1 << 20


def log(laptop: Laptop, container: str) -> list[str]:
    return docker(laptop.sandbox, "logs", container).splitlines()


class Following:
    """A `fab logs --follow` with what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        for stream, kept in ((process.stdout, self.out), (process.stderr, self.err)):
            assert stream is not None
            threading.Thread(target=self._keep, args=(stream, kept), daemon=True).start()

    def _keep(self, stream: IO[str], kept: list[str]) -> None:
        kept.extend(iter(stream.readline, ""))

    def hears(self, text: str, times: int = 1, seconds: float = 20) -> None:
        wait_until(lambda: "".join(self.out + self.err).count(text) >= times, seconds, f"log ({times} x {text!r})")

    def goes_on(self) -> None:
        """Wait for some more lines."""
        enough = len(self.out) + 20
        wait_until(lambda: len(self.out) >= enough, 20, "log (more lines)")

    def said(self, count: int) -> bool:
        """Whether so many lines were said beside those of the log."""
        return len(self.err) >= count

    def ended(self) -> int:
        return self.process.wait(timeout=30)


@contextmanager
def following(laptop: Laptop, *words: str) -> Iterator[Following]:
    with laptop.start("logs", "--follow", *words) as process:
        try:
            yield Following(process)
        finally:
            process.kill()


def test_lines_come_whole_covered_and_bounded_and_those_of_a_training_run_too(laptop: Laptop) -> None:
    secret = laptop.variables["RABBITMQ_PASSWORD"]
    talker(laptop, SAYS, secret)
    started_training(laptop.sandbox)
    wait_until(lambda: "saved" in docker(laptop.sandbox, "logs", "training"), 20, "training run (its first epoch)")
    said = laptop.fab("logs")
    assert said.status == 0, said.all
    assert secret not in said.all
    assert "gpu-1: annotation-queue: no container, and so no log\n" in said.err
    assert "gpu-1: training runs for " in said.err
    assert "gpu-1: talker does not run (it ended " in said.err
    assert "with exit status 0); its last log, container " in said.err
    named = [line.split(" | ", 1) for line in said.out.splitlines()[-6:]]
    assert [name.rstrip() for name, _ in named] == ["training", *[TALKER] * 5]
    training, first, control, other, long, end = (text for _, text in named)
    assert (training.endswith("saved"), first, other, end) == (True, "login with •••", "on the other stream", "the end")
    assert control == "\ufffd \ufffd[31mred"
    assert "x" * 9000 in long
    assert secret[:3] not in long
    assert long.endswith("x … (cut here: the line is longer than 16 KiB)")
    for pieces in range(2, 6):  # the engine takes each 16 KiB of a line for one
        assert secret[-12:] not in laptop.fab("logs", TALKER, "--tail", str(pieces)).out
    found = laptop.fab("logs", f"training,{TALKER}", "--grep", "ed (", "--timestamps")
    assert found.out == "" and "gpu-1: 0 of " in found.err, found.all
    found = laptop.fab("logs", f"training,{TALKER}", "--grep", "other stream", "--timestamps")
    assert re.fullmatch(rf"{TALKER}   \| 2\d{{3}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z on the other stream\n", found.out)
    assert re.search(r"gpu-1: 1 of \d+ lines with that text; --tail and --since reach further back\n$", found.err)
    (server,) = laptop.fab("logs", TALKER, "--tail", "6", "--json").json["servers"]
    assert [(line["service"], line["stream"]) for line in server["lines"]] == [
        (TALKER, "stderr"),
        (TALKER, "stdout"),
        (TALKER, "stdout"),
    ]
    assert server["lines"][-1]["at"] > server["lines"][0]["at"] > "2026"


def test_the_log_of_a_terminal_is_read_as_well(laptop: Laptop) -> None:
    talker(laptop, SAYS, laptop.variables["RABBITMQ_PASSWORD"], options=("--tty",))
    wait_until(lambda: "the end" in docker(laptop.sandbox, "logs", TALKER), 20, "container (its last word)")
    lines = laptop.fab("logs", TALKER).out.splitlines()
    assert (lines[0], lines[-1]) == ("login with •••", "the end")


def test_following_goes_on_through_a_restart_and_a_deploy_until_ctrl_c(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    published(laptop.sandbox, 10)
    laptop.deployed("--tag", "1.0")
    old = docker(laptop.sandbox, "ps", "--quiet", "--filter", f"name=^/{QUEUE}$")
    before = log(laptop, old)
    with following(laptop, "--tail", "1") as heard:
        heard.hears("consuming azaion-annotations from offset")
        docker(laptop.sandbox, "restart", QUEUE)
        heard.hears("consuming azaion-annotations from offset 10")
        laptop.deployed("--tag", "1.1")
        new = docker(laptop.sandbox, "ps", "--quiet", "--filter", f"name=^/{QUEUE}$")
        heard.hears(f"— {QUEUE}: container {new[:12]} —")
        heard.hears("consuming azaion-annotations from offset 10", times=2)
        started_training(laptop.sandbox)
        heard.hears("training         | training from epoch 1")
        heard.process.send_signal(signal.SIGINT)
        assert heard.ended() == 0, heard.err
        wait_until(lambda: not calls(laptop.sandbox), 10, "server (without a call)")
    queue = [line.removeprefix(f"{QUEUE} | ").rstrip() for line in heard.out if line.startswith(QUEUE)]
    assert queue == log(laptop, old)[len(before) - 1 :] + log(laptop, new)
    assert queue.count("ended at offset 10") == 2
    assert "Traceback" not in "".join(heard.err)


def test_following_log_files_loses_no_line_over_rotations_and_a_cut_line(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.queue["environment"] = {"LOG_FILE": f"{ROOT}/logs/queue.log", "LOG_BYTES": "600"}  # a dozen lines
    laptop.queue["log_files"] = f"{ROOT}/logs/*.log"
    laptop.save()
    published(laptop.sandbox, 10)
    laptop.deployed()
    wait_for_annotations(laptop.sandbox, 10)
    said = laptop.fab("logs", QUEUE, "--tail", "3")
    assert (len(said.out.splitlines()), "INFO handled offset 9\n" in said.out) == (3, True), said.all
    assert said.out.startswith("queue.log | 2"), said.all
    with following(laptop, QUEUE, "--json", "--tail", "1000", "--grep", "handled offset") as heard:
        heard.hears('handled offset 9"')
        published(laptop.sandbox, 100, first=11)
        heard.hears('handled offset 109"')
        set_line(laptop.sandbox, state="reset")
        published(laptop.sandbox, 100, first=111)
        heard.hears("trying to come back")
        set_line(laptop.sandbox)
        heard.hears('handled offset 209"')
        moved = "cp queue.log queue.log-copy && truncate --size=0 queue.log"  # as logrotate's copytruncate
        run_inside(laptop.sandbox, ["sh", "-c", f"cd {ROOT}/logs && {moved}"])
        published(laptop.sandbox, 100, first=211)
        heard.hears('handled offset 309"')
        heard.process.send_signal(signal.SIGINT)
        assert heard.ended() == 0, heard.err
    lines = [json.loads(line) for line in heard.out]
    offsets = [line["text"].rpartition("handled offset ")[2] for line in lines]
    assert offsets == [str(number) for number in range(310)]
    assert {line["stream"] for line in lines} == {"file"}
    assert len({line["source"] for line in lines}) > 5 and all(line["at"] > "2026" for line in lines)


def test_an_engine_that_goes_away_is_waited_for(laptop: Laptop) -> None:
    watched(laptop, settle=0, window=1)
    laptop.deployed("--tag", "1.0")
    with following(laptop, QUEUE) as heard:
        heard.hears("consuming azaion-annotations from offset 0")
        stop(laptop.sandbox, "engine")
        heard.hears("does not answer")
        start(laptop.sandbox, "engine")
        heard.hears("consuming azaion-annotations from offset 0", times=2, seconds=40)
        heard.process.send_signal(signal.SIGINT)
        assert heard.ended() == 0, heard.err
    assert heard.out == [f"{line}\n" for line in log(laptop, QUEUE)]


def test_a_line_that_is_cut_or_silent_is_taken_up_behind_the_last_line(laptop: Laptop) -> None:
    sandbox = laptop.sandbox
    talker(laptop, COUNTS)
    with following(laptop, TALKER) as heard:
        for state, lost in (
            ("reset", "the connection ended before the answer"),
            ("dead", "nothing was heard for 10 s"),
            ("reset", "the connection ended before the answer"),
        ):
            heard.goes_on()
            told = len(heard.err) + 1
            set_line(sandbox, state=state)
            wait_until(partial(heard.said, told), 20, "laptop (what it says of its line)")
            assert heard.err[-1] == f"gpu-1: {lost}; trying to come back to the last line\n"
            set_line(sandbox)
        heard.goes_on()
        heard.process.send_signal(signal.SIGINT)
        assert heard.ended() == 0, heard.err
    begin = int(heard.out[0])  # where it was heard from: more may have been said before than is shown of the past
    assert [line.strip() for line in heard.out] == [str(begin + number) for number in range(len(heard.out))]
    assert len(heard.err) == 4, heard.err
    wait_until(lambda: not calls(sandbox), 40, "server (without a call)")


def test_a_line_that_stays_silent_is_said_and_leaves_nothing_behind(laptop: Laptop) -> None:
    training = started_training(laptop.sandbox)
    with following(laptop, "training", "--json") as heard:
        heard.hears("training from epoch 1")
        assert [json.loads(line)["container"] for line in heard.out] == [training] * len(heard.out)
        set_line(laptop.sandbox, state="dead")
        assert heard.process.wait(timeout=40) == LostContact.exit_code, heard.err
    assert "gpu-1: nothing was heard for 10 s" in "".join(heard.err)
    assert json.loads(heard.out[-1])["error"]["exit_status"] == LostContact.exit_code
    set_line(laptop.sandbox, state="reset")
    wait_until(lambda: not calls(laptop.sandbox), 10, "server (without a call)")


def test_a_reader_that_waits_makes_nobody_grow_and_one_that_leaves_is_no_error(laptop: Laptop) -> None:
    talker(laptop, FLOOD)
    wait_until(lambda: "done" in docker(laptop.sandbox, "logs", "--tail", "1", TALKER), 60, "container (its flood)")
    with laptop.start("logs", TALKER, "--follow", "--tail", "999999") as process:
        try:
            wait_until(lambda: bool(calls(laptop.sandbox)), 20, "server (its call)")
            (there,) = calls(laptop.sandbox)
            wait_until(lambda: held_back(laptop.sandbox, there), 60, "call (to be held back)")
            status = run_inside(laptop.sandbox, ["cat", f"/proc/{there}/status"]).stdout
        finally:
            process.kill()
    assert int(status.split("VmHWM:")[1].split()[0]) < MOST
    wait_until(lambda: not calls(laptop.sandbox), 10, "server (without a call)")
    line = " ".join([*FAB, "logs", TALKER, "--follow", "--tail", "1000"])
    env = {**os.environ, "PYTHONPATH": FAB[-1], "HOME": str(laptop.folder)}
    said = subprocess.run(
        ["bash", "-c", f"{line} | head -3; echo ${{PIPESTATUS[0]}}"],
        cwd=laptop.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.stdout.splitlines()[-1] == "0"
    assert said.stderr.splitlines() == [said.stderr.strip()], said.stderr


def test_a_service_without_a_container_has_no_log(laptop: Laptop) -> None:
    for words in (("logs",), ("logs", QUEUE, "--follow")):
        assert "gpu-1: there is no container of annotation-queue" in refused(laptop, Refused, *words).err
