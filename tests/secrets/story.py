"""A server's life with secrets in it, and everything of it that somebody might come to see."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from secrets import token_urlsafe
from typing import Any

from sandbox import Sandbox, run_inside, set_gpu
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import QUEUE, Laptop, finished
from tests.faults import shim
from tests.faults.deaths import DEATHS, Strike
from tests.faults.shim import Point
from tests.real import ROOT, STATE, docker, fire, published, started_consumer
from tests.secrets.hunt import sampling
from tests.secrets.life import Life

DEPLOY = ("deploy", "--service", QUEUE)
# What a shell, YAML, JSON, a URL, a .env and a terminal would each stumble over.
AWKWARD = "\n'q\"uo`te$x} %41 #ü&\\: \r;"

# A version that prints what it was told to keep for itself, in several ways, and ends.
CHATTY = """\
import base64, time, urllib.parse, yaml
text = open("/azaion/config.yaml").read()
told = yaml.safe_load(text)
user, password = told["queue"]["user"], told["queue"]["password"]
print(text, told, told["api"]["password"])
print("amqp://" + user + ":" + urllib.parse.quote(password, safe="") + "@broker/")
print("Basic " + base64.b64encode((user + ":" + password).encode()).decode())
print("Error while handling", password, "of", told["api"]["password"].splitlines()[0])
time.sleep(2)
raise SystemExit(1)
"""

# Takes a part of what is meant for the program, as a `read` in a login shell's start-up file does.
GREEDY = """\
#!/usr/bin/python3 -IS
import subprocess, sys
data = sys.stdin.buffer.read()
subprocess.run(["/usr/bin/python3", *sys.argv[1:]], input=data[data.rindex(b"PASSWORD") :])
"""

# Carries what comes on standard input to a port, and back.
PIPE = """\
import os, socket, sys, threading
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def carry(read, write):
    while block := read(65536):
        write(block)
