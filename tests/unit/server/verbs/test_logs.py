"""Logs line by line: put together from frames, covered, bounded, shown to people and to scripts."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpu_runbook.laptop.commands import logs
from gpu_runbook.laptop.deploy import run
from gpu_runbook.laptop.errors import CannotConnect, Defect, LostContact
from gpu_runbook.laptop.inventory.model import Host
from gpu_runbook.laptop.rpc.requests import batch_marks
from gpu_runbook.laptop.sanitize import clean
from gpu_runbook.protocol.errors import Refusal
from gpu_runbook.protocol.logs import FilePosition, LogMark
from gpu_runbook.protocol.requests import LogOf
from gpu_runbook.server.docker import engine as engines
from gpu_runbook.server.docker.engine import Engine, EngineError
from gpu_runbook.server.docker.unix_http import Answer, Broken
from gpu_runbook.server.verbs import logs as verb
from tests.unit.docker_answers import container, inspected
from tests.unit.nasty import TEXTS, rows
from tests.unit.scene import QUEUE, TRAINING, Scene, bare

STAMP = "2026-04-20T10:11:12.000000001Z"
PASSWORD = "correct horse battery staple"


def frame(text: str, stream: int = 1, stamp: str = STAMP) -> bytes:
    data = f"{stamp} {text}".encode()
    return struct.pack(">BxxxI", stream, len(data)) + data


@pytest.fixture
def answer(tmp_path: Path) -> Iterator[Callable[..., Answer]]:
    """An answer out of a unix socket, its body in pieces of so many bytes."""
    opened: list[Answer] = []

    def make(body: bytes, size: int = 1 << 16) -> Answer:
        path = tmp_path / f"{len(opened)}.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)

        def serve() -> None:
            connection, _ = listener.accept()
            with listener, connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
                for at in range(0, len(body), size):
                    connection.sendall(body[at : at + size])

        threading.Thread(target=serve, daemon=True).start()
        opened.append(Answer(str(path), b"x", 10.0, endless=True))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.mark.parametrize("size", [1, 3, 7, 1 << 16])
def test_lines_are_put_together_whatever_pieces_they_come_in(answer: Callable[..., Answer], size: int) -> None:
    body = frame("one\n") + frame("begun, ", 2) + frame("two\n") + frame("ended\n", 2) + frame("\n") + frame("no end")
    found = list(verb.lines(verb.frames(answer(body, size))))
    texts = [
        ("stdout", b"one"),
        ("stdout", b"two"),
        ("stderr", b"begun, ended"),
        ("stdout", b""),
        ("stdout", b"no end"),
    ]
    assert found == [(STAMP, stream, text) for stream, text in texts]


def test_the_log_of_a_terminal_has_no_frames(answer: Callable[..., Answer]) -> None:
    body = f"{STAMP} one\r\n{STAMP} two".encode()
    assert list(verb.lines(verb.terminal(answer(body)))) == [(STAMP, "stdout", b"one\r"), (STAMP, "stdout", b"two")]


@pytest.mark.parametrize("body", [b"no frames at all", frame("cut short")[:-1], b"\1\0\0"])
def test_what_is_no_log_is_broken(answer: Callable[..., Answer], body: bytes) -> None:
    with pytest.raises(Broken):
        list(verb.lines(verb.frames(answer(body))))


def test_a_line_without_end_takes_no_more_room_than_a_long_one() -> None:
    pieces: list[Any] = [("stdout", b"x" * 9000, False)] * 1000
    ((_, _, text),) = verb.lines(iter([("stdout", f"{STAMP} ".encode(), True), *pieces]))
    assert len(text) == verb.LONGEST + 1


class Heard:
    """What a hearer made of the server's events."""

    def __init__(self, scene: Scene, *services: str, follow: bool = False, json: bool = False) -> None:
        self.out = io.StringIO()
        self.said: list[str] = []
        kind = logs.ShowJson if json else logs.Show
        self.show = kind(self.said.append, scene.only(*services), follow, self.out)
        self.hear = logs.Hearer("gpu-1", (PASSWORD,), self.show)

    def lines(self, *texts: str, service: str = QUEUE, cut: bool = False) -> str:
        entries = [[STAMP, "stdout", text, cut] for text in texts]
        self.hear({"event": "lines", "service": service, "container": "c" * 64, "lines": entries})
        return self.out.getvalue()

    def container(self, service: str = QUEUE, name: str = QUEUE, container: str = "c" * 64, **state: Any) -> str:
        times = {"StartedAt": "2026-04-20T10:00:00.5Z", "FinishedAt": "2026-04-20T10:05:00.5Z"}
        about = {"Status": "running", "ExitCode": 137, **times, **state}
        event = {
            "service": service,
            "container": container,
            "name": name,
            "state": about,
            "at": "2026-04-20T10:10:00Z",
            "whole": False,
        }
        self.hear({"event": "container", **event})
        return self.said[-1]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return bare(tmp_path)


