"""Trained models on disk: what is whole, what is not, and what is being written."""

from __future__ import annotations

import hashlib
import io
import os
import random
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from gpu_runbook.protocol.models import ModelFile, is_dated
from gpu_runbook.server.models import model_files

OLD = 1_700_000_000.0  # seconds since 1970


def archive(compression: int = zipfile.ZIP_STORED) -> bytes:
    """What PyTorch saves, by its outside: parts of several sizes, the first of them aligned by an extra field."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, size in (("best/data.pkl", 700), ("best/data/0", 3000), ("best/version", 2)):
            entry = zipfile.ZipInfo(name)
            entry.extra = b"FB\x04\x00ZZZZ"
            entry.compress_type = compression
            file.writestr(entry, random.Random(size).randbytes(size))  # noqa: S311  bytes to be told apart
    return content.getvalue()


WHOLE = archive()


def model(folder: Path, content: bytes, age: float = OLD, name: str = "best.pt") -> Path:
    path = folder / "2026-04-20" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (age, age))
    return path


def seen(folder: Path, name: str = "best.pt") -> ModelFile:
    return model_files.seen(str(folder), "2026-04-20", [name], set())


def verified(folder: Path, name: str = "best.pt") -> ModelFile:
    return model_files.read(seen(folder, name), lambda count: None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2026-04-20", True),
        ("2026-04-20-b", True),
        ("2026-04-20_run.3", True),
        ("2024-02-29", True),
        ("2026-02-30", False),
        ("2026-13-01", False),
        ("2026-4-20", False),
        ("2026-04-20b", False),
        ("2026-04-20-", False),
        ("2026-04-20-a/b", False),
        ("2026-04-20-a\n", False),
        ("２０２６-04-20", False),
        ("current", False),
        ("", False),
    ],
)
def test_a_directory_is_named_for_a_day(name: str, expected: bool) -> None:
    assert is_dated(name) is expected


def test_directories_are_sorted_by_day_and_suffix_and_others_are_told_apart(tmp_path: Path) -> None:
    for name in ("2026-04-20-b", "2026-03-02", "current", "2026-04-20", "2026-02-30", ".hidden", "2026-04-20-a"):
        (tmp_path / name).mkdir()
    (tmp_path / "2026-05-01").write_text("a file")
    dates = ["2026-03-02", "2026-04-20", "2026-04-20-a", "2026-04-20-b"]
    assert model_files.directories(str(tmp_path)) == (dates, ["2026-02-30", "current"])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_whole_model_is_whole_before_and_after_it_was_read(tmp_path: Path, compression: int) -> None:
    content = archive(compression)
    model(tmp_path, content)
    found = seen(tmp_path)
    assert (found.state, found.size, found.modified, found.sha256) == (
        "whole",
        len(content),
        "2023-11-14T22:13:20Z",
        "",
    )
    heard: list[int] = []
    read = model_files.read(found, heard.append)
    assert (read.state, read.sha256) == ("whole", hashlib.sha256(content).hexdigest())
    assert sum(heard) == len(content) + 3702


def test_a_model_cut_off_anywhere_is_seen_without_reading_it(tmp_path: Path) -> None:
    for size in range(0, len(WHOLE), 64):
        model(tmp_path, WHOLE[:size])
        assert seen(tmp_path).state == "damaged", size


def test_a_model_with_more_or_less_in_it_than_it_should_have_is_seen(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("inner.zip", WHOLE)  # cut off behind it, its own end looks like that of the whole
    end = inner.getvalue().index(b"PK\x05\x06") + 22
    for content in (WHOLE + b"tail", b"head" + WHOLE, inner.getvalue()[:end], WHOLE[:900] + WHOLE[964:], WHOLE * 2):
        model(tmp_path, content)
        assert seen(tmp_path).state == "damaged"


def test_every_flipped_bit_of_the_content_is_found_by_reading(tmp_path: Path) -> None:
    start = WHOLE.index(b"PK\x01\x02")  # from here on stands the directory, of which some bits say nothing
    path = model(tmp_path, WHOLE)
    names = {at for name in (b"best/", b"FB") for at in range(start) if WHOLE[at:].startswith(name)}
    for at in range(0, start, 29):
        if any(header - 30 <= at < header + 30 for header in names):
            continue  # a local header repeats what the directory says
        path.write_bytes(WHOLE[:at] + bytes([WHOLE[at] ^ 0x10]) + WHOLE[at + 1 :])
        os.utime(path, (OLD, OLD))
        assert verified(tmp_path).state == "damaged", at


def test_no_flipped_bit_anywhere_is_more_than_damage(tmp_path: Path) -> None:
    """Nor does any of them change the checksum of the whole without being seen."""
    path = model(tmp_path, WHOLE)
    right = hashlib.sha256(WHOLE).hexdigest()
    for at in range(0, len(WHOLE), 11):
        path.write_bytes(WHOLE[:at] + bytes([WHOLE[at] ^ (1 << at % 8)]) + WHOLE[at + 1 :])
        os.utime(path, (OLD, OLD))
        found = verified(tmp_path)
        assert found.state == "damaged" or (found.state, found.sha256 == right) == ("whole", False)


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"", "best.pt", "it is empty"),
        (b"", "best.onnx", "it is empty"),
        (b"\x80\x02}q\x00.", "best.pt", "it is no model: no ZIP archive, as PyTorch has saved since 1.6"),
        (b"PK\x05\x06" + b"\0" * 18, "best.pt", "it is no model: no ZIP archive, as PyTorch has saved since 1.6"),
        (WHOLE[:500], "best.pth", "it is not whole: its end is missing or damaged"),
    ],
)
def test_what_is_no_model_says_why(tmp_path: Path, content: bytes, name: str, sentence: str) -> None:
    model(tmp_path, content, name=name)
    found = seen(tmp_path, name)
    assert (found.state, found.sentence) == ("damaged", sentence)


def test_other_formats_are_judged_by_size_and_checksum_alone(tmp_path: Path) -> None:
    model(tmp_path, b"any", name="best.engine")
    assert (seen(tmp_path, "best.engine").state, verified(tmp_path, "best.engine").state) == ("whole", "whole")


def network(*parts: bytes) -> bytes:
    """An ONNX file by its outside: its version, who made it, a graph, and what else is given."""
    return b"".join((b"\x08\x08", b"\x12\x07pytorch", b"\x3a\xac\x02" + b"g" * 300, *parts))


OLDER = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00."
FRAMED = b"\x80\x04\x95\r" + b"\0" * 7 + OLDER[2:15] + b"\x80\x04\x95\x04" + b"\0" * 7 + b"M\xe9\x03." + b"\x80\x04}."


@pytest.mark.parametrize(
    ("content", "name", "state", "said"),
    [
        (OLDER, "best.pt", "whole", "whole"),
        (FRAMED, "best.pth", "whole", "whole"),
        (OLDER, "best.npz", "damaged", "no ZIP archive"),
        (OLDER[:14], "best.pt", "damaged", "no ZIP archive"),
        (OLDER.replace(b"\xe9", b"\xe8"), "best.pt", "damaged", "no ZIP archive"),
        (b"\x80\x02cos\nsystem\n.", "best.pt", "damaged", "no ZIP archive"),
        (network(), "best.onnx", "whole", "whole"),
        (network(b"\x42\x02\x10\x11"), "best.onnx", "whole", "whole"),
        (network()[:-1], "best.onnx", "damaged", "it is not whole: its end is missing"),
        (network(b"\x42\x02\x10"), "best.onnx", "damaged", "it is not whole: its end is missing"),
        (b"\x08\x08\x12\x07pytorch", "best.onnx", "damaged", "an ONNX file without a graph"),
        (WHOLE, "best.onnx", "damaged", "no ONNX file"),
        (b"\x08", "best.onnx", "damaged", "no ONNX file"),
        (network(b"\xff" * 20), "best.onnx", "damaged", "no ONNX file"),
        (network(b"\x08\x01" * 20_000), "best.onnx", "damaged", "more than 10000 parts"),
        (b"<html>", "best.onnx", "damaged", "no ONNX file"),
    ],
)
def test_older_checkpoints_and_onnx_are_known_by_their_frames(
    tmp_path: Path, content: bytes, name: str, state: str, said: str
) -> None:
    model(tmp_path, content, name=name)
    for found in (seen(tmp_path, name), verified(tmp_path, name) if state == "whole" else seen(tmp_path, name)):
        assert (found.state, said in found.sentence) == (state, True), found


def test_the_first_file_that_is_there_counts(tmp_path: Path) -> None:
    model(tmp_path, WHOLE, name="last.pt")
    found = model_files.seen(str(tmp_path), "2026-04-20", ["weights/best.pt", "last.pt"], set())
    assert (found.path, found.state) == (f"{tmp_path}/2026-04-20/last.pt", "whole")
    none = model_files.seen(str(tmp_path), "2026-04-20", ["weights/best.pt", "best.pt"], set())
    assert (none.state, none.sentence) == ("missing", "there is no weights/best.pt and no best.pt")


def test_a_model_that_changes_between_two_looks_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(tmp_path, OLDER, time.time())
    known = [seen(tmp_path)]
    assert known[0].state == "whole"

    def grows(seconds: float) -> None:
        path.write_bytes(OLDER * 2)

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert model_files.still(known, set()) == known
    monkeypatch.setattr(time, "sleep", grows)
    assert [one.state for one in model_files.still(known, set())] == ["writing"]


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("azaion-2026-04-20", "azaion-DATE", True),
        ("azaion-2026-04-20-b", "azaion-DATE", True),
        ("2026-04-20.run", "DATE.run", True),
        ("a.2026-04-20", "a.DATE", True),
        ("ab2026-04-20", "a.DATE", False),
        ("azaion-2026-02-30", "azaion-DATE", False),
        ("2026-04-20", "azaion-DATE", False),
        ("azaion-DATE", "azaion-DATE", False),
    ],
)
def test_a_directory_is_named_by_its_pattern(name: str, pattern: str, expected: bool) -> None:
    assert is_dated(name, pattern) is expected


def test_a_file_that_is_not_whole_may_still_be_on_its_way_for_five_minutes(tmp_path: Path) -> None:
    now = time.time()
    for age, state in ((now, "writing"), (now - 240, "writing"), (now - 400, "damaged"), (now + 900, "writing")):
        model(tmp_path, WHOLE[:900], age)
        assert seen(tmp_path).state == state
    model(tmp_path, WHOLE, now)
    assert seen(tmp_path).state == "whole"


def test_a_file_that_somebody_has_open_for_writing_is_being_written(tmp_path: Path) -> None:
    path = model(tmp_path, WHOLE)
    with path.open("rb"):
        assert model_files.open_for_writing(["best.pt"]) == set()
    with path.open("ab"):
        writers = model_files.open_for_writing(["best.pt"])
        assert model_files.seen(str(tmp_path), "2026-04-20", ["best.pt"], writers).state == "writing"
        assert model_files.open_for_writing(["other.pt"]) == set()


def test_a_file_that_changes_while_it_is_read_is_being_written(tmp_path: Path) -> None:
    path = model(tmp_path, WHOLE)
    found = model_files.read(seen(tmp_path), lambda count: os.utime(path))
    assert (found.state, found.sentence) == ("writing", "it was written to while it was read")


@pytest.mark.parametrize(
    ("sidecar", "state", "sentence"),
    [
        (f"{hashlib.sha256(WHOLE).hexdigest()}  best.pt\n", "whole", "whole"),
        (f"{hashlib.sha256(WHOLE).hexdigest().upper()} *best.pt\n", "whole", "whole"),
        (hashlib.sha256(WHOLE).hexdigest(), "whole", "whole"),
        (f"{'0' * 64}  best.pt\n", "damaged", "its sha256 is not that of best.pt.sha256"),
        ("", "damaged", "its sha256 cannot be compared, there is none in best.pt.sha256"),
        ("none\n", "damaged", "its sha256 cannot be compared, there is none in best.pt.sha256"),
        (f"{'0' * 65}\n", "damaged", "its sha256 cannot be compared, there is none in best.pt.sha256"),
    ],
)
def test_a_checksum_beside_it_decides(tmp_path: Path, sidecar: str, state: str, sentence: str) -> None:
    path = model(tmp_path, WHOLE)
    path.with_name("best.pt.sha256").write_text(sidecar)
    found = verified(tmp_path)
    assert (found.state, found.sentence) == (state, sentence)


def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    path = model(tmp_path, WHOLE)
    path.unlink()
    assert (seen(tmp_path).state, seen(tmp_path).sentence) == ("missing", "there is no best.pt")
    os.mkfifo(path)
    assert (seen(tmp_path).state, seen(tmp_path).sentence) == ("damaged", "it is not a file")
    path.unlink()
    path.mkdir()
    assert (seen(tmp_path).state, seen(tmp_path).sentence) == ("damaged", "it cannot be read: Is a directory")


def test_a_link_may_lead_within_the_folder_and_not_out_of_it(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.pt", tmp_path / "models"
    folder.mkdir()
    outside.write_bytes(WHOLE)
    path = model(folder, WHOLE)
    (folder / "2026-05-01").symlink_to("2026-04-20")
    assert model_files.seen(str(folder), "2026-05-01", ["best.pt"], set()).state == "whole"
    path.unlink()
    path.symlink_to(outside)
    assert seen(folder).state == "outside"
    (tmp_path / "linked").symlink_to(folder)
    assert model_files.seen(str(tmp_path / "linked"), "2026-04-20", ["best.pt"], set()).state == "outside"


def listing(name: bytes, method: int, packed: int, unpacked: int, begin: int) -> bytes:
    """What an archive's list says of one part."""
    sizes = 0, packed, unpacked, len(name)
    return struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, method, 0, 0, *sizes, 0, 0, 0, 0, 0, begin) + name