threading.Thread(target=carry, args=(lambda size: os.read(0, size), sock.sendall), daemon=True).start()
carry(sock.recv, lambda block: os.write(1, block))
"""


def fresh() -> str:
    return token_urlsafe(9) + AWKWARD + token_urlsafe(9)


def lived(laptop: Laptop) -> Life:
    """Deploys under two umasks, goes back, adopts, looks, fails, is cancelled, is killed and recovers."""
    life = Life(laptop)
    life.secrets |= {name: value for name, value in laptop.variables.items() if name.endswith("PASSWORD")}
    laptop.queue["watch"] |= {"settle": 0, "window": 1}
    life.set("AZAION_API_PASSWORD", fresh())
    life.set("AMQP_URL", token_urlsafe(18), around="amqp://azaion:{}@broker/")
    life.set("LOGIN", token_urlsafe(18))
    template = laptop.folder / "templates/config.yaml.j2"
    template.write_text(template.read_text() + "broker: {{ AMQP_URL }}\nlogin: {{ LOGIN }}\n")
    published(life.sandbox, 100)
    begun = time.time()
    shim.install(life.sandbox)
    try:
        with sampling() as sampled:
            for part in (_deployments, _looks, _housekeeping, _on_the_server, _looked_after, _failures, _deaths):
                part(life)
        life.shown["docker calls"] = "\n".join(" ".join(words) for words in shim.logged(life.sandbox))
    finally:
        shim.remove(life.sandbox)
    life.shown["processes"] = sampled.text.decode("utf-8", "surrogateescape")
    _ask_docker(life, begun)
    return life


def _deployments(life: Life) -> None:
    life.umask("0000")
    life.fab("deploy", "--json", "--debug")
    life.note_modes("first deploy")
    life.umask("0077")
    life.fab(*DEPLOY, "--tag", "1.1", "--debug")
    life.note_modes("deploy")
    life.umask("0000")
    life.fab("rollback", "--json", "--debug")
    life.note_modes("rollback")
    life.search("after a rollback")
    docker(life.sandbox, "rm", "--force", QUEUE)
    started_consumer(life.sandbox, "1.0")
    run_inside(life.sandbox, ["rm", "-r", f"/home/{LOGIN_USER}/.docker"])  # the test's own login
    life.fab(*DEPLOY, "--tag", "1.1", "--adopt", "--debug")
    life.note_modes("adoption")


def _looks(life: Life) -> None:
    """What changes nothing, by way of a program that connects for ssh."""
    life.set("AZAION_API_PASSWORD", fresh())
    folder = life.laptop.folder
    (folder / "pipe.py").write_text(PIPE)
    (folder / ".ssh").mkdir()
    command = f"{sys.executable} {folder / 'pipe.py'} {life.sandbox.ssh_port}"
    (folder / ".ssh/config").write_text(f"Host 127.0.0.1\n ProxyCommand {command}\n")
    life.fab(*DEPLOY, "--dry-run", "--json", "--debug")
    life.fab("status", "--json", "--debug")
    life.fab("health", "--json", "--debug", status=None)
    life.fab("follow", "--debug")
    (folder / ".ssh/config").unlink()


def _housekeeping(life: Life) -> None:
    """Everything else that is given secrets, or comes by them; a service reads some from a file of its own."""
    names = ["AZAION_API_URL", "AZAION_API_PASSWORD"]
    life.laptop.queue["env_file"] = {
        "path": f"{ROOT}/queue.env",
        "variables": names,
        "owner": "1000:2000",
        "mode": "0640",
    }
    life.save()
    life.fab("setup", "--json", "--debug")
    for words in (("env.diff", "--json"), ("env.push", "--dry-run"), ("env.push",), ("env.diff",)):
        life.fab(*words, "--debug")
    life.set("AZAION_API_PASSWORD", fresh())
    life.fab("env.push", "--json", "--debug")  # the one before is kept
    life.fab("preflight", "--json", "--debug", status=None)
    life.fab("diff", "--json", "--debug")
    life.fab("models.use", "2026-04-20", "--json", "--debug")
    life.fab("models", "--verify", "--debug")
    life.fab("pause", "--for", "1h", "--reason", "a look", "--debug")
    life.fab(*DEPLOY, "--force", "--debug", status=12)
    life.fab("resume", "--debug")
    life.fab("restart", QUEUE, "--debug")
    life.fab("logs", "--tail", "50", "--json", "--debug")
    life.fab("training.command", "--debug", status=None)
    life.fab("prune", "--keep", "2", "--json", "--debug")
    life.fab("history", "--json", "--debug")
    life.note_modes("housekeeping")
    life.search("after the housekeeping")
    run_inside(life.sandbox, ["rm", "-r", f"/home/{LOGIN_USER}/.docker"])  # what comes now has no login of its own


def _on_the_server(life: Life) -> None:
    """The variables stand on the server: what reads them there, what is refused of them, and what brings them here."""
    life.set("AZAION_API_PASSWORD", fresh())
    path, env = "/etc/azaion/.env", life.laptop.folder / ".env"
    whole, before = env.read_bytes(), set(life.laptop.folder.iterdir())

    def there(data: bytes, mode: str = "600") -> None:
        script = f"mkdir -p /etc/azaion && base64 -d >{path} && chown {LOGIN_USER} {path} && chmod {mode} {path}"
        run_inside(life.sandbox, ["sh", "-ec", script], input=b64encode(data).decode())

    with _changed(life, life.laptop.host, "env", {"server": path}):
        env.unlink()
        there(whole)
        for words in (
            (*DEPLOY, "--dry-run"),
            ("preflight",),
            ("diff",),
            ("env.diff",),
            ("status",),
            ("health",),
            ("logs",),
            ("schedule.install",),
            ("schedule.remove",),
        ):
            life.fab(*words, "--json", "--debug", status=None if words in (("health",), ("preflight",)) else 0)
        assert life.hunt.in_folder(life.laptop.folder) == {}
        there(whole, "644")
        life.fab("status", "--debug", status=12)
        for wrong in (b"A='" + whole, whole + b"A=\xff\n", whole.replace(b"RABBITMQ_PORT", b"NO_PORT")):
            there(wrong)
            life.fab(*DEPLOY, "--json", "--debug", status=10)
        there(whole)
        life.fab("env.import", "--json", "--debug")
        env.write_bytes(b"A=1\n")
        life.fab("env.import", "--debug", status=12)
        life.fab("env.import", "--yes", "--debug")
        run_inside(life.sandbox, ["rm", "-r", "/etc/azaion"])
    for kept in set(life.laptop.folder.iterdir()) - before - {env}:
        kept.unlink()


def _looked_after(life: Life) -> None:
    """The scheduled check, with alerts that nobody takes, and what is shown of it."""
    life.set("HOOK_URL", token_urlsafe(18), around="http://127.0.0.1:9/hook/{}")
    life.set("PING_URL", token_urlsafe(18), around="http://127.0.0.1:9/ping/{}")
    life.set("MAIL_PASSWORD", fresh())
    life.set("HOOK_TOKEN", fresh())
    people = {"sender": "gpu-1@team.lan", "recipients": ["me@team.lan"]}
    login = {"user": "gpu-1", "password_variable": "MAIL_PASSWORD"}
    alerts = {
        "chat": {"kind": "webhook", "url_variable": "HOOK_URL", "token_variable": "HOOK_TOKEN"},
        "mail": {"kind": "smtp", "host": "127.0.0.1", "port": 9, **people, **login},
        "shell": {"kind": "command", "command": ["false", "{title}"]},
    }
    with _changed(life, life.laptop.hosts, "schedule", {"alerts": alerts, "heartbeat_variable": "PING_URL"}):
        life.fab("schedule.install", "--json", "--debug")
        life.fab("schedule.test", "--json", "--debug", status=2)
        set_gpu(life.sandbox, exit=9, text="no driver")
        for _ in range(2):
            fire(life.sandbox)
        set_gpu(life.sandbox)
        life.fab("schedule.show", "--json", "--debug", status=2)
        life.fab("health", "--json", "--debug", status=None)
        life.fab("health", "--since", "1h", "--json", "--debug")
        life.fab("report", "--debug")
        life.shown["crontab"] = run_inside(life.sandbox, ["crontab", "-l"], user=LOGIN_USER).stdout
        life.note_modes("looked after")
        life.search("looked after")
        life.fab("schedule.remove", "--json", "--debug")


def _failures(life: Life) -> None:
    with _changed(life, life.laptop.queue, "command", ["python3", "-uc", CHATTY]):
        life.fab(*DEPLOY, "--no-rollback", "--debug", status=14)
        life.chatty += docker(
            life.sandbox, "ps", "--all", "--quiet", "--no-trunc", "--filter", f"name=^{QUEUE}$"
        ).split()
        life.fab("logs", QUEUE, "--debug")
        life.fab("rollback", "--debug")
        life.fab(*DEPLOY, "--json", "--debug", status=13)
    life.fab("follow", "--debug", status=13)
    life.chatty += docker(life.sandbox, "ps", "--all", "--quiet", "--no-trunc", "--filter", "status=exited").split()[:1]
    with _changed(life, life.laptop.variables, "REGISTRY_PASSWORD", fresh()):
        life.fab(*DEPLOY, "--tag", "2.0", "--debug", status=12)
    with _changed(life, life.laptop.variables, "RABBITMQ_MONITOR_PASSWORD", fresh()):
        life.fab("health", "--debug", status=None)
    run_inside(life.sandbox, ["tee", "/usr/local/bin/greedy"], input=GREEDY)
    run_inside(life.sandbox, ["chmod", "755", "/usr/local/bin/greedy"])
    with _changed(life, life.laptop.host, "python", "/usr/local/bin/greedy"):
        life.fab(*DEPLOY, "--debug", status=17)
    with _changed(life, life.laptop.host, "port", life.sandbox.port_base):
        life.fab("status", "--debug", status=11)
    template = life.laptop.folder / "templates/config.yaml.j2"
    text = template.read_text()
    for broken in ("a: {{ AZAION_API_PASSWORD | int }}\n", "a: {{ {}[AZAION_API_PASSWORD] }}\n"):
        template.write_text(broken)
        life.fab(*DEPLOY, "--debug", status=10)
    template.write_text(text)


@contextmanager
def _changed(life: Life, entries: dict[str, Any], key: str, value: Any) -> Iterator[None]:
    """For a while, an entry of hosts.yaml or .env is another one; a password is hunted for ever after."""
    before = entries.get(key)
    if entries is life.laptop.variables:
        life.secrets[f"{key} {len(life.secrets)}"] = value
    entries[key] = value
    life.save()
    yield
    if before is None:
        del entries[key]
    else:
        entries[key] = before
    life.save()


def _deaths(life: Life) -> None:
    """A run that is cancelled while it makes ready, and one that is killed in its swap and brought to an end."""
    words = (*DEPLOY, "--force", "--debug")
    _halt(life, words, Point("before", 1), _cancel, 15)
    _halt(life, words, Point("before", 5), DEATHS["process and children"].strike, 14)
    life.search("cut off")
    life.fab("status", "--debug")
    life.fab(*words)
    life.note_modes("recovery")
    life.search("at the end")


def _halt(life: Life, words: Sequence[str], point: Point, strike: Strike, status: int) -> None:
    shim.arm(life.sandbox, point)
    with life.laptop.start(*words) as process:
        assert shim.wait_for_point(life.sandbox, point, lambda: process.poll() is not None)
        strike(life.sandbox, process)
        shim.let_go(life.sandbox)
        life.heard(finished(process), words, status)


def _cancel(sandbox: Sandbox, process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    decided = ["sh", "-c", f"grep -l cancelled {STATE}/runs/*.decision"]
    wait_until(lambda: run_inside(sandbox, decided, check=False).returncode == 0, 20, "run (its cancellation)")


def _ask_docker(life: Life, begun: float) -> None:
    ids = docker(life.sandbox, "ps", "--all", "--quiet").split()
    images = docker(life.sandbox, "images", "--quiet").split()
    life.shown["containers"] = docker(life.sandbox, "inspect", *ids)
    life.shown["images"] = docker(life.sandbox, "image", "inspect", *images)
    window = ("--since", f"{begun:.6f}", "--until", f"{time.time():.6f}", "--format", "{{json .}}")
    life.shown["events"] = docker(life.sandbox, "events", *window)
