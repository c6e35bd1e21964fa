"""What a deploy refuses: one sentence, the documented exit status, and the server as it was."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput, CannotConnect, Refused
from sandbox import Sandbox, run_inside, start, stop
from sandbox.machine import wait_until
from tests import real
from tests.deploy.laptop import QUEUE, Laptop, new_laptop
from tests.deploy.refused import DEPLOY, refused, says_no
from tests.deploy.standing import RUNS
from tests.real import ROOT, STATE, consumer_image, docker, published, server_snapshot, wait_for_annotations

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def standing(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A server on which a release is in force. Nothing a test of this module asks for may change it."""
    real.clean(sandbox)
    published(sandbox, 60)
    new_laptop(tmp_path_factory.mktemp("first"), sandbox).deployed()
    wait_for_annotations(sandbox, 60)
    wait_until(lambda: real.offset(sandbox) == 60, 10, "consumer (its offset)")
    return sandbox


@pytest.fixture
def laptop(standing: Sandbox, tmp_path: Path) -> Laptop:
    return new_laptop(tmp_path, standing)


@contextmanager
def changed(sandbox: Sandbox, before: str, after: str) -> Iterator[None]:
    """Something about the server is otherwise for a while: two shell lines, there and back."""
    run_inside(sandbox, ["sh", "-ec", before])
    try:
        yield
    finally:
        run_inside(sandbox, ["sh", "-ec", after])


def test_a_tag_that_the_registry_does_not_have(laptop: Laptop) -> None:
    said = refused(laptop, Refused, *DEPLOY, "--tag", "9.9")
    assert f"the registry has no {consumer_image(laptop.sandbox, '9.9')}" in said.err
    assert "build and push it" in said.err


def test_a_wrong_registry_password(laptop: Laptop) -> None:
    laptop.variables["REGISTRY_PASSWORD"] = "not the right one"
    laptop.save()
    said = refused(laptop, Refused)
    assert "the registry refused the login" in said.err
    assert "REGISTRY_PASSWORD in .env" in said.err


def test_a_registry_that_is_down(laptop: Laptop) -> None:
    stop(laptop.sandbox, "registry")
    try:
        said = refused(laptop, Refused)
    finally:
        start(laptop.sandbox, "registry")
    assert "the registry could not be asked" in said.err


def test_a_host_key_that_is_not_known(laptop: Laptop) -> None:
    laptop.host["known_hosts"] = "nobody_known"
    laptop.save()
    said = refused(laptop, CannotConnect)
    assert "the host key of" in said.err and "is not known: ssh-ed25519 SHA256:" in said.err
    assert ">>" in said.err


def test_a_host_key_that_has_changed(laptop: Laptop) -> None:
    other = laptop.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    known = laptop.folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{laptop.sandbox.ssh_port} {other.with_suffix('.pub').read_text()}")
    laptop.host["known_hosts"] = str(known)
    laptop.save()
    said = refused(laptop, CannotConnect)
    assert "the host key has changed" in said.err
    assert f"ssh-keygen -R '[127.0.0.1]:{laptop.sandbox.ssh_port}' -f {known}" in said.err


def test_a_login_key_that_the_server_does_not_know(laptop: Laptop) -> None:
    key = laptop.folder / "another_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    laptop.host["key"] = str(key)
    laptop.save()
    said = refused(laptop, CannotConnect)
    assert "gpu-1" in said.err and str(key) in said.err


def test_a_port_that_nobody_listens_on(laptop: Laptop) -> None:
    laptop.host["port"] = _closed_port()
    laptop.save()
    assert f"127.0.0.1 port {laptop.host['port']} refuses connections" in refused(laptop, CannotConnect).err


def test_missing_variables_are_named_together_before_anything_is_contacted(laptop: Laptop) -> None:
    laptop.host["port"] = _closed_port()  # a connection that was tried would be the error
    for name in ("AZAION_API_URL", "RABBITMQ_PASSWORD"):
        del laptop.variables[name]
    laptop.variables["RABBITMQ_USER"] = ""
    laptop.save()
    before = server_snapshot(laptop.sandbox)
    said = laptop.fab(*DEPLOY)
    assert said.status == BadInput.exit_code
    for sentence in ("AZAION_API_URL is not set", "RABBITMQ_PASSWORD is not set", "RABBITMQ_USER is empty"):
        assert sentence in said.err
    assert "nothing was contacted" in said.err
    assert server_snapshot(laptop.sandbox) == before


def test_a_root_that_is_not_there(laptop: Laptop) -> None:
    laptop.hosts["defaults"]["root"] = "/nowhere"
    laptop.save()
    said = refused(laptop, Refused)
    assert "/nowhere does not exist" in said.err
    assert "let deploy own it" in said.err


def test_a_root_that_the_login_may_not_write_to(laptop: Laptop) -> None:
    with changed(laptop.sandbox, f"chown root:root {ROOT}", f"chown deploy:azaion {ROOT}"):
        assert f"{ROOT} is not a folder this login may write to" in refused(laptop, Refused).err


def test_a_first_deploy_below_a_root_that_the_login_may_not_write_to(laptop: Laptop) -> None:
    laptop.hosts["defaults"]["root"] = "/srv-of-root"
    laptop.save()
    with changed(laptop.sandbox, "mkdir /srv-of-root", "rmdir /srv-of-root"):
        assert "/srv-of-root is not writable for deploy" in refused(laptop, Refused).err


