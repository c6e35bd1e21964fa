"""Leaving the check on a server and taking it away: what is there then, what others had there, what is refused."""

from __future__ import annotations

import json
import stat
import time

import pytest

from gpu_runbook import __version__
from gpu_runbook.laptop.errors import BadInput, CannotConnect, Refused
from sandbox import run_inside, start
from sandbox.machine import wait_until
from sandbox.place import LOGIN_USER
from tests import real
from tests.deploy.refused import says_no, shown
from tests.faults import disk
from tests.real import ROOT, docker, fire, logged_in, server_snapshot, training_image
from tests.schedule.watchman import FOLDER, HISTORY, PROGRAM, SETTINGS, STATE, Watchman

pytestmark = pytest.mark.real

FOREIGN = "# of somebody else\nMAILTO=me\n\n17 3 * * * /usr/local/bin/backup --at %H\n"
COMMAND = f"/usr/bin/python3 -IS {PROGRAM} </dev/null >/dev/null 2>&1"
BEGIN, END = f"# BEGIN gpu-runbook {ROOT}", f"# END gpu-runbook {ROOT}"


def modes(watchman: Watchman) -> dict[str, str]:
    """What lies in the check's folder, with its mode and whose it is."""
    tree = server_snapshot(watchman.sandbox).tree
    return {path: f"{mode} {uid}" for path, (mode, uid, *_) in tree.items() if path.startswith(FOLDER)}


def test_it_leaves_a_program_its_settings_and_a_block_of_the_crontab_and_nothing_else(watchman: Watchman) -> None:
    watchman.save_crontab(FOREIGN)
    before = server_snapshot(watchman.sandbox)
    said = watchman.install()
    assert f"gpu-1: left there: program, settings, crontab\n  */5 * * * * {COMMAND}" in said.out
    block = f"{BEGIN}: fab schedule.install wrote it, fab schedule.remove takes it away\n*/5 * * * * {COMMAND}\n{END}\n"
    assert watchman.crontab() == FOREIGN + block
    after = server_snapshot(watchman.sandbox)
    assert modes(watchman) == {FOLDER: "drwx------ 1000", PROGRAM: "-rw------- 1000", SETTINGS: "-rw------- 1000"}
    assert (before.containers, before.images) == (after.containers, after.images)
    assert all(path.startswith(real.STATE) for path in after.tree.keys() - before.tree.keys())

    again = watchman.install()
    assert "it is there already, nothing was changed" in again.out
    assert server_snapshot(watchman.sandbox) == after and watchman.crontab() == FOREIGN + block

    changed = watchman.install(every="10m")
    assert "left there: settings, crontab" in changed.out
    assert f"*/10 * * * * {COMMAND}" in watchman.crontab()

    removed = watchman.laptop.fab("schedule.remove")
    assert (removed.status, "taken away: crontab, check.pyz, settings.json" in removed.out) == (0, True), removed.all
    assert watchman.crontab() == FOREIGN
    assert modes(watchman) == {}
    assert "there was nothing of it" in watchman.laptop.fab("schedule.remove").out


def test_real_cron_makes_the_rounds(watchman: Watchman) -> None:
    start(watchman.sandbox, "cron")
    watchman.install(every="1m")
    assert "it has not looked yet" in watchman.laptop.fab("schedule.show").out
    wait_until(lambda: watchman.read(HISTORY) != "", 90, "round that cron makes")
    assert watchman.last["levels"]["RabbitMQ reachable"] == "ok"
    said = watchman.laptop.fab("schedule.show")
    assert "ok        cron      runs" in said.out and "the same as on this laptop" in said.out
    assert " ago, and found the server critical" in said.out, "nothing is deployed on it"
    assert said.status == 0, said.all


def test_what_is_kept_of_it_when_it_goes_is_its_history(watchman: Watchman) -> None:
    watchman.install()
    fire(watchman.sandbox)
    removed = watchman.laptop.fab("schedule.remove")
    assert f"its history stays: {HISTORY}" in removed.out
    assert list(modes(watchman)) == [FOLDER, HISTORY]
    assert "1 round" in watchman.laptop.fab("health", "--since", "1h").out
    shown_now = watchman.laptop.fab("health")
    assert "skipped   schedule" in shown_now.out and "fab schedule.install" in shown_now.out
    watchman.install()
    fire(watchman.sandbox)
    assert len(watchman.history) == 2


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (f"{BEGIN}\n*/5 * * * * {COMMAND}\n", "is not whole"),
        (f"*/5 * * * * {COMMAND}\n{END}\n", "is not whole"),
        (f"{BEGIN}\n17 3 * * * backup\n{END}\n", 'a line that is not ours: "17 3 * * * backup"'),
    ],
)
def test_a_block_that_is_not_whole_is_left_byte_for_byte(watchman: Watchman, left: str, said: str) -> None:
    watchman.save_crontab(FOREIGN + left)
    before = watchman.crontab()
    watchman.laptop.save()
    for command in ("schedule.install", "schedule.remove"):
        error = says_no(watchman.laptop, Refused, command)
        assert said in error.err and "crontab -e" in error.err
        assert watchman.crontab() == before
    assert modes(watchman) == {}
    show = watchman.laptop.fab("schedule.show")
    assert said in show.out and show.status == 1, show.all


