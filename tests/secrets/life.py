"""One laptop's dealings with its server, and the evidence of all that was said, shown and left lying."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from sandbox import Sandbox, run_inside
from sandbox.place import LOGIN_USER
from tests.deploy.laptop import Laptop, Said
from tests.real import ROOT, STATE
from tests.secrets.hunt import Hunt, hunt_for


@dataclass
class Life:
    """One laptop's dealings with its server, and the evidence of them."""

    laptop: Laptop
    secrets: dict[str, str] = field(default_factory=dict)  # every value that ever stood in .env, by a name of its own
    said: dict[str, str] = field(default_factory=dict)  # what each command said, standard output and error
    shown: dict[str, str] = field(default_factory=dict)  # what the server's own tools show
    modes: dict[str, list[str]] = field(default_factory=dict)  # after each command: type, mode, owner, path
    resting: dict[str, dict[str, tuple[str, list[str]]]] = field(default_factory=dict)  # where secrets lay, and when
    chatty: list[str] = field(default_factory=list)  # the containers that printed their secrets by themselves

    @property
    def hunt(self) -> Hunt:
        return hunt_for(self.secrets)

    @property
    def sandbox(self) -> Sandbox:
        return self.laptop.sandbox

    def set(self, variable: str, value: str, around: str = "{}") -> None:
        """Give a variable of .env a value, with what is no secret around it, and hunt for it from now on."""
        self.laptop.variables[variable] = around.format(value)
        self.secrets[f"{variable} {len(self.secrets)}"] = value
        self.save()

    def save(self) -> None:
        """Write hosts.yaml and .env; in double quotes, since these values hold everything."""
        self.laptop.save()
        lines = [f'{name}="{_escaped(value)}"\n' for name, value in self.laptop.variables.items()]
        (self.laptop.folder / ".env").write_text("".join(lines), newline="")

    def fab(self, *words: str, status: int | None = 0) -> Said:
        """Run a `fab` that has to end with this status, or with whichever it likes."""
        return self.heard(self.laptop.fab(*words), words, status)

    def heard(self, said: Said, words: Sequence[str], status: int | None) -> Said:
        self.said[f"{len(self.said)}: {' '.join(words)}"] = said.all
        assert status in (None, said.status), said.all
        return said

    def note_modes(self, when: str) -> None:
        listed = run_inside(self.sandbox, ["find", STATE, f"{ROOT}/config.yaml", "-printf", "%y %m %U %p\n"])
        self.modes[when] = sorted(listed.stdout.splitlines())

    def search(self, when: str) -> None:
        self.resting[when] = self.hunt.on_the_server(self.sandbox)

    def umask(self, mask: str) -> None:
        """What the login user's shell allows others from now on."""
        script = f"echo umask {mask} >/home/{LOGIN_USER}/.bashrc"
        run_inside(self.sandbox, ["sh", "-c", script], user=LOGIN_USER)
        assert self._login("umask") == mask

    def _login(self, command: str) -> str:
        words = ["ssh", "-F", "none", "-i", str(self.sandbox.key_file), "-p", str(self.sandbox.ssh_port)]
        words += ["-o", f"UserKnownHostsFile={self.sandbox.known_hosts}", f"{LOGIN_USER}@127.0.0.1", command]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _escaped(value: str) -> str:
    for char, name in (("\\", "\\"), ('"', '"'), ("\n", "n"), ("\r", "r")):
        value = value.replace(char, f"\\{name}")
    return value