def end(count: int, size: int, begin: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, size, begin, 0)


def part(name: bytes, data: bytes, method: int, unpacked: int) -> bytes:
    sizes = 0, len(data), unpacked, len(name)
    return struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, method, 0, 0, *sizes, 0) + name + data


def sparse(path: Path) -> None:
    """8 KiB on disk, which say that the list of its parts has 3 GB."""
    size = 3_000_000_000
    with path.open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(4 + size)
        file.seek(4 + size)
        file.write(end(1, size, 4))


def many(path: Path) -> None:
    """As many parts as a list can have that is not too long, all of them the same."""
    first = part(b"", b"", 0, 0)
    count = model_files.LIST // 46
    path.write_bytes(first + listing(b"", 0, 0, 0, 0) * count + end(65535, 46 * count, len(first)))


def bomb(path: Path) -> None:
    """200 MB of zeros in 1 MB."""
    packer, zeros = zlib.compressobj(1, zlib.DEFLATED, -15), bytes(1 << 20)
    data = b"".join(packer.compress(zeros) for _ in range(200)) + packer.flush()
    first = part(b"0", data, 8, 200 << 20)
    told = listing(b"0", 8, len(data), 200 << 20, 0)
    path.write_bytes(first + told + end(1, len(told), len(first)))


