"""hosts.yaml: what it says, and what a person is told when it is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from gpu_runbook.laptop.deploy.plan import make_spec
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.entries import EnvSource, HealthCheckEntry, ProcessEntry, Tls
from gpu_runbook.laptop.inventory.model import Batch, Consumer, Inventory, full_image, load_inventory
from gpu_runbook.laptop.rpc.requests import log_rules
from gpu_runbook.protocol.logs import LogRules

PROJECT = Path(__file__).parents[4]
SAMPLE = (PROJECT / "hosts.yaml").read_text()

TWO = """\
defaults: {user: deploy, root: /azaion}
hosts:
  gpu-1: {address: gpu-1.lan, groups: [prod, left]}
  gpu-2: {address: gpu-2.lan, groups: [prod], user: other, key: keys/gpu-2, env_file: /etc/gpu-2.env}
registry: {server: "registry.lan:5000"}
services:
  queue:
    kind: consumer
    image: team/queue
    mounts: [/azaion:/data]
    stop_grace: 2m
    config: {template: queue.j2, path: /azaion/queue.yaml}
  batch: {kind: batch, image: team/batch, container: run}
"""


def read(folder: Path, text: str | bytes) -> Inventory:
    path = folder / "hosts.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_inventory(path)


def complaint(folder: Path, text: str | bytes) -> str:
    with pytest.raises(BadInput) as caught:
        read(folder, text)
    assert caught.value.hint
    return caught.value.message


def test_the_sample_reads_and_its_server_is_the_sandbox() -> None:
    inventory = load_inventory(PROJECT / "hosts.yaml")
    host = inventory.hosts["gpu-sandbox"]
    assert (host.address, host.port, host.user, host.root) == ("127.0.0.1", 24022, "deploy", "/azaion")
    assert host.key == PROJECT / ".sandbox/id_ed25519"
    queue, training = inventory.services["annotation-queue"], inventory.services["training"]
    assert isinstance(queue, Consumer)
    assert queue.config is not None and queue.config.template == PROJECT / "templates/config.yaml.j2"
    assert (queue.config.owner, queue.config.mode) == ("1000:2000", 0o640)
    assert isinstance(training, Batch)
    assert full_image(inventory, training) == "127.0.0.1:24050/azaion/training"
    assert inventory.health.offset.stale_after == 1800


def test_the_commented_lines_of_the_sample_are_valid_too(tmp_path: Path) -> None:
    lines = SAMPLE.splitlines()
    gpu_1 = next(index for index, line in enumerate(lines) if line == "  # gpu-1:")
    queue = next(index for index, line in enumerate(lines) if line.startswith("    # command:"))
    opened = [
        line.replace("# ", "", 1) if gpu_1 <= index < gpu_1 + 10 or queue <= index < queue + 4 else line
        for index, line in enumerate(lines)
    ]
    inventory = read(tmp_path, "\n".join(opened))
    assert inventory.hosts["gpu-1"].connect_timeout == 20
    assert inventory.services["annotation-queue"].environment == {"TZ": "UTC"}


def test_the_schema_in_the_project_is_the_one_the_code_prints() -> None:
    command = [sys.executable, "-m", "gpu_runbook.laptop.inventory.schema"]
    printed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert printed == (PROJECT / "hosts.schema.json").read_text()


def test_importing_brings_in_none_of_the_libraries_that_only_reading_needs() -> None:
    program = (
        "import sys, gpu_runbook.laptop.inventory.model, gpu_runbook.laptop.inputs.resolve\n"
        "print(sorted({'pydantic', 'jinja2', 'dotenv'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_defaults_fill_every_server_and_a_server_overrules_them(tmp_path: Path) -> None:
    hosts = read(tmp_path, TWO).hosts
    assert (hosts["gpu-1"].user, hosts["gpu-2"].user) == ("deploy", "other")
    assert (hosts["gpu-1"].root, hosts["gpu-1"].port) == ("/azaion", None)


def test_paths_on_the_laptop_are_relative_to_the_file(tmp_path: Path) -> None:
    hosts = read(tmp_path, TWO).hosts
    assert hosts["gpu-1"].env == EnvSource(file=tmp_path / ".env")
    assert hosts["gpu-2"].key == tmp_path / "keys/gpu-2"
    assert hosts["gpu-2"].env == EnvSource(file=Path("/etc/gpu-2.env"))


def sourced(defaults: str, own: str) -> str:
    """With a key more among the defaults, and one of the first server's own."""
    text = TWO.replace("root: /azaion", ", ".join(filter(None, ["root: /azaion", defaults])), 1)
    return text.replace("gpu-1.lan", ", ".join(filter(None, ["gpu-1.lan", own])), 1)


