"""The sandbox's passwords, new for every sandbox, and the .env file that holds them."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
from pathlib import Path

from dotenv import dotenv_values

from sandbox.place import STREAM, Sandbox

# Characters that a shell, a YAML reader, an interpolating .env reader or a URL would trip over.
AWKWARD = '$x} #"&: @ü'


def read_or_create(sandbox: Sandbox, owner: tuple[int, int]) -> dict[str, str]:
    """The variables of the sandbox's .env by name, written on first use with mode 0600 for `owner` (uid, gid)."""
    if sandbox.env_file.exists():
        return read(sandbox.env_file)
    variables = _fresh(sandbox)
    # Between single quotes every reader of .env takes these characters as they are.
    lines = [f"{name}='{value}'\n" for name, value in variables.items()]
    descriptor = os.open(sandbox.env_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(["# Made by the sandbox; the passwords are new with every `up`.\n", *lines])
    os.chown(sandbox.env_file, *owner)
    return variables


def read(path: Path) -> dict[str, str]:
    """The variables of the .env file that the sandbox wrote."""
    return {name: value or "" for name, value in dotenv_values(path, interpolate=False, encoding="utf-8").items()}


def broker_hash(password: str) -> str:
    """The password as RabbitMQ's definitions hold it: salt and SHA-256 of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _fresh(sandbox: Sandbox) -> dict[str, str]:
    return {
        "AZAION_API_URL": "https://api.azaion.example",
        "AZAION_API_EMAIL": "annotations@azaion.example",
        "AZAION_API_PASSWORD": _password(),
        "RABBITMQ_HOST": "127.0.0.1",
        "RABBITMQ_PORT": str(sandbox.stream_port),
        "RABBITMQ_USER": "azaion",
        "RABBITMQ_PASSWORD": _password(),
        "RABBITMQ_QUEUE_NAME": STREAM,
        "AZAION_ROOT_DIR": "/azaion",
        "AZAION_DATA_DIR": "data",
        "AZAION_DATA_SEED_DIR": "data-seed",
        "AZAION_DATA_DELETED_DIR": "data_deleted",
        "TRAINING_MODEL": "yolo11m",
        "TRAINING_EPOCHS": "20000",
        "TRAINING_BATCH_SIZE": "16",
        "EXPORT_FORMAT": "onnx",
        "RABBITMQ_MONITOR_USER": "monitor",
        "RABBITMQ_MONITOR_PASSWORD": _password(),
        "REGISTRY_PASSWORD": _password(),
    }


def _password() -> str:
    return secrets.token_urlsafe(9) + AWKWARD + secrets.token_urlsafe(9)