def test_notes_that_belong_to_another_login(laptop: Laptop) -> None:
    with changed(laptop.sandbox, f"chown root {STATE}", f"chown deploy {STATE}"):
        for words in (DEPLOY, ("rollback",), ("status",), ("follow",)):
            said = refused(laptop, Refused, *words)
            assert f"{STATE} belongs to root, and this login is deploy" in said.err
            assert "user: in hosts.yaml" in said.err


def test_an_owner_that_this_login_cannot_give_the_config_to(laptop: Laptop) -> None:
    laptop.queue["config"]["owner"] = "4321:4321"
    laptop.save()
    said = refused(laptop, Refused)
    assert f"this login cannot give {ROOT}/config.yaml to 4321:4321" in said.err
    assert "config.owner" in said.err


def test_an_offset_that_is_gone_although_the_consumer_has_run(laptop: Laptop) -> None:
    with changed(laptop.sandbox, f"mv {ROOT}/offset.yaml /tmp/offset", f"mv /tmp/offset {ROOT}/offset.yaml"):
        said = refused(laptop, Refused)
    assert f"{ROOT}/offset.yaml is gone though {QUEUE} has run" in said.err
    assert "every message of the stream is handled again" in said.err


def test_an_offset_beyond_the_end_of_the_stream(laptop: Laptop) -> None:
    keep = f"cp -p {ROOT}/offset.yaml /tmp/offset; echo 'offset: 999999999' >{ROOT}/offset.yaml"
    with changed(laptop.sandbox, keep, f"mv /tmp/offset {ROOT}/offset.yaml"):
        said = refused(laptop, Refused)
    assert "offset 999999999 lies beyond the end of the stream" in said.err


def test_an_offset_that_cannot_be_read(laptop: Laptop) -> None:
    keep = f"cp -p {ROOT}/offset.yaml /tmp/offset; printf 'offset: \\033[2Jtwelve\\n' >{ROOT}/offset.yaml"
    with changed(laptop.sandbox, keep, f"mv /tmp/offset {ROOT}/offset.yaml"):
        said = refused(laptop, Refused)
    assert "offset is" in said.err and "not a whole number" in said.err
    assert "\033" not in said.all


def test_a_disk_that_is_too_full(laptop: Laptop) -> None:
    laptop.hosts["health"]["disk"] |= {"warning": 0.1, "critical": 0.2}
    laptop.save()
    said = refused(laptop, Refused)
    assert f"{ROOT} is" in said.err and "% full" in said.err


def test_two_containers_in_the_service_s_place(laptop: Laptop) -> None:
    twin = docker(
        *(laptop.sandbox, "run", "--detach", "--name=twin", f"--label=gpu-runbook.service={QUEUE}", "--network=none"),
        *(real.inspected(laptop.sandbox, QUEUE)["Image"], "sleep", "600"),
    )
    lines = ({"event": "staged", "service": QUEUE, "container": twin}, {"event": "end"})
    journal = f"{RUNS}/20200101-000000-abcd.jsonl"
    run_inside(laptop.sandbox, ["tee", journal], user="deploy", input="".join(f"{json.dumps(one)}\n" for one in lines))
    [status] = laptop.fab("status", "--json").json["servers"]
    assert len(status["services"][QUEUE]["containers"]) == 2
    try:
        for words in (DEPLOY, ("rollback", "--to", status["release"])):
            said = refused(laptop, Refused, *words)
            assert f"several containers hold the place of {QUEUE}: " in said.err and "twin" in said.err
    finally:
        docker(laptop.sandbox, "rm", "--force", twin)
        run_inside(laptop.sandbox, ["rm", journal])


def test_nothing_to_go_back_to(laptop: Laptop) -> None:
    assert "no earlier release" in refused(laptop, Refused, "rollback").err


def test_a_release_that_is_not_known(laptop: Laptop) -> None:
    known = laptop.fab("status", "--json").json["servers"][0]["release"]
    said = refused(laptop, BadInput, "rollback", "--to", "20000101-000000-abcd")
    assert "gpu-1 has no release 20000101-000000-abcd" in said.err
    assert f"known: {known}" in said.err


def test_a_run_that_is_not_known(laptop: Laptop) -> None:
    assert "--run 'nosuch' is no run" in refused(laptop, BadInput, "follow", "--run", "nosuch").err
    unknown = "20990101-000000-abcd"
    assert f"there is no run {unknown} on this server" in refused(laptop, BadInput, "follow", "--run", unknown).err


def test_an_engine_that_the_login_may_not_use(laptop: Laptop) -> None:
    socket_of_engine = "/run/docker.sock"
    before = server_snapshot(laptop.sandbox)
    with changed(laptop.sandbox, f"chgrp root {socket_of_engine}", f"chgrp docker {socket_of_engine}"):
        said = says_no(laptop, CannotConnect, *DEPLOY)
    assert "the login user may not use the docker engine" in said.err
    assert "usermod -aG docker" in said.err
    assert server_snapshot(laptop.sandbox) == before


def test_an_engine_that_is_stopped(laptop: Laptop) -> None:
    before = server_snapshot(laptop.sandbox)
    stop(laptop.sandbox, "engine")
    try:
        said = says_no(laptop, CannotConnect, *DEPLOY)
    finally:
        start(laptop.sandbox, "engine")
    assert "no docker engine at unix:///var/run/docker.sock" in said.err
    after = server_snapshot(laptop.sandbox)
    assert (after.tree, after.images, after.containers.keys()) == (before.tree, before.images, before.containers.keys())


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
