""".env: its values as python-dotenv reads them, and the lines on which its readers disagree."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_runbook.laptop.errors import BadInput
from gpu_runbook.laptop.inputs.dotenv import Env, load_env, read_env

PROJECT = Path(__file__).parents[4]
LINES = st.lists(
    st.text(alphabet="AB_=#'\"${}\\ \t\nx", max_size=20) | st.sampled_from(["A=1", "B='x'", "export C=d", "D"]),
    max_size=6,
).map("\n".join)


def write(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path = folder / ".env"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


def revealed(env: Env) -> dict[str, str]:
    return {name: value.reveal() for name, value in env.values.items()}


def test_a_dollar_and_a_brace_in_a_password_stay_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, "PLAIN=x\nA=p${PLAIN}w\nB='p${PLAIN}w'\nC=\"it's # ${D}\"\n")
    assert revealed(load_env(path)) == {"PLAIN": "x", "A": "p${PLAIN}w", "B": "p${PLAIN}w", "C": "it's # ${D}"}


def test_an_ordinary_file_gets_no_warning(tmp_path: Path) -> None:
    path = write(tmp_path, "# a comment\n\nA=1\nB='two words #1'\nC=\"\"\nD=\n")
    assert load_env(path).warnings == ()


def test_the_example_reads_and_only_its_permissions_are_worth_a_word(tmp_path: Path) -> None:
    env = load_env(write(tmp_path, (PROJECT / ".env.example").read_text()))
    assert env.warnings == ()
    assert "REGISTRY_PASSWORD" in env.values


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("A=pa${B}ss", ".env:3: A: holds ${, which some readers replace"),
        ("A='pa${B}ss'", ".env:3: A: holds ${"),
        ("A=pass #word", ".env:3: A: what follows the # counts as a comment here"),
        ("A=pass   ", ".env:3: A: blanks at the end are dropped here"),
        ("A=two words", ".env:3: A: a shell ends the value at the first blank"),
        ("A=it's", ".env:3: A: holds one quote without its partner"),
        ("export A=1", ".env:3: A: docker rejects a file with export in it"),
        ("A = 1", ".env:3: A: stands with blanks around the ="),
        ("A-B=1", ".env:3: the name is not of letters, digits and _ alone"),
        ("'A'=1", ".env:3: A: the name stands in quotes"),
        (r'A="pa\tss\nword"', ".env:3: A: holds a backslash in double quotes"),
        (r'A="C:\new"', ".env:3: A: holds a backslash in double quotes"),
        (r'A="it\'s"', ".env:3: A: holds a backslash in double quotes"),
        (r'A="5\$"', ".env:3: A: holds a backslash in double quotes"),
        (r'A="a\\\t"', ".env:3: A: holds a backslash in double quotes"),
        ('A="two \\\nlines"', ".env:3: A: holds a backslash in double quotes"),
        (r'A="C:\\new \"x\""', None),
        (r'A="\d+\\"', None),
        (r"A='C:\\x\\y'", ".env:3: A: holds \\\\ or \\' in single quotes"),
        (r"A='it\'s'", ".env:3: A: holds \\\\ or \\' in single quotes"),
        (r"A='C:\new\t$x`y`'", None),
        (r"A=C:\new", ".env:3: A: holds a backslash, which a shell drops"),
        ("A=pa$ss", ".env:3: A: holds a $, which a shell and docker compose replace"),
        ('A="pa$ss"', ".env:3: A: holds a $, which a shell"),
        ('A="$(id)"', ".env:3: A: holds a $, which a shell"),
        ("A=pa$1", ".env:3: A: holds a $, which a shell"),
        ("A=100$", None),
        ('A="100$ "', None),
        ("A=a`b`", ".env:3: A: holds a `, and a shell runs"),
        ("A='x'#y", ".env:3: A: what follows the closing quote"),
        ("A='x' # y", None),
        ('A="x" #y', None),
        ("A=amqp://x/?a=1&b=2", ".env:3: A: holds one of ; & |"),
        ("A=x;y", ".env:3: A: holds one of ; & |"),
        ("A=~/x", ".env:3: A: holds a ~ at its beginning"),
        ("A=/a:~/x", ".env:3: A: holds a ~ at its beginning or behind a colon"),
        ("A='~/x:~'", None),
        ("A=a~b/~", None),
        ("A=pa$[ss", ".env:3: A: holds a $, which a shell"),
        ('A="pa$[1]"', ".env:3: A: holds a $, which a shell"),
        (r'A="pa\\\\$ss"', ".env:3: A: holds a $, which a shell"),
        ("A='pa$[1]'", None),
        ('A=a"b"c', ".env:3: A: holds quotes, which a shell takes away"),
        ("A=#x", None),
        ("A", ".env:3: has no = and no value"),
    ],
)
def test_a_line_that_readers_disagree_about_is_named(tmp_path: Path, line: str, said: str | None) -> None:
    warnings = load_env(write(tmp_path, f"\n# first\n{line}\nLAST=1\n")).warnings
    assert len(warnings) == (1 if said else 0)
    assert all(warning.startswith(said or "") for warning in warnings)


def without_a_word(folder: Path, values: Iterable[str]) -> dict[Path, str]:
    """A file for each of these values that there is nothing to say about, and what it is read as."""
    read: dict[Path, str] = {}
    for at, value in enumerate(values):
        path = folder / str(at)
        path.write_text(f"A={value}\n")
        path.chmod(0o600)
        env, problems = read_env(path)
        if not problems and not env.warnings:
            read[path] = env.values["A"].reveal()
    return read


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize(
    ("begin", "end", "enough"),
    [("", "", 150), ('"', '"', 200), ("'", "'", 400)],
    ids=["plain", "double", "single"],
)
def test_a_line_without_a_word_is_read_alike_by_a_shell(
    tmp_path: Path, shell: str, begin: str, end: str, enough: int
) -> None:
    """The lines are run by it: the letters that they are made of name no program."""
    assert shutil.which(shell), f"without {shell} nothing is compared with it: apt-get install {shell}"
    drawn = Random(1)  # noqa: S311  always the same
    values = ["".join(drawn.choices("a1\\\\\\$$$::~~[{( '\"`#=;!*/", k=drawn.randint(1, 6))) for _ in range(800)]
    read = without_a_word(tmp_path, (f"{begin}{value}{end}" for value in values))
    assert len(read) > enough
    script = 'for file; do (PATH=/nowhere; . "$file"; printf "%s" "$A") 2>&1; printf "\\0"; done'
    done = subprocess.run([shell, "-c", script, shell, *map(str, read)], capture_output=True, text=True, check=True)
    said = dict(zip(read, done.stdout.split("\0"), strict=False))
    assert {path.read_text(): text for path, text in said.items() if text != read[path]} == {}


def test_no_warning_shows_a_value(tmp_path: Path) -> None:
    lines = [
        r'A="s3cret\n"',
        r"B='s3cret\\'",
        "C=s3cret$X`s3cret`",
        r"D=s3cret\x",
        "E='s3cret'#s3cret",
        "F=~s3cret;s3cret",
    ]
    env = load_env(write(tmp_path, "\n".join(lines)))
    assert len(env.warnings) >= len(lines)
    assert "s3cret" not in " ".join(env.warnings)


def test_what_a_windows_editor_leaves_behind_is_named_and_harms_no_value(tmp_path: Path) -> None:
    env = load_env(write(tmp_path, b"\xef\xbb\xbfA=1\r\nB='x\r\ny'\r\n"))
    assert revealed(env) == {"A": "1", "B": "x\ny"}
    assert ["byte order mark" in env.warnings[0], "CRLF" in env.warnings[1]] == [True, True]


def test_a_file_that_others_may_read_is_named(tmp_path: Path) -> None:
    (warning,) = load_env(write(tmp_path, "A=1\n", mode=0o640)).warnings
    assert "mode 0640" in warning and "chmod 600" in warning


def test_a_variable_that_stands_twice_and_an_open_quote_are_errors_by_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_env(write(tmp_path, 'A=s3cret\nB=\'s3cret\n\nA=s3cret\nC="s3cret" s3cret\n'))
    assert caught.value.message.splitlines()[1:] == [
        "  .env:2: the line cannot be read; a quote is open, or text follows the closing one",
        "  .env:4: A: stands twice, first in line 1",
        "  .env:5: the line cannot be read; a quote is open, or text follows the closing one",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty."),
        (b"\n \n", "is empty."),
        (b"# only a comment\n", "no variable stands in it"),
        (b"A=\x00\x01\n", "is a binary file."),
        (b"A=1\nB=\xff\xfe\n", "is not UTF-8 text (line 2)."),
    ],
)
def test_a_file_that_is_no_env_is_refused_in_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_env(write(tmp_path, content))
    assert said in caught.value.message


def test_a_missing_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist") as caught:
        load_env(tmp_path / ".env")
    assert ".env.example" in caught.value.hint


@given(LINES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_values_are_those_of_python_dotenv_without_interpolation(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    try:
        env, problems = read_env(path)
    except BadInput:
        assert not text.strip()
        return
    if not problems:
        expected = {name: value for name, value in dotenv_values(path, interpolate=False).items() if value is not None}
        assert revealed(env) == expected


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=6, max_size=12).map("s3{}".format), LINES)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_message_ever_holds_a_value(tmp_path: Path, secret: str, text: str) -> None:
    path = write(
        tmp_path, text.replace("=x", f"={secret}") + f"\nZ='{secret}\nZ={secret} #{secret}\nZ=${{{secret}\n{secret}\n"
    )
    env, problems = read_env(path)
    assert not any(secret in line for line in (*env.warnings, *problems, repr(list(env.values.values()))))
