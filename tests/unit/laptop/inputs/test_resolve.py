"""hosts.yaml, .env and the templates together: everything that is missing is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.dotenv import Env, parsed
from gpu_runbook.laptop.inputs.resolve import Purpose, RegistryLogin, Resolved, resolve
from gpu_runbook.laptop.inputs.secret import Secret
from gpu_runbook.laptop.inventory.model import Inventory, load_inventory
from gpu_runbook.protocol.consumer import StreamAddress

HOSTS = """\
defaults: {root: /azaion}
hosts:
  gpu-1: {address: gpu-1.lan}
  gpu-2: {address: gpu-2.lan}
  gpu-3: {address: gpu-3.lan, root: /data, env_file: other.env}
registry: {server: registry.lan, username: deployer}
services:
  queue:
    kind: consumer
    image: team/queue
    command: [run, --verbose]
    mounts: [/azaion:/azaion]
    config: {template: queue.j2, path: /azaion/queue.yaml}
    stream: {name: messages}
  batch: {kind: batch, image: team/batch, container: run}
"""
ENV = {
    "API_TOKEN": "t0ken-of-gpu",
    "RABBITMQ_HOST": "broker.lan",
    "RABBITMQ_PORT": "5552",
    "RABBITMQ_MONITOR_USER": "monitor",
    "RABBITMQ_MONITOR_PASSWORD": "m0nitor-password",
    "REGISTRY_PASSWORD": "reg1stry-password",
    "UNUSED": "x",
}


def project(
    folder: Path, hosts: str = HOSTS, template: str = "token: {{ API_TOKEN }}\nroot: {{ root }}\n"
) -> Inventory:
    (folder / "hosts.yaml").write_text(hosts)
    (folder / "queue.j2").write_text(template)
    return load_inventory(folder / "hosts.yaml")


def write_env(folder: Path, name: str = ".env", **changes: str) -> None:
    path = folder / name
    path.write_text("".join(f"{key}='{value}'\n" for key, value in (ENV | changes).items()))
    path.chmod(0o600)


def resolved(inventory: Inventory) -> dict[str, Resolved]:
    return resolve(inventory, inventory.select_hosts(None), inventory.select_services(None))


def complaints(inventory: Inventory) -> list[str]:
    with pytest.raises(BadInput) as caught:
        resolved(inventory)
    assert caught.value.hint
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_a_hint_is_of_what_is_wrong(tmp_path: Path) -> None:
    hints = {}
    for what, template, change in (("unset", "a: 1\n", {"RABBITMQ_PORT": ""}), ("quotes", 'a: "{{ root }}"\n', {})):
        write_env(tmp_path, **change)
        write_env(tmp_path, "other.env")
        with pytest.raises(BadInput) as caught:
            resolved(project(tmp_path, template=template))
        hints[what] = caught.value.hint
    assert ".env.example" in hints["unset"] and "write no quotes" not in hints["unset"]
    assert "write no quotes" in hints["quotes"] and ".env.example" not in hints["quotes"]


def test_a_stream_knows_the_variables_that_hosts_yaml_names(tmp_path: Path) -> None:
    write_env(tmp_path, QUEUE_HOST="queue.lan")
    write_env(tmp_path, "other.env", QUEUE_HOST="queue.lan")
    hosts = HOSTS.replace("{name: messages}", "{name: messages, host_variable: QUEUE_HOST}")
    inventory = project(tmp_path, hosts)
    found = resolved(inventory)["gpu-1"].stream(inventory.services["queue"])
    assert found and (found.host, found.variables) == ("queue.lan", {"RABBITMQ_HOST": "QUEUE_HOST"})


def test_each_server_gets_what_its_own_env_and_root_make(tmp_path: Path) -> None:
    write_env(tmp_path)
    write_env(tmp_path, "other.env", API_TOKEN="another")
    inventory = project(tmp_path)
    servers = resolved(inventory)
    queue, batch = inventory.services["queue"], inventory.services["batch"]
    configs = {name: server.config(queue) for name, server in servers.items()}
    read = {name: yaml.safe_load(config.reveal()) for name, config in configs.items() if config}
    assert read["gpu-1"] == read["gpu-2"] == {"token": "t0ken-of-gpu", "root": "/azaion"}
    assert read["gpu-3"] == {"token": "another", "root": "/data"}
    server = servers["gpu-1"]
    assert server.login == RegistryLogin("registry.lan", "deployer", Secret("reg1stry-password"))
    assert server.stream(queue) == StreamAddress("broker.lan", 5552, "messages", "monitor", "/")
    assert server.stream_password(queue) == Secret("m0nitor-password")
    assert (server.config(batch), server.stream(batch), server.stream_password(batch)) == (None, None, None)


@pytest.mark.parametrize(("tls", "asked"), [("true", ""), ("{ca: /etc/ca.pem}", "/etc/ca.pem"), ("false", None)])
def test_a_stream_behind_tls_is_asked_so(tmp_path: Path, tls: str, asked: str | None) -> None:
    write_env(tmp_path)
    write_env(tmp_path, "other.env")
    inventory = project(tmp_path, HOSTS.replace("name: messages", f"name: messages, tls: {tls}"))
    found = resolved(inventory)["gpu-1"].stream(inventory.services["queue"])
    assert found == StreamAddress("broker.lan", 5552, "messages", "monitor", "/", asked)


def test_the_variables_used_are_known_and_none_shows_its_value(tmp_path: Path) -> None:
    write_env(tmp_path)
    write_env(tmp_path, "other.env")
    server = resolved(project(tmp_path))["gpu-1"]
    assert set(server.used) == set(ENV) - {"UNUSED"}
    assert not any(value in repr(server) for value in ENV.values() if len(value) > 4)


KEYED = HOSTS.replace("path: /azaion/queue.yaml", "path: /azaion/queue.yaml, model_key: ai.model")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("ai:\n  model: {{ root ~ '/m' }}\n", None),
        ("ai: {model: x}\n", "it has no ai.model"),
        ("ai:\n  token: {{ API_TOKEN }}\n", "it has no ai.model"),
        ("ai:\n  model: x\n  model: y\n", "it has more than one ai.model"),
        ("ai:\n  model:\n    name: x\n", "ai.model is not one text on its line"),
        ("ai:\n  model: {{ API_TOKEN }}\n", "leads to a password and not to a model"),
        ("ai: &a\n  model: x\ntoo: *a\n", "it has no ai.model"),
        ("ai:\n  model: x\n'ai':\n  more: y\n", "it has more than one ai.model"),
        ("ai:\n  model: x\n? ai\n: {more: y}\n", "cannot be changed on its own"),
    ],
)
def test_a_config_that_is_to_take_another_model_is_proven_to(tmp_path: Path, template: str, said: str | None) -> None:
    for name in (".env", "other.env"):
        write_env(tmp_path, name)
    inventory = project(tmp_path, KEYED, template)
    if said is None:
        assert set(resolved(inventory)) == {"gpu-1", "gpu-2", "gpu-3"}
    else:
        (complaint,) = complaints(inventory)
        assert complaint.startswith(f"{tmp_path}/queue.j2: config.model_key ai.model")
        assert said in complaint
        assert ENV["API_TOKEN"] not in complaint


def test_everything_that_is_missing_is_named_at_once_and_once(tmp_path: Path) -> None:
    write_env(tmp_path, API_TOKEN="", RABBITMQ_MONITOR_PASSWORD="")
    (tmp_path / "other.env").write_text("RABBITMQ_HOST=x\nA='\n")
    assert complaints(project(tmp_path)) == [
        "other.env:2: the line cannot be read; a quote is open, or text follows the closing one",
        f"{tmp_path}/.env: API_TOKEN is empty; needed by {tmp_path}/queue.j2",
        f"{tmp_path}/.env: RABBITMQ_MONITOR_PASSWORD has no value;"
        " RABBITMQ_MONITOR_USER and RABBITMQ_MONITOR_PASSWORD are set together or not at all",
        f"{tmp_path}/other.env: REGISTRY_PASSWORD is not set; needed by registry.username",
        f"{tmp_path}/other.env: RABBITMQ_PORT is not set; needed by services.queue.stream",
        f"{tmp_path}/other.env: API_TOKEN is not set; needed by {tmp_path}/queue.j2",
    ]


def test_without_anybody_who_may_ask_the_stream_the_user_is_empty(tmp_path: Path) -> None:
    for name in (".env", "other.env"):
        write_env(tmp_path, name, RABBITMQ_MONITOR_USER="", RABBITMQ_MONITOR_PASSWORD="")
    inventory = project(tmp_path)
    server = resolved(inventory)["gpu-1"]
    stream = server.stream(inventory.services["queue"])
    assert stream is not None and stream.user == ""
    assert server.stream_password(inventory.services["queue"]) is None


def test_a_host_and_a_port_that_are_none_and_a_template_that_breaks_are_named_together(tmp_path: Path) -> None:
    write_env(tmp_path, RABBITMQ_HOST="http://broker.lan")
    write_env(tmp_path, "other.env", RABBITMQ_PORT="65536")
    said = complaints(project(tmp_path, template="token: '{{ API_TOKEN }}'\n"))
    assert f"{tmp_path}/.env: RABBITMQ_HOST is not a host name or an address" in said
    assert f"{tmp_path}/other.env: RABBITMQ_PORT is not a port from 1 to 65535" in said
    assert any("queue.j2:1 has quotes around an expression: '{{ API_TOKEN }}'" in line for line in said)


def test_a_missing_env_and_a_missing_template_are_named_together(tmp_path: Path) -> None:
    write_env(tmp_path)
    inventory = project(tmp_path)
    (tmp_path / "queue.j2").unlink()
    said = " ".join(complaints(inventory))
    assert "other.env does not exist" in said
    assert f"services.queue.config.template: {tmp_path}/queue.j2 does not exist" in said


def test_a_password_copied_to_where_docker_shows_it_is_refused(tmp_path: Path) -> None:
    write_env(tmp_path)
    write_env(tmp_path, "other.env")
    hosts = HOSTS.replace("run, --verbose", "run, --token=t0ken-of-gpu")
    said = complaints(project(tmp_path, hosts))
    assert said == ["services.queue.command.1: holds the value of API_TOKEN, and docker inspect shows it"]
    asked = "healthcheck: {command: 'curl -H t0ken-of-gpu localhost'}\n    mounts:"
    said = complaints(project(tmp_path, HOSTS.replace("mounts:", asked, 1)))
    assert said == ["services.queue.healthcheck.command: holds the value of API_TOKEN, and docker inspect shows it"]
    for asked, place in (
        ("log_options: {splunk-token: t0ken-of-gpu}", "--log-opt"),
        ("entrypoint: [sh, --token=t0ken-of-gpu]", "entrypoint.1"),
        ("options: {annotation: [a=1, b=t0ken-of-gpu]}", "--annotation"),
    ):
        said = complaints(project(tmp_path, HOSTS.replace("mounts:", f"{asked}\n    mounts:", 1)))
        assert said == [f"services.queue.{place}: holds the value of API_TOKEN, and docker inspect shows it"]


def test_a_rollback_does_without_the_variables_that_only_a_deploy_needs(tmp_path: Path) -> None:
    inventory = project(tmp_path)
    write_env(tmp_path, API_TOKEN="", REGISTRY_PASSWORD="")
    assert any("API_TOKEN" in line for line in complaints(inventory))
    found = resolve(inventory, [inventory.hosts["gpu-1"]], inventory.select_services(None), purpose="compare")["gpu-1"]
    assert found.stream(inventory.services["queue"]) == StreamAddress("broker.lan", 5552, "messages", "monitor", "/")
    assert found.login is None


ON_SERVERS = HOSTS.replace("{root: /azaion}", "{root: /azaion, env: {server: /etc/azaion/.env}}", 1)


def there(server: str, **changes: str) -> dict[str, tuple[Env, list[str]]]:
    """What a server's own file says."""
    text = "".join(f"{key}='{value}'\n" for key, value in (ENV | changes).items())
    source = f"{server}:/etc/azaion/.env"
    return {server: parsed(text, source, source)}


