"""How a sandbox is: which parts run, what the registry holds, what to type next."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.images import ALL_TAGS
from sandbox.parts import running
from sandbox.passwords import read
from sandbox.place import OWN, Sandbox
from sandbox.registry import tags


@dataclass(frozen=True)
class Status:
    """`parts` says of each whether it runs; `tags` holds what each repository has, empty where nobody can be asked."""

    sandbox: Sandbox
    parts: dict[str, bool]
    tags: dict[str, set[str]]

    @property
    def up(self) -> bool:
        held = all(tags <= self.tags.get(name, set()) for name, tags in ALL_TAGS.items())  # and what else was pushed
        return all(self.parts.values()) and held


def status(sandbox: Sandbox) -> Status:
    runs = running(sandbox)
    held = tags(sandbox, read(sandbox.env_file)["REGISTRY_PASSWORD"]) if runs["registry"] else {}
    return Status(sandbox, runs, held)


def is_up(sandbox: Sandbox) -> bool:
    return status(sandbox).up


def describe(status: Status) -> list[str]:
    """The status in lines for a person."""
    sandbox = status.sandbox
    if not any(status.parts.values()):
        return [f"no sandbox is up in {sandbox.directory}", "next: fab sandbox.up"]
    where = {
        "broker": f"RabbitMQ, stream on 127.0.0.1:{sandbox.stream_port}",
        "registry": f"docker registry on {sandbox.registry}",
        "containerd": "containerd of the server, which holds the engine's images",
        "engine": "docker engine of the server, on its own socket",
        "sshd": f"the server's sshd on 127.0.0.1:{sandbox.sshd_port}",
        "line": f"the line to it on 127.0.0.1:{sandbox.ssh_port}: the published port",
        "cron": "cron of the server, which runs its users' crontabs",
    }
    lines = [f"{'up  ' if runs else 'DOWN'}  {name:9} {where[name]}" for name, runs in status.parts.items()]
    lines += [f"image {name}: {', '.join(sorted(held))}" for name, held in status.tags.items()]
    lines += [f"base: the Debian in {sandbox.base}"] if sandbox.base != OWN else []
    login = f"ssh -i {sandbox.key_file} -o UserKnownHostsFile={sandbox.known_hosts} -p {sandbox.ssh_port}"
    lines.append(f"log in: {login} deploy@127.0.0.1")
    lines.append("next: fab deploy" if status.up else "next: fab sandbox.up, which starts what is down")
    return lines
