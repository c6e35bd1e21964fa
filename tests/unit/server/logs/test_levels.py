"""A line is as grave as it says itself, where loggers say it; a word further on is what somebody said."""

from __future__ import annotations

import pytest

from gpu_runbook.protocol.logs import LogRules
from gpu_runbook.server.logs.levels import failing, written
from tests.unit.tricks import within

ERROR, WARNING, CRITICAL = (LogRules(level=level) for level in ("error", "warning", "critical"))
TEXTS = ("Traceback", "Error while handling")
AT = "2026-03-28 14:30:00,123"

ERRORS = [
    f"{AT} ERROR cannot digest",
    f"{AT} - queue.reader - ERROR - cannot digest",
    f"{AT} queue.reader ERROR cannot digest",
    f"{AT} [MainThread] ERROR queue: cannot digest",
    f"{AT} | ERROR    | queue.reader:handle:81 - cannot digest",
    f"{AT}:ERROR:cannot digest",
    "[2026-03-28 14:30:00 +0000] [7] [ERROR] cannot digest",
    "2026-03-28T14:30:00.123Z error_logger[12]: ERROR: cannot digest",
    "14:30:00 ERROR cannot digest",
    "[14:30:00 ERR] cannot digest",
    "ERROR:root:cannot digest",
    "ERROR:    cannot digest",
    "ERROR cannot digest",
    "[ERROR] cannot digest",
    "[error] cannot digest",
    "<E> cannot digest",
    "error: cannot digest",
    "\x1b[31mERROR\x1b[0m cannot digest",
    'time="2026-03-28T14:30:00Z" level=error msg="cannot digest"',
    "SEVERE: cannot digest",
    '{"timestamp": "2026-03-28T14:30:00Z", "level": "ERROR", "message": "cannot digest"}',
    '{"levelname": "error", "msg": "cannot digest"}',
    '{"severity": "Err", "event": "cannot digest"}',
    '{"log.level": "error", "message": "cannot digest"}',
]


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_is_one_however_its_level_is_written(line: str) -> None:
    assert "cannot digest" in failing(line, (), ERROR)
    assert failing(line, (), WARNING) and not failing(line, (), CRITICAL)


@pytest.mark.parametrize("line", ERRORS)
def test_the_same_line_of_another_level_is_none(line: str) -> None:
    for word in ("ERROR", "error", "Err", "ERR", "SEVERE", "<E>"):
        line = line.replace(word, "<W>" if word == "<E>" else "WARN" if word.isupper() else "warn")
    assert not failing(line, TEXTS, ERROR) and failing(line, (), WARNING)


@pytest.mark.parametrize(
    "line",
    [
        f"{AT} DEBUG retry after ERROR",
        f"{AT} - reader - INFO - [ERROR] Error while handling was seen before, Traceback",
        "DEBUG:root:Traceback of yesterday",
        "INFO:     error: none",
        "[INFO] [ERROR]",
        'level=debug msg="level=error"',
        '{"level": "debug", "message": "ERROR Traceback", "context": {"level": "error"}}',
        '{"level": "notice", "severity": "error", "message": "the first key counts"}',
    ],
)
def test_a_word_in_a_mild_line_is_no_failure(line: str) -> None:
    assert not failing(line, TEXTS, ERROR)


@pytest.mark.parametrize(
    "line",
    [
        "ERRORS were found: 0",
        "no ERROR here",
        "Errors: none",
        f"{AT} all is well, not an ERROR",
        '{"level": 40, "message": "whose numbers are these?"}',
        '{"level": "shiny"}',
        '["ERROR"]',
        '{"level": "ERROR"',
        "",
    ],
)
def test_a_line_that_says_no_level_is_searched_for_the_texts(line: str) -> None:
    if line != '{"level": "ERROR"':  # one that is cut says it still
        assert not failing(line, TEXTS, WARNING)
    else:
        assert failing(line, TEXTS, WARNING)
    assert failing(f"{line} Traceback", TEXTS, WARNING)


def test_without_a_level_the_texts_alone_count() -> None:
    assert failing("DEBUG:root:Traceback", TEXTS, LogRules()) == "DEBUG:root:Traceback"
    assert not failing(f"{AT} ERROR cannot digest", TEXTS, LogRules())


@pytest.mark.parametrize(
    ("said", "level"),
    [("fatal", "critical"), ("PANIC", "critical"), ("warn", "warning"), ("ALERT", "critical"), ("Error", "error")],
)
def test_usual_spellings(said: str, level: str) -> None:
    line = f'{{"level": "{said}", "message": "it says so"}}'
    assert failing(line, (), LogRules(level=level)) == f"{level.upper()}: it says so"


def test_keys_are_those_of_hosts_yaml() -> None:
    rules = LogRules(level="error", level_key="grade", message_key="words")
    line = '{"grade": "ERROR", "level": "info", "words": "mine", "message": "not mine"}'
    assert failing(line, (), rules) == "ERROR: mine"
    assert not failing('{"level": "ERROR", "message": "another key"}', (), rules)


def test_a_line_that_is_cut_says_its_level_still() -> None:
    line = '{"level": "ERROR", "message": "' + "x" * 20_000
    assert failing(line, (), ERROR) == line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{AT} x", (1774708200.123, False)),
        ("[2026-03-28T14:30:00Z] x", (1774708200.0, True)),
        ("2026-03-28 14:30:00.5+02:00 x", (1774701000.5, True)),
        ("2026/03/28 14:30:00 -0130 x", (1774713600.0, True)),
        ('{"timestamp": "2026-03-28T14:30:00.250Z"}', (1774708200.25, True)),
        ('{"ts": 1774708200.5}', (1774708200.5, True)),
        ('{"time": 1774708200500}', (1774708200.5, True)),
        ('{"time": true}', None),
        ('{"time": 1e400}', None),
        ("2026-13-28 14:30:00 x", None),
        ("9999-99-99 99:99:99", None),
        ("at 2026-03-28 14:30:00", None),
        ("x", None),
    ],
)
def test_when_a_line_was_written(line: str, said: object) -> None:
    assert written(line, LogRules()) == said


@pytest.mark.parametrize(
    "piece", ["[", " ", "a", "a ", "(ERROR", "- ", "x= ", "1 ", "{", '{"level":', "\x1b[1", "[a] "]
)
def test_a_line_made_to_take_long_takes_no_longer_than_others(piece: str) -> None:
    line = (piece * 16_384)[:16_384]
    judged = within(5, lambda: [(failing(line, TEXTS, ERROR), written(line, LogRules())) for _ in range(20)])
    assert not isinstance(judged, Exception)