def test_a_secret_is_covered_in_a_line(scene: Scene) -> None:
    assert Heard(scene, QUEUE).lines(f"login with {PASSWORD}!") == "login with •••!\n"


@pytest.mark.parametrize("left", range(len(PASSWORD)))
def test_of_a_line_that_is_cut_no_beginning_of_a_secret_is_left(scene: Scene, left: int) -> None:
    shown = Heard(scene, QUEUE).lines(f"a long line {'.' * 40}{PASSWORD[:left]}", cut=True)
    assert shown.startswith("a long line ..")
    assert shown.endswith(f"{logs.CUT}\n")
    assert "c" not in shown.removesuffix(f"{logs.CUT}\n")


@pytest.mark.parametrize("left", range(logs.LEAST, len(PASSWORD)))
def test_of_a_first_line_that_began_before_no_end_of_a_secret_is_left(scene: Scene, left: int) -> None:
    heard = Heard(scene, QUEUE)
    assert heard.lines(f"{PASSWORD[-left:]} and more") == "••• and more\n"
    assert heard.lines("staple, the second line").splitlines()[-1] == "staple, the second line"
    assert Heard(scene, QUEUE).lines(f"\ufffd\ufffd{PASSWORD[-left:]}!") == "•••!\n"


def test_a_secret_before_the_cut_is_covered_whole(scene: Scene) -> None:
    shown = Heard(scene, QUEUE).lines(f"x{PASSWORD}{'.' * 20}", cut=True)
    assert PASSWORD[:3] not in shown


def test_a_log_has_lines_of_a_log_alone_whatever_a_server_calls_its_service(scene: Scene) -> None:
    heard = Heard(scene, QUEUE, TRAINING, follow=True)
    for text in TEXTS.values():
        heard.lines(clean(text)[:20_000])
        with contextlib.suppress(Defect):  # of most it is seen that they are no names
            heard.lines(clean(text)[:20_000], service=text)
    lines = heard.out.getvalue().splitlines()
    assert len(lines) >= len(TEXTS)
    assert all(" | " in line for line in lines) and rows(heard.out.getvalue()) == []


def test_a_container_is_told_with_how_it_is(scene: Scene) -> None:
    heard = Heard(scene, QUEUE)
    assert heard.container() == f"{QUEUE} runs for 10 min, container cccccccccccc"
    ended = "it ended 5 min ago with exit status 137"
    assert (
        Heard(scene, QUEUE).container(Status="exited")
        == f"{QUEUE} does not run ({ended}); its last log, container cccccccccccc"
    )
    assert Heard(scene, QUEUE).container(Status="created") == f"{QUEUE} was never started, container cccccccccccc"
    other = Heard(scene, QUEUE).container(name=f"{QUEUE}.r1", Status="restarting")
    assert other == f'{QUEUE} ("{QUEUE}.r1") is restarting, container cccccccccccc'
    assert heard.out.getvalue() == ""


def test_the_container_that_comes_next_is_named_when_following(scene: Scene) -> None:
    heard = Heard(scene, QUEUE, TRAINING, follow=True)
    heard.container()
    assert heard.container(container="d" * 64) == f"— {QUEUE}: container dddddddddddd —"


