"""Seats: a run that waits for people, and the answers that they leave for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from engine.errors import ModelStopped, RunError
from engine.policy.human import Question, read_answer
from engine.runs.journal import RunJournal
from engine.runs.locking import is_locked
from engine.store.catalog import Catalog

ANSWER = "answer"
LOOK_S = 0.05


class SeatedJournal(RunJournal):
    """The journal of a run in a worker's hands, which can also ask people: the run then waits."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        before: Callable[[], None],
        must_stop: Callable[[], bool],
        rest: Callable[[str], None],
    ) -> None:
        """Prepare to ask.

        Args:
            catalog: The run's catalog.
            before: Makes durable what the run has done so far, so that people see it.
            must_stop: Tells whether someone wants the run to end or rest.
            rest: Lets the run rest, with the reason.
        """
        super().__init__(catalog)
        self._before, self._must_stop, self._rest = before, must_stop, rest

    def ask_person(self, question: Question) -> str | None:
        """Wait for an answer and return it; None where time ran out and the rule is to decide.

        Raises:
            ModelStopped: the run is to end or rest; a resumed run asks again.
        """
        self._before()
        asked_at = time.time()
        self.catalog.write_status(
            status="waiting",
            phase="",
            message=f"waiting for {question.who} (agent {question.agent}): {question.decision.replace('_', ' ')}",
            question={**question.to_plain(), "asked_at": asked_at},
        )
        try:
            while (answer := self._find_answer(question)) is None:
                if self._must_stop():
                    raise ModelStopped("waiting for a person was given up on request; a resumed run asks again")
                if question.timeout_s is not None and time.time() - asked_at > question.timeout_s:
                    if question.on_timeout == "rule":
                        return None
                    self._rest(
                        f"nobody answered for {question.who} (agent {question.agent}) within {question.timeout_s:g} s; "
                        "resume the run to be asked again"
                    )
                    raise ModelStopped("nobody answered in time")
                time.sleep(LOOK_S)
            return answer
        finally:
            self.catalog.write_status(status="running", phase="running", message="", question=None)

    def _find_answer(self, question: Question) -> str | None:
        """Return the answer to this question, if one was left; answers to others are dropped."""
        given = [request for request in self.catalog.requests() if request.verb == ANSWER]
        if given:
            self.catalog.take(given)
        for request in given:
            held = json.loads(request.argument)
            if (held["step"], held["key"]) == (question.step, question.key):
                return str(held["answer"])
        return None


def read_question(folder: Path) -> Question | None:
    """Return what a waiting run asks, or None where it asks nothing.

    Raises:
        RunNotFound: the folder is no run.
    """
    with Catalog(folder) as catalog:
        status = catalog.read_status()
    held = status.get("question")
    if status.get("status") != "waiting" or not held or not is_locked(folder):
        return None
    return Question.from_plain({name: value for name, value in held.items() if name != "asked_at"})


def answer_run(folder: Path, answer: str, question: Question | None = None) -> None:
    """Answer what a waiting run asks.

    Args:
        folder: The run's folder.
        answer: An option's text or its place from 1, a number, several options separated by semicolons, or a text.
        question: What was shown to the person; the run's present question by default.

    Raises:
        RunError: the run asks nothing, or something else by now.
        DecisionError: the answer is none of what is allowed.
    """
    asked = read_question(folder)
    if asked is None:
        raise RunError(f"run {folder.name} is not waiting for an answer")
    if question is not None and (asked.step, asked.key) != (question.step, question.key):
        raise RunError("that question is answered already; the run has gone on to the next one")
    read_answer(asked, answer)
    with Catalog(folder) as catalog:
        catalog.ask(ANSWER, json.dumps({"step": asked.step, "key": asked.key, "answer": answer}))
