"""The pages: those made from the code are as it is, and every command, key and link that is named exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fabric.main import program
from invoke.collection import Collection
from invoke.parser.context import ParserContext

from docs import keys
from docs.examples import EXAMPLES
from docs.generate import PAGES
from docs.said import PROJECT, Text, texts, unsaid
from gpu_runbook.laptop import errors
from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inventory.model import load_inventory

EVERY = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
WRITTEN = [page for page in EVERY if page.name != "hosts-yaml.md"]  # by a person
NAMES = 3  # of servers, services and people that a quoted sentence may have


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_made_from_the_code_is_as_the_code_is(name: str) -> None:
    text = (PROJECT / "docs" / name).read_text()
    assert text == PAGES[name](text), "run `make docs`"


def test_every_exit_status_is_on_its_page() -> None:
    statuses = {str(cls.exit_code) for cls in vars(errors).values() if hasattr(cls, "exit_code")}
    assert len(statuses) > 5
    assert all(f"| {status} |" in (PROJECT / "docs/exit-statuses.md").read_text() for status in statuses)


def loaded(folder: Path, example: str) -> None:
    """Read a part of hosts.yaml as what it is: within a file that has what every file must have."""
    data = {"hosts": {"gpu-1": {"address": "gpu-1.lan", "root": "/azaion"}}} | yaml.safe_load(example)
    (folder / "hosts.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    load_inventory(folder / "hosts.yaml")


@pytest.mark.parametrize("section", EXAMPLES)
def test_the_examples_of_hosts_yaml_are_read_by_the_loader(section: str, tmp_path: Path) -> None:
    loaded(tmp_path, EXAMPLES[section])


def test_every_section_has_an_example_that_uses_its_keys_and_every_key_a_sentence(tmp_path: Path) -> None:
    assert [heading for heading, _, _ in keys.SECTIONS] == list(EXAMPLES)
    for heading, shape, _ in keys.SECTIONS:
        names = [field.name for field, _ in keys.fields_of(shape)]
        assert any(re.search(rf"\b{name}:", EXAMPLES[heading]) for name in names), heading
        assert all(field.metadata.get("description") for field, _ in keys.fields_of(shape)), heading
    with pytest.raises(BadInput, match="wacth"):
        loaded(tmp_path, EXAMPLES["watch"].replace("watch:", "wacth:"))


def commands(text: str) -> Iterator[str]:
    """Every `fab …` of a page: in a code block at the beginning of a line, or in backticks."""
    blocks = re.findall(r"^ *```[a-z]*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^    .*$", text, re.MULTILINE)
    for line in [line for block in blocks for line in block.splitlines()] + indented:
        if found := re.match(r" *(?:\$ )?(fab .*)", line):
            yield from _apart(re.split(r" {2,}| #| > ", found[1])[0])
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for found in re.findall(r"`([^`]+)`", prose):
        if re.match(r"fab( |$)", found):
            yield from _apart(found)


def _apart(line: str) -> Iterator[str]:
    """`fab pause, fab resume` and `fab env.diff, env.push` are two commands each."""
    return (
        part if part.split()[0] == "fab" else f"fab {part}" for part in re.split(r", (?=(?:fab )?[a-z.]+(?:,|$))", line)
    )


def wrong(command: str, tasks: dict[str, ParserContext]) -> str:
    """What is wrong with a command line: a task or a flag that is not there, a value that is missing. Else nothing."""
    words = shlex.split(command)[1:]
    core = {name for argument in program.core_args() for name in (f"--{argument.name}", *_spelled(argument.names))}
    core |= {"--list", "--prompt-for-login-password", "--prompt-for-passphrase"}
    context, waiting, positional = None, False, 0
    for word in words:
        flag = word.partition("=")[0]
        if waiting and not word.startswith("-"):
            waiting = False
        elif context is None and word.startswith("-"):
            if flag not in core:
                return f"no core flag {flag}"
            waiting = flag.startswith("--print")
        elif context is None:
            if word not in tasks:
                return f"no task {word}"
            context = tasks[word]
        elif word.startswith("-"):
            if flag not in context.flags:
                return f"no flag {flag}"
            waiting = context.flags[flag].takes_value and "=" not in word
        elif positional < len(context.positional_args):
            positional += 1
        else:
            return f"{word} is no value of anything"
    return "a value is missing" if waiting else ""


def _spelled(names: tuple[str, ...]) -> Iterator[str]:
    return (f"--{name}" if len(name) > 1 else f"-{name}" for name in names)


@pytest.fixture(scope="module")
def tasks() -> dict[str, ParserContext]:
    from fabfile import namespace

    assert isinstance(namespace, Collection)
    return {str(name): context for context in namespace.to_contexts() for name in (context.name, *context.aliases)}


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_every_command_of_a_page_exists_with_its_flags(page: Path, tasks: dict[str, ParserContext]) -> None:
    told = dict.fromkeys(commands(page.read_text()))
    assert {command: why for command in told if (why := wrong(command, tasks))} == {}


def test_every_command_that_a_message_names_exists(said: list[Text], tasks: dict[str, ParserContext]) -> None:
    pieces = [piece for text in said for piece in text]
    named = {found for text in pieces for found in re.findall(r"\bfab ([a-z][a-z.]*[a-z])((?: --[a-z-]+)*)", text)}
    for task, flags in named:
        assert task in tasks, task
        assert all(flag in tasks[task].flags for flag in flags.split()), (task, flags)
    assert ("deploy", "") in named


def quoted(page: str) -> list[str]:
    """The sentences that a page quotes; three dots stand for what is known only then."""
    return re.findall(r"^> (.*)$", (PROJECT / "docs" / page).read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def said() -> list[Text]:
    return texts()


def is_said(sentence: str, said: list[Text]) -> bool:
    """Whether all of it stands in the code, but for a name or two."""
    strange = unsaid(sentence, said)
    return len(strange) <= NAMES and 2 * len(strange) < len(sentence.split())


@pytest.mark.parametrize("sentence", quoted("what-to-do-when.md"))
def test_every_sentence_that_is_quoted_is_said(sentence: str, said: list[Text]) -> None:
    assert is_said(sentence, said), unsaid(sentence, said)


@pytest.mark.parametrize("sentence", ["no cow jumps over the moon", "the driver answers on a Sunday evening"])
def test_a_sentence_that_is_never_said_is_noticed(sentence: str, said: list[Text]) -> None:
    assert not is_said(sentence, said)


def test_a_command_that_does_not_exist_is_noticed(tasks: dict[str, ParserContext]) -> None:
    assert wrong("fab deploy --tag annotation-queue=1.2 --dry-run", tasks) == ""
    assert wrong("fab depoly", tasks) == "no task depoly"
    assert wrong("fab deploy --forse", tasks) == "no flag --forse"
    assert wrong("fab deploy --tag", tasks) == "a value is missing"
    assert wrong("fab health now", tasks) == "now is no value of anything"
    assert list(commands("`fab env.diff, env.push`")) == ["fab env.diff", "fab env.push"]
    assert list(commands("```sh\nfab health   # asks\n```\n`fab status` and `make`")) == ["fab health", "fab status"]


def test_every_command_is_on_a_page(tasks: dict[str, ParserContext]) -> None:
    told = {word for page in WRITTEN for command in commands(page.read_text()) for word in command.split()[1:2]}
    assert {task for task, context in tasks.items() if not told & {task, *context.aliases, context.name}} == set()


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        there = page.parent / file if file else page
        assert there.exists(), target
        headings = re.findall(r"^#+ (.*)$", there.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(keys.anchor, headings), target


FILES = sorted(str(file) for file in PROJECT.rglob("*") if ".venv" not in file.parts and ".git" not in file.parts)


def files_named(text: str) -> set[str]:
    """Every file or folder that a page names in backticks: one with a suffix of code, or with a slash at its end."""
    return set(re.findall(r"`([\w./-]+(?:\.(?:py|md|toml|json|yaml|lock)|/))`", text))


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = files_named((PROJECT / page).read_text()) - {"previous-tags.json"}
    assert len(named) > 20
    assert {name for name in named if not any(file.endswith(f"/{name.rstrip('/')}") for file in FILES)} == set()


def test_a_file_that_is_not_there_is_noticed() -> None:
    assert files_named("`run/swop.py`, `tests/data/`, `fab deploy`, `hosts.yaml`") == {
        *("run/swop.py", "tests/data/", "hosts.yaml")
    }
    assert not any(file.endswith("/run/swop.py") for file in FILES)


def test_every_page_begins_with_what_it_is_for_and_readme_or_another_page_leads_to_it() -> None:
    texts = {page: page.read_text() for page in EVERY}
    for page in EVERY[1:]:
        title, empty, first = texts[page].splitlines()[:3]
        assert title.startswith("# ") and not empty and first[:1].isupper(), page.name


def test_bash_completes_tasks_and_flags() -> None:
    """Through bash's own machinery: the function that `complete` registered, called as a TAB calls it."""
    script = """
    eval "$(fab --print-completion-script bash)"
    function=$(complete -p fab | sed 's/.*-F \\([^ ]*\\).*/\\1/')
    for typed in "dep" "deploy --ad"; do
        COMP_WORDS=(fab $typed); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        COMP_LINE="fab $typed"; COMP_POINT=${#COMP_LINE}
        $function fab "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$COMP_CWORD - 1]}"
        printf '%s:%s\n' "$typed" "${COMPREPLY[*]}"
    done
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=PROJECT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("dep:deploy\ndeploy --ad:--adopt\n", "")
