"""Which values of .env are secrets: told by name, by use, by a password in a URL, and else by what they look like."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs import secrecy
from gpu_runbook.laptop.inputs.resolve import resolve
from gpu_runbook.laptop.inputs.secrecy import COVERED, PLAIN, REFUSED, Uses, is_plain, judge
from gpu_runbook.laptop.inputs.secret import DOTS, Secret, masked, spellings
from gpu_runbook.laptop.inventory.model import Inventory, load_inventory

NOTHING = Uses()
# How secrets were told before: by their names alone.
BY_NAME = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL|DSN")

HOSTS = """\
defaults: {root: /azaion, user: deploy}
hosts:
  gpu-1: {address: gpu-1.lan}
  gpu-2: {address: gpu-2.lan, env_file: other.env}
registry: {server: "registry.lan:5000", username: d3ployer-of-images}
ci: {forge: github, token_variable: FORGE_LOGIN}
services:
  queue:
    kind: consumer
    image: team/queue
    mounts: [/azaion:/azaion]
    stream: {name: an-7f3a9b21-stream, host_variable: BROKER, port_variable: BROKER_PORT, user_variable: MONITOR,
             password_variable: MONITOR_LOGIN}
    env_file: {path: /azaion/queue.env, variables: [READ_THERE]}
schedule:
  heartbeat_variable: PING
  alerts:
    chat: {kind: slack, url_variable: CHAT}
    mail: {kind: smtp, host: mail.lan, sender: gpu@mail.lan, recipients: [a@b.lan], user: gpu, password_variable: MAIL}