def of_one(inventory: Inventory, server: str, purpose: Purpose = "deploy", **changes: str) -> Resolved:
    """Once its file was read."""
    hosts, services = [inventory.hosts[server]], inventory.select_services(None)
    return resolve(inventory, hosts, services, purpose, there(server, **changes))[server]


def test_a_server_with_variables_of_its_own_is_known_once_they_were_read(tmp_path: Path) -> None:
    write_env(tmp_path, "other.env", API_TOKEN="another")
    inventory = project(tmp_path, ON_SERVERS)
    before = resolved(inventory)
    assert {name: one.unread for name, one in before.items()} == {"gpu-1": True, "gpu-2": True, "gpu-3": False}
    assert not before["gpu-1"].used and before["gpu-1"].login is None and before["gpu-1"].hidden_here == ()
    queue = inventory.services["queue"]
    for server, token in (("gpu-1", "f1rst-token"), ("gpu-2", "sec0nd-token")):
        found = of_one(inventory, server, API_TOKEN=token)
        config = found.config(queue)
        assert config is not None and yaml.safe_load(config.reveal()) == {"token": token, "root": "/azaion"}
        assert not found.unread and token in found.hidden_here
        assert found.login == RegistryLogin("registry.lan", "deployer", Secret("reg1stry-password"))
        assert found.stream_password(queue) == Secret("m0nitor-password")


