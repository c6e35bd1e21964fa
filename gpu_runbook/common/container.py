"""The containers that a deploy makes: command and labels, what they and their images are called, how health is told."""

from __future__ import annotations

from typing import Dict, List

from gpu_runbook.protocol.plan import CDI, NO_CHECK, ConsumerStep, Spec

KILLED = 137  # the exit status of one whose grace period ran out, or that the kernel has killed
STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"  # what a HEALTHCHECK may say
LABEL = "gpu-runbook"
KEPT = f"{LABEL}/kept"  # the repository of names by which images of kept releases outlive a docker system prune
ADOPTED = "adopted-"  # before the run's id: the release that a container gets which was there before us


def create_command(spec: Spec, name: str, image: str, labels: Dict[str, str]) -> List[str]:
    """The `docker create` for a spec. The restart policy is set once the container is in its place, never before."""
    command = ["docker", "create", "--name", name, "--restart", "no", "--pull", "never"]
    for key, value in sorted({**spec.labels, **labels}.items()):
        command += ["--label", f"{key}={value}"]
    for key, value in sorted(spec.environment.items()):
        command += ["--env", f"{key}={value}"]
    for mount in spec.mounts:
        command += ["--volume", mount]
    gpus = spec.gpus
    if gpus.startswith(CDI):
        for device in gpus.split(","):
            command += ["--device", device]
        gpus = ""
    options = {
        "--user": spec.user,
        "--network": spec.network,
        "--gpus": f'"{gpus}"' if "," in gpus else gpus,  # docker reads it as a line of CSV
        "--memory": spec.memory,
        "--stop-signal": spec.stop_signal,
        "--stop-timeout": str(spec.stop_grace),
    }
    for option, given in options.items():
        command += [option, given] if given else []
    command += _health(spec)
    if not any(word.startswith("--log-driver=") for word in spec.options):
        command += ["--log-driver", "json-file"]
        command += ["--log-opt", f"max-size={spec.log_size}", "--log-opt", f"max-file={spec.log_files}"]
    return [*command, *spec.options, image, *spec.command]


def _health(spec: Spec) -> List[str]:
    check = spec.healthcheck
    if check is None:
        return []
    if check.command == NO_CHECK:
        return ["--no-healthcheck"]
    return [
        *("--health-cmd", check.command, "--health-retries", str(check.retries)),
        *("--health-interval", f"{check.interval}s", "--health-timeout", f"{check.timeout}s"),
        *("--health-start-period", f"{check.start_period}s"),
    ]


def labels(service: str, release: str, spec: str, config: str, state: str = "") -> Dict[str, str]:
    """What our containers say of themselves. `state`: the folder that knows them; it gives no right, see checks.state.

    Without one while that folder is still in the root: it is to move.
    """
    found = {"service": service, "release": release, "spec": spec, "config": config}
    if state:
        found["state"] = state
    return {f"{LABEL}.{name}": value for name, value in found.items()}


def parked(service: str, release: str) -> str:
    """The name of a container that is not in force."""
    return f"{service}.{release}"


def old_release(step: ConsumerStep, run: str) -> str:
    """The release the old container belongs to; one that was adopted gets a release of its own."""
    return step.old.release if step.old and step.old.ours else ADOPTED + run


def health_told(health: str) -> str:
    """What is added to how a container is, where it has a HEALTHCHECK that does not speak against it."""
    return f", HEALTHCHECK {health}" if health in (STARTING, HEALTHY) else ""
