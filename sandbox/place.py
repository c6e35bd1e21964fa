"""Where a sandbox lives: its directory, its ports, its two machines."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DEFAULT_DIRECTORY = CHECKOUT / ".sandbox"
DEFAULT_PORT_BASE = 24000  # below the ports that the kernel hands out by itself (32768 and up)

STREAM = "azaion-annotations"
CONSUMER_REPOSITORY = "azaion/annotation-queue"
TRAINING_REPOSITORY = "azaion/training"
LOGIN_USER = "deploy"
BROKER_CA = "/etc/rabbitmq-ca.pem"

OWN = Path("/")  # the base of a machine that runs this machine's own programs
CONTROL_GROUPS = Path("/sys/fs/cgroup")
# Of a docker engine: as it comes; with a containerd and control groups of version 2, and images in containerd's store;
# one that speaks no API older than that of docker 25, as engine 29 does.
CLASSIC, CONTAINERD, API_FLOOR = ENGINES = ("classic", "containerd", "api-floor")


@dataclass(frozen=True)
class Machine:
    """A machine within the machine: a private root, and processes that end with its process 1.

    base: the root whose /usr it runs on; control_groups: what it has at /sys/fs/cgroup.
    """

    hostname: str
    directory: Path
    base: Path = OWN
    control_groups: Path = CONTROL_GROUPS

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def machine_id(self) -> str:
        """As systemd would have made it once; the same for every sandbox."""
        return hashlib.sha256(self.hostname.encode()).hexdigest()[:32]

    @property
    def local(self) -> Path:
        """What is mounted at /usr/local, in front of the real machine's own."""
        return self.directory / "local"


@dataclass(frozen=True)
class Sandbox:
    """A GPU server and the services it talks to, all on loopback.

    Two sandboxes stand side by side if both their directories and their port bases differ. base: the Debian that its
    machines run; engine: one of `ENGINES`.
    """

    directory: Path = DEFAULT_DIRECTORY
    port_base: int = DEFAULT_PORT_BASE
    base: Path = OWN
    engine: str = CLASSIC

    @property
    def server(self) -> Machine:
        """The GPU server: sshd, the container engine, nvidia-smi, /azaion."""
        second = CONTROL_GROUPS / "unified"
        groups = second if self.engine == CONTAINERD and second.exists() else CONTROL_GROUPS
        return Machine("gpu-1", self.directory / "server", self.base, groups)

    @property
    def services(self) -> Machine:
        """What a team runs elsewhere: the registry and the broker. It survives a reboot of the server.

        A base that lacks one of the two is for the server alone.
        """
        both = (self.base / "usr/sbin/rabbitmq-server", self.base / "usr/bin/docker-registry")
        return Machine("services", self.directory / "services", self.base if all(map(_is_there, both)) else OWN)

    @property
    def ssh_port(self) -> int:
        """The published port, through the line on which delays and faults can be set."""
        return self.port_base + 22

    @property
    def sshd_port(self) -> int:
        """The same sshd without the line in front."""
        return self.port_base + 23

    @property
    def registry_port(self) -> int:
        return self.port_base + 50

    @property
    def stream_port(self) -> int:
        return self.port_base + 52

    @property
    def stream_tls_port(self) -> int:
        """The same in TLS, with a certificate for `localhost` of a CA that BROKER_CA on the server has."""
        return self.port_base + 51

    @property
    def epmd_port(self) -> int:
        return self.port_base + 69

    @property
    def amqp_port(self) -> int:
        return self.port_base + 72

    @property
    def distribution_port(self) -> int:
        return self.port_base + 73

    @property
    def ports(self) -> dict[str, int]:
        return {
            "ssh": self.ssh_port,
            "sshd": self.sshd_port,
            "registry": self.registry_port,
            "stream": self.stream_port,
            "stream (TLS)": self.stream_tls_port,
            "epmd": self.epmd_port,
            "amqp": self.amqp_port,
            "distribution": self.distribution_port,
        }

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self.registry_port}"

    @property
    def cgroup(self) -> str:
        """The parent of every container's control group, so that `down` finds them all."""
        return f"gpu-sandbox-{self.port_base}"

    @property
    def key_file(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def env_file(self) -> Path:
        return self.directory / ".env"

    @property
    def libraries(self) -> Path:
        """The packages of the consumer image; the producer borrows them."""
        return self.directory / "libraries"


def _is_there(program: Path) -> bool:
    return os.path.lexists(program)  # a link may lead to where only the base's own root has something