@pytest.mark.parametrize(
    ("defaults", "own", "source"),
    [
        ("", "", {"file": ".env"}),
        ("", "env: {file: a.env}", {"file": "a.env"}),
        ("", "env_file: a.env", {"file": "a.env"}),
        ("env_file: a.env", "", {"file": "a.env"}),
        ("env: {server: /etc/azaion/.env}", "", {"server": "/etc/azaion/.env"}),
        ("env: {server: /etc/azaion/.env}", "env_file: a.env", {"file": "a.env"}),
        ("env_file: a.env", "env: {server: /etc/azaion/.env}", {"server": "/etc/azaion/.env"}),
        ("env: {file: a.env}", "env: {server: /etc/azaion/.env}", {"server": "/etc/azaion/.env"}),
    ],
)
def test_variables_come_from_one_place_under_its_name_or_the_old_one(
    tmp_path: Path, defaults: str, own: str, source: dict[str, str]
) -> None:
    env = read(tmp_path, sourced(defaults, own)).hosts["gpu-1"].env
    assert env == (
        EnvSource(file=tmp_path / source["file"]) if "file" in source else EnvSource(server=source["server"])
    )


@pytest.mark.parametrize(
    ("defaults", "own", "said"),
    [
        ("", "env: .env", "hosts.yaml:3: hosts.gpu-1.env: a mapping (key: value) is expected"),
        ("", "env: {}", "hosts.yaml:3: hosts.gpu-1.env: one key is expected, file: (on the laptop) or server:"),
        ("", "env: {file: a, server: /b}", "hosts.yaml:3: hosts.gpu-1.env: one key is expected"),
        ("", "env: {files: a}", 'hosts.yaml:3: hosts.gpu-1.env.files: is not a known key; did you mean "file"?'),
        ("", "env: {server: etc/.env}", "hosts.yaml:3: hosts.gpu-1.env.server: an absolute path"),
        ("", "env: {server: /etc/../.env}", "hosts.yaml:3: hosts.gpu-1.env.server: an absolute path"),
        ("", "env_file: 3", "hosts.yaml:3: hosts.gpu-1.env_file: a path is expected, in quotes"),
        ("env_file: 3", "", "hosts.yaml:1: defaults.env_file: a path is expected, in quotes"),
        ("env: {server: x}", "", "hosts.yaml:1: defaults.env.server: an absolute path"),
        (
            "env: {file: a}, env_file: b",
            "",
            "hosts.yaml:1: defaults.env_file: is the old name of env, which is in line 1",
        ),
        (
            "",
            "env_file: a,\n    env: {file: a}",
            "hosts.yaml:3: hosts.gpu-1.env_file: is the old name of env, which is in line 4; one of them is enough",
        ),
        ("", "env: {server: /azaion/.env}", "gpu-1.env.server: is not apart from /azaion, which queue mounts"),
        ("env: {server: /azaion/a/.env}", "", "hosts.yaml:1: defaults.env.server: is not apart from /azaion"),
    ],
)
def test_a_mistake_about_where_variables_are_is_told_by_line_and_key(
    tmp_path: Path, defaults: str, own: str, said: str
) -> None:
    assert said in complaint(tmp_path, sourced(defaults, own))


def test_values_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        read(tmp_path, TWO).hosts["gpu-1"].port = 23  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (None, ["gpu-1", "gpu-2"]),
        ("gpu-2", ["gpu-2"]),
        ("prod", ["gpu-1", "gpu-2"]),
        ("gpu-2,prod", ["gpu-2", "gpu-1"]),
        (" left , gpu-1 ,", ["gpu-1"]),
    ],
)
def test_servers_are_selected_by_name_and_group_each_once(tmp_path: Path, wanted: str | None, names: list[str]) -> None:
    assert [host.name for host in read(tmp_path, TWO).select_hosts(wanted)] == names