@pytest.mark.parametrize("follow", [False, True], ids=["once", "followed"])
def test_of_several_services_each_line_has_a_name(scene: Scene, follow: bool) -> None:
    heard = Heard(scene, QUEUE, TRAINING, follow=follow)
    heard.lines("one")
    assert heard.lines("two", service=TRAINING) == f"{QUEUE} | one\n{TRAINING:{len(QUEUE)}} | two\n"


def test_one_service_needs_no_name(scene: Scene) -> None:
    assert Heard(scene, QUEUE, follow=True).lines("one") == Heard(scene, QUEUE).lines("one") == "one\n"


def test_scripts_get_an_object_for_each_line(scene: Scene) -> None:
    line = {"service": QUEUE, "container": "c" * 64, "stream": "stdout", "at": STAMP, "text": "one"}
    line["source"] = "docker"
    following = Heard(scene, QUEUE, follow=True, json=True)
    assert [json.loads(text) for text in following.lines("one", "one").splitlines()] == [{"schema": 1, **line}] * 2
    once = Heard(scene, QUEUE, json=True)
    assert once.lines("one") == ""
    assert isinstance(once.show, logs.ShowJson)
    assert [json.loads(text) for text in once.show.found] == [line]


@pytest.mark.parametrize(
    "event",
    [
        {"event": "lines", "service": QUEUE, "container": "c", "lines": [["at", "stdout", "text"]]},
        {"event": "lines", "service": QUEUE, "container": "c", "lines": [["at", "stdout", "text", 1]]},
        {"event": "lines", "service": QUEUE, "container": "c"},
        {"event": "container", "service": QUEUE, "container": "c", "name": "n", "state": {}, "at": ""},
        {"event": "file", "service": QUEUE, "lines": [["/a.log", STAMP, "text"]], "positions": []},
        {"event": "file", "service": QUEUE, "lines": [["a.log", STAMP, "text", False]], "positions": []},
        {"event": "file", "service": QUEUE, "lines": [["/a.log", "now", "text", False]], "positions": []},
        {"event": "file", "service": QUEUE, "lines": [], "positions": [{"path": "/a.log"}]},
        {"event": "file", "service": QUEUE, "lines": []},
        {"event": "untimed", "service": QUEUE, "path": "a"},
        {"event": "none", "service": 3},
        {"event": "other"},
        {},
    ],
)
def test_an_event_of_another_shape_is_a_defect(scene: Scene, event: dict[str, Any]) -> None:
    with pytest.raises(Defect, match="is not what it should be"):
        Heard(scene, QUEUE).hear(event)


def test_a_server_is_told_what_the_runs_of_a_batch_service_are_recognised_by(scene: Scene) -> None:
    asked = logs.LogWish(scene.only(QUEUE, TRAINING), 20, 0, False).request(scene.inventory, scene.resolved.host)
    (marks,) = batch_marks(scene.inventory)
    assert asked.services == (LogOf(QUEUE), LogOf(TRAINING, marks))
    assert asked.root == "/azaion"


FILE = {"path": "/azaion/logs/queue.log", "device": 5, "inode": 7, "size": 12, "last": "0" * 16}


def of_file(*texts: str, cut: bool = False, path: str = str(FILE["path"])) -> dict[str, Any]:
    lines = [[path, "2026-04-20T10:11:12.000Z", text, cut] for text in texts]
    return {"event": "file", "service": QUEUE, "lines": lines, "positions": [FILE]}


def test_lines_of_files_bear_their_names_and_show_no_secret(scene: Scene) -> None:
    heard = Heard(scene, QUEUE, TRAINING, follow=True)
    heard.hear(of_file("one", f"login with {PASSWORD}", "two\nlines"))
    assert heard.lines("said") == (
        f"{QUEUE} | queue.log | one\n{QUEUE} | queue.log | login with •••\n"
        f"{QUEUE} | queue.log | two\N{REPLACEMENT CHARACTER}lines\n{QUEUE} | said\n"
    )
    alone = Heard(scene, QUEUE)
    alone.hear(of_file(f"a long line {'.' * 40}{PASSWORD[:9]}", cut=True))
    assert "co" not in alone.out.getvalue() and alone.out.getvalue().endswith(f"{logs.CUT}\n")


