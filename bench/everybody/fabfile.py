"""The deploy as everybody writes it with Fabric, to compare with: a `put`, and one `run` after the other.

It is meant to be a good one of its kind: preflight, the previous tag kept, the image pulled before anything is stopped,
the config renamed into place, the end checked. It has what a sequence over a network has: the consumer is down for
several round trips, a laptop that dies halfway leaves it down, and nobody else is kept out meanwhile.
"""

import json
from io import BytesIO, StringIO
from pathlib import Path
from time import sleep

import yaml
from dotenv import dotenv_values
from fabric import Connection, task
from invoke.exceptions import Exit
from jinja2 import Environment

NAME = "annotation-queue"
QUOTING = Environment(finalize=lambda value: json.dumps(value) if isinstance(value, str) else value, autoescape=False)


@task
def deploy(context, tag):
    """Replace the consumer's container by one of another tag."""
    hosts, known = yaml.safe_load(Path("hosts.yaml").read_text()), dotenv_values(".env")
    server, registry = hosts["defaults"] | hosts["hosts"]["gpu-1"], hosts["registry"]
    service = hosts["services"][NAME]
    root, image = server["root"], f"{registry['server']}/{service['image']}:{tag}"
    config = QUOTING.from_string(Path(service["config"]["template"]).read_text()).render({**known, "root": root})
    login = {"port": server["port"], "connect_kwargs": {"key_filename": server["key"]}}
    with Connection(server["address"], user=server["user"], **login) as there:

        def run(command, **more):
            return there.run(command, hide=True, **{"in_stream": False, **more}).stdout.strip()

        run(f"df {root}")
        run("nvidia-smi")
        previous = run(f"docker inspect --format '{{{{.Config.Image}}}}' {NAME} 2>/dev/null || true")
        there.put(BytesIO(config.encode()), f"{root}/config.yaml.new")
        owner, mode = service["config"]["owner"], service["config"]["mode"]
        run(f"chown {owner} {root}/config.yaml.new && chmod {mode} {root}/config.yaml.new")
        password = StringIO(known["REGISTRY_PASSWORD"] + "\n")
        run(f"docker login {registry['server']} --username {registry['username']} --password-stdin", in_stream=password)
        run(f"docker pull {image}")
        run(f"echo {previous} >> {root}/previous-tags")
        run(f"docker stop -t {service['stop_grace']} {NAME} || true")
        run(f"docker rm {NAME} || true")
        run(f"mv {root}/config.yaml.new {root}/config.yaml")
        options = f"--name {NAME} --restart unless-stopped --network {service['network']} --user {service['user']}"
        run(f"docker run --detach {options} --volume {service['mounts'][0]} {image}")
        sleep(service["watch"]["settle"])
        if run(f"docker inspect --format '{{{{.State.Running}}}}' {NAME}") != "true":
            raise Exit(f"{NAME} does not run:\n{run(f'docker logs --tail 20 {NAME} 2>&1')}", 1)
        print(run(f"docker logs --tail 20 {NAME} 2>&1"), run(f"cat {root}/offset.yaml"))
