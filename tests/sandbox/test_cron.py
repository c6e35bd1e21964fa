"""The server's cron: it takes the login user's crontab, runs it, and has it again after a reboot."""

from __future__ import annotations

import time

import pytest

from sandbox import Sandbox, is_up, kill, reboot, run_inside, start
from tests import real
from tests.sandbox.test_parts import ssh

pytestmark = pytest.mark.real
WITNESS = "/tmp/witness"
TELLS = rf"(env | sort; id; umask; pwd; cat; date +\%Y) >{WITNESS}.part; mv {WITNESS}.part {WITNESS}%one%two"
LASTS = "sleep 4711"


def install(server: Sandbox, *lines: str) -> None:
    run_inside(server, ["crontab", "-"], user="deploy", input="".join(f"{line}\n" for line in lines))


def listed(server: Sandbox) -> list[str]:
    return run_inside(server, ["crontab", "-l"], user="deploy", check=False).stdout.splitlines()


def told(server: Sandbox, seconds: float) -> str:
    """What the job has told, as soon as it has; it is forgotten with that."""
    deadline = time.monotonic() + seconds
    while not (text := run_inside(server, ["sh", "-c", f"cat {WITNESS} && rm {WITNESS}"], check=False).stdout):
        assert time.monotonic() < deadline, "the job did not run to its end"
        time.sleep(0.2)
    return text


def is_running(server: Sandbox, words: str) -> bool:
    return run_inside(server, ["pgrep", "--full", words], check=False).returncode == 0


def test_a_job_runs_by_itself_as_fire_runs_it_and_ends_when_the_server_is_cleaned(server: Sandbox) -> None:
    variables = ("# what is = said", "", "ADDRESS = 'a b'")
    install(server, *variables, f"* * * * * {LASTS}", f"* * * * * {TELLS}")
    by_itself = told(server, 70)
    assert is_running(server, LASTS)
    real.clean(server)
    assert not is_running(server, LASTS)
    assert listed(server) == []

    install(server, *variables, f"@yearly {TELLS}")
    assert [done.returncode for done in real.fire(server)] == [0]
    assert told(server, 0) == by_itself
    assert {"ADDRESS=a b", "PATH=/usr/bin:/bin", "one", "two", "0022", "/home/deploy"} <= set(by_itself.splitlines())


def test_the_login_user_has_a_crontab_over_ssh(server: Sandbox) -> None:
    assert ssh(server, "crontab -l").stderr == "no crontab for deploy\n"
    assert ssh(server, "echo '*/5 * * * * true' | crontab -").returncode == 0
    assert ssh(server, "crontab -l").stdout == "*/5 * * * * true\n"
    assert ssh(server, "echo '*/30 * * * * false' >table && crontab table; rm table").returncode == 0
    assert listed(server) == ["*/30 * * * * false"]
    assert "bad minute" in ssh(server, "echo 'no times' | crontab -").stderr
    assert ssh(server, "crontab -r").returncode == 0
    assert listed(server) == []


def test_fire_tells_what_each_command_said_and_how_it_ended(server: Sandbox) -> None:
    assert real.fire(server) == []
    install(server, "# 1 2 3 4 echo no", "  */5 0-3 * * 1,2 echo $A", "A=b", "@daily echo $A; ls nothing; exit 3")
    first, second = real.fire(server)
    assert (first.stdout, first.returncode) == ("\n", 0)
    assert (second.stdout, second.returncode) == ("b\n", 3)
    assert "nothing" in second.stderr


def test_a_crontab_survives_a_reboot_and_a_cron_that_was_killed(server: Sandbox) -> None:
    install(server, "*/5 * * * * true")
    kill(server, "cron")
    assert not is_up(server)
    start(server, "cron")
    reboot(server, print)
    assert is_up(server)
    assert listed(server) == ["*/5 * * * * true"]