def test_scripts_are_told_which_file_a_line_is_in(scene: Scene) -> None:
    heard = Heard(scene, QUEUE, follow=True, json=True)
    heard.hear(of_file("one"))
    assert json.loads(heard.out.getvalue()) == {
        "schema": 1,
        "service": QUEUE,
        "container": "",
        "stream": "file",
        "at": "2026-04-20T10:11:12.000Z",
        "text": "one",
        "source": FILE["path"],
    }


def test_a_following_that_is_taken_up_again_knows_how_far_the_files_were_heard(scene: Scene) -> None:
    heard = Heard(scene, QUEUE, follow=True)
    assert heard.hear.positions() == {}
    heard.hear({"event": "file", "service": QUEUE, "lines": [], "positions": []})
    assert heard.hear.positions() == {QUEUE: ()}
    for event in (of_file("one"), of_file("two") | {"positions": [FILE | {"size": 20}]}):
        heard.hear(event)
    assert heard.hear.positions() == {QUEUE: (FilePosition(**FILE | {"size": 20}),)}  # type: ignore[arg-type]


def test_without_a_container_it_is_said_whether_there_are_log_files(scene: Scene) -> None:
    heard = Heard(scene, QUEUE)
    heard.hear({"event": "none", "service": QUEUE})
    heard.show._logging = {QUEUE}
    heard.hear({"event": "none", "service": QUEUE})
    said = f"{QUEUE}: no container, and so"
    assert heard.said == [f"{said} no log", f"{said} nothing but log files"]


def test_that_lines_say_no_time_is_said(scene: Scene) -> None:
    heard = Heard(scene, QUEUE)
    heard.hear({"event": "untimed", "service": QUEUE, "path": str(FILE["path"])})
    assert heard.said == [
        f"{QUEUE}: {FILE['path']}: its lines say no time, and count as of when it was written to last"
    ]


CONTAINER = "c" * 64
SAID = [
    (f"2026-04-20T10:11:1{second}.00000000{nano}Z", number)
    for number, (second, nano) in enumerate([(2, 1), (2, 1), (2, 2), (3, 0), (3, 0), (3, 0), (5, 7)])
]


def events(begin: int, end: int, whole: bool = False) -> list[dict[str, Any]]:
    """What a server says of a container and of the lines from one on and before another."""
    times = {"StartedAt": "2026-04-20T10:00:00.5Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    about = {
        "service": QUEUE,
        "container": CONTAINER,
        "name": QUEUE,
        "state": {"Status": "running", "ExitCode": 0, **times},
    }
    lines = [[stamp, "stdout", f"line {number}", False] for stamp, number in SAID[begin:end]]
    return [
        {"event": "container", **about, "at": "2026-04-20T10:11:12Z", "whole": whole},
        *({"event": "lines", "service": QUEUE, "container": CONTAINER, "lines": [line]} for line in lines),
    ]


@pytest.mark.parametrize("heard", range(len(SAID) + 1))
def test_a_following_that_is_taken_up_again_repeats_no_line_and_loses_none(scene: Scene, heard: int) -> None:
    first = Heard(scene, QUEUE, follow=True)
    for event in events(0, heard):
        first.hear(event)
    reader = verb.Reader(Engine("unix:///nowhere"), lambda event: None, 100, 0, first.hear.marks())
    whole, _, nanoseconds = reader.query(CONTAINER, True, whole=True)["since"].partition(".")
    since = f"2026-04-20T10:11:{int(whole) % 60:02}.{nanoseconds}Z"  # the engine counts it in
    again = ((stamp, "stdout", b"%d" % number) for stamp, number in SAID if stamp >= since)
    assert [int(text) for _, _, text in reader._new(CONTAINER, again)] == list(range(heard, len(SAID)))


def test_of_a_container_that_came_later_and_said_nothing_yet_all_is_read(scene: Scene) -> None:
    heard = Heard(scene, QUEUE, follow=True)
    heard.hear(events(0, 0, whole=True)[0])
    assert heard.hear.marks() == {}


