"""Docker's own options of a service: what docker is given for them, and what is refused by line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_runbook.common.container import create_command
from gpu_runbook.laptop.deploy.plan import make_spec
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory import container_keys, docker_flags
from gpu_runbook.laptop.inventory.model import Consumer, Inventory, Service, load_inventory
from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.forms import Option, has
from gpu_runbook.protocol.plan import Spec, spec_hash
from gpu_runbook.server.exposed import reach

IMAGE = f"team/queue@sha256:{'0' * 64}"
LINE = 7  # where the keys of a test begin


def read(folder: Path, keys: str, kind: str = "consumer", more: str = "") -> Inventory:
    batch = ", container: run" if kind == "batch" else ""
    text = f"hosts:\n  gpu-1: {{address: gpu-1.lan, root: /azaion}}\nservices:\n{more or '  # one service'}\n  queue:\n"
    text += f"    # {{kind: {kind}}}\n"
    text += "".join(f"    {line}\n" for line in keys.splitlines())
    text += f"    kind: {kind}\n    image: team/queue\n" + ("    container: run\n" if batch else "")
    (folder / "hosts.yaml").write_text(text)
    return load_inventory(folder / "hosts.yaml")


def service(folder: Path, keys: str, kind: str = "consumer") -> Service:
    return read(folder, keys, kind).services["queue"]


def complaints(folder: Path, keys: str, kind: str = "consumer", more: str = "") -> str:
    with pytest.raises(BadInput) as caught:
        read(folder, keys, kind, more)
    assert (caught.value.exit_code, "nothing was contacted" in caught.value.message) == (10, True)
    return caught.value.message


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("shm_size: 8g", ["--shm-size=8g"]),
        ("ipc: host", ["--ipc=host"]),
        ("ulimits: {stack: 67108864, memlock: -1, nofile: 10:50}", ["memlock=-1", "nofile=10:50", "stack=67108864"]),
        ("ports: [22:22, 8080:80, 127.0.0.1:53:53/udp, '[::1]:1:1', 6000-6005:7000-7005]", None),
        (
            "extra_hosts: {db.lan: 10.0.0.5, a: '::1', me: host-gateway}",
            ["a:::1", "db.lan:10.0.0.5", "me:host-gateway"],
        ),
        ("entrypoint: python", ["--entrypoint=python"]),
        ("init: true", ["--init=true"]),
        ("init: false", []),
        ("devices: [/dev/fuse, /dev/video0:/dev/video1:rw]", ["/dev/fuse", "/dev/video0:/dev/video1:rw"]),
        ("tmpfs: [/run, '/tmp:size=1g,mode=1777']", ["/run", "/tmp:size=1g,mode=1777"]),
        ("cap_add: [NET_ADMIN, CAP_SYS_NICE]", ["NET_ADMIN", "CAP_SYS_NICE"]),
        ("security_opt: [no-new-privileges, 'seccomp=unconfined']", ["no-new-privileges", "seccomp=unconfined"]),
        ("group_add: [44, video]", ["44", "video"]),
        ("cpus: 1.5", ["--cpus=1.5"]),
        ("cpus: 2", ["--cpus=2"]),
        ("cpus: 0.0123456789", ["--cpus=0.0123456789"]),
        ("options: {cpu-shares: 1234567.5}", ["--cpu-shares=1234567.5"]),
        ("working_dir: /app", ["--workdir=/app"]),
        ("options: {pids-limit: 500, read-only: true, dns: [1.1.1.1, 9.9.9.9]}", None),
        ("options: {privileged: true}\nallow_privileged: true", ["--privileged=true"]),
    ],
)
def test_what_a_key_says_is_given_to_docker(tmp_path: Path, keys: str, words: list[str] | None) -> None:
    listed = {
        "ports": ["22:22", "8080:80", "127.0.0.1:53:53/udp", "[::1]:1:1", "6000-6005:7000-7005"],
        "options": ["--dns=1.1.1.1", "--dns=9.9.9.9", "--pids-limit=500", "--read-only=true"],
    }
    key = keys.partition(":")[0]
    names = {"ports": "publish", "extra_hosts": "add-host", "ulimits": "ulimit", "devices": "device"}
    flag = names.get(key, key.replace("_", "-"))
    expected = [word if word.startswith("--") else f"--{flag}={word}" for word in words or listed.get(key, [])]
    for kind in ("consumer", "batch"):
        found = service(tmp_path, keys, kind).words()
        assert list(found) == expected
        assert all(has(Option, word) for word in found)


def test_none_of_the_keys_is_none_of_the_words_and_no_other_hash(tmp_path: Path) -> None:
    """A service that says no more than it did is the same to whoever compares: an upgrade replaces nothing."""
    plain = service(tmp_path, "user: '1000:1000'\nmemory: 8g\nstop_grace: 30")
    assert isinstance(plain, Consumer)
    spec = make_spec(plain, "registry.lan:5000/azaion/queue@sha256:00")
    assert spec.options == ()
    old = Spec("registry.lan:5000/azaion/queue@sha256:00", ("python", "-m", "queue"), user="1000:1000", memory="8g")
    assert spec_hash(old) == "787d08dc8fdb"  # as version 0.1.0 has written it
    more = Spec(**{**vars(old), "options": ("--init=true",)})
    assert spec_hash(more) != spec_hash(old)
    older = {key: value for key, value in encode(old).items() if key != "options"}
    older["image"] = IMAGE
    assert decode(Spec, older, "spec").options == ()


def test_all_of_it_stands_in_the_command_before_the_image(tmp_path: Path) -> None:
    found = service(
        tmp_path, "entrypoint: [python, -m, queue]\ncommand: [--fast]\nlog_options: {compress: true}\ncpus: 2"
    )
    assert isinstance(found, Consumer)
    command = create_command(make_spec(found, IMAGE), "queue", IMAGE, {})
    assert command[command.index(IMAGE) :] == [IMAGE, "-m", "queue", "--fast"]
    assert [word for word in command if word.startswith("--") and "=" in word] == [
        *("--entrypoint=python", "--cpus=2", "--log-driver=json-file"),
        *("--log-opt=compress=true", "--log-opt=max-file=3", "--log-opt=max-size=10m"),
    ]
    assert not {"--log-driver", "--log-opt"} & set(command)


@pytest.mark.parametrize(
    ("keys", "kind", "logged"),
    [
        ("log_driver: local\nlog: {size: 1m}", "consumer", ["local", "max-file=3", "max-size=1m"]),
        ("log_driver: journald\nlog_options: {tag: q}", "consumer", ["journald", "tag=q"]),
        ("log_options: {max-size: 1g}", "batch", ["json-file", "max-file=3", "max-size=1g"]),
    ],
)
def test_a_log_is_rotated_where_its_driver_has_files(tmp_path: Path, keys: str, kind: str, logged: list[str]) -> None:
    found = service(tmp_path, keys, kind)
    rotation = (found.log.size, found.log.files) if isinstance(found, Consumer) else ("10m", 3)
    assert [word.partition("=")[2] for word in found.words(rotation)] == logged


@pytest.mark.parametrize(
    "mount", ["/a:/b", "/a:/b:ro", "/a:/b:z", "/a:/b:Z", "/a:/b:ro,z", "/a:/b:Z,ro", "cache:/root", "cache:/c:ro"]
)
def test_a_mount_is_of_a_directory_or_a_volume_with_dockers_suffixes(tmp_path: Path, mount: str) -> None:
    assert service(tmp_path, f"mounts: ['{mount}']").mounts == (mount,)


def test_the_order_of_the_file_makes_no_other_container(tmp_path: Path) -> None:
    one = service(tmp_path, "options: {dns: 1.1.1.1, cpu-shares: 2}\nulimits: {nofile: 9, core: 0}").words()
    assert service(tmp_path, "ulimits: {core: 0, nofile: 9}\noptions: {cpu-shares: 2, dns: 1.1.1.1}").words() == one


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("shm_size: 8 GB", "shm_size: an amount such as 512m or 8g is expected"),
        ("shm_size: 8", "shm_size: an amount such as 512m or 8g is expected, in quotes"),
        ("ipc: container:training", "ipc: 'host', 'private', 'shareable' or 'none' is expected"),
        ("ulimits: {files: 9}", "ulimits.files: one of core, cpu, data"),
        ("ulimits: {nofile: many}", "ulimits.nofile: a limit is expected, such as 65536"),
        ("ulimits: {nofile: 9:8}", "ulimits.nofile: the soft limit (9) is above the hard one (8)"),
        ("ulimits: {nofile: -1:8}", "ulimits.nofile: the soft limit (-1) is above the hard one (8)"),
        ("ports: [80]", "ports.0: [address:]port of the server:port of the container is expected"),
        ("ports: ['80:99999']", "ports.0: a port from 1 to 65535 is expected"),
        ("ports: ['0:80']", "ports.0: a port from 1 to 65535 is expected"),
        ("ports: [1-3:1-2]", "ports.0: the ports of the server are not as many as those of the container"),
        ("ports: ['1.2.3:1:1']", "ports.0: [address:]port of the server"),
        ("{ports: [1:1], network: host}", "ports: lead nowhere with network: host"),
        ("{shm_size: 1g, ipc: host}", "shm_size: is without effect with ipc: host"),
        ("extra_hosts: {db: db.lan}", "extra_hosts.db: an IP address is expected, or host-gateway"),
        ("extra_hosts: ['db:1.1.1.1']", "extra_hosts: a mapping (key: value) is expected"),
        ("entrypoint: []", "entrypoint: a program is expected"),
        ("init: 1", "init: true or false is expected"),
        ("devices: [/sys/x]", "devices.0: a device of the server such as /dev/fuse"),
        ("devices: [/dev/sda]", "devices.0: /dev/sda makes it as good as root on the server; allow_privileged: true"),
        ("tmpfs: [tmp]", "tmpfs.0: a path in the container"),
        ("cap_add: [net]", "cap_add.0: a capability such as NET_ADMIN is expected"),
        ("cap_add: [CAP_SYS_ADMIN]", "cap_add.0: CAP_SYS_ADMIN makes it as good as root on the server"),
        ("security_opt: [fast]", "security_opt.0: an option such as no-new-privileges is expected"),
        ("security_opt: [systempaths=unconfined]", "security_opt.0: systempaths=unconfined makes it as good as root"),
        ("group_add: [-1]", "group_add.0: a group is expected, by name or number"),
        ("cpus: 0", "cpus: a number from 0.01 to 4096 is expected"),
        ("working_dir: app", "working_dir: an absolute path is expected"),
        ("log_driver: none", "log_driver: none is not to be had: a watch reads the log"),
        ("log_options: {max-size: 1g}", "log_options.max-size: is said with log:"),
        ("log_options: {cache-disabled: true}", "log_options.cache-disabled: is not to be had"),
        ("mounts: [./here:/b]", "mounts.0: source:target is expected, absolute paths or a volume's name and one"),
        ("mounts: [/a:/b:rw]", "mounts.0: source:target is expected"),
        ("options: {shm-size: 8g}", "options.shm-size: is said with shm_size:"),
        ("options: {restart: always}", "options.restart: is said with restart: of a consumer"),
        ("options: {name: x}", "options.name: is not to be had: a container has the name of its service"),
        ("options: {pids: 5}", 'options.pids: is no option of docker create; did you mean "pid"?'),
        ("options: {--pids-limit: 5}", "options.--pids-limit: is no option of docker create"),
        ("options: {privileged: true}", "options.privileged: privileged: true makes it as good as root"),
        ("options: {pid: host}", "options.pid: pid: host makes it as good as root"),
        ("options: {read-only: on it}", "options.read-only: true or false is expected"),
        ("options: {dns: true}", "options.dns: a value is expected"),
        ("options: {dns: [[1]]}", "options.dns: a text of one line, a number, true or false is expected"),
        ("options: {dns: }", "options.dns: a text of one line, a number, true or false is expected"),
        ("options: {oom-score-adj: -5}", "options.oom-score-adj: below 0 a training would be killed before it"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path, key: str, said: str) -> None:
    keys = key[1:-1].replace(", network", "\nnetwork").replace(", ipc", "\nipc") if key.startswith("{") else key
    message = complaints(tmp_path, keys)
    assert f"hosts.yaml:{LINE}: services.queue.{said}" in message
    assert "1 error," in message


@pytest.mark.parametrize("flag", sorted(docker_flags.PROMISES))
def test_an_option_that_breaks_a_promise_is_refused_with_the_promise(tmp_path: Path, flag: str) -> None:
    said = complaints(tmp_path, f"options: {{{flag}: x}}", "batch")
    assert f"options.{flag}: is not to be had: {docker_flags.PROMISES[flag]}" in said


def test_each_option_is_taken_or_a_key_or_refused_and_never_two_of_these() -> None:
    sets = [docker_flags.TAKEN, set(docker_flags.KEYS), set(docker_flags.PROMISES)]
    assert sum(map(len, sets)) == len(set().union(*sets))
    assert docker_flags.YES_OR_NO <= docker_flags.TAKEN


def test_who_is_as_good_as_root_is_told_alike_on_both_sides() -> None:
    assert container_keys.CAPABILITIES == reach.CAPABILITIES


def test_a_private_label_is_refused_where_it_would_take_a_folder_from_another_service(tmp_path: Path) -> None:
    other = "  train: {kind: batch, image: team/train, container: train, mounts: ['/azaion:/azaion']}"
    said = complaints(tmp_path, "mounts: ['/azaion/models:/m:ro,Z']", more=other)
    assert "services.queue.mounts.0: Z takes /azaion/models away from train, which mounts it as well" in said
    assert read(tmp_path, "mounts: ['/azaion/models:/m:ro,z']", more=other).services["queue"].mounts


@pytest.mark.parametrize(("suffix", "wrong"), [(":ro,z", False), (":Z,ro", False), (":z", True), ("", True)])
def test_what_is_mounted_to_be_read_alone_is_known_for_that_with_any_suffix(
    tmp_path: Path, suffix: str, wrong: bool
) -> None:
    keys = f"mounts: ['/etc/ssl:/ca{suffix}']\nstream: {{name: s, tls: {{ca: /etc/ssl/ca.pem}}}}"
    if wrong:
        assert "stream.tls.ca: is below /etc/ssl, which containers mount and write to" in complaints(tmp_path, keys)
    else:
        assert service(tmp_path, keys).mounts


@pytest.mark.parametrize(
    ("port", "first"),
    [
        ("80:1", "80:80"),
        ("70-90:70-90", "80:80"),
        ("127.0.0.1:80:80", "80:80"),
        ("53:53/udp", "53:53/udp"),
        ("53:53", ""),
        ("10.0.0.1:9:9", "10.0.0.1:9:9"),
        ("10.0.0.2:9:9", ""),
        ("81:80", ""),
    ],
)
def test_one_port_of_the_server_leads_to_one_container(tmp_path: Path, port: str, first: str) -> None:
    taken = "['80:80', '53:53/udp', '10.0.0.1:9:9']"
    other = f"  train: {{kind: batch, image: team/train, container: train, ports: {taken}}}"
    if first:
        said = complaints(tmp_path, f"ports: ['{port}']", more=other)
        assert f"hosts.yaml:{LINE}: services.queue.ports.0: takes a port of the server that {first} of train" in said
    else:
        assert read(tmp_path, f"ports: ['{port}']", more=other).services["queue"].ports == (port,)