def test_a_name_that_is_not_in_the_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    inventory = read(tmp_path, TWO)
    with pytest.raises(BadInput, match=r'no server or group "gpu-3"; did you mean "gpu-[12]"\?'):
        inventory.select_hosts("gpu-1,gpu-3")
    with pytest.raises(BadInput, match=r'no service "qeue"; did you mean "queue"\?'):
        inventory.select_services("qeue")
    with pytest.raises(BadInput, match=r'; did you mean "queue"\?$'):
        inventory.select_services("qeue")
    with pytest.raises(BadInput, match="no service an empty name"):
        inventory.select_services(" , ")


def test_services_are_selected_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert [service.name for service in read(tmp_path, TWO).select_services("batch,queue")] == ["queue", "batch"]


def test_every_error_is_named_at_once_by_line_and_key(tmp_path: Path) -> None:
    text = """\
defaults: {user: deploy, root: azaion/}
hosts:
  gpu-1: {address: a.lan, prt: 22}
  gpu-2: {address: b.lan, port: "22", name: x}
services:
  queue:
    kind: consumer
    image: team/queue
    tag: 1.0
    stop_grace: 30 min
    mounts: [/azaion/config.yaml:/config.yaml]
    offset: {file: /azaion/offset.yaml, means: first}
  batch: {kind: bach, image: team/batch}
  other: {image: x}
health: {disk: {warning: 96}}
keep_release: 3
"""
    assert complaint(tmp_path, text).splitlines() == [
        f"{tmp_path}/hosts.yaml: 12 errors, nothing was contacted or changed.",
        "  hosts.yaml:1: defaults.root: an absolute path is expected, of letters, digits and ._@+-,"
        " without .. and a / at its end",
        '  hosts.yaml:3: hosts.gpu-1.prt: is not a known key; did you mean "port"?',
        "  hosts.yaml:4: hosts.gpu-2.name: is not a known key",
        "  hosts.yaml:4: hosts.gpu-2.port: a whole number from 1 to 65535 is expected",
        "  hosts.yaml:9: services.queue.tag: a tag of letters, digits and _.-, or sha256: and 64 hexadecimal digits"
        " is expected, in quotes",
        "  hosts.yaml:10: services.queue.stop_grace: a time from 0 to 3600 seconds is expected,"
        " written 15, 90s, 30m, 2h or 1d",
        "  hosts.yaml:11: services.queue.mounts.0: looks like a single file; mount its directory,"
        " since a container does not see a file renamed",
        "  hosts.yaml:12: services.queue.offset.means: 'next' or 'last' is expected",
        "  hosts.yaml:13: services.batch: kind: consumer or batch is expected",
        "  hosts.yaml:14: services.other: kind is missing; consumer or batch is expected",
        "  hosts.yaml:15: health.disk: warning (96) must be below critical (95)",
        '  hosts.yaml:16: keep_release: is not a known key; did you mean "keep_releases"?',
    ]