def packed_otherwise(path: Path) -> None:
    """A part of which 64 KB become as much as anybody likes, all at once."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("0", bytes(30 << 20))


def one_for_all(path: Path) -> None:
    """One part, listed a thousand times."""
    first = part(b"0", b"x" * 1000, 0, 1000)
    told = listing(b"0", 0, 1000, 1000, 0) * 1000
    path.write_bytes(first + told + end(1000, len(told), len(first)))


def long(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04")
    os.truncate(path, (1 << 42) + 1)


CRAFTED = {
    sparse: "it is no model: the list of its parts is too long",
    many: "it is not whole: a part of it is not where it should be",
    bomb: "it is no model: it unpacks to more than 100 times its size",
    packed_otherwise: "it is no model: a part of it is packed in a way that none is",
    one_for_all: "it is not whole: a part of it is not where it should be",
    long: "it is no model: it is longer than 4 TiB",
}
LOOKING = """
import sys, time
from gpu_runbook.server.models import model_files as modelfile
for folder in sys.argv[1:]:
    begun = time.monotonic()
    found = modelfile.seen(folder, "2026-04-20", ["best.pt"], set())
    assert found.state == "damaged", found
    most = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(f"{most}:{time.monotonic() - begun}:{found.sentence}")
"""


def test_an_archive_that_was_made_to_take_all_memory_or_all_day_takes_neither(tmp_path: Path) -> None:
    folders = []
    for crafted in CRAFTED:
        folders.append(tmp_path / crafted.__name__)
        folders[-1].mkdir()
        path = model(folders[-1], b"")
        crafted(path)
        os.utime(path, (OLD, OLD))
    ended = subprocess.run([sys.executable, "-c", LOOKING, *folders], capture_output=True, text=True, check=True)
    for line, (crafted, said) in zip(ended.stdout.splitlines(), CRAFTED.items(), strict=True):
        kibibytes, seconds, sentence = line.split(":", 2)
        assert (sentence, int(kibibytes) < 200_000, float(seconds) < 20) == (said, True, True), crafted.__name__


def test_a_model_that_grows_for_ever_is_read_as_far_as_it_was_seen(tmp_path: Path) -> None:
    path = model(tmp_path, WHOLE)
    found = seen(tmp_path)
    read: list[int] = []

    def growing(count: int) -> None:
        read.append(count)
        with path.open("ab") as file:
            file.write(b"more")

    assert model_files.read(found, growing).state == "writing"
    assert read[0] == len(WHOLE)


@pytest.mark.parametrize("when", [1 << 62, -(1 << 62), 1 << 40])
def test_a_time_that_no_calendar_has_is_no_defect(when: int) -> None:
    assert model_files._stamp(when) == ""


def test_a_damaged_model_from_the_far_future_is_not_on_its_way(tmp_path: Path) -> None:
    model(tmp_path, WHOLE[:900], time.time() + 10 * model_files.AHEAD)
    assert seen(tmp_path).state == "damaged"


def test_a_folder_of_too_many_entries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "MOST", 5)
    for number in range(6):
        (tmp_path / f"{number}").mkdir()
    with pytest.raises(OSError, match="there are more than 5 entries in it"):
        model_files.directories(str(tmp_path))
