"""What tests on real parts do and see, in sentences."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from sandbox import Sandbox, docker_events, publish, renew_stream, run_inside, running, set_gpu, set_line, start
from sandbox.gpu_server import IN_FORCE, MODELS, TREE
from sandbox.machine import wait_until
from sandbox.passwords import read
from sandbox.place import CONSUMER_REPOSITORY, LOGIN_USER, STREAM, TRAINING_REPOSITORY
from sandbox.services import REGISTRY_USER

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ROOT = "/azaion"
BY_BATCHES = {"SAVE_EVERY": "50", "LOG": "stdout"}  # a variant of the sandbox's consumer
STATE = f"/home/{LOGIN_USER}/.local/state/gpu-runbook/azaion@{Sandbox().server.machine_id[:8]}"

_CLEAN = r"""
rm -f /var/spool/cron/crontabs/*
for watcher in $(pgrep --parent "$(cat /run/cron.pid)"); do
    for job in $(pgrep --parent "$watcher"); do kill -KILL "-$job" || true; done
done
python3 -IS -c "$1"
rm -rf /home/deploy/.docker /azaion/.deploy*
mountpoint -q /home/deploy/.local || rm -rf /home/deploy/.local
rm -rf /home/deploy/.local/*
test ! -d /azaion/models || find /azaion/models -mindepth 1 -maxdepth 1 MODELS -exec rm -rf {} +
rm -rf /azaion/IN_FORCE
test ! -d /azaion/models/LAST/weights || cp /azaion/models/LAST/weights/best.pt /azaion/IN_FORCE
find /azaion -mindepth 1 -maxdepth 1 TREE -exec rm -r {} +
find /azaion -mindepth 2 -not -path '/azaion/models*' -delete
rm -rf /srv
chown -R deploy:azaion /azaion
chmod 2770 /azaion /azaion/*
"""

# All containers and images but one, by the engine's own API: docker's command would take the time of a whole test.
SETTINGS = "/etc/docker/daemon.json"
_EMPTY = r"""
import json, socket

def ask(method, path):
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect("/var/run/docker.sock")
        engine.sendall(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = engine.makefile("rb").read().partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status >= 300 and status not in (404, 409):  # it is gone, or about to be
        raise SystemExit(f"{method} {path}: {body.decode()}")
    return body

for container in json.loads(ask("GET", "/containers/json?all=1")):
    ask("DELETE", f"/containers/{container['Id']}?force=1&v=1")
for image in json.loads(ask("GET", "/images/json")):
    names = {*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())} - {"<none>:<none>", "<none>@<none>"}
    for name in (names or {image["Id"]}) - {"kept:latest"}:
        ask("DELETE", f"/images/{name}?force=1")
"""

# One line per thing below the root and below the folder of states: what it is, who may do what with it, what is in it.
_TREE = r"""
import hashlib, json, os, stat, sys
found = {}
for directory, names, files in (entry for root in sys.argv[1:] for entry in os.walk(root)):
    for path in (os.path.join(directory, name) for name in names + files):
        try:
            status = os.lstat(path)
            plain = stat.S_ISREG(status.st_mode)
            digest = hashlib.sha256(open(path, "rb").read()).hexdigest() if plain else ""
        except FileNotFoundError:  # a consumer that works has taken it elsewhere
            continue
        found[path] = [stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_size * plain, digest]
print(json.dumps(found))
"""

_CRON_VARIABLE = re.compile(r"""\s*(\w+)\s*=\s*(["']?)(.*?)\2\s*""")
_CRON_ENTRY = re.compile(r"\s*(?:@\w+|(?:[^\s#]\S*\s+){4}\S+)\s+(.+)")


@dataclass(frozen=True)
class Annotation:
    """One line that a consumer has written: which message, at which offset, by which container (12 hex digits)."""

    offset: int
    message: str
    container: str


@dataclass(frozen=True)
class Snapshot:
    """Everything of a server that a refused task must leave as it was; equal snapshots mean nothing changed."""

    tree: dict[str, list[Any]]
    containers: dict[str, list[Any]]
    images: dict[str, list[str]]


def keep_layers(sandbox: Sandbox) -> None:
    """Let the engine keep what all images share, so that not every test fetches it anew; `clean` leaves it alone."""
    logged_in(sandbox)
    image = consumer_image(sandbox, "bad-idle-stubborn")  # one that no test wants to see gone
    docker(sandbox, "pull", "--quiet", image)
    docker(sandbox, "tag", image, "kept:latest")


def clean(sandbox: Sandbox) -> None:
    """Bring a sandbox back to how it came up, whatever a test has done to it."""
    for name, runs in running(sandbox).items():
        if not runs:
            start(sandbox, name)
    set_line(sandbox)
    set_gpu(sandbox)
    names = {"MODELS": (*MODELS, Path(IN_FORCE).name), "TREE": TREE}
    script = _CLEAN
    for word, kept in names.items():
        script = script.replace(word, " ".join(f"-not -name {name}" for name in kept))
    script = script.replace("LAST", MODELS[-1]).replace("IN_FORCE", IN_FORCE)
    run_inside(sandbox, ["sh", "-ec", script, "sh", _EMPTY])
    renew_stream(sandbox)


def as_it_was(sandbox: Sandbox) -> None:
    """Give the data to the login user, as before containers had a user of their own; a training may write its state.

    What hosts.yaml said of the tree then is there.
    """
    run = f"{ROOT}/models/azaion-$(date +%F)"
    made = f"mkdir -p {ROOT}/annotations {ROOT}/checkpoints {run}/weights"
    modes = f"chmod 00755 {ROOT} {ROOT}/*; chmod 00777 {ROOT}/checkpoints {run} {run}/weights"
    run_inside(sandbox, ["sh", "-ec", f"{made}; chown -R deploy:deploy {ROOT}; {modes}"])


def published(sandbox: Sandbox, count: int, rate: float = 0, first: int = 1) -> list[str]:
    """Publish numbered messages and wait for their confirmation; the messages."""
    assert publish(sandbox, count, rate, first) == count
    return messages(count, first)


def messages(count: int, first: int = 1) -> list[str]:
    return [f"msg-{number:06d}" for number in range(first, first + count)]


def written(sandbox: Sandbox) -> list[Annotation]:
    """What the consumers have written down so far, in their order."""
    return parsed_annotations(run_inside(sandbox, ["cat", f"{ROOT}/annotations.log"], check=False).stdout)


def parsed_annotations(log: str) -> list[Annotation]:
    """The whole lines of annotations.log."""
    # The line that is being written at this moment may have come in half. Where a file system broke down, what was not
    # synced yet may have become zeros: it lies behind the offset that was saved, and is read again.
    fields = [line.split() for line in log.rpartition("\n")[0].splitlines() if "\0" not in line]
    return [Annotation(int(offset), message, container) for offset, message, container in fields]


def lost_and_twice(seen: Iterable[Annotation], expected: Iterable[str]) -> tuple[list[str], list[str]]:
    """The expected messages that were never written, and those written more than once."""
    times = Counter(annotation.message for annotation in seen)
    return [name for name in expected if not times[name]], [name for name, count in times.items() if count > 1]


def wait_for_annotations(sandbox: Sandbox, count: int, seconds: float = 20) -> list[Annotation]:
    """Wait until so many different messages were written."""
    wait_until(
        lambda: len({annotation.message for annotation in written(sandbox)}) >= count,
        seconds,
        f"consumer (with {count} messages)",
    )
    return written(sandbox)


def offset(sandbox: Sandbox) -> int | None:
    """The number in offset.yaml, or None where there is no such file."""
    text = run_inside(sandbox, ["cat", f"{ROOT}/offset.yaml"], check=False).stdout
    return int(text.removeprefix("offset: ")) if text else None


def docker(sandbox: Sandbox, *words: str, check: bool = True) -> str:
    """Run docker on the server as the login user; what it printed."""
    return run_inside(sandbox, ["docker", *words], user=LOGIN_USER, check=check).stdout.strip()


@contextmanager
def live_restore(sandbox: Sandbox) -> Iterator[None]:
    """The engine's containers outlive it; told as the row about training advises, without a restart."""

    def tell(value: str) -> None:
        changed = f"sed '1s/{{/{{\"live-restore\": {value},/' {SETTINGS}.before >{SETTINGS}"
        run_inside(sandbox, ["sh", "-ec", f"{changed}; kill -HUP $(cat /var/run/docker.pid)"])
        asked = ("info", "--format", "{{.LiveRestoreEnabled}}")
        wait_until(lambda: docker(sandbox, *asked).strip() == value, 20, "engine (its settings)")

    run_inside(sandbox, ["cp", SETTINGS, f"{SETTINGS}.before"])
    tell("true")
    try:
        yield
    finally:
        tell("false")  # without a word it would stay as it is
        run_inside(sandbox, ["mv", f"{SETTINGS}.before", SETTINGS])


def inspected(sandbox: Sandbox, container: str) -> dict[str, Any]:
    """What the engine says of a container."""
    answer: list[dict[str, Any]] = json.loads(docker(sandbox, "inspect", "--type", "container", container))
    return answer[0]


def exists(sandbox: Sandbox, container: str) -> bool:
    return bool(docker(sandbox, "ps", "--all", "--quiet", "--filter", f"name=^/{container}$"))


def consumer_image(sandbox: Sandbox, tag: str) -> str:
    return f"{sandbox.registry}/{CONSUMER_REPOSITORY}:{tag}"


def manifest(sandbox: Sandbox, tag: str, put: bytes | None = None, kind: str = MANIFEST) -> bytes:
    """What a tag means in the registry; with `put`, what it means from now on. `kind`: its media type."""
    login = base64.b64encode(f"{REGISTRY_USER}:{read(sandbox.env_file)['REGISTRY_PASSWORD']}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Accept": kind, "Content-Type": kind}
    address = f"http://{sandbox.registry}/v2/{CONSUMER_REPOSITORY}/manifests/{tag}"
    request = urllib.request.Request(address, put, headers, method="GET" if put is None else "PUT")
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 -- http, on loopback
        said: bytes = answer.read()
        return said


def training_image(sandbox: Sandbox, tag: str) -> str:
    return f"{sandbox.registry}/{TRAINING_REPOSITORY}:{tag}"


def logged_in(sandbox: Sandbox) -> None:
    """Let the login user's docker fetch from the registry, as somebody at the server would."""
    password = read(sandbox.env_file)["REGISTRY_PASSWORD"]
    words = ["docker", "login", "--username", REGISTRY_USER, "--password-stdin", sandbox.registry]
    run_inside(sandbox, words, user=LOGIN_USER, input=password)


def started_consumer(sandbox: Sandbox, tag: str, name: str = "annotation-queue", /, **changes: str) -> str:
    """Start a consumer by hand, with a config.yaml as a deploy would leave; its id. `changes` go to its queue."""
    write_config(sandbox, changes)
    logged_in(sandbox)
    return _run(
        sandbox, name, consumer_image(sandbox, tag), *(f"--env={key}={value}" for key, value in BY_BATCHES.items())
    )


def write_config(sandbox: Sandbox, changes: Mapping[str, str] | None = None, trains: int = 20_000) -> None:
    """What a deploy would leave as config.yaml. `changes`: of its queue; `trains`: how many epochs."""
    variables = read(sandbox.env_file)
    queue = {
        "host": variables["RABBITMQ_HOST"],
        "port": variables["RABBITMQ_PORT"],
        "user": variables["RABBITMQ_USER"],
        "password": variables["RABBITMQ_PASSWORD"],
        "name": STREAM,
    }
    config = json.dumps({"queue": {**queue, **(changes or {})}, "training": {"epochs": trains}})
    run_inside(sandbox, ["tee", f"{ROOT}/config.yaml"], user=LOGIN_USER, input=config)


def started_training(sandbox: Sandbox, tag: str = "1.0", name: str = "training") -> str:
    """Start a training run by hand, as a person does, that takes the GPU at once; its id."""
    logged_in(sandbox)
    return _run(sandbox, name, training_image(sandbox, tag), "--gpus=all", "--env=AUGMENTATION=0")


def epochs(sandbox: Sandbox) -> int:
    """How many epochs the training runs of the sandbox have saved."""
    found = run_inside(sandbox, ["sh", "-c", f"cat {ROOT}/models/*/results.csv"], check=False).stdout
    return len(found.splitlines())