@pytest.mark.parametrize(
    ("written", "entry"),
    [
        ("python* *train.py*", ProcessEntry(command="python* *train.py*")),
        (
            '{command: "?* -m azaion.train *", user: azaion, folder: /azaion}',
            ProcessEntry(command="?* -m azaion.train *", user="azaion", folder="/azaion"),
        ),
        ('{command: torchrun*, user: "1001"}', ProcessEntry(command="torchrun*", user="1001")),
    ],
)
def test_a_process_is_said_by_its_pattern_or_with_its_user_and_folder(
    tmp_path: Path, written: str, entry: ProcessEntry
) -> None:
    service = read(tmp_path, TWO + f"  host:\n    kind: batch\n    process: {written}\n").services["host"]
    assert isinstance(service, Batch)
    assert (service.process, service.container, service.image) == (entry, "host", "")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("process: '*'", "process.command: it fits all that runs, or all of a language"),
        ("process: '**'", "process.command: it fits all that runs"),
        ("process: '?* ?*'", "process.command: it fits all that runs"),
        ("process: python3*", "process.command: it fits all that runs, or all of a language"),
        ("process: /usr/bin/env python* *.py", "process.command: it fits all that runs, or all of a language"),
        ("process: '*[a-z][train]*'", "process.command: it fits all that runs"),
        ("process: '*train[.py'", "process.command: *train[.py has a [ that no ] closes"),
        ("process: ''", "process.command: a shell pattern of a command line is expected"),
        ('process: "train.py\\n"', "process.command: a shell pattern of a command line is expected"),
        ("process: 1.0", "process: a mapping (key: value) is expected"),
        ("process: {user: x}", "process.command: is missing"),
        ("process: {command: train*, user: a b}", "process.user: a user of the server, by name or number is expected"),
        ("process: {command: train*, folder: azaion}", "process.folder: an absolute path is expected"),
        ("process: {command: train*, pid: 1}", "process.pid: is not a known key"),
        (
            "process: train*\n    resume: ['{checkpoint}']",
            "resume has {checkpoint} in it, and there are no checkpoints",
        ),
        (
            "image: x\n    container: run\n    checkpoints: /azaion/x\n    mounts: [/azaion/y:/z]\n"
            "    resume: ['--from={checkpoint}']",
            "checkpoints (/azaion/x) lies below none of the mounts: no container sees {checkpoint}",
        ),
        ("container: run", "image is missing; without one, process: says what a run looks like"),
        ("process: train*\n    gpus: all\n    tag: x", "tag and gpus: of a container, and there is no image to"),
        ("process: train.py*\n    command: [python, train.py]", "does not fit command (python train.py): no run would"),
    ],
)
def test_a_mistake_about_a_process_is_one_sentence_with_its_line(tmp_path: Path, lines: str, said: str) -> None:
    told = complaint(tmp_path, TWO + f"  host:\n    kind: batch\n    {lines}\n")
    assert said in told
    assert re.search(r"hosts\.yaml:1\d: services\.host[.:]", told)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  gpu-2:", "  gpu-1:", "hosts.yaml:4: hosts.gpu-1: stands twice, first in line 3"),
        ("gpu-2.lan", "GPU-1.lan", "hosts.gpu-2.address: is the same address and port as gpu-1's"),
        ("[prod, left]", "[gpu-2]", "hosts.gpu-1.groups.0: is also the name of a server"),
        ("[prod, left]", "[no]", "hosts.gpu-1.groups.0: a name of letters, digits and _.- is expected, in quotes"),
        ("address: gpu-1.lan", "address: -oProxy", "hosts.gpu-1.address: a host name"),
        ("address: gpu-1.lan", "address: a.lan, sudo: yes please", "hosts.gpu-1.sudo: true or false is expected"),
        (
            "address: gpu-1.lan",
            "address: a.lan, gateway: me@b.lan:65536",
            "hosts.gpu-1.gateway: a port from 1 to 65535",
        ),
        ("address: gpu-1.lan", "address: a.lan, gateway: 'b,[::1]:0'", "hosts.gpu-1.gateway: a port from 1 to 65535"),
        ("address: gpu-1.lan", "address: a.lan, gateway: 'b.lan:'", "hosts.gpu-1.gateway: a port from 1 to 65535"),
        ("address: gpu-1.lan", "address: a.lan, gateway: -oProxy", "hosts.gpu-1.gateway: [user@]host[:port] is exp"),
        ("address: gpu-1.lan, ", "", "hosts.gpu-1.address: is missing"),
        ("{address: gpu-1.lan, groups: [prod, left]}", "", "hosts.gpu-1: a mapping (key: value) is expected"),
        ("defaults: {user: deploy, root: /azaion}", "defaults: [deploy]", "defaults: a mapping (key: value) is exp"),
        ("user: deploy", "usr: deploy", 'hosts.yaml:1: defaults.usr: is not a known key; did you mean "user"?'),
        ("/azaion/queue.yaml", "/etc/queue.yaml", "config.path (/etc/queue.yaml) lies below none of the mounts"),
        ("kind: batch", "kind: batch, stop_grace: 3", "services.batch.stop_grace: is not a known key"),
        ("image: team/queue", "image: team/queue:1", "services.queue.image: an image's name"),
        ("stop_grace: 2m", "healthcheck: never", "services.queue.healthcheck: a mapping (key: value) is expected"),
        ("stop_grace: 2m", "healthcheck: {command: ' a'}", "services.queue.healthcheck.command: one line is expected"),
        ("stop_grace: 2m", "healthcheck: {command: none, retries: 2}", "none is no check at all, and retries say how"),
        (
            "stop_grace: 2m",
            "healthcheck: {command: a, interval: 90}",
            "healthcheck.interval (90 s) is as long as watch",
        ),
        ("stop_grace: 2m", "stream: {name: s, tls: on-ly}", "services.queue.stream.tls: a mapping (key: value)"),
        ("stop_grace: 2m", "stream: {name: s, tls: {ca: ca.pem}}", "services.queue.stream.tls.ca: an absolute path"),
        ("stop_grace: 2m", "stream: {name: s, tls: {key: /k}}", "services.queue.stream.tls.key: is not a known key"),
        ("stop_grace: 2m", "stream: {name: s, tls: {ca: /azaion/ca}}", "tls.ca: is below /azaion, which containers"),
        ("stop_grace: 2m", "log_files: []", "services.queue.log_files: the path of log files is expected"),
        ("stop_grace: 2m", "log_files: ", "services.queue.log_files: an absolute path is expected, in which * and ?"),
        ("stop_grace: 2m", "log_files: [/azaion/../*.log]", "services.queue.log_files: an absolute path is expected"),
        ("stop_grace: 2m", "log_files: logs/*.log", "services.queue.log_files: an absolute path is expected"),
        ("stop_grace: 2m", "log_files: /azaion/%Q.log", "services.queue.log_files: an absolute path is expected"),
        (
            "stop_grace: 2m",
            "log_files: [/azaion/*.log, /azaio*/x.log]",
            "hosts.yaml:11: services.queue.log_files.1: (/azaio*/x.log) lies below none of the mounts",
        ),
        (
            "stop_grace: 2m",
            "log_files: /var/log/*.log",
            "hosts.yaml:11: services.queue.log_files: (/var/log/*.log) lies below none of the mounts",
        ),
        (
            "kind: batch,",
            "kind: batch, log_files: /azaion/*.log,",
            "services.batch.log_files: (/azaion/*.log) lies below none of the mounts",
        ),
        ("stop_grace: 2m", "log_keys: {level: a b}", "services.queue.log_keys.level: a key of a JSON line is expected"),
        (
            "stop_grace: 2m",
            "watch: {failure_level: info}",
            "services.queue.watch.failure_level: 'warning', 'error' or 'critical' is expected",
        ),
        ("stop_grace: 2m", "stop_grace: .inf", "services.queue.stop_grace: a time from 0"),
        ("stop_grace: 2m", "environment: {A: 5}", "services.queue.environment.A: a text is expected; put it in quotes"),
        ("stop_grace: 2m", "gpus: -1", "services.queue.gpus: the word all"),
        ("stop_grace: 2m", "gpus: {cdi: }", "services.queue.gpus: cdi: all, the number of a GPU"),
        ("stop_grace: 2m", "gpus: {}", "services.queue.gpus: cdi: and its devices are expected"),
        ("stop_grace: 2m", "gpus: {cdi: []}", "services.queue.gpus: cdi: and its devices are expected"),
        ("stop_grace: 2m", "gpus: {cdi: all, count: 2}", "services.queue.gpus: cdi: and its devices are expected"),
        ("stop_grace: 2m", "gpus: {cdi: [all, 0]}", "services.queue.gpus: all has every CDI device in it"),
        ("stop_grace: 2m", 'gpus: {cdi: [0, "0"]}', "services.queue.gpus: a CDI device is named twice"),
        ("stop_grace: 2m", "gpus: {cdi: [64]}", "services.queue.gpus: cdi: all, the number of a GPU, 0:1, a UUID"),
        ("stop_grace: 2m", "gpus: {cdi: /dev/sda}", "services.queue.gpus: cdi: all, the number of a GPU"),
        ("stop_grace: 2m", "gpus: {cdi: amd.com/gpu=0}", "services.queue.gpus: cdi: all, the number of a GPU"),
        ("stop_grace: 2m", "gpus: nvidia.com/gpu=all", "services.queue.gpus: the word all"),
        ("path: /azaion/queue.yaml", "path: /azaion/queue.yaml, mode: 0644", "not for everybody"),
        ("services:", "1: x\nservices:", "hosts.yaml:6: a key is not text; put it in quotes"),
        ("services:", "<<: {}\nservices:", "hosts.yaml:6: merge keys (<<) are not read"),
        ("services:", "path: x\nservices:", "hosts.yaml:6: path: is not a known key"),
        ("stop_grace: 2m", "tag: !!binary aGk=", "services.queue.tag: a tag (!…) is not read here"),
        (
            "services:",
            "ci: {forge: github, required: ['']}\nservices:",
            "ci.required.0: the name of a result is expecte",
        ),
        (
            "services:",
            "ci: {forge: github, required: [3.10]}\nservices:",
            "a result is expected, in quotes, or a pattern",
        ),
        (
            "services:",
            "ci: {forge: github, required: ['ci/[ab']}\nservices:",
            "0: ci/[ab has a [ that no ] closes; a [",
        ),
        (
            "stop_grace: 2m",
            "tag: sha256:0123",
            "services.queue.tag: a digest has 64 hexadecimal digits behind sha256:, a",
        ),
        ("stop_grace: 2m", f"tag: sha256:{'A' * 64}", "behind sha256:, in small letters"),
        (
            "{kind: batch,",
            f"{{local_tag: sha256:{'a' * 64}, kind: batch,",
            "services.batch.local_tag: a tag of letters",
        ),
        ("services:", "ci: {forge: github, required: ['[9-0]']}\nservices:", "[9-0] has 9-0 in [ ], which holds nothi"),
        ("stop_grace: 2m", "stop_grace: 0x_", "services.queue.stop_grace: a number that cannot be read"),
        ("stop_grace: 2m", r'command: ["\ud800"]', "services.queue.command.0: half of a character"),
        ("stop_grace: 2m", r'"a\e[2J": 1', "services.queue.a\N{REPLACEMENT CHARACTER}[2J: is not a known key"),
    ],
)
def test_a_mistake_is_told_by_line_and_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert said in complaint(tmp_path, TWO.replace(old, new, 1))


