"""Does the docker command of this login reach the docker engine? All that changes a container is done by it."""

from __future__ import annotations

import os

from gpu_runbook.common import command, limits
from gpu_runbook.protocol.check import CRITICAL, OK, SKIPPED, Check
from gpu_runbook.protocol.foreign_text import named, quoted
from gpu_runbook.server.docker.engine import Engine

SECONDS = 4.0  # two commands, and the engine, are to answer before the deadline of a check
PLACES = ("/usr/bin", "/usr/local/bin", "/snap/bin", "/usr/sbin", "/opt/bin", "/bin")
VERSIONS = "{{.Client.Version}} {{.Server.Version}} {{.Client.BuildTime}}"  # podman's knows no such time
OURS = "DOCKER_HOST"  # is set by whoever runs the command
SAID = 200  # characters of what it objects


def untried(name: str, why: str) -> Check:
    """The row where there is no engine, for the reason given: nothing is said against the command."""
    return Check(name, SKIPPED, f"it could not be tried: {why}")


def check(name: str, engine: Engine) -> Check:
    """Runs `docker version`, which asks the engine at its address as every other docker command does."""
    ended = command.run(["docker", "version", "--format", VERSIONS], SECONDS, env=engine.environment)
    if ended.status == command.NOT_RUN and not limits.told(ended.err):
        return _not_there(name, ended.complaint)
    words = ended.out.split()
    if ended.ok and len(words) > 1:
        return Check(name, OK, f"docker {named(words[0])} works with the engine {named(words[1])}")
    if "podman" in command.run(["docker", "--version"], SECONDS).out.lower():
        said = "the docker command of this login is podman's, which has containers of its own"
        return Check(name, CRITICAL, said, hint="install docker's own: docker-ce-cli, docker-cli or docker.io")
    return Check(name, CRITICAL, f"docker refuses to work: {quoted(ended.complaint, SAID)}", hint=_remedy(ended.err))


def _not_there(name: str, complaint: str) -> Check:
    path = os.environ.get("PATH", os.defpath)
    found = next((place for place in PLACES if os.access(os.path.join(place, "docker"), os.X_OK)), "")
    if found:
        hint = f"{found}/docker is there: add {found} to the PATH of this login, in /etc/environment or its ~/.bashrc"
    else:
        hint = "install docker's command: docker-ce-cli, docker-cli or docker.io"
    return Check(name, CRITICAL, f"no docker command can be run ({complaint}; PATH is {quoted(path, SAID)})", hint=hint)


def _remedy(said: str) -> str:
    """What a login may have set that the docker command obeys; else it is too old or too new."""
    if limits.told(said):
        return limits.HINT
    left = [variable for variable in sorted(os.environ) if variable.startswith("DOCKER_") and variable != OURS]
    if left:
        return f"this login sets {', '.join(left)}: take that out of /etc/environment, ~/.profile or ~/.bashrc"
    return "run docker version on the server; the packages of docker's command and of its engine belong together"