def test_what_a_server_s_own_file_lacks_is_named_with_that_file(tmp_path: Path) -> None:
    write_env(tmp_path, "other.env")
    inventory = project(tmp_path, ON_SERVERS)
    with pytest.raises(BadInput) as caught:
        of_one(inventory, "gpu-1", API_TOKEN="", RABBITMQ_PORT="x")
    first, *rest = caught.value.message.splitlines()
    assert first == "gpu-1:/etc/azaion/.env: 1 error, nothing was changed there."
    assert rest == [f"  gpu-1:/etc/azaion/.env: API_TOKEN is empty; needed by {tmp_path}/queue.j2"]
    hosts, services = [inventory.hosts["gpu-1"]], inventory.select_services(None)
    source = "gpu-1:/etc/azaion/.env"
    torn = parsed("A='\nA=1 # two\nA=2\nB=b c\n", source, source)
    first, second = torn[0].warnings
    assert first.startswith(f"{source}:2: A: what follows the # counts as a comment here")
    assert second == f"{source}:4: B: a shell ends the value at the first blank; quote it"
    with pytest.raises(BadInput) as caught:
        resolve(inventory, hosts, services, "ask", {"gpu-1": torn})
    assert [line.strip() for line in caught.value.message.splitlines()[1:3]] == [
        f"{source}:1: the line cannot be read; a quote is open, or text follows the closing one",
        f"{source}:3: A: stands twice, first in line 2",
    ]
    row = of_one(inventory, "gpu-1", "preflight", API_TOKEN="")
    assert row.missing == (f"gpu-1:/etc/azaion/.env: API_TOKEN is empty; needed by {tmp_path}/queue.j2",)


