"""The lock files are made of the short lists, hold all with hashes for every Python, and are what is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[3]
LISTS = ("requirements", "requirements-dev", "sandbox/requirements-image")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
OUT_OF_DATE = "run `make lock`"


@dataclass(frozen=True)
class Locked:
    """One package of a lock; `by` are the lists and packages that want it."""

    requirement: Requirement
    hashes: tuple[str, ...]
    by: tuple[str, ...]


def wanted(name: str) -> list[Requirement]:
    """What a short list names, and the one that it goes on with."""
    found = []
    for line in (PROJECT / f"{name}.txt").read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            found += wanted(text.removeprefix("-r ").removesuffix(".txt"))
        elif text:
            found.append(Requirement(text))
    return found


def locked(name: str) -> Iterator[Locked]:
    """The packages of a lock. A line that is neither a package, a hash nor a comment is none of these."""
    for entry in re.split(r"^(?=[A-Za-z0-9])", (PROJECT / f"{name}.lock").read_text(), flags=re.MULTILINE)[1:]:
        first, *lines = entry.splitlines()
        hashes = [line.strip(" \\") for line in lines if not line.lstrip().startswith("#")]
        by = [line.strip(" #").removeprefix("via").strip() for line in lines if line.lstrip().startswith("#")]
        yield Locked(Requirement(first.rstrip(" \\")), tuple(hashes), tuple(filter(None, by)))


def pinned(requirements: list[Requirement], python: str) -> set[tuple[str, str]]:
    """(name, version) of what is for this Python."""
    about = {"python_version": python, "python_full_version": f"{python}.0"}
    return {
        (canonicalize_name(one.name), str(one.specifier))
        for one in requirements
        if one.marker is None or one.marker.evaluate(about)
    }


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LISTS)
def test_a_lock_is_made_of_its_list(name: str, python: str) -> None:
    named = pinned(wanted(name), python)
    direct = [one.requirement for one in locked(name) if any(by.startswith("-r ") for by in one.by)]
    assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", version) for _, version in named), "exact versions"
    assert pinned(direct, python) == named, OUT_OF_DATE


@pytest.mark.parametrize("name", LISTS)
def test_a_lock_holds_exact_versions_with_hashes_and_no_place_to_fetch_them_from(name: str) -> None:
    found = list(locked(name))
    for one in found:
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(one.requirement.specifier)) and one.requirement.url is None
        assert one.hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", line) for line in one.hashes), one
        assert one.by, f"{one.requirement.name}: nobody wants it; {OUT_OF_DATE}"
    lines = (PROJECT / f"{name}.lock").read_text().splitlines()
    assert all(re.match(r"[a-z0-9]|    --hash=|\s*#", line) for line in lines)
    assert not any(re.search(r"://|index|find-links", line) for line in lines)


def test_what_checks_the_code_runs_it_with_the_very_packages_that_run_it() -> None:
    running = {str(one.requirement): one.hashes for one in locked("requirements")}
    checking = {str(one.requirement): one.hashes for one in locked("requirements-dev")}
    assert running.items() <= checking.items(), OUT_OF_DATE


def test_nothing_is_installed_without_its_hashes() -> None:
    texts = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("sandbox/*.py"), PROJECT / "Makefile"]
    lines = [line for file in [*texts, PROJECT / "sandbox" / "venv.sh"] for line in file.read_text().splitlines()]
    found = [line for line in lines if re.search(r"pip install|--requirement=", line)]
    assert len(found) >= 3
    assert all("--require-hashes" in line for line in found), found
    assert not any(re.search(r"requirements[\w-]*\.txt", line) for line in found), found
