from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.health.patient import Patient


@pytest.fixture
def patient(server: Sandbox) -> Patient:
    return Patient(server)