def test_a_log_whose_last_line_lies_ahead_of_the_clock_goes_on_from_now() -> None:
    ahead = LogMark("2999-04-20T10:11:12.000000001Z", 1)
    reader = verb.Reader(Engine("unix:///nowhere"), lambda event: None, 100, 0, {CONTAINER: ahead})
    assert reader.query(CONTAINER, True, whole=True)["tail"] == "0"


class Line:
    """A line to a server: each try to ask over it hears some events, and is lost."""

    def __init__(self, *heard: list[dict[str, Any]] | None) -> None:
        self.host = Host(name="gpu-1", address="gpu-1.lan", root="/azaion")
        self.tries, self.asked, self.files = list(heard), list[Any](), list[Any]()

    @contextlib.contextmanager
    def anew(self, seconds: float) -> Iterator[Line]:
        if self.tries and self.tries[0] is None:
            self.tries.pop(0)
            raise CannotConnect("gpu-1: 127.0.0.1 port 22 refuses")
        yield self

    def ask(self, session: Any, verb: str, request: Any, hear: Any, *more: Any) -> dict[str, Any]:
        self.asked.append(request.after)
        self.files.append(request.files)
        for event in (self.tries.pop(0) if self.tries else []) or []:
            hear(event)
        raise LostContact("gpu-1: nothing was heard for 10 s")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "COMING_BACK", 0.3)
    monkeypatch.setattr(run, "PAUSE", 0.02)


def followed(scene: Scene, line: Line, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "ask", line.ask)
    wish = logs.LogWish(scene.only(QUEUE), 100, 0, True)
    logs.of_server(line, scene.inventory, scene.resolved, wish, heard.hear)  # type: ignore[arg-type]


@pytest.mark.usefixtures("impatient")
def test_a_silent_line_is_taken_up_behind_the_last_line_and_said_once_for_each_silence(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(events(0, 3), None, None, [], events(3, 5), events(5, 7))
    heard = Heard(scene, QUEUE, follow=True)
    with pytest.raises(LostContact) as caught:
        followed(scene, line, heard, monkeypatch)
    assert caught.value.message == "gpu-1: nothing was heard for 10 s"
    assert caught.value.hint == "what runs there goes on; fab logs --follow takes it up again"
    assert heard.out.getvalue().split("\n")[:-1] == [f"line {number}" for number in range(len(SAID))]
    lost = "nothing was heard for 10 s; trying to come back to the last line"
    assert heard.said[1:] == [lost] * 3
    marks = [one and one[CONTAINER] for one in line.asked]
    third, fifth = (LogMark(SAID[at][0], count) for at, count in ((2, 1), (4, 2)))
    assert marks[:4] == [None, third, third, fifth]
    assert set(marks[4:]) == {LogMark(SAID[6][0], 1)}


@pytest.mark.usefixtures("impatient")
def test_the_files_of_a_silent_line_are_taken_up_where_they_were_heard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line([*events(0, 1), of_file("one")], events(1, 2))
    with pytest.raises(LostContact):
        followed(scene, line, Heard(scene, QUEUE, follow=True), monkeypatch)
    known = {QUEUE: (FilePosition(**FILE),)}  # type: ignore[arg-type]
    assert (line.files[0], line.files[1], line.files[-1]) == ({}, known, known)


@pytest.mark.usefixtures("impatient")
def test_a_server_of_which_nothing_was_heard_is_out_of_reach(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line([])
    with pytest.raises(CannotConnect, match="nothing was heard for 10 s; the server was only looked at"):
        followed(scene, line, Heard(scene, QUEUE, follow=True), monkeypatch)
    assert line.asked == [None]


class Kept(Engine):
    """An engine whose containers have a log each: what it answers, or its refusal."""

    def __init__(self, logs: dict[str, bytes | EngineError], answer: Callable[..., Answer]) -> None:
        super().__init__("unix:///nowhere")
        self.__dict__.update(logs=logs, answered=answer)

    def send(self, method: str, path: str, *more: Any, **others: Any) -> Answer:
        log = self.__dict__["logs"][path.split("/")[2]]
        if isinstance(log, EngineError):
            raise log
        answer: Answer = self.__dict__["answered"](log)
        return answer


def read_both(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, there: str = "ab", follow: bool = False, log: Any = None
) -> list[dict[str, Any]]:
    """What is said of the logs of two services, of which some have a container."""
    said: list[dict[str, Any]] = []
    both = {name: [container(inspected(name * 64, name))] if name in there else [] for name in "ab"}
    monkeypatch.setattr(engines, "find", lambda address: engine)
    monkeypatch.setattr(verb, "find_store", lambda *given: SimpleNamespace(check_owner=lambda: None))
    monkeypatch.setattr(verb, "holders", lambda *given: both)
    place = {"root": "/azaion", "state": "", "docker_host": ""}
    request = {**place, "tail": 100, "since": 0, "follow": follow, "after": None}
    services = [{"service": name, "marks": None, "log": (log or {}).get(name, {})} for name in "ab"]
    verb.answer({**request, "services": services}, said.append)
    return [event for event in said if event["event"] != "container"]


@pytest.mark.parametrize(
    ("log", "lines", "why"),
    [
        (EngineError(501, "its driver keeps none"), [], "its driver keeps none"),
        (frame("one\n") + frame("no such file", 3, "Error:"), ["one"], "Error: no such file"),
    ],
)
def test_a_log_that_cannot_be_read_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Answer], log: Any, lines: list[str], why: str
) -> None:
    said = read_both(monkeypatch, Kept({"a" * 64: log, "b" * 64: frame("two\n")}, answer))
    texts = [(event["service"], line[2]) for event in said if event["event"] == "lines" for line in event["lines"]]
    assert texts == [*(("a", line) for line in lines), ("b", "two")]
    (unread,) = (event for event in said if event["event"] == "unreadable")
    assert (unread["service"], unread["message"]) == ("a", why)


