"""Which Debian a sandbox runs: what is said of one that is none, how one is made, and what is left when that fails."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_runbook.laptop.errors import BadInput, Refused
from sandbox import Sandbox, bases, found, lifecycle
from sandbox import __main__ as command
from sandbox.place import CONTAINERD, OWN

PROGRAMS = ("usr/sbin/dockerd", "usr/bin/docker", "usr/sbin/sshd", "usr/bin/python3", "usr/bin/ps", "usr/sbin/cron")
# Makes what it is asked for, or fails as the real one does; it notes how it was called.
MMDEBSTRAP = """\
#!/bin/sh
printf '%s\\n' "$@" >"$(dirname "$0")/called"
case "$*" in
    *sid*) echo "I: running apt-get update" >&2; echo "E: apt-get update failed: no route" >&2; exit 25 ;;
esac
while [ $# -gt 2 ]; do shift; done
mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/etc"
ln -s usr/bin "$1/bin"
touch "$1/etc/os-release"
for name in PROGRAMS; do touch "$1/$name"; done
""".replace("PROGRAMS", " ".join(PROGRAMS))
TOLD = """\
Acquire::http::Proxy "http://proxy.lan:3128";
Acquire::Check-Valid-Until "false";
Acquire::https::Verify-Peer "";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
"""
TARGETS = """\
Debian|Debian-Security|main|http://mirror.lan/security/
Debian|Debian|contrib|http://mirror.lan/other/
Debian|Debian|main|http://mirror.lan/debian/
"""


def made(root: Path, *lacking: str) -> Path:
    """A folder that passes for a Debian, but for what it lacks."""
    for name in (*PROGRAMS, "etc/os-release"):
        if name.rpartition("/")[2] not in lacking:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
    if "bin" not in lacking:
        (root / "bin").symlink_to("usr/bin")
    return root


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own cache, a stand-in for mmdebstrap, and an apt that knows a mirror."""
    programs = tmp_path / "programs"
    programs.mkdir()
    told = {"apt-config": TOLD, "apt-get": TARGETS}
    scripts = {name: f"#!/bin/sh\ncat <<'END'\n{text}END\n" for name, text in told.items()}
    for name, script in {**scripts, "mmdebstrap": MMDEBSTRAP}.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bases, "can_be_root", lambda: True)
    monkeypatch.setattr(bases, "as_root", list)
    return tmp_path


def in_cache(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "cache/gpu-runbook/bases").iterdir())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("woody", "there is no base 'woody'"),
        ("", "there is no base ''"),
        ("Trixie", "there is no base 'Trixie'"),
        ("sid\n", "there is no base 'sid\\n'"),
        ("./nowhere", "nowhere is no folder"),
        ("/etc/hostname", "--base /etc/hostname is no folder"),
        ("/proc", "--base /proc holds no Debian: it has no usr/bin or no etc/os-release"),
    ],
)
def test_what_is_no_base_is_named_and_nothing_is_made(home: Path, word: str, message: str) -> None:
    with pytest.raises(BadInput) as raised:
        bases.resolved(word, print)
    assert message in raised.value.message and raised.value.hint
    assert raised.value.exit_code == 10
    assert not (home / "cache").exists()


@pytest.mark.parametrize(
    ("lacking", "said", "hint"),
    [
        (
            ("dockerd", "docker"),
            "lacks dockerd, docker: no server can be made of it",
            "install docker.io, docker-cli in",
        ),
        (("sshd",), "lacks sshd: no server can be made of it", "install openssh-server in it"),
        (("python3",), "lacks python3: no server", "install python3 in it"),
        (("cron", "ps"), "lacks ps, cron: no server", "install procps, cron in it"),
        (("os-release",), "holds no Debian", "mmdebstrap"),
        (("bin",), "keeps /bin apart from /usr/bin", "usrmerge"),
    ],
)
def test_a_base_that_lacks_something_is_told_what(
    home: Path, tmp_path: Path, lacking: tuple[str, ...], said: str, hint: str
) -> None:
    root = made(tmp_path / "root", *lacking)
    with pytest.raises(BadInput) as raised:
        bases.resolved(str(root), print)
    assert said in raised.value.message and hint in raised.value.hint


def test_a_link_that_only_the_bases_own_root_can_follow_is_a_program(home: Path, tmp_path: Path) -> None:
    root = made(tmp_path / "root", "python3")
    (root / "usr/bin/python3").symlink_to("/etc/alternatives/python3")
    assert bases.resolved(str(root), print) == root