@pytest.mark.parametrize("gateway", ["none", "::1", "[::1]:22", "me@b.lan:65535,c", "fe80::1%eth0"])
def test_a_gateway_is_taken_in_every_form(tmp_path: Path, gateway: str) -> None:
    path = tmp_path / "hosts.yaml"
    path.write_text(TWO.replace("address: gpu-1.lan", f"address: a.lan, gateway: '{gateway}'", 1))
    assert load_inventory(path).hosts["gpu-1"].gateway == gateway


@pytest.mark.parametrize(
    ("written", "gpus"),
    [
        ("all", "all"),
        ("2", "2"),
        ('"device=0,1"', "device=0,1"),
        ("{cdi: all}", "nvidia.com/gpu=all"),
        ("{cdi: 0}", "nvidia.com/gpu=0"),
        ('{cdi: "0:1"}', "nvidia.com/gpu=0:1"),
        ("{cdi: [1:0, 10:59]}", "nvidia.com/gpu=1:0,nvidia.com/gpu=10:59"),
        ('{cdi: [0, "1"]}', "nvidia.com/gpu=0,nvidia.com/gpu=1"),
        ("{cdi: GPU-8fe3a97d-51f6}", "nvidia.com/gpu=GPU-8fe3a97d-51f6"),
        ("{cdi: nvidia.com/gpu=all}", "nvidia.com/gpu=all"),
        ("{cdi: [nvidia.com/mig=3, 0]}", "nvidia.com/mig=3,nvidia.com/gpu=0"),
    ],
)
def test_gpus_are_asked_for_as_docker_does_or_by_their_cdi_names(tmp_path: Path, written: str, gpus: str) -> None:
    assert read(tmp_path, TWO.replace("stop_grace: 2m", f"gpus: {written}")).services["queue"].gpus == gpus


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "hosts.yaml is empty."),
        (b" \n\n", "hosts.yaml is empty."),
        (b"# nothing\n", "does not hold a mapping"),
        (b"- a\n- b\n", "does not hold a mapping"),
        (b"hosts:\n\tgpu: {}\n", "hosts.yaml:2 is not YAML: a tab stands where YAML wants spaces."),
        (b"hosts: [\n", "is not YAML"),
        (b"hosts: {}\n---\nhosts: {}\n", "found another document"),
        (b"\x7fELF\x00\x01", "is a binary file."),
        (b"hosts:\n  \xff\xfe: 1\n", "is not UTF-8 text (line 2)."),
        (b"[" * 100_000, "is nested too deeply."),
        (b"a: " + b"x" * 1024 * 1024, "is larger than 1 MiB."),
        (b"hosts: {}\n", "hosts: at least one server is expected"),
        (b"services: {}\n", "hosts: at least one server is expected"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
            b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
            "grows beyond 20000 values",
        ),
        (b"a: &a [*a]\n", "is nested too deeply."),
    ],
)
def test_a_file_that_is_no_hosts_yaml_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    assert said in complaint(tmp_path, content)


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"hosts\.yaml does not exist\."):
        load_inventory(tmp_path / "hosts.yaml")
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        load_inventory(tmp_path)