def test_what_is_wrong_on_the_laptop_is_said_before_a_server_is_asked_for_its_variables(tmp_path: Path) -> None:
    write_env(tmp_path, "other.env")
    inventory = project(tmp_path, ON_SERVERS, template="token: {{ API_TOKEN }\n")
    assert any("queue.j2" in line for line in complaints(inventory))
    inventory = project(tmp_path, ON_SERVERS.replace("registry: {", "public: [NOT_KNOWN_HERE]\nregistry: {"))
    assert resolved(inventory)["gpu-1"].unread  # which may have it


NEEDS_NOTHING = """\
defaults: {root: /azaion, env: {server: /etc/azaion/.env}}
hosts: {gpu-1: {address: gpu-1.lan}}
services:
  queue: {kind: consumer, image: team/queue, mounts: [/azaion:/azaion]CONFIG}
"""
RENDERED = ", config: {template: queue.j2, path: /azaion/queue.yaml}"


@pytest.mark.parametrize(
    ("more", "template", "purpose", "asks"),
    [
        ("", "", "deploy", False),
        (RENDERED, "root: {{ root }}\n", "deploy", False),
        (RENDERED, "root: {{ API_TOKEN }}\n", "deploy", True),
        (RENDERED, "root: {{ root }}\n", "ask", True),  # where it is not rendered, nobody has looked
        (RENDERED, "root: {{ root }}\n", "compare", True),
        (", stream: {name: messages}", "", "ask", True),
        (", env_file: {path: /azaion/a.env, variables: [A]}", "", "ask", True),
    ],
)
def test_where_nothing_is_made_of_variables_none_are_read(
    tmp_path: Path, more: str, template: str, purpose: Purpose, asks: bool
) -> None:
    inventory = project(tmp_path, NEEDS_NOTHING.replace("CONFIG", more), template)
    hosts, services = inventory.select_hosts(None), inventory.select_services(None)
    found = resolve(inventory, hosts, services, purpose)["gpu-1"]
    assert found.unread == asks
    config = found.config(services[0])
    if more == RENDERED and not asks:
        assert config is not None and yaml.safe_load(config.reveal()) == {"root": "/azaion"}
