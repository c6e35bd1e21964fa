"""What stands on the GPU server: its sshd, its engine, its cron, its stand-in GPU driver and the /azaion tree."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from sandbox.image.training import archive
from sandbox.place import CONTAINERD, LOGIN_USER, Sandbox
from sandbox.roots import GROUPS, LOGIN, LOGIN_UID, SERVER_USERS, SHARED_GID, build, give_directory, give_file

PROGRAMS = Path(__file__).with_name("server")
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
MODELS = ("azaion-2026-03-02", "azaion-2026-04-20")  # the second is in force
IN_FORCE = "models/azaion.pt"
TREE = ("data", "data-seed", "data_deleted", "data-processed", "data-corrupted", "datasets", "models", "logs")
CRONTAB = "usr/bin/crontab"
PENALISES = "usr/lib/openssh/sshd-session"  # of an sshd that makes whoever asks often wait
# Cron asks whether it may act for a user; without an answer it runs nothing, and says so nowhere.
PAM_CRON = "".join(f"{question} required pam_permit.so\n" for question in ("auth", "account", "session"))
SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
AllowUsers {user}
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
PrintMotd no
LogLevel VERBOSE
Subsystem sftp internal-sftp
SetEnv PATH=/usr/local/bin:/usr/bin:/bin
"""


def prepare(sandbox: Sandbox, owner: tuple[int, int]) -> None:
    """Write everything that the server's parts read at their start, and the keys that log in."""
    # /usr/bin/crontab is the base's, and acts as the group that it belongs to.
    crontab = (sandbox.base / CRONTAB).stat().st_gid
    build(sandbox.server, SERVER_USERS, {**GROUPS, "crontab": (crontab, "")})
    _prepare_door(sandbox, owner)
    _prepare_engine(sandbox)
    _prepare_cron(sandbox, crontab)
    _install(sandbox, "nvidia-smi", "bin")
    _install(sandbox, "stuck-driver", "sbin")
    _install(sandbox, "line", "sbin")
    give_tree(sandbox)


def give_tree(sandbox: Sandbox) -> None:
    """Lay /azaion out; doing it again changes nothing."""
    azaion = sandbox.server.root / "azaion"
    give_directory(azaion, LOGIN_UID, 0o2770, SHARED_GID)
    weights = [f"models/{model}/weights" for model in MODELS]
    for name in (*TREE, *(f"models/{model}" for model in MODELS), *weights):
        give_directory(azaion / name, LOGIN_UID, 0o2770, SHARED_GID)
    for model, folder in zip(MODELS, weights, strict=True):
        give_file(azaion / folder / "best.pt", archive(f"weights of {model}"), LOGIN_UID)
    give_file(azaion / IN_FORCE, archive(f"weights of {MODELS[-1]}"), LOGIN_UID, 0o640)


def _prepare_door(sandbox: Sandbox, owner: tuple[int, int]) -> None:
    ssh = sandbox.server.root / "etc/ssh"
    ssh.mkdir(exist_ok=True)
    host_key = ssh / "ssh_host_ed25519_key"
    _generate(host_key, f"root@{sandbox.server.hostname}")
    _generate(sandbox.key_file, f"{LOGIN_USER}@sandbox")
    config = SSHD_CONFIG.format(port=sandbox.sshd_port, user=LOGIN_USER)
    config += "PerSourcePenalties no\n" if (sandbox.base / PENALISES).exists() else ""
    give_file(ssh / "sshd_config", config)

    home = sandbox.server.root / LOGIN.home.lstrip("/")
    give_directory(home / ".ssh", LOGIN_UID, 0o700)
    public = sandbox.key_file.with_suffix(".pub")
    give_file(home / ".ssh/authorized_keys", public.read_text(), LOGIN_UID, 0o600)

    algorithm, key = host_key.with_suffix(".pub").read_text().split()[:2]
    lines = [f"[127.0.0.1]:{port} {algorithm} {key}\n" for port in (sandbox.ssh_port, sandbox.sshd_port)]
    sandbox.known_hosts.write_text("".join(lines))
    for path in (sandbox.key_file, public, sandbox.known_hosts):
        os.chown(path, *owner)


def _generate(path: Path, comment: str) -> None:
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], check=True)


def _prepare_engine(sandbox: Sandbox) -> None:
    # Containers use the host's network: no bridge, no address rules, nothing changed on the real machine.
    settings: dict[str, object] = {
        "bridge": "none",
        "iptables": False,
        "ip-forward": False,
        "cgroup-parent": f"/{sandbox.cgroup}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "insecure-registries": [sandbox.registry],
    }
    if sandbox.engine == CONTAINERD:
        settings |= {"features": {"containerd-snapshotter": True}, "containerd": CONTAINERD_SOCKET}
    give_file(sandbox.server.root / "etc/docker/daemon.json", json.dumps(settings, indent=2) + "\n")
    # A hook of this name on the engine's PATH is how the engine recognises NVIDIA's toolkit and accepts --gpus.
    give_file(sandbox.server.local / "sbin/nvidia-container-runtime-hook", "#!/bin/sh\nexit 0\n", mode=0o755)


def _prepare_cron(sandbox: Sandbox, group: int) -> None:
    root = sandbox.server.root
    give_directory(root / "etc/cron.d", 0)
    give_file(root / "etc/pam.d/cron", PAM_CRON)
    tables = root / "var/spool/cron/crontabs"
    give_directory(tables, 0, 0o1730)
    os.chown(tables, 0, group)


def _install(sandbox: Sandbox, program: str, directory: str) -> None:
    source = PROGRAMS / f"{program.replace('-', '_')}.py"
    give_file(sandbox.server.local / directory / program, source.read_text(), mode=0o755)
