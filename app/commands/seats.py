"""`microcosm answer`: play an agent from the command line."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from app.terminal import say, say_fields, say_json
from engine.errors import RunError
from engine.policy.human import Question
from engine.runs import answer_run, find_run, open_workspace, read_info, read_question

NEXT_S = 30.0
LOOK_S = 0.05


def answer(arguments: Namespace) -> int:
    """Answer what a waiting run asks, and show the next question; without an answer, show the present one."""
    folder = find_run(open_workspace(arguments.workspace), arguments.run)
    asked = read_question(folder)
    if asked is None:
        info = read_info(folder)
        raise RunError(
            f"run {info.run_id} is {info.status} and asks nothing; `microcosm resume` goes on with one at rest"
        )
    if arguments.answer is not None:
        answer_run(folder, arguments.answer, asked)
        asked = next_question(folder, asked)
    if arguments.json:
        info = read_info(folder)
        question = None if asked is None else asked.to_plain()
        say_json({"run_id": info.run_id, "status": info.status, "step": info.step, "question": question})
    elif asked is not None:
        show_question(folder.name, asked)
    else:
        info = read_info(folder)
        say(f"{info.run_id} is {info.status} at step {info.step} of {info.steps} and asks nothing more now")
    return 0


def next_question(folder: Path, before: Question, sleep: Callable[[float], None] = time.sleep) -> Question | None:
    """Return the question after one that was answered, or None where the run ended or works for long without one."""
    end = time.monotonic() + NEXT_S
    while time.monotonic() < end:
        now = read_question(folder)
        if now is not None and (now.step, now.key) != (before.step, before.key):
            return now
        if read_info(folder).status not in ("running", "waiting"):
            return None
        sleep(LOOK_S)
    return None


def show_question(run_id: str, question: Question) -> None:
    """Print what an agent sees and is asked."""
    say(f"{run_id}  step {question.step}: you are {question.who}, agent {question.agent}")
    for text in (question.preamble, " ".join(question.persona), question.announcement):
        if text:
            say(text)
    for name, text in question.texts:
        say(f"{name}:\n{text}")
    say_fields(dict(question.seen))
    say(question.question)
    say(f"Allowed is {question.allowed}. Answer with: microcosm answer {run_id} ANSWER")