def test_a_crontab_with_bytes_of_another_alphabet_keeps_them(watchman: Watchman) -> None:
    run_inside(watchman.sandbox, ["sh", "-c", r"printf '# gr\374\337e\n1 1 * * * true\n' | crontab -"], user=LOGIN_USER)
    watchman.install()
    assert watchman.laptop.fab("schedule.remove").status == 0
    dump = run_inside(watchman.sandbox, ["sh", "-c", "crontab -l | od -An -tx1"], user=LOGIN_USER).stdout
    assert bytes.fromhex(dump.replace("\n", "")) == b"# gr\xfc\xdfe\n1 1 * * * true\n"


def test_without_cron_nothing_is_left_there(watchman: Watchman) -> None:
    hide = "mkdir -p /tmp/empty && mount --bind /dev/null /usr/bin/crontab"
    run_inside(watchman.sandbox, ["sh", "-ec", hide])
    try:
        watchman.laptop.save()
        said = watchman.laptop.fab("schedule.install")
        assert said.status == CannotConnect.exit_code, said.all
        assert len(said.err.strip().splitlines()) <= 2 and "cron" in said.err
        assert modes(watchman) == {}
    finally:
        run_inside(watchman.sandbox, ["umount", "/usr/bin/crontab"])


def test_a_cron_that_does_not_run_is_said(watchman: Watchman) -> None:
    said = watchman.install()
    assert "no cron daemon runs there" in said.out
    show = watchman.laptop.fab("schedule.show")
    assert (show.status, "warning   cron      no cron daemon runs there" in show.out) == (1, True), show.all


def test_a_container_that_calls_itself_cron_is_none(watchman: Watchman) -> None:
    logged_in(watchman.sandbox)
    script = "import time; open('/proc/self/comm', 'w').write('cron'); time.sleep(600)"
    image = training_image(watchman.sandbox, "1.0")
    for namespace in ((), ("--pid=host",)):
        docker(watchman.sandbox, "run", "--detach", "--user=0", *namespace, image, "python3", "-c", script)
    names = ["ps", "-eo", "comm"]
    wait_until(lambda: run_inside(watchman.sandbox, names).stdout.split().count("cron") == 2, 10, "processes")
    assert "no cron daemon runs there" in watchman.install().out


def test_a_check_that_cron_forgets_is_overdue(watchman: Watchman) -> None:
    watchman.install()
    fire(watchman.sandbox)
    watchman.pass_time(3600)
    said = watchman.laptop.fab("health")
    row = next(line for line in said.out.splitlines() if "  schedule  " in line)
    assert "warning" in row and "it is to look every 5 min, and is overdue" in row


def test_a_user_who_may_have_no_crontab_is_told_so(watchman: Watchman) -> None:
    run_inside(watchman.sandbox, ["sh", "-c", f"echo {LOGIN_USER} >/etc/cron.deny"])
    try:
        watchman.laptop.save()
        said = says_no(watchman.laptop, CannotConnect, "schedule.install")
        assert "the crontab cannot be read: crontab -l says:" in said.err and "/etc/cron.deny" in said.err
        assert modes(watchman) == {}
    finally:
        run_inside(watchman.sandbox, ["rm", "/etc/cron.deny"])


def test_on_a_full_disk_nothing_is_left_and_the_crontab_is_as_it_was(watchman: Watchman) -> None:
    disk.mount(watchman.sandbox)
    try:
        watchman.save_crontab(FOREIGN)
        filler = disk.fill(watchman.sandbox, greedy=False)
        watchman.laptop.save()
        said = watchman.laptop.fab("schedule.install")
        assert said.status in (CannotConnect.exit_code, Refused.exit_code), said.all
        assert "No space left on device" in said.err and len(said.err.strip().splitlines()) <= 2, said.err
        assert watchman.crontab() == FOREIGN
        assert SETTINGS not in modes(watchman)
        disk.make_room(watchman.sandbox, filler)
    finally:
        disk.unmount(watchman.sandbox)