@pytest.mark.parametrize("written", ["none", "{command: none}"])
def test_no_health_check_at_all_is_said_in_a_word(tmp_path: Path, written: str) -> None:
    queue = read(tmp_path, TWO.replace("stop_grace: 2m", f"healthcheck: {written}")).services["queue"]
    assert isinstance(queue, Consumer) and queue.healthcheck == HealthCheckEntry(command="none")


@pytest.mark.parametrize(
    ("written", "tls"),
    [
        ("true", Tls()),
        ("{}", Tls()),
        ("{ca: /etc/ca.pem}", Tls(ca="/etc/ca.pem")),
        ("false", None),
        ("null", None),
    ],
)
def test_a_stream_behind_tls_is_said_in_a_word_or_by_its_ca(tmp_path: Path, written: str, tls: Tls | None) -> None:
    queue = read(tmp_path, TWO.replace("stop_grace: 2m", f"stream: {{name: s, tls: {written}}}")).services["queue"]
    assert isinstance(queue, Consumer) and queue.stream and queue.stream.tls == tls


COPY = "models: {folder: /azaion/models, in_force: copy, current: azaion.pt"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "models: {folder: /azaion/models, name: azaion}",
            "models.name: a name with DATE in it is expected, which stand",
        ),
        ("models: {folder: /azaion/models, name: DATE-DATE}", "models.name: a name with DATE in it is expected"),
        ("models: {folder: /azaion/models, name: a/DATE}", "models.name: a name with DATE in it is expected"),
        ("models: {folder: /azaion/models, name: .DATE}", "models.name: a name with DATE in it is expected"),
        ("models: {folder: /azaion/models, name: 2026-04-20}", "models.name: a name with DATE in it is expected"),
        ("models: {folder: /azaion/models, file: []}", "models.file: the path of a file in each directory is expected"),
        (
            "models: {folder: /azaion/models, file: /best.pt}",
            "models.file: the path of a file in each directory is exp",
        ),
        (
            "models: {folder: /azaion/models, file: [a, ../b]}",
            "models.file: the path of a file in each directory is ex",
        ),
        ("models: {folder: /azaion/models, in_force: move}", "models.in_force: 'config', 'copy' or 'link' is expected"),
        ("models: {folder: /azaion/models, in_force: copy}", "models: in_force: copy needs current, the file that is"),
        ("models: {folder: /azaion/models, in_force: link}", "models: in_force: link needs current, the file that is"),
        (
            "models: {folder: /azaion/models, current: a.pt}",
            "models: current is of use with in_force: copy or in_force",
        ),
        (
            COPY.replace("azaion.pt", "../azaion.pt") + "}",
            "models.current: a path is expected, absolute or below models.",
        ),
        (COPY.replace("azaion.pt", ".") + "}", "models.current: a path is expected, absolute or below models.folder"),
        (
            COPY.replace("azaion.pt", "/etc/passwd") + "}",
            "models.current: is neither below models.folder nor below the r",
        ),
        (COPY.replace("azaion.pt", "/azaion/models") + "}", "models.current: is /azaion/models or in the way of it"),
        (
            COPY.replace("azaion.pt", "2026-04-20/a.pt") + "}",
            "models.current: is in 2026-04-20, which is one of the mod",
        ),
        (
            COPY.replace("azaion.pt", "a-2026-04-20/a.pt") + ", name: a-DATE}",
            "models.current: is in a-2026-04-20, which is one of the models it is chosen from",
        ),
        (COPY.replace("azaion.pt", "/azaion/queue.yaml") + "}", "models.current: is config.path of queue, or above it"),
    ],
)
def test_a_mistake_about_models_is_one_sentence_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    told = complaint(tmp_path, f"{line}\n{TWO}").splitlines()
    assert (len(told), told[-1].startswith(f"  hosts.yaml:1: {said}")) == (2, True), told


