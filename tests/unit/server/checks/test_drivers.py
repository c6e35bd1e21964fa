"""GPUs of every generation, under drivers that do not know all fields: what is told is judged, what is not is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gpu_runbook.common import command
from gpu_runbook.common.command import Ended
from gpu_runbook.protocol.check import CRITICAL, OK, UNKNOWN, WARNING, Check
from gpu_runbook.protocol.health import Expected
from gpu_runbook.server.checks import gpu, gpu_support, hung_nvidia_smi
from gpu_runbook.server.checks.hung_nvidia_smi import Asking
from tests.unit.drivers import KNOWN, Smi


def seen(smi: Smi, tmp_path: Path) -> Check:
    return gpu.check("GPU available", Expected(len(smi.gpus), 85, 95), Asking(smi), str(tmp_path))


@pytest.mark.parametrize(
    ("name", "calls", "words"),
    [
        ("t4", 3, "1 GPU, driver 515.105.01, memory 1.0 GiB of 15.0 GiB, busy up to 0 %, hottest 40 °C"),
        ("gtx-1660-ti", 4, "1 GPU, driver 418.43, memory 0 B of 5.8 GiB, busy up to 0 %, hottest 40 °C"),
        ("a10g", 3, "hottest 17 °C"),
        ("a100", 3, "8 GPUs, driver 535.129.03, memory 32.0 MiB of 320 GiB"),
        ("a100-mig", 4, "hottest 27 °C; GPU 0 is cut by MIG into 4 × 1g.20gb"),
        ("h100", 1, "1 GPU, driver 590.48.01, memory 19.4 GiB of 79.6 GiB, busy up to 100 %, hottest 59 °C"),
        ("h100-mig", 2, "; GPU 0 is cut by MIG into 1 × 3g.40gb, 1 × 2g.20gb, 2 × 1g.10gb"),
        ("h200", 1, "hottest 52 °C"),
        ("h200-mig", 2, "into 1 × 1c.3g.71gb, 1 × 2c.3g.71gb, 1 × 2g.35gb, 2 × 1g.18gb"),
        ("l40s", 1, "hottest 54 °C"),
        ("rtx-2080-super", 1, "hottest 33 °C"),
    ],
)
def test_a_healthy_gpu_of_any_generation_is_well_and_nothing_of_it_stays_unasked(
    name: str, calls: int, words: str, tmp_path: Path
) -> None:
    smi = Smi(name)
    check = seen(smi, tmp_path)
    assert (check.level, words in check.sentence, len(smi.asked)) == (OK, True, calls), (check.sentence, smi.asked)
    assert "tells nothing" not in check.sentence and "not told" not in check.sentence


FAULTS = {
    "ecc__errors__uncorrected__volatile__total": ("17", "has uncorrectable memory errors"),
    "retired_pages__pending": ("Yes", "waits for a reset to retire memory pages"),
    "remapped_rows__pending": ("Yes", "waits for a reset to remap memory rows"),
    "remapped_rows__failure": ("Yes", "could not remap broken memory rows: replace it"),
    "clocks_throttle_reasons__hw_thermal_slowdown": ("Active", "is slowed down by heat"),
    "clocks_throttle_reasons__hw_power_brake_slowdown": ("Active", "is slowed down by the power supply"),
    "temperature__gpu": ("90", "is at 90 °C"),
}


@pytest.mark.parametrize("names_it", [True, False])
@pytest.mark.parametrize("name", KNOWN["answers"])
@pytest.mark.parametrize("field", FAULTS)
def test_every_fault_is_seen_under_every_driver_whatever_else_it_refuses(
    name: str, field: str, names_it: bool, tmp_path: Path
) -> None:
    value, words = FAULTS[field]
    check = seen(Smi(name, names_it=names_it, **{field: value}), tmp_path)
    assert check.level == (CRITICAL if field == "remapped_rows__failure" else WARNING)
    assert f"GPU 0 {words}" in check.sentence


@pytest.mark.parametrize("names_it", [True, False])
@pytest.mark.parametrize("family", [name for name in gpu.FAMILIES if name not in (gpu.ROWS, "MIG")])
def test_a_family_that_no_query_tells_is_named_and_the_others_are_judged(
    family: str, names_it: bool, tmp_path: Path
) -> None:
    refused = [*gpu.FAMILIES[family], *(one.replace(gpu.OLDER, gpu.NEWER) for one in gpu.FAMILIES[family])]
    check = seen(Smi("h100", refused, names_it), tmp_path)
    assert (check.level, f"; driver 590.48.01 tells nothing of {family}" in check.sentence) == (OK, True), check
    broken = Smi("h100", refused, names_it, remapped_rows__failure="Yes")
    assert "could not remap" in seen(broken, tmp_path).sentence


def test_rows_that_neither_query_tells_are_named_with_all_that_is_not_told(tmp_path: Path) -> None:
    smi = Smi("t4")
    for card in smi.gpus:
        del card["remapped_rows.pending"], card["retired_pages.pending"]
    assert seen(smi, tmp_path).sentence.endswith("; driver 515.105.01 tells nothing of retired pages and remapped rows")


def test_a_driver_that_forgets_the_older_name_is_asked_by_the_newer(tmp_path: Path) -> None:
    smi = Smi("h100", [gpu.OLDER], clocks_throttle_reasons__hw_thermal_slowdown="Active")
    assert "slowed down by heat" in seen(smi, tmp_path).sentence
    assert len(smi.asked) == 2


@pytest.mark.parametrize(("value", "level"), [("[Insufficient Permissions]", OK), ("[GPU is lost]", CRITICAL)])
def test_a_card_that_is_cut_up_withholds_its_memory_and_a_lost_one_is_a_fault(
    value: str, level: str, tmp_path: Path
) -> None:
    check = seen(Smi("h100-mig", memory__used=value, memory__total=value), tmp_path)
    assert check.level == level
    assert ("this user is not told memory.used and memory.total of GPU 0" in check.sentence) == (level == OK)
    assert [one["memory_total"] for one in check.figures["gpus"]] == [None]
    assert "0 B" not in check.sentence


@pytest.mark.parametrize(
    ("name", "words", "hint"),
    [
        ("version-mismatch", "Driver/library version mismatch (status 18)", "reboot once no training runs"),
        ("no-gpu", "(status 255)", "NVRM"),
        ("lost", "GPU is lost", "the card or its power"),
        ("fallen-off", "0000:0B:00.0: Unknown Error", "a card does not answer"),
        ("no-devices", "No devices were found", "sees no usable GPU"),
    ],
)
def test_a_driver_that_does_not_answer_is_critical_in_both_rows(
    name: str, words: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = KNOWN["failures"][name]

    def run(argv: Sequence[str], deadline: float) -> Ended:
        return Ended(tuple(argv), told["status"], "\n".join(told["says"]) + "\n", "", 0.1)

    monkeypatch.setattr(command, "run", run)
    monkeypatch.setattr(gpu_support, "stuck", lambda: None)
    health = gpu.check("GPU available", Expected(1), Asking(run), str(tmp_path))
    for check in (health, gpu_support.driver("NVIDIA driver", 1, gpu_support.Driver())):
        assert (check.level, words in check.sentence, hint in check.hint) == (CRITICAL, True, True), check


def test_no_question_follows_one_that_hangs_and_none_is_begun_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hangs(argv: Sequence[str], deadline: float) -> Ended:
        asked.append(argv[1])
        status = 2 if len(asked) == 1 else None
        return Ended(tuple(argv), status, 'Field "mig.mode.current" is not a valid field to query.', "", deadline)

    check = gpu.check("GPU available", Expected(1), Asking(hangs), str(tmp_path))
    assert (check.level, "hung for 7 s" in check.sentence, len(asked)) == (CRITICAL, True, 2)
    monkeypatch.setattr(hung_nvidia_smi, "LAST", -1.0)
    check = gpu.check("GPU available", Expected(1), Asking(Smi("h100")), str(tmp_path))
    assert (check.level, check.sentence) == (UNKNOWN, "nvidia-smi takes more than 12 s to answer")
