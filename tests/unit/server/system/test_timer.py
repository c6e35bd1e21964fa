"""A server without cron: timers of systemd, played by programs that keep what they are told in files."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpu_runbook.protocol.codec import decode, encode
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.requests import InstallRequest
from gpu_runbook.protocol.schedule import Installed
from gpu_runbook.server.schedule import installation
from gpu_runbook.server.state import make as making
from gpu_runbook.server.state.store import find_store
from gpu_runbook.server.system import crontab, timer
from gpu_runbook.server.system.crontab import block, with_block
from gpu_runbook.server.verbs.schedule import install, remove, show
from tests.data import old

ROOT = "/azaion"
BLOCK = block(ROOT, 300, "/usr/bin/python3", "/home/deploy/.local/state/gpu-runbook/azaion/health/check.pyz")
OTHER = block("/data/x", 3600, "/usr/bin/python3", "/home/deploy/.local/state/gpu-runbook/data-x/health/check.pyz")
SYSTEMCTL = """\
import os, sys
here = os.environ["FAKE"]
words = [word for word in sys.argv[1:] if word != "--user"]
with open(here + "/calls", "a") as file:
    print(*sys.argv[1:], file=file)
if os.path.exists(here + "/refuses"):
    sys.exit("Failed to connect to bus: No medium found")
verb, units = words[0], [word for word in words[1:] if word != "--now"]
for unit in units:
    state = here + "/active-" + unit
    if verb == "enable":
        if not os.path.exists(os.environ["UNITS"] + "/" + unit):
            sys.exit("Failed to enable unit: Unit file " + unit + " does not exist.")
        open(state, "w").close()
    elif verb == "disable":
        os.unlink(state)
    elif verb == "is-active" and not os.path.exists(state):
        print("inactive")
        sys.exit(3)
"""
LOGINCTL = """\
import os, sys
if sys.argv[1:] != ["show-user", "deploy", "--property=Linger"]:
    sys.exit("what?")
print("Linger=" + ("yes" if os.path.exists(os.environ["FAKE"] + "/lingers") else "no"))
"""
CRONTAB = """\
import os, sys
table = os.environ["FAKE"] + "/table"
if sys.argv[1] == "-":
    with open(table, "w") as file:
        file.write(sys.stdin.read())
elif os.path.exists(table):
    sys.stdout.write(open(table).read())
else:
    sys.exit("no crontab for deploy")