def test_a_python_that_is_not_there_is_one_sentence(watchman: Watchman) -> None:
    watchman.laptop.host["python"] = "/usr/bin/python9"
    watchman.laptop.save()
    said = says_no(watchman.laptop, CannotConnect, "schedule.install")
    assert "/usr/bin/python9 cannot be run" in said.err
    assert watchman.crontab() == "" and modes(watchman) == {}


@pytest.mark.parametrize(
    ("schedule", "variables", "said"),
    [
        ({"every": 0}, {}, "schedule.every"),
        (
            {"alerts": {"ops": {"kind": "slack", "url_variable": "HOOK_URL"}}},
            {"HOOK_URL": "hooks.lan/x"},
            "HOOK_URL is no",
        ),
        ({"alerts": {"ops": {"kind": "slack", "url_variable": "HOOK_URL"}}}, {}, "HOOK_URL is not set"),
    ],
)
def test_bad_input_is_found_before_anything_is_contacted(
    watchman: Watchman, schedule: dict[str, object], variables: dict[str, str], said: str
) -> None:
    watchman.laptop.hosts["schedule"] = schedule
    watchman.laptop.variables.update(variables)
    watchman.laptop.host["port"] = 1
    watchman.laptop.save()
    for command in ("schedule.install", "schedule.test"):
        error = watchman.laptop.fab(command)
        assert (error.status, said in error.err) == (BadInput.exit_code, True), error.all
        assert "nothing was contacted or changed" in error.err and "hooks.lan" not in error.err


def test_the_secrets_rest_in_one_file_for_this_login_alone(watchman: Watchman) -> None:
    watchman.laptop.variables["PING_URL"] = watchman.hook.url("/ping/an0thersecretpart")
    watchman.install(heartbeat_variable="PING_URL")
    fire(watchman.sandbox)
    secrets = ["verysecretpart1234", "an0thersecretpart", watchman.laptop.variables["RABBITMQ_MONITOR_PASSWORD"]]
    places = [ROOT, f"/home/{LOGIN_USER}", "/var/spool/cron"]
    for secret in secrets:
        needle = f"{json.dumps(secret, ensure_ascii=False)[1:-1]}\n"  # as a file of JSON has it
        found = run_inside(watchman.sandbox, ["grep", "-rlaF", "-f", "-", *places], input=needle, check=False)
        assert found.stdout.split() == [SETTINGS], secret
    said = [watchman.laptop.fab(*words).all for words in (("schedule.show",), ("schedule.show", "--json"), ("health",))]
    said += [watchman.crontab(), watchman.read(STATE), watchman.read(HISTORY)]
    assert shown(secrets, "".join(said)) == []
    assert stat.filemode(0o100600) == modes(watchman)[SETTINGS].split()[0]


def test_an_upgrade_replaces_the_file_whole_while_rounds_go_on(watchman: Watchman) -> None:
    watchman.install()
    older = run_inside(watchman.sandbox, ["stat", "-c", "%i", PROGRAM]).stdout
    # A program of another version: whatever stands there, it is replaced by rename.
    run_inside(watchman.sandbox, ["sh", "-c", f"echo 'print(1)' >{PROGRAM}"], user=LOGIN_USER)
    assert "another one" not in watchman.laptop.fab("schedule.show").out
    begun = time.time()
    said = watchman.install()
    assert "left there: program" in said.out and time.time() - begun < 60
    assert run_inside(watchman.sandbox, ["stat", "-c", "%i", PROGRAM]).stdout != older
    (ended,) = fire(watchman.sandbox)
    assert ended.returncode == 2


def test_a_laptop_of_another_version_is_told(watchman: Watchman) -> None:
    watchman.install()
    settings = watchman.read(SETTINGS).replace('"program": "', '"program": "0')
    for version, told in ((__version__, "has another one of"), ("0.0.9", "older than"), ("0.10.0", "newer than")):
        watchman.write(SETTINGS, settings.replace(f'"version": "{__version__}"', f'"version": "{version}"'))
        said = watchman.laptop.fab("schedule.show")
        assert (said.status, f"{told} " in said.out) == (1, True), said.all
        assert "go back" in said.out if version == "0.10.0" else "fab schedule.install" in said.out
    watchman.laptop.hosts["schedule"]["repeat"] = "1h"
    watchman.laptop.save()
    assert "its settings are not what hosts.yaml and .env say now" in watchman.laptop.fab("health").out


def test_the_check_of_another_root_is_left_alone(watchman: Watchman) -> None:
    line = "*/5 * * * * /usr/bin/python3 -IS /b/check.pyz </dev/null"
    other = f"# BEGIN gpu-runbook {ROOT}-2: x\n{line}\n# END gpu-runbook {ROOT}-2\n"
    watchman.save_crontab(other)
    watchman.install()
    assert watchman.laptop.fab("schedule.remove").status == 0
    assert watchman.crontab() == other
