"""Asks all questions at once, each under its own deadline, so that one that hangs hides no other."""

from __future__ import annotations

import queue
import threading
import time
from typing import Callable, Dict, List, Sequence, Tuple

from gpu_runbook.common.failure import DEFECT, failure
from gpu_runbook.protocol.check import UNKNOWN, Check
from gpu_runbook.protocol.values import dataclass

DEADLINE = 10.0  # seconds


@dataclass(frozen=True)
class Question:
    name: str
    ask: Callable[[str], Check]  # given the name its answer bears
    deadline: float = DEADLINE
    slow: bool = False  # waits for a program most of the time, and so is asked first


def ask_all(questions: Sequence[Question]) -> List[Check]:
    """One check per question, in their order.

    The threads are daemons: one that hangs in the kernel does not keep the process from ending.
    """
    begun = time.monotonic()
    answers: queue.Queue[Tuple[int, Check]] = queue.Queue()  # novm: nobody evaluates that
    for index, question in sorted(enumerate(questions), key=lambda numbered: not numbered[1].slow):
        threading.Thread(target=_ask, args=(index, question, answers), daemon=True).start()
    open_until = {index: begun + question.deadline for index, question in enumerate(questions)}
    found: Dict[int, Check] = {}
    while open_until:
        try:
            index, check = answers.get(timeout=max(min(open_until.values()) - time.monotonic(), 0))
        except queue.Empty:
            index = min(open_until, key=lambda waiting: open_until[waiting])
            check = _overdue(questions[index])
        if open_until.pop(index, None) is not None:  # an answer that comes after its deadline is no answer
            found[index] = check
    return [found[index] for index in range(len(questions))]


def _ask(index: int, question: Question, answers: queue.Queue[Tuple[int, Check]]) -> None:  # novm
    try:
        check = question.ask(question.name)
    except Exception as error:  # the other checks are worth having: this one says what happened
        failed = failure(error)
        said, hint = failed["message"], failed["hint"]
        if failed["kind"] == DEFECT:
            said, hint = f"this check failed by itself ({said})", "a defect of this check: please report it"
        check = Check(question.name, UNKNOWN, said, hint=hint)
    answers.put((index, check))


def _overdue(question: Question) -> Check:
    return Check(question.name, UNKNOWN, f"gave no answer within {question.deadline:.0f} s")
