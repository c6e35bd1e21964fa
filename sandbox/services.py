"""What stands on the services machine: a registry with a password, and a broker with the stream and two users."""

from __future__ import annotations

import json
from collections.abc import Mapping

import bcrypt

from sandbox import certificates
from sandbox.passwords import broker_hash
from sandbox.place import BROKER_CA, STREAM, Sandbox
from sandbox.roots import RABBITMQ, REGISTRY, SERVICE_USERS, build, give_directory, give_file

REGISTRY_USER = "deployer"


def prepare(sandbox: Sandbox, variables: Mapping[str, str]) -> None:
    """Write everything that the registry and the broker read at their start."""
    build(sandbox.services, SERVICE_USERS)
    _prepare_registry(sandbox, variables["REGISTRY_PASSWORD"])
    _prepare_broker(sandbox, variables)


def _prepare_registry(sandbox: Sandbox, password: str) -> None:
    etc = sandbox.services.root / "etc"
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=5)).decode()
    give_file(etc / "docker-registry.htpasswd", f"{REGISTRY_USER}:{hashed}\n", REGISTRY.uid, 0o600)
    # JSON is YAML, and needs no thought about quotes.
    settings = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": REGISTRY.home}, "delete": {"enabled": True}},
        "http": {"addr": sandbox.registry},
        "auth": {"htpasswd": {"realm": "sandbox", "path": "/etc/docker-registry.htpasswd"}},
    }
    give_file(etc / "docker-registry.yml", json.dumps(settings, indent=1))


def _prepare_broker(sandbox: Sandbox, variables: Mapping[str, str]) -> None:
    etc = sandbox.services.root / "etc/rabbitmq"
    environment = {
        "NODENAME": "rabbit@localhost",
        "NODE_IP_ADDRESS": "127.0.0.1",
        "NODE_PORT": sandbox.amqp_port,
        "DIST_PORT": sandbox.distribution_port,
        "SERVER_ADDITIONAL_ERL_ARGS": '"-kernel inet_dist_use_interface {127,0,0,1}"',
    }
    # Erlang's own names stand without the prefix that the file adds to the others.
    epmd = f"export ERL_EPMD_ADDRESS=127.0.0.1\nexport ERL_EPMD_PORT={sandbox.epmd_port}\n"
    give_file(etc / "rabbitmq-env.conf", epmd + "".join(f"{name}={value}\n" for name, value in environment.items()))
    give_file(etc / "enabled_plugins", "[rabbitmq_stream].\n")
    settings = {
        "listeners.tcp.1": f"127.0.0.1:{sandbox.amqp_port}",
        "stream.listeners.tcp.1": f"127.0.0.1:{sandbox.stream_port}",
        "stream.listeners.ssl.1": f"127.0.0.1:{sandbox.stream_tls_port}",
        "stream.advertised_tls_port": sandbox.stream_tls_port,
        "ssl_options.cacertfile": "/etc/rabbitmq/ca.pem",
        "ssl_options.certfile": "/etc/rabbitmq/certificate.pem",
        "ssl_options.keyfile": "/etc/rabbitmq/key.pem",
        "ssl_options.verify": "verify_none",
        "ssl_options.fail_if_no_peer_cert": "false",
        "stream.advertised_host": "127.0.0.1",
        "stream.advertised_port": sandbox.stream_port,
        "load_definitions": "/etc/rabbitmq/definitions.json",
        "log.console": "true",
        "log.file": "false",
    }
    give_file(etc / "rabbitmq.conf", "".join(f"{name} = {value}\n" for name, value in settings.items()))
    give_file(etc / "definitions.json", json.dumps(_definitions(variables)), RABBITMQ.uid, 0o600)
    certificates.give(etc / "ca.pem", etc / "certificate.pem", etc / "key.pem", RABBITMQ.uid, "localhost")
    give_file(sandbox.server.root / BROKER_CA.lstrip("/"), (etc / "ca.pem").read_bytes())
    give_directory(sandbox.services.root / "var/log/rabbitmq", RABBITMQ.uid)


def _definitions(variables: Mapping[str, str]) -> dict[str, object]:
    """Users, rights and the stream, as the broker imports them: no password in any argument list."""
    consumer, monitor = variables["RABBITMQ_USER"], variables["RABBITMQ_MONITOR_USER"]
    rights = {consumer: (".*", ".*", ".*"), monitor: ("^$", "^$", f"^{STREAM}$")}
    passwords = {consumer: "RABBITMQ_PASSWORD", monitor: "RABBITMQ_MONITOR_PASSWORD"}
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": name,
                "password_hash": broker_hash(variables[password]),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": [],
            }
            for name, password in passwords.items()
        ],
        "permissions": [
            {"user": user, "vhost": "/", "configure": configure, "write": write, "read": read}
            for user, (configure, write, read) in rights.items()
        ],
        "queues": [
            {
                "name": STREAM,
                "vhost": "/",
                "durable": True,
                "auto_delete": False,
                "arguments": {"x-queue-type": "stream"},
            }
        ],
    }