def test_one_with_a_name_is_made_once_with_what_this_machines_apt_is_told(home: Path) -> None:
    said: list[str] = []
    path = bases.resolved("trixie", said.append)
    assert path == home / "cache/gpu-runbook/bases/trixie"
    assert (home / "cache/gpu-runbook").stat().st_mode & 0o777 == 0o700  # which others do not come by
    called = (home / "programs/called").read_text().splitlines()
    assert called[-1] == "deb http://mirror.lan/debian/ trixie main"
    assert '--aptopt=Acquire::http::Proxy "http://proxy.lan:3128";' in called
    assert '--aptopt=Acquire::Check-Valid-Until "false";' in called
    assert not any("Verify-Peer" in word or "DEP-11" in word or "trusted" in word for word in called)
    assert (in_cache(home), len(said)) == (["trixie"], 1)
    (home / "programs/mmdebstrap").write_text("#!/bin/sh\nexit 1\n")
    assert bases.resolved("trixie", said.append) == path and len(said) == 1


def test_where_apt_knows_no_debian_its_own_address_is_taken(home: Path) -> None:
    (home / "programs/apt-get").write_text("#!/bin/sh\necho 'Ubuntu|Ubuntu|main|http://ubuntu.lan/'\n")
    bases.resolved("bullseye", print)
    called = (home / "programs/called").read_text().splitlines()
    assert called[-1] == f"deb {bases.DEFAULT_MIRROR} bullseye main"
    assert any(word.startswith("--setup-hook=") for word in called)


def test_one_that_cannot_be_made_leaves_nothing_but_what_was_said(home: Path) -> None:
    with pytest.raises(Refused) as raised:
        bases.resolved("sid", print)
    assert raised.value.message == "mmdebstrap could not make sid: E: apt-get update failed: no route"
    assert raised.value.hint == f"all that it said is in {home}/cache/gpu-runbook/bases/sid.log"
    assert in_cache(home) == ["sid.log"]


def test_without_mmdebstrap_the_line_that_installs_it_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Refused) as raised:
        bases.resolved("trixie", print)
    assert raised.value.message == "the base trixie is made by mmdebstrap, which this machine lacks"
    assert raised.value.hint.startswith("apt-get install mmdebstrap")
    assert not (home / "cache").exists()


def test_one_in_the_cache_that_has_become_damaged_is_to_be_removed(home: Path) -> None:
    path = bases.resolved("trixie", print)
    (path / "usr/sbin/dockerd").unlink()
    with pytest.raises(BadInput) as raised:
        bases.resolved("trixie", print)
    assert raised.value.hint == f"rm -r {path}: it is made anew"


def test_a_sandbox_is_found_again_with_its_base_and_engine_and_is_not_turned_into_another(tmp_path: Path) -> None:
    root = made(tmp_path / "root")
    sandbox = Sandbox(tmp_path / "sandbox", 65000, root, CONTAINERD)
    lifecycle._claim(sandbox, (os.getuid(), os.getgid()))
    assert found(sandbox.directory) == sandbox
    others = {
        "other ports": replace(sandbox, port_base=64000),
        f"the base {root}": replace(sandbox, base=OWN),
        "the engine containerd": replace(sandbox, engine="classic"),
    }
    for said, other in others.items():
        with pytest.raises(BadInput, match=f"holds a sandbox with {said}"):
            lifecycle._refuse_another(other)
    lifecycle._refuse_another(sandbox)


def test_what_runs_this_machines_own_debian_is_not_turned_into_another_either(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "sandbox", 65000)
    lifecycle._claim(sandbox, (os.getuid(), os.getgid()))
    with pytest.raises(BadInput, match="holds a sandbox with this machine's own Debian"):
        lifecycle._refuse_another(replace(sandbox, base=made(tmp_path / "root")))


def test_one_that_an_older_version_left_has_this_machines_own_debian(tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").write_text('{"port_base": 24100}\n')
    assert found(tmp_path) == Sandbox(tmp_path, 24100, OWN)


def test_a_base_without_a_broker_is_for_the_server_alone(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "sandbox", 65000, made(tmp_path / "root"))
    assert (sandbox.server.base, sandbox.services.base) == (sandbox.base, OWN)
    for name in ("usr/sbin/rabbitmq-server", "usr/bin/docker-registry"):
        (sandbox.base / name).touch()
    assert sandbox.services.base == sandbox.base


def test_the_command_says_it_in_one_sentence(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "sandbox"
    monkeypatch.setattr("sys.argv", ["sandbox", "up", "--directory", str(directory), "--base", "woody"])
    assert command.main() == 10
    assert capsys.readouterr().err.splitlines() == [
        "there is no base 'woody'",
        "known: bullseye, trixie, sid; or a folder with a Debian in it",
    ]
    assert not directory.exists()
