"""People at the keyboard: some agents are played by persons, the others decide before them.

A question shows what a prompt would show. The answer is journalled before it is used, so a resumed run, a fork and a
replay read it there and need nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from engine import registry
from engine.decision import (
    Decimals,
    Decision,
    FloatArray,
    IntArray,
    Integers,
    Items,
    MultiSelect,
    Ranking,
    Writing,
)
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.policy.policies import Decided, PolicyInfo
from engine.policy.prompt import render_preamble
from engine.policy.records import HUMAN, RULE
from engine.policy.rule import decide_by_rule, write_by_rule
from engine.population import field_phrase
from engine.spec import DecisionSpec

KIND = "human"
"""Kind of the journal's entries."""
MAX_TEXT = 2000


@dataclass(frozen=True)
class Question:
    """What one person is asked, with everything that the agent sees; plain values that fit into JSON.

    Attributes:
        key: Tells the questions of a step apart.
        step, turn, agent: When, and for which agent.
        who: What others call the agent.
        decision: Name of the decision or writing.
        kind: choice, number (on a grid), set, ranking or text.
        question: The question itself.
        unit: Unit of a number.
        preamble: What all are told first.
        announcement: The last broadcast heard, or an empty text.
        persona: Sentences about the agent.
        texts: (name, text) that the agent reads.
        seen: (label, value) that the agent sees.
        options: Texts to choose from.
        codes: Index of each of them among all options of the decision.
        low, high, increment: Grid of a number.
        places: How many options a ranking names.
        timeout_s: Longest wait in seconds; None for no end.
        on_timeout: pause or rule.
    """

    key: str
    step: int
    turn: int
    agent: int
    who: str
    decision: str
    kind: str
    question: str
    unit: str = ""
    preamble: str = ""
    announcement: str = ""
    persona: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    seen: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    low: float = 0
    high: float = 0
    increment: float = 1
    places: int = 0
    timeout_s: float | None = None
    on_timeout: str = "pause"

    @property
    def allowed(self) -> str:
        """What may be answered, in words."""
        unit = f" {self.unit}" if self.unit else ""
        listed = "; ".join(f"{place} = {text}" for place, text in enumerate(self.options, 1))
        return {
            "number": f"a number from {self.low:g} to {self.high:g}{unit} in steps of {self.increment:g}",
            "choice": f"one of: {listed}",
            "set": f"any of these, separated by semicolons, or none: {listed}",
            "ranking": f"{self.places} of these in order, separated by semicolons: {listed}",
            "text": f"a text of at most {MAX_TEXT:,} characters",
        }[self.kind]

    def to_plain(self) -> dict[str, Any]:
        """Return the question as plain values."""
        return asdict(self)

    @classmethod
    def from_plain(cls, held: Mapping[str, Any]) -> Question:
        """Return a question from plain values, as JSON gives them back."""
        pairs = {name: tuple((str(a), str(b)) for a, b in held[name]) for name in ("texts", "seen")}
        lists = {name: tuple(held[name]) for name in ("persona", "options", "codes")}
        return cls(**{**held, **pairs, **lists})


@runtime_checkable
class Seats(Protocol):
    """A journal that can also ask people."""

    def ask_person(self, question: Question) -> str | None:
        """Return the answer as it was given, or None where time ran out and the rule is to decide."""


def assign_human(room: Room, ask: Decision | Writing, spec: DecisionSpec, agents: IntArray) -> Any:
    """Return the code `human` for those in `seats`, and the codes of the policy of the others."""
    others: PolicyInfo = registry.policies.get(spec.others)
    codes = np.full(agents.size, others.code, np.int8) if others.assign is None else None
    if others.assign is not None:
        codes = others.assign(room, ask, spec, agents)
    assert codes is not None
    codes[np.isin(agents, spec.seats)] = HUMAN
    return codes