"""


class Server:
    """A server with systemd, and no cron as long as nobody installs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs, self.units = folder / "bin", folder / "home/.config/systemd/user"
        self.programs.mkdir()
        (folder / "home").mkdir()
        self.install("systemctl", SYSTEMCTL)
        self.install("loginctl", LOGINCTL)

    def install(self, name: str, program: str) -> None:
        file = self.programs / name
        file.write_text(f"#!{sys.executable} -IS\n{program}")
        file.chmod(0o755)

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines() if (self.folder / "calls").exists() else []

    def active(self) -> list[str]:
        return sorted(file.name.removeprefix("active-") for file in self.folder.glob("active-*"))

    def files(self) -> list[str]:
        return sorted(file.name for file in self.units.glob("*"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(tmp_path)
    monkeypatch.setenv("PATH", str(made.programs))
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("UNITS", str(made.units))
    monkeypatch.setattr(timer, "BOOTED", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    user = SimpleNamespace(pw_name="deploy", pw_dir=str(tmp_path / "home"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: user)
    return made


def put_in(wanted: str, root: str = ROOT) -> None:
    crontab.write(with_block(crontab.read(), root, wanted))


def test_a_timer_is_started_where_there_is_no_cron(server: Server) -> None:
    assert crontab.read() == ""
    put_in(BLOCK)
    assert crontab.found(crontab.read(), ROOT) == BLOCK
    (unit,) = server.active()
    name = unit.removesuffix(".timer")
    assert server.files() == [f"{name}.service", f"{name}.timer"]
    assert f"--user enable --now {unit}" in server.calls()
    service, when = ((server.units / f"{name}{end}").read_text() for end in (".service", ".timer"))
    program = "/usr/bin/python3 -IS /home/deploy/.local/state/gpu-runbook/azaion/health/check.pyz"
    assert f"\nType=oneshot\nExecStart={program}\n" in service and "KillMode=process" in service
    assert "\nOnCalendar=*:0/5\n" in when and "WantedBy=timers.target" in when


@pytest.mark.parametrize(
    ("every", "when"), [(60, "*:*"), (120, "*:0/2"), (300, "*:0/5"), (1800, "*:0/30"), (3600, "*:0")]
)
def test_the_time_of_a_round_is_as_systemd_writes_it(server: Server, every: int, when: str) -> None:
    put_in(block(ROOT, every, "/usr/bin/python3", "/state/health/check.pyz"))
    (file,) = server.units.glob("*.timer")
    assert f"OnCalendar={when}\n" in file.read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here to ask")
def test_systemd_finds_nothing_wrong_with_the_units(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    put_in(block(ROOT, 300, sys.executable, "/state/health/check.pyz"))
    monkeypatch.undo()
    asked = ["systemd-analyze", "verify", "--man=no", *map(str, sorted(server.units.glob("*")))]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "gpu-runbook" in line]
    assert said == [], done.stderr
    for when in ("*:*", "*:0/5", "*:0"):
        subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, check=True)


def test_putting_it_in_twice_changes_nothing(server: Server) -> None:
    put_in(BLOCK)
    before = {file.name: file.stat().st_mtime_ns for file in server.units.iterdir()}
    put_in(BLOCK)
    assert {file.name: file.stat().st_mtime_ns for file in server.units.iterdir()} == before


def test_another_interval_takes_the_place_of_the_first(server: Server) -> None:
    put_in(BLOCK)
    changed = BLOCK.replace("*/5", "*/10")
    put_in(changed)
    assert crontab.read() == changed
    assert len(server.active()) == 1


def test_what_others_have_there_stays_when_ours_goes(server: Server) -> None:
    server.units.mkdir(parents=True)
    (server.units / "backup.timer").write_text("[Timer]\nOnCalendar=daily\n")
    put_in(BLOCK)
    put_in(OTHER, "/data/x")
    assert crontab.read() == BLOCK + OTHER
    put_in("")
    assert crontab.read() == OTHER
    put_in("", "/data/x")
    assert (server.files(), server.active()) == (["backup.timer"], [])


def test_a_file_with_our_name_that_is_not_ours_is_left_alone(server: Server) -> None:
    put_in(BLOCK)
    (file,) = server.units.glob("*.timer")
    file.write_text("[Timer]\nOnCalendar=daily\n")
    with pytest.raises(Refusal, match=r"is not as we wrote it; nothing was changed"):
        put_in("")
    assert file.read_text() == "[Timer]\nOnCalendar=daily\n"


def test_a_systemd_that_refuses_leaves_nothing_behind(server: Server) -> None:
    (server.folder / "refuses").touch()
    with pytest.raises(Refusal, match=r"systemctl --user daemon-reload\): Failed to connect to bus") as caught:
        put_in(BLOCK)
    assert "loginctl enable-linger deploy" in caught.value.hint
    assert server.files() == []


def test_a_timer_that_ends_with_the_last_session_names_whose(server: Server) -> None:
    put_in(BLOCK)
    running, found = crontab.starter(ROOT)
    assert found and (running, found.unit, found.login) == (False, server.active()[0], "deploy")
    (server.folder / "lingers").touch()
    running, found = crontab.starter(ROOT)
    assert found and (running, found.login) == (True, "")
    for file in server.folder.glob("active-*"):
        file.unlink()
    assert crontab.starter(ROOT)[0] is False
    assert crontab.starter("/data/x")[1] is None


def test_cron_takes_over_what_a_timer_did_before_it_came(server: Server) -> None:
    put_in(BLOCK)
    put_in(OTHER, "/data/x")
    server.install("crontab", CRONTAB)
    assert crontab.found(crontab.read(), ROOT) == BLOCK
    put_in(BLOCK.replace("*/5", "*/10"))
    assert (server.folder / "table").read_text() == BLOCK.replace("*/5", "*/10") + OTHER
    assert (server.files(), server.active()) == ([], [])
    assert crontab.starter(ROOT)[1] is None


def table(server: Server) -> str:
    return (server.folder / "table").read_text()


def test_cron_that_came_later_is_handed_it_though_nothing_else_is_new(server: Server) -> None:
    put_in(BLOCK)
    assert crontab.stands(BLOCK)
    server.install("crontab", CRONTAB)
    assert not crontab.stands(crontab.read())
    put_in(BLOCK)
    assert (table(server), server.files(), server.active()) == (BLOCK, [], [])
    assert crontab.stands(BLOCK)


@pytest.mark.parametrize("kept", [BLOCK, BLOCK.replace("*/5", "*/10")], ids=["the same", "an older one"])
def test_a_cron_that_came_back_with_what_it_had_is_not_a_second_one(server: Server, kept: str) -> None:
    """A package that is removed leaves the crontabs where they are."""
    put_in(BLOCK)
    put_in(OTHER, "/data/x")
    server.install("crontab", CRONTAB)
    (server.folder / "table").write_text(f"@daily backup\n{kept}")
    assert (timer.is_doubled(ROOT), timer.is_doubled("/data/x"), timer.is_doubled("/aza")) == (True, False, False)
    assert not crontab.stands(crontab.read())
    put_in(BLOCK)
    assert table(server) == f"@daily backup\n{BLOCK}{OTHER}"
    assert (server.files(), server.active(), timer.is_doubled(ROOT)) == ([], [], True)


def test_both_are_gone_when_it_is_taken_away(server: Server) -> None:
    put_in(BLOCK)
    server.install("crontab", CRONTAB)
    (server.folder / "table").write_text(BLOCK)
    put_in("")
    assert (table(server), server.files(), server.active()) == ("", [], [])


def test_a_server_whose_cron_went_has_a_timer(server: Server) -> None:
    server.install("crontab", CRONTAB)
    put_in(BLOCK)
    (server.programs / "crontab").unlink()
    assert not crontab.stands(crontab.read() or BLOCK)
    put_in(BLOCK)
    assert (len(server.active()), crontab.stands(BLOCK)) == (1, True)


def test_a_crontab_without_an_end_of_line_hides_no_timer(server: Server) -> None:
    put_in(BLOCK)
    server.install("crontab", CRONTAB)
    (server.folder / "table").write_text("@daily backup")
    assert crontab.found(crontab.read(), ROOT) == BLOCK
    put_in(BLOCK)
    assert table(server) == f"@daily backup\n{BLOCK}"


def test_timers_that_systemd_does_not_take_away_leave_the_crontab_as_it_was(server: Server) -> None:
    put_in(BLOCK)
    server.install("crontab", CRONTAB)
    (server.folder / "table").write_text("@daily backup\n")
    (server.folder / "refuses").touch()
    with pytest.raises(Refusal, match=r"systemctl --user disable --now \S+\): Failed to connect"):
        put_in(BLOCK)
    assert (table(server), len(server.active())) == ("@daily backup\n", 1)


def test_timers_that_are_taken_away_in_part_come_back(server: Server) -> None:
    """Here it says no to one that is stopped already."""
    put_in(BLOCK)
    put_in(OTHER, "/data/x")
    first, second = server.active()
    (server.folder / f"active-{second}").unlink()
    server.install("crontab", CRONTAB)
    with pytest.raises(Refusal, match=rf"systemctl --user disable --now {re.escape(second)}"):
        put_in(BLOCK)
    assert (table(server), server.active()) == ("", [first, second])


def test_a_timer_too_many_does_not_stand(server: Server) -> None:
    put_in(BLOCK)
    put_in(OTHER, "/data/x")
    assert (crontab.stands(BLOCK + OTHER), crontab.stands(BLOCK)) == (True, False)


@pytest.mark.parametrize("what", ["inactive", "older units"])
def test_a_timer_that_is_not_as_it_would_be_written_now_does_not_stand(server: Server, what: str) -> None:
    put_in(BLOCK)
    (unit,) = server.active()
    if what == "inactive":
        (server.folder / f"active-{unit}").unlink()
    else:
        file = server.units / unit
        file.write_text(file.read_text().replace("AccuracySec=1s", "AccuracySec=60s"))
    assert crontab.read() == BLOCK
    assert not crontab.stands(BLOCK)
    put_in(BLOCK)
    assert (server.active(), crontab.stands(BLOCK)) == ([unit], True)


def test_cron_that_was_there_first_wins(server: Server) -> None:
    server.install("crontab", CRONTAB)
    put_in(BLOCK)
    assert ((server.folder / "table").read_text(), server.files(), server.calls()) == (BLOCK, [], [])


def test_without_both_the_package_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer, "BOOTED", str(server.folder / "nowhere"))
    with pytest.raises(Refusal, match="cron is not installed on this server, nor does systemd run there") as caught:
        crontab.read()
    assert "cron (apt-get), or cronie (dnf, pacman)" in caught.value.hint
    assert crontab.read(needed=False) == ""


def test_roots_is_a_timer_of_the_system_and_needs_no_session(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(timer, "OF_SYSTEM", str(server.units))
    put_in(BLOCK)
    assert not any("--user" in call for call in server.calls())
    running, found = crontab.starter(ROOT)
    assert found and (running, found.login) == (True, "")


@pytest.fixture
def installed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Have the verb install the check; what it says was changed."""
    monkeypatch.setattr(os, "geteuid", os.getuid)
    monkeypatch.setattr(timer, "OF_SYSTEM", str(server.units))
    monkeypatch.setattr(making, "_fits", lambda store: None)
    monkeypatch.setattr(install, "_is_safe", lambda store, settings: None)
    monkeypatch.setattr(installation, "lay_down", lambda store, asked: [])
    (tmp_path / "root").mkdir()
    text = (old.scene(old.SETTLED) / "azaion/.deploy/health/settings.json").read_text()
    kept = decode(Installed, json.loads(text), "settings").settings
    settings = dataclasses.replace(kept, root=str(tmp_path / "root"), state=str(tmp_path / "state"))
    request = encode(InstallRequest(settings, text, "", "", who="ann", laptop="laptop"))
    return lambda: list(install.answer(request, lambda event: None)["changed"])


def test_the_verb_hands_over_from_timer_to_cron_and_back(server: Server, installed: Callable[[], list[str]]) -> None:
    assert (installed(), installed()) == (["timer"], [])
    server.install("crontab", CRONTAB)
    assert (installed(), installed()) == (["crontab"], [])
    assert ("check.pyz" in table(server), server.active()) == (True, [])
    (server.programs / "crontab").unlink()
    assert (installed(), installed()) == (["timer"], [])
    server.install("crontab", CRONTAB)
    assert (installed(), server.active()) == (["crontab"], [])
    assert table(server).count("check.pyz") == 1


def test_the_verbs_show_and_take_away_what_starts_the_check(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", os.getuid)
    monkeypatch.setattr(timer, "OF_SYSTEM", str(server.units))
    monkeypatch.setattr(making, "_fits", lambda store: None)
    where = {"root": str(tmp_path / "root"), "state": str(tmp_path / "state")}
    (tmp_path / "root").mkdir()
    store = find_store(where["root"], where["state"])
    making.make(store)
    mine = block(store.root, 300, "/usr/bin/python3", f"{store.folder}/health/check.pyz")
    put_in(mine, store.root)
    shown = show.answer({**where, "key": ""}, lambda event: None)
    assert (shown["crontab"], shown["problem"]) == (mine, "")
    assert shown["timer"]["unit"] == server.active()[0]
    assert "timer" in remove.answer(where, lambda event: None)["removed"]
    assert (server.files(), server.active()) == ([], [])
    assert show.answer({**where, "key": ""}, lambda event: None)["timer"] is None