@pytest.mark.parametrize("follow", [False, True])
def test_a_service_without_a_container_is_told_of(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Answer], follow: bool
) -> None:
    monkeypatch.setattr(verb.Following, "go_on", lambda following: None)
    said = read_both(monkeypatch, Kept({"a" * 64: frame("one\n")}, answer), "a", follow)
    assert said[0] == {"event": "none", "service": "b"}


@pytest.mark.parametrize("there", ["ab", "a", ""])
def test_log_files_are_read_beside_dockers_log_and_without_one(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Answer], tmp_path: Path, there: str
) -> None:
    (tmp_path / "b.log").write_text("in its file\n")
    none = EngineError(501, "its driver keeps none")
    files = {"files": [f"{tmp_path}/*.log"]}
    said = read_both(monkeypatch, Kept({"a" * 64: none, "b" * 64: none}, answer), there, log={"b": files})
    [told] = [event for event in said if event["event"] == "file" and event["lines"]]
    assert (told["service"], told["lines"][0][2]) == ("b", "in its file")


def test_where_no_log_can_be_read_that_is_the_answer(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Answer]
) -> None:
    none = EngineError(501, "its driver keeps none")
    with pytest.raises(Refusal, match="no log could be read"):
        read_both(monkeypatch, Kept({"a" * 64: none, "b" * 64: none}, answer))


def test_an_engine_that_went_away_is_no_log_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Answer]
) -> None:
    with pytest.raises(EngineError, match="it is away"):
        read_both(monkeypatch, Kept({"a" * 64: EngineError(0, "it is away"), "b" * 64: b""}, answer))


@pytest.mark.parametrize(("log", "ended"), [(frame("x", 3), True), (frame("one\n") + frame("x", 3), False)])
def test_what_breaks_in_the_middle_is_asked_for_again_behind_it(
    answer: Callable[..., Answer], log: bytes, ended: bool
) -> None:
    said: list[dict[str, Any]] = []
    reader = verb.Reader(Kept({CONTAINER: log}, answer), said.append, 100, 0, {})
    nowhere: Any = None  # nobody is looked for
    following = verb.Following(reader, nowhere, {}, {})
    life = (CONTAINER, STAMP)
    following._listen(QUEUE, container(inspected(CONTAINER)), life, {})
    assert (life in following._ended) is ended
    assert [event["event"] for event in said] == (["unreadable"] if ended else ["lines"])