"""
ENV = {
    "BROKER": "b7f3a9b21c.lan",
    "BROKER_PORT": "5552",
    "MONITOR": "monitor7f3a9b21c",
    "MONITOR_LOGIN": "monitors-word",
    "FORGE_LOGIN": "forges-word",
    "REGISTRY_PASSWORD": "registrys-word",
    "PING": "https://ping.lan/plain",
    "CHAT": "https://chat.lan/plain",
    "MAIL": "mails-word",
    "STREAM": "an-7f3a9b21-stream",
    "REGISTRY": "registry.lan:5000",
    "PULLS": "d3ployer-of-images",
    "READ_THERE": "kfh28Hskwq3Zc",
    "AMQP_URL": "amqp://azaion:plainword@broker.lan:5672/%2f",
    "LOGIN": "hunter22",
    "PLACE": "/azaion/annotations",
    "KEY_PREFIX": "annotations",
}


def project(folder: Path, hosts: str = HOSTS, **more: str) -> Inventory:
    (folder / "hosts.yaml").write_text(hosts)
    for name in (".env", "other.env"):
        (folder / name).write_text("".join(f"{key}='{value}'\n" for key, value in (ENV | more).items()))
        (folder / name).chmod(0o600)
    return load_inventory(folder / "hosts.yaml")


def complaints(inventory: Inventory, hosts: str | None = None) -> list[str]:
    with pytest.raises(BadInput) as caught:
        resolve(inventory, inventory.select_hosts(hosts), inventory.select_services(None))
    return [line.strip() for line in caught.value.message.splitlines()[1:]]


def test_each_variable_is_what_its_name_its_use_and_its_value_make_of_it(tmp_path: Path) -> None:
    uses = secrecy.uses(project(tmp_path))
    found = {name: judge(name, value, uses) for name, value in ENV.items()}
    assert {name for name, kind in found.items() if kind == REFUSED} == {
        *("REGISTRY_PASSWORD", "KEY_PREFIX"),  # by name
        *("MONITOR_LOGIN", "FORGE_LOGIN", "PING", "CHAT", "MAIL"),  # by use
        "AMQP_URL",  # by the password in it
    }
    assert {name for name, kind in found.items() if kind == COVERED} == {"READ_THERE", "LOGIN"}


def test_public_takes_back_a_name_and_a_shape_and_neither_a_use_nor_a_password(tmp_path: Path) -> None:
    names = ["KEY_PREFIX", "LOGIN", "AMQP_URL"]
    inventory = project(tmp_path, HOSTS + f"public: [{', '.join(names)}]\n")
    uses = secrecy.uses(inventory)
    assert [judge(name, ENV[name], uses) for name in names] == [PLAIN, PLAIN, REFUSED]
    found = resolve(inventory, inventory.select_hosts(None), inventory.select_services(None))["gpu-1"]
    assert masked("hunter22 in annotations", found.hidden_here) == "hunter22 in annotations"


def test_public_names_variables_that_are_there_and_are_no_passwords(tmp_path: Path) -> None:
    public = "public:\n  - KEY_PREFIX\n  - TOKENISER\n  - MAIL\n"
    line = HOSTS.count("\n") + 3
    said = complaints(project(tmp_path, HOSTS + public))
    assert said == [
        f"hosts.yaml:{line}: public.1: TOKENISER is no variable of {tmp_path}/.env, {tmp_path}/other.env",
        f"hosts.yaml:{line + 1}: public.2: MAIL is a password, a token or the address of an alert, and so a secret",
    ]


def test_public_may_name_a_variable_of_a_server_that_is_not_asked_for(tmp_path: Path) -> None:
    inventory = project(tmp_path, HOSTS + "public: [ELSEWHERE]\n")
    only = inventory.select_hosts("gpu-1")
    assert "ELSEWHERE is no variable of" in complaints(inventory, "gpu-1")[0]
    with (tmp_path / "other.env").open("a") as file:
        file.write("ELSEWHERE=1\n")
    assert resolve(inventory, only, inventory.select_services(None))
    (tmp_path / "other.env").unlink()  # not every laptop has every .env: nobody can say that it is not there
    assert resolve(inventory, only, inventory.select_services(None))


@pytest.mark.parametrize(
    "value",
    [
        "amqp://azaion:plainword@broker.lan:5672/%2f",
        "plainword",
        "--url=https://azaion:plainword@elsewhere",
        base64.b64encode(b"azaion:plainword").decode(),
    ],
)
@pytest.mark.parametrize("place", ["environment", "command"])
def test_a_url_with_a_password_is_refused_where_docker_shows_it(tmp_path: Path, value: str, place: str) -> None:
    hosts = yaml.safe_load(HOSTS)
    hosts["services"]["queue"][place] = {"BROKER": value} if place == "environment" else ["run", value]
    key = {"environment": "BROKER", "command": "1"}[place]
    (said, *others) = complaints(project(tmp_path, yaml.safe_dump(hosts)))
    assert said == f"services.queue.{place}.{key}: holds the value of AMQP_URL, and docker inspect shows it"
    assert others == []


@pytest.mark.parametrize("name", ["MONITOR_LOGIN", "FORGE_LOGIN", "PING", "CHAT", "MAIL"])
def test_what_is_a_secret_by_its_use_is_refused_as_well(tmp_path: Path, name: str) -> None:
    hosts = yaml.safe_load(HOSTS)
    hosts["services"]["queue"]["environment"] = {"COPIED": ENV[name]}
    said = complaints(project(tmp_path, yaml.safe_dump(hosts)))
    assert said == [f"services.queue.environment.COPIED: holds the value of {name}, and docker inspect shows it"]


def test_what_is_only_covered_may_stand_there(tmp_path: Path) -> None:
    hosts = yaml.safe_load(HOSTS)
    hosts["services"]["queue"]["environment"] = {"COPIED": ENV["LOGIN"]}
    inventory = project(tmp_path, yaml.safe_dump(hosts))
    assert resolve(inventory, inventory.select_hosts(None), inventory.select_services(None))


def test_a_server_is_told_what_to_cover_of_its_own_and_this_machine_covers_all(tmp_path: Path) -> None:
    inventory = project(tmp_path)
    found = resolve(inventory, inventory.select_hosts(None), inventory.select_services(None))["gpu-1"]
    there, here = (set(hidden) for hidden in (found.hidden, found.hidden_here))
    assert {"monitors-word", "registrys-word", "kfh28Hskwq3Zc"} <= there < here
    assert {"plainword", "azaion:plainword", "hunter22", "mails-word"} <= here - there


@pytest.mark.parametrize("password", ["plainword", "p@ss/w#rd:?", "mit Blank", "ünïcödé", "a+b%20c", "@@@@@@"])
def test_the_password_in_a_url_is_covered_in_every_spelling(password: str) -> None:
    hidden = spellings([Secret(f"amqps://me:{quote(password, safe='')}@broker.lan:5671/?heartbeat=3")])
    basic = base64.b64encode(f"me:{password}".encode()).decode()
    for said in (password, quote(password), quote(password, safe=""), f"me:{password}", f"Basic {basic}"):
        assert DOTS in masked(said, hidden) and password not in masked(said, hidden)
    assert basic[:-4] not in masked(f"Basic {basic}", hidden)


@pytest.mark.parametrize(
    "value",
    [
        "postgres://me:p@ss/w0rd@db/name",
        "redis://:geheim-1@cache",
        "amqp://a:first-one@b,amqp://a:second-one@c",
        "HTTPS://me:plainword@host",
        "see http://me:plainword@host for more",
    ],
)
def test_a_url_with_a_password_is_known_as_one(value: str) -> None:
    assert judge("ADDRESS", value, NOTHING) == REFUSED
    for password in re.findall(r":(?!//)([^,]+)@", value):
        assert password not in masked(f"cannot log in with {password}", spellings([Secret(value)]))


@pytest.mark.parametrize(
    "value",
    ["http://git.lan:80/team/queue@v2", "https://api.lan/a:b", "git@git.lan:team/queue", "http://h:5552", "a:b@c"],
)
def test_a_url_without_a_password_is_none(value: str) -> None:
    assert judge("ADDRESS", value, NOTHING) != REFUSED


# Values that stand in a .env beside the secrets, and what a server, a container or a log says with them in it.
HARMLESS = [
    ("", "nothing at all"),
    ("true", "debug is true"),
    ("1", "1 message"),
    ("5552", "connected to rabbit.lan:5552"),
    ("15672", "http://rabbit.lan:15672/api/queues"),
    ("1000:1000", "config.yaml belongs to 1000:1000"),
    ("123456789", "offset 123456789 saved"),
    ("20260420101112", "backup 20260420101112 is there"),
    ("-17.25", "temperature offset -17.25 applied"),
    ("0.00025", "lr=0.00025 batch=16"),
    ("1e-5", "weight decay 1e-5"),
    ("1_000_000", "limit 1_000_000 reached"),
    ("98.6%", "disk 98.6% full"),
    ("512m", "memory limit 512m"),
    ("1800s", "stale after 1800s"),
    ("100MiB", "chunk of 100MiB read"),
    ("16GB", "16GB free"),
    ("2026-04-20", "model of 2026-04-20 loaded"),
    ("10:11:12", "at 10:11:12 it began"),
    ("2026-04-20T10:11:12Z", "started 2026-04-20T10:11:12Z"),
    ("12.4.1", "CUDA 12.4.1"),
    ("v1.2.3-rc1", "release v1.2.3-rc1 proven"),
    ("1.2.3+cu121", "torch 1.2.3+cu121"),
    ("latest", "pulling the latest image"),
    ("annotations", "120 annotations written"),
    ("azaion", "user azaion logged in"),
    ("azaion-annotations", "stream azaion-annotations has 50 messages"),
    ("annotation-queue", "annotation-queue alive: it runs for 3 h"),
    ("annotation_queue", "module annotation_queue imported"),
    ("Annotations", "Annotations: 7"),
    ("PRODUCTION", "environment PRODUCTION"),
    ("INFO", "INFO consumer started"),
    ("warning", "disk space warning"),
    ("critical", "GPU available critical"),
    ("deploy", "fab deploy by deploy"),
    ("training", "training runs, epoch 7"),
    ("checkpoints", "checkpoints/epoch-7.pt written"),
    ("production", "this is production"),
    ("consumer", "the consumer ended"),
    ("offset", "offset advancing"),
    ("rabbitmq", "rabbitmq is reachable"),
    ("nvidia", "nvidia-smi answers"),
    ("queue.lan", "queue.lan: timed out"),
    ("rabbit.lan", "rabbit.lan refused the connection"),
    ("rabbit01.prod.lan", "rabbit01.prod.lan answers"),
    ("gpu-1", "gpu-1: up to date"),
    ("gpu-1.lan", "ssh: gpu-1.lan"),
    ("gpu-1,gpu-2", "servers gpu-1,gpu-2"),
    ("ip-10-0-0-12.eu-central-1.compute.internal", "at ip-10-0-0-12.eu-central-1.compute.internal"),
    ("localhost", "localhost:5552"),
    ("127.0.0.1", "listening on 127.0.0.1"),
    ("10.0.0.12:5552", "10.0.0.12:5552 timed out"),
    ("0.0.0.0:8080", "serving at 0.0.0.0:8080"),
    ("192.168.178.0/24", "route to 192.168.178.0/24"),
    ("fe80::1", "fe80::1 is up"),
    ("registry.lan:5000", "registry.lan:5000/azaion/queue"),
    ("azaion/queue", "image azaion/queue"),
    ("azaion/annotation-queue:1.4.2", "deployed azaion/annotation-queue:1.4.2"),
    ("azaion/annotation-queue:latest", "azaion/annotation-queue:latest moved"),
    ("nvidia/cuda:12.4.1-runtime-ubuntu22.04", "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04"),
    ("python:3.11-slim", "python:3.11-slim"),
    ("/", "/ is 80 % full"),
    ("/azaion", "/azaion/config.yaml"),
    ("/azaion/annotations", "wrote /azaion/annotations/000123.json"),
    ("/azaion/models/2026-04-20/best.pt", "model: /azaion/models/2026-04-20/best.pt"),
    ("/azaion/runs/a8f3e9b2/weights", "resumed from /azaion/runs/a8f3e9b2/weights"),
    ("/dev/nvidia0", "/dev/nvidia0 is busy"),
    ("/var/lib/docker", "/var/lib/docker 71 %"),
    ("/home/deploy/.ssh/known_hosts", "read /home/deploy/.ssh/known_hosts"),
    ("/usr/bin/python3.11", "/usr/bin/python3.11 is there"),
    ("~/data/set", "cd ~/data/set"),
    ("./scans/queue.json", "report ./scans/queue.json"),
    ("../shared/models", "in ../shared/models"),
    ("models/best.pt", "loading models/best.pt"),
    ("yolo11x.pt", "weights yolo11x.pt"),
    ("best.onnx", "exported best.onnx"),
    ("config.yaml", "config.yaml is as rendered"),
    ("config.yaml.j2", "config.yaml.j2:3 does not render"),
    ("http://rabbit.lan:15672", "see http://rabbit.lan:15672"),
    ("https://api.azaion.com", "GET https://api.azaion.com/health 200"),
    ("https://api.azaion.com/annotations", "POST https://api.azaion.com/annotations"),
    ("https://api.azaion.com/v2/annotations/", "404 https://api.azaion.com/v2/annotations/x"),
    ("redis://redis.lan:6379/0", "redis://redis.lan:6379/0 answers"),
    ("s3://azaion-prod/models", "copied to s3://azaion-prod/models"),
    ("amqp://rabbit.lan:5672/", "amqp://rabbit.lan:5672/ without a login"),
    ("unix:///var/run/docker.sock", "unix:///var/run/docker.sock"),
    ("deploy@azaion.com", "as deploy@azaion.com"),
    ("ops+gpu@azaion.com", "mail to ops+gpu@azaion.com"),
    ("application/json", "Content-Type: application/json"),
    ("text/event-stream", "Accept: text/event-stream"),
    ("en_US.UTF-8", "LANG=en_US.UTF-8"),
    ("Europe/Berlin", "TZ=Europe/Berlin"),
    ("eu-central-1", "region eu-central-1"),
    ("utf-8", "encoded as utf-8"),
    ("x86_64", "Linux x86_64"),
    ("sm_90", "compute capability sm_90"),
    ("fp16", "precision fp16"),
    ("all", "gpus: all"),
    ("0,1,2,3", "CUDA_VISIBLE_DEVICES=0,1,2,3"),
    ("H100", "NVIDIA H100 80GB"),
    ("team.queue.annotations", "routing team.queue.annotations"),
    ("dead-letter", "to the dead-letter exchange"),
]


@pytest.mark.parametrize("known", [lambda name, value: bool(BY_NAME.search(name)), None], ids=["before", "after"])
def test_a_hundred_rows_stay_readable_although_env_holds_such_values(known: object) -> None:
    assert len(HARMLESS) >= 100
    values = {f"V{at}": value for at, (value, _) in enumerate(HARMLESS)}
    told = known if callable(known) else lambda name, value: judge(name, value, NOTHING) != PLAIN
    hidden = spellings(Secret(value) for name, value in values.items() if told(name, value))
    unreadable = [row for _, row in HARMLESS if masked(row, hidden) != row]
    assert unreadable == []


# Under a name that gives nothing away; before, each of them stood there in the clear.
SECRETS = [
    "amqp://azaion:kaninchen@rabbit.lan:5672/%2f",
    "postgres://azaion:kaninchen@db.lan/annotations",
    "https://azaion:kaninchen@api.azaion.com/v1",
    "redis://:kaninchen@redis.lan:6379/0",
    "https://hooks.slack.com/services/T024BE7LD/B05J8KQ/8dKqPz3Wm1",
    "https://api.lan/upload?sig=8f3a9b21c77e",
    "https://ghp_16C7e42F292c6912E7710c838347Ae178B4a@github.com/team/queue",
    "hunter22",
    "Tr0ub4dor&3",
    "p@ssw0rd!",
    "P@ss-word1",
    "correct horse battery staple",
    "azaion:kaninchen",
    "azaion:20260420",
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "6f1ed002ab5595859014ebf0951522d9",
    "550e8400-e29b-41d4-a716-446655440000",
    "ABCD1-EFGH2-IJKL3-MNOP4",
    "JBSWY3DPEHPK3PXP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzzqgy",
    "sk-proj-T3BlbkFJ7hQ2",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----",
    '{"login": "azaion"}',
    "Jürgen-Straße",
]


@pytest.mark.parametrize("value", SECRETS)
def test_a_secret_under_an_innocent_name_is_covered_and_was_not_before(value: str) -> None:
    row = f"cannot connect: {value}"
    before = spellings([Secret(value)] if BY_NAME.search("ADDRESS") else [])
    assert masked(row, before) == row
    after = masked(row, spellings([Secret(value)] if judge("ADDRESS", value, NOTHING) != PLAIN else []))
    assert DOTS in after and value not in after
    assert all(line not in after for line in value.splitlines()) and "kaninchen" not in after


def test_what_chance_makes_is_hardly_ever_taken_for_a_word() -> None:
    chance = random.Random(1)  # noqa: S311  the same at every run
    makers: list[Callable[[], str]] = [
        lambda: chance.randbytes(16).hex(),
        lambda: base64.b64encode(chance.randbytes(18)).decode(),
        lambda: base64.urlsafe_b64encode(chance.randbytes(9)).decode(),
        lambda: base64.urlsafe_b64encode(chance.randbytes(18)).decode(),
    ]
    for make in makers:
        assert sum(is_plain(make()) for _ in range(10_000)) <= 50
