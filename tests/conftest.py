"""One sandbox for all tests on real parts, brought up when the first of them asks for it."""

from __future__ import annotations

import gc
import socket
import sys
from collections.abc import Iterator

import pytest

from gpu_runbook.common import memory
from sandbox import Sandbox, down, up
from sandbox.machine import can_be_root
from sandbox.place import CHECKOUT
from sandbox.say import with_time
from tests import real
from tests.further import is_further

PORT_BASE = 25000
SPAN = 300  # of ports for each process that shares the tests: a test may bring up a second sandbox beside its own


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--port-base",
        type=int,
        default=PORT_BASE,
        help="where the ports of the tests' sandbox start; two runs side by side need two",
    )
    parser.addoption("--kinds", action="store_true", help="leave out further cases of a kind (tests/further.py)")


NEED_ROOT = "these tests need root or passwordless sudo; `make test-unit` runs those that do not"


def pytest_configure(config: pytest.Config) -> None:
    """Said before the tests are shared out: a process that has its share can no longer say it in one sentence.

    The tests, too, are compiled once and kept: it takes ten seconds, and some images of Python forbid it.
    """
    sys.dont_write_bytecode = False
    if config.getoption("numprocesses", None) and not can_be_root():
        raise pytest.UsageError(NEED_ROOT)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without root, real tests end the run: skipping them in silence would look like passing."""
    if config.getoption("--kinds"):
        config.hook.pytest_deselected(items=[item for item in items if is_further(item.nodeid)])
        items[:] = [item for item in items if not is_further(item.nodeid)]
    if any(item.get_closest_marker("real") for item in items) and not can_be_root():
        raise pytest.UsageError(NEED_ROOT)


def pytest_collection_finish() -> None:
    """Thousands of tests are held from here on to the end: the collector of garbage need not go through them.

    Nor need it come as often as for a program that runs for ever.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A run that was interrupted may have left its servers behind: they run on, and the next run takes them over."""
    workers = range(getattr(config.option, "numprocesses", None) or 1)
    places = [_place(config.getoption("--port-base") + SPAN * worker).directory for worker in workers]
    left = " ".join(place.name for place in places if place.exists())
    if left:
        terminalreporter.write_line("the sandbox stays for the next run of the tests; this removes it:")
        terminalreporter.write_line(f"for one in {left}; do .venv/bin/python -m sandbox down --directory $one; done")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tool remembers for the user who runs the tests is neither read nor written.

    Whatever is started keeps what it compiles, as it does for a user: some images of Python forbid it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def unbound() -> Iterator[None]:
    """A verb that a test calls in its own process does not bound the memory of all that the tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "LIMIT", 1 << 60)
        yield


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of the tests' own, beside the one of a demo. What an interrupted run has left is taken over."""
    base = request.config.getoption("--port-base") + SPAN * _worker(request.config)
    place = _place(base)
    held = _hold(base)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    say = with_time()
    with capture.global_and_fixture_disabled():
        print()
        up(place, say)
        real.keep_layers(place)
    yield place
    with capture.global_and_fixture_disabled():
        print()
        down(place, say)
    held.close()


def _place(base: int) -> Sandbox:
    return Sandbox(CHECKOUT / f".sandbox-tests-{base}", base)


def _worker(config: pytest.Config) -> int:
    """The number of the process that runs this test, when several share the tests; each has a sandbox of its own."""
    name = getattr(config, "workerinput", {}).get("workerid", "gw0")
    return int(name.removeprefix("gw"))


def _hold(port: int) -> socket.socket:
    """Two runs in one sandbox would see each other's messages: the port base itself is the lock."""
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", port))
    except OSError:
        held.close()
        pytest.exit(f"another test run holds the ports from {port} on; pytest --port-base N takes others", 4)
    return held


@pytest.fixture
def server(sandbox: Sandbox) -> Sandbox:
    """The sandbox as after its first `up`: no container, an empty stream, a bare /azaion, a healthy GPU and line."""
    real.clean(sandbox)
    return sandbox