def _run(sandbox: Sandbox, name: str, image: str, *options: str) -> str:
    mount = f"--volume={ROOT}:{ROOT}"
    return docker(sandbox, "run", "--detach", f"--name={name}", "--network=host", mount, *options, image)


def fire(sandbox: Sandbox) -> list[CompletedProcess[str]]:
    """Run each command of the login user's crontab now, one after the other, with what cron gives to it."""
    home = f"/home/{LOGIN_USER}"
    variables = {"HOME": home, "LOGNAME": LOGIN_USER, "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
    done = []
    for line in run_inside(sandbox, ["crontab", "-l"], user=LOGIN_USER, check=False).stdout.splitlines():
        if variable := _CRON_VARIABLE.fullmatch(line):  # holds for the entries that follow
            variables[variable[1]] = variable[3]
        elif entry := _CRON_ENTRY.fullmatch(line):
            # Up to the first % that has no backslash it is the command; what follows are lines of its input.
            command, *input_lines = (part.replace(r"\%", "%") for part in re.split(r"(?<!\\)%", entry[1]))
            given = [f"{name}={value}" for name, value in variables.items()]
            words = ["setsid", "--wait", "env", "-i", f"--chdir={variables['HOME']}", *given, variables["SHELL"]]
            text = "".join(f"{input_line}\n" for input_line in input_lines)
            done.append(run_inside(sandbox, [*words, "-c", command], user=LOGIN_USER, input=text, check=False))
    return done


def server_snapshot(sandbox: Sandbox) -> Snapshot:
    """Root and state with modes, owners and digests; containers; images. Says nothing of times."""
    tree = json.loads(run_inside(sandbox, ["python3", "-IS", "-c", _TREE, ROOT, str(Path(STATE).parent)]).stdout)
    ids = docker(sandbox, "ps", "--all", "--quiet", "--no-trunc").split()
    found = json.loads(docker(sandbox, "inspect", *ids)) if ids else []
    listed = docker(
        sandbox, "images", "--no-trunc", "--digests", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}@{{.Digest}}"
    )
    images: dict[str, list[str]] = {}
    for line in sorted(listed.splitlines()):
        image, name = line.split()
        images.setdefault(image, []).append(name)
    return Snapshot(tree, {state["Id"]: _identity(state) for state in found}, images)


def _identity(state: dict[str, Any]) -> list[Any]:
    host = state["HostConfig"]
    running = [state["State"][key] for key in ("Status", "Pid", "StartedAt")]
    return [state["Name"], state["Image"], host["RestartPolicy"]["Name"], *running]


def running_intervals(sandbox: Sandbox, since: float) -> dict[str, list[tuple[int, int | None]]]:
    """From and until when each container ran, by the engine's own events, in ns since 1970; None: it still does."""
    intervals: dict[str, list[tuple[int, int | None]]] = {}
    for event in docker_events(sandbox, since):
        ran = intervals.setdefault(event["id"], [])
        if event["Action"] == "start":
            ran.append((event["timeNano"], None))
        elif event["Action"] == "die" and ran:
            ran[-1] = (ran[-1][0], event["timeNano"])
        elif event["Action"] == "die":  # it ran already at the time from which on events were asked for
            ran.append((0, event["timeNano"]))
    return intervals


def overlap(first: list[tuple[int, int | None]], second: list[tuple[int, int | None]]) -> bool:
    """Whether there was a moment in which both containers ran."""
    forever = 1 << 63
    return any(a < (d or forever) and c < (b or forever) for a, b in first for c, d in second)