def decide_by_human(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return what people chose for their agents, asked one after another; the rule decides where time ran out.

    Raises:
        DecisionError: nobody can be asked here.
    """
    assert isinstance(call.ask, Decision)
    n = call.agents.size
    index, p = np.empty(n, np.int64), np.ones(n, np.float32)
    policy = np.full(n, HUMAN, np.int8)
    for row, part in _one_by_one(call):
        question = build_question(room, part)
        answer = _answer(room, question, 0)
        if answer is not None:
            index[row] = read_answer(question, answer)
            continue
        by_rule = decide_by_rule(room, part, u[row : row + 1])
        index[row], p[row], policy[row] = by_rule.index[0], by_rule.p[0], RULE
    return Decided(index, p, np.full(n, -1, np.int64), policy=policy)


def write_by_human(room: Room, call: Call, number: int, variants: int | None) -> list[tuple[str | None, int]]:
    """Return what people wrote for their agents; the writing's fixed text where time ran out."""
    written: list[tuple[str | None, int]] = []
    for _, part in _one_by_one(call):
        question = build_question(room, part)
        answer = _answer(room, question, number)
        written += write_by_rule(room, part, number, variants) if answer is None else [(answer.strip() or None, -1)]
    return written


def _one_by_one(call: Call) -> Iterator[tuple[int, Call]]:
    for row in range(call.agents.size):
        yield row, call.part(np.arange(call.agents.size) == row)


def _answer(room: Room, question: Question, number: int) -> str | None:
    """Return a journalled answer, or ask and journal; None where the rule is to decide."""
    journal = room.asker.journal
    entry = journal.find(room.step, number, KIND, question.key)
    if entry is None:
        if not isinstance(journal, Seats):
            raise DecisionError(
                f"agent {question.agent} is played by a person, and nobody can be asked here ('{question.decision}' at "
                f"step {question.step}); run the study in the studio or with `microcosm run`"
            )
        given = journal.ask_person(question)
        if given is not None and question.kind != "text":
            read_answer(question, given)
        entry = json.dumps({"answer": given, "question": question.to_plain()}).encode()
        journal.append(room.step, number, KIND, [(question.key, entry)])
    answer: str | None = json.loads(entry)["answer"]
    if answer is None:
        room.emit("no_answer", question.agent, decision=question.decision, waited_s=question.timeout_s)
    return answer


# -- the question -----------------------------------------------------------------------------------------------------
def build_question(room: Room, call: Call) -> Question:
    """Return the question of a call for one agent."""
    ask, spec, agent = call.ask, room.spec_of(call.ask), int(call.agents[0])
    turn = int(call.turn[0])
    fields = spec.persona_fields if spec.persona_fields is not None else ask.persona_fields
    heard = int(room.announcements(call.agents)[0])
    texts = [(name, room.text(int(call.texts[name][0]))) for name in ask.texts if name in call.texts]
    seen = [
        (ask.labels.get(name, name.replace("_", " ")), _words(presentation, call.columns[name]))
        for name, presentation in ask.shows.items()
    ]
    persona = [_sentence(room, name, call.agents) for name in fields if name in room.persona.columns]
    return Question(
        key=f"{ask.name}/{turn}/{agent}",
        step=room.step,
        turn=turn,
        agent=agent,
        who=room.name(agent),
        decision=ask.name,
        question=ask.question,
        preamble=render_preamble(ask.preamble, room.params),
        announcement=room.text(heard),
        persona=tuple(sentence for sentence in persona if sentence),
        texts=tuple((name, text) for name, text in texts if text),
        seen=tuple((label, text) for label, text in seen if text),
        timeout_s=spec.timeout_s,
        on_timeout=spec.on_timeout,
        **_form(room, call),
    )


def _form(room: Room, call: Call) -> dict[str, Any]:
    """Return the kind of the answer and what it may be."""
    ask = call.ask
    if isinstance(ask, Writing):
        return {"kind": "text"}
    answer = ask.answer
    if isinstance(answer, Integers):
        return {"kind": "number", "low": answer.low, "high": answer.high, "unit": ask.unit}
    if isinstance(answer, Decimals):
        grid = {"low": answer.low, "high": answer.high, "increment": answer.step}
        return {"kind": "number", **grid, "unit": ask.unit}
    if isinstance(answer, Items):
        assert call.offered is not None
        ids = call.offered.items.tolist()
        words = [room.text(item) if call.offered.texts is None else call.offered.texts[item] for item in ids]
        return {"kind": "choice", "options": tuple(words), "codes": tuple(range(len(ids)))}
    codes = [place for place in range(len(answer.texts)) if call.mask is None or call.mask[0, place]]
    listed = {"options": tuple(answer.texts[code] for code in codes), "codes": tuple(codes)}
    if isinstance(answer, Ranking):
        return {"kind": "ranking", "places": answer.n_places, **listed}
    return {"kind": "set" if isinstance(answer, MultiSelect) else "choice", **listed}


def _words(presentation: Any, values: Any) -> str:
    return str(presentation.text(int(presentation.codes(values)[0])))


def _sentence(room: Room, name: str, agents: IntArray) -> str:
    column, values = room.persona.columns[name], room.population[name]
    if column.kind == "text":
        return field_phrase(name, column, str(values[agents[0]]))
    low, high = (float(values.min()), float(values.max())) if column.kind in ("float", "integer") else (0.0, 0.0)
    return field_phrase(name, column, _words(column.shown(low, high), values[agents]))


# -- the answer -------------------------------------------------------------------------------------------------------
def read_answer(question: Question, given: str) -> int:
    """Return the index that an answer stands for, as policies choose it; 0 for a text.

    Options are named by their text or by their place in the list, counted from 1.

    Raises:
        DecisionError: it is none of what is allowed; says what is.
    """
    text = given.strip()
    if question.kind == "text":
        if len(text) > MAX_TEXT:
            raise _refused(question, f"{len(text):,} characters")
        return 0
    if question.kind == "number":
        return _grid_place(question, text)
    if question.kind == "choice":
        return question.codes[_place(question, text)]
    parts = [part for part in text.split(";") if part.strip()]
    if question.kind == "set" and text.casefold() in ("", "none"):
        return 0
    places = [_place(question, part) for part in parts]
    if len(set(places)) < len(places) or (question.kind == "ranking" and len(places) != question.places):
        raise _refused(question, text)
    if question.kind == "set":
        return sum(1 << question.codes[place] for place in places)
    ranking = Ranking(*question.options, places=question.places)
    return int(ranking.codes(np.array([places]))[0])


def _place(question: Question, text: str) -> int:
    wanted = text.strip().casefold()
    found = [place for place, option in enumerate(question.options) if option.strip().casefold() == wanted]
    if found:
        return found[0]
    if wanted.isdecimal() and 1 <= int(wanted) <= len(question.options):
        return int(wanted) - 1
    raise _refused(question, text)


def _grid_place(question: Question, text: str) -> int:
    try:
        number = float(text.removesuffix(question.unit).strip() if question.unit else text)
    except ValueError:
        raise _refused(question, text) from None
    steps = (number - question.low) / question.increment
    inside = question.low - 1e-9 <= number <= question.high + 1e-9
    if not inside or abs(steps - round(steps)) > 1e-6:
        raise _refused(question, text)
    return round(steps)


def _refused(question: Question, given: str) -> DecisionError:
    return DecisionError(f"'{given[:80]}' is not an answer to '{question.decision}'; allowed is {question.allowed}")