@pytest.mark.parametrize(
    ("more", "files", "place"),
    [
        ("", ("best.pt",), "/azaion/models/azaion.pt"),
        (", file: weights/best.pt", ("weights/best.pt",), "/azaion/models/azaion.pt"),
        (
            ", file: [weights/best.pt, weights/last.pt]",
            ("weights/best.pt", "weights/last.pt"),
            "/azaion/models/azaion.pt",
        ),
    ],
)
def test_models_are_as_their_owners_have_them(tmp_path: Path, more: str, files: tuple[str, ...], place: str) -> None:
    named = TWO.replace("path: /azaion/queue.yaml", "path: /azaion/queue.yaml, model_key: model")
    inventory = read(tmp_path, f"{COPY}, name: azaion-DATE{more}}}\n{named}")
    assert inventory.models is not None
    assert (inventory.models.file, inventory.models.place, inventory.models.name) == (files, place, "azaion-DATE")
    queue = inventory.services["queue"]
    assert isinstance(queue, Consumer) and queue.config and queue.config.model_key is None  # no deploy writes a model
    by_config = read(tmp_path, f"models: {{folder: /azaion/models}}\n{named}").services["queue"]
    assert isinstance(by_config, Consumer) and by_config.config and by_config.config.model_key == "model"


def test_log_files_are_one_pattern_or_several(tmp_path: Path) -> None:
    def rules(line: str) -> LogRules:
        return log_rules(read(tmp_path, TWO.replace("stop_grace: 2m", line, 1)).services["queue"])

    assert rules("stop_grace: 2m") == LogRules()
    assert rules("log_files: /azaion/logs/*.log").files == ("/azaion/logs/*.log",)
    several = "log_files: ['/azaion/%Y-%m-%d/a?.txt', /azaion/b.log]\n    watch: {failure_level: error}"
    keys = "log_keys: {level: severity, message: '@m', time: log.time}"
    files = ("/azaion/%Y-%m-%d/a?.txt", "/azaion/b.log")
    assert rules(f"{several}\n    {keys}") == LogRules(files, "error", "severity", "@m", "log.time")


def test_a_training_without_a_container_logs_anywhere(tmp_path: Path) -> None:
    line = "kind: batch, process: python* *train.py*, log_files: /home/ann/train-%Y-%m-%d.log, log_keys: {time: at},"
    training = read(tmp_path, TWO.replace("kind: batch,", line, 1)).services["batch"]
    assert log_rules(training) == LogRules(("/home/ann/train-%Y-%m-%d.log",), time_key="at")


def test_where_a_consumer_logs_makes_no_other_container_of_it(tmp_path: Path) -> None:
    """An upgrade, or a new key for its logs, replaces none."""
    plain = read(tmp_path, TWO).services["queue"]
    logging = read(tmp_path, TWO.replace("stop_grace: 2m", "stop_grace: 2m\n    log_files: /azaion/*.log", 1))
    first, second = plain, logging.services["queue"]
    assert isinstance(first, Consumer) and isinstance(second, Consumer)
    assert make_spec(first, "sha256:" + "0" * 64) == make_spec(second, "sha256:" + "0" * 64)
