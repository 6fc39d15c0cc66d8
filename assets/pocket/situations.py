"""Random prompts of every registered decision and writing, as the engine renders them, with their stated answers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assets.pocket.rules import Facts, Shown, load_rules, weigh_choice, weigh_numbers
from assets.pocket.sentences import (
    announce,
    argue,
    describe_life,
    give_reason,
    load_texts,
    load_words,
    reflect,
    speak,
    tell_twice,
)
from engine import registry
from engine.contract import ScenarioInfo
from engine.decision import Decision, Integers, Writing
from engine.policy.prompt import ask_reason, build_prefix, build_suffix, render_preamble, show_reason
from engine.population import field_phrase
from engine.population.columns import Column
from engine.population.schema import load_schema

BARE = 0.15  # share of the requests that show no persona: bare numbers, from which reading them is learned
HELD_OUT = 26  # of 256: prompts whose hash begins below this are never trained on
LIFE = ("bio", "goals", "beliefs", "style")
UNSHOWN = {"display_name", "weight", "source_ref", "lang", "segment", *LIFE}
OTHERS = {
    "neighbourhood": Column("category", "int8"),
    "field_of_study": Column("category", "int8"),
    "essential_worker": Column("boolean", "bool"),
}


@dataclass(frozen=True)
class Ask:
    """A decision or writing of a scenario."""

    info: ScenarioInfo
    ask: Decision | Writing

    @property
    def name(self) -> str:
        """Scenario and ask, joined by a point."""
        return f"{self.info.name}.{self.ask.name}"


@dataclass(frozen=True)
class Case:
    """One prompt with its stated answer.

    Attributes:
        name: Scenario and ask.
        prefix: Shared part.
        suffix: Particular part.
        options: Texts that can be answered; empty for a text.
        p: Stated probability of each option.
        text: What a text prompt is answered with.
        facts: What the prompt shows.
    """

    name: str
    prefix: str
    suffix: str
    options: tuple[str, ...] = ()
    p: NDArray[np.float64] | None = None
    text: str = ""
    facts: Facts | None = None

    @property
    def is_held_out(self) -> bool:
        """Whether this prompt is kept for tests, whatever its prefix."""
        return hashlib.blake2b(self.suffix.encode(), digest_size=1).digest()[0] < HELD_OUT


@functools.cache
def list_asks() -> tuple[tuple[Ask, ...], tuple[Ask, ...]]:
    """Return the decisions that have a rule and the writings that have a grammar."""
    registry.discover()
    rules, known = load_rules(), ("argument", "utterance", "reflection")
    decisions, writings = [], []
    for _, info in registry.scenarios.items():
        decisions += [Ask(info, d) for d in info.decisions if f"{info.name}.{d.name}" in rules]
        ruled = any(f"{info.name}.{d.name}" in rules for d in info.decisions)
        writings += [Ask(info, w) for w in info.writings if w.name in known and ruled]
    return tuple(decisions), tuple(writings)


@functools.cache
def people_of_pack() -> list[dict[str, Any]]:
    """Return the written people of the shipped pack."""
    path = Path(__file__).parents[2] / "personas" / "packs" / "town_25.toml"
    return list(tomllib.loads(path.read_text(encoding="utf-8"))["people"])


@functools.cache
def common_columns() -> tuple[str, ...]:
    """Return the persona columns that prompts are trained with, texts left out."""
    return tuple(name for name in (*load_schema(), *OTHERS) if name not in UNSHOWN)


def column_of(name: str) -> Column:
    """Return a persona column with the labels that it may have."""
    known = load_schema().get(name)
    column = known.column if known else OTHERS[name]
    listed = load_words()["columns"].get(name)
    return dataclasses.replace(column, labels=tuple(listed)) if listed and not column.labels else column


def draw_params(info: ScenarioInfo, preamble: str, talking: float, rng: random.Random) -> Any:
    """Return the scenario's parameters with random values of those that the preamble mentions.

    Args:
        info: The scenario.
        preamble: Template that names parameters.
        talking: Share of the cases in which people talk with one another.
        rng: Random numbers.
    """
    knobs, params = load_words()["knobs"], info.params()
    changes: dict[str, Any] = {}
    for name in sorted(set(re.findall(r"params\.(\w+)", preamble))):
        value = getattr(params, name)
        if isinstance(value, bool):
            changes[name] = rng.random() < talking
        elif name == "allocation":
            changes[name] = rng.choice(("stochastic", "proportional"))
        elif rng.random() < 0.75:
            listed = knobs.get(f"{info.name}.{name}") or knobs.get(name)
            changes[name] = type(value)(rng.choice(listed)) if listed else value
    return params.model_copy(update=changes)


def draw_fields(ask: Decision | Writing, traits: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    """Return which persona columns a prompt shows: mostly the decision's own, else fewer, more or others."""
    own, u = list(ask.persona_fields), rng.random()
    if isinstance(ask, Decision) and isinstance(ask.answer, Integers) and rng.random() < BARE:
        return ()
    if u < 0.25:
        return tuple(own)
    if u < 0.3:
        return ()
    if u < 0.4:
        return tuple(name for name in own if rng.random() < 0.6)
    chosen = [name for name in own if rng.random() < 0.5]
    chosen += [name for name in traits if rng.random() < 0.5 and name not in chosen]
    if rng.random() < 0.5:
        chosen += [name for name in rng.sample(common_columns(), rng.randint(1, 2)) if name not in chosen]
    return tuple(name for name in (*common_columns(), *LIFE) if name in chosen)


def draw_persona(
    fields: Sequence[str], rng: random.Random, fixed: Mapping[str, int] | None = None
) -> tuple[list[str], dict[str, Shown]]:
    """Return the sentences of a random person's shown columns, and their levels; `fixed` prescribes some levels."""
    sentences, shown = [], {}
    for name in fields:
        if name in LIFE:
            written = rng.random() < 0.08
            text = rng.choice(people_of_pack())[name] if written else describe_life(name, rng)
            sentences.append(field_phrase(name, load_schema()[name].column, text))
            continue
        column = column_of(name)
        presentation = column.shown(0.0, 10.0)
        code = rng.randrange(1, presentation.n_codes) if name == "age" else rng.randrange(presentation.n_codes)
        code = (fixed or {}).get(name, code)
        words = presentation.text(code)
        sentences.append(field_phrase(name, column, words))
        shown[name] = Shown(code, presentation.n_codes, words)
    return sentences, shown


def draw_seen(ask: Decision | Writing, params: Any, rng: random.Random) -> dict[str, Shown]:
    """Return random levels of the shown observations, stocks and groups within what runs reach."""
    seen: dict[str, Shown] = {}
    for name, presentation in ask.shows.items():
        code = rng.randrange(presentation.n_codes)
        value = 0.0
        if name == "stock":
            cap = int(params.cap)
            value = cap if rng.random() < 0.12 else rng.randint(1, cap)
        elif name == "n_people":
            value = rng.choice((5, 5, 5, rng.randint(1, 12), rng.randint(1, 12), rng.randint(13, 30)))
        elif name in ("wanted", "received"):
            value = min(rng.randint(0, 100), rng.randint(0, 100))
        elif name == "last":
            value = -1 if rng.random() < 0.12 else min(rng.randint(0, 100), rng.randint(0, 60))
        elif name == "aim":
            code = int(rng.random() < 0.25)
        if name in ("stock", "n_people", "wanted", "received", "last"):
            code = int(presentation.codes(np.array([value]))[0])
        seen[name] = Shown(code, presentation.n_codes, presentation.text(code), float(value))
    if "own" in seen and ask.name == "adopt":
        other = ask.shows["other"]
        code = 1 - seen["own"].code
        seen["other"] = Shown(code, 2, other.text(code))
    if ask.name == "change" and seen["before"].code == 4:
        seen["before"] = Shown(1, 5, ask.shows["before"].text(1))
    return seen


def draw_transcript(ask: Ask, rng: random.Random, turns: int) -> str:
    """Return a conversation after a month, opened by a moderator."""
    wording = ask.info.build.wording
    stock, n_people = rng.randint(5, 100), rng.choice((2, 3, 4, 5, 5, 5, 6))
    names = [p["display_name"] for p in rng.sample(people_of_pack(), n_people)]
    if rng.random() < 0.5:
        names = [f"Person {k + 1}" for k in range(n_people)]
    amounts = [min(rng.randint(0, 60), rng.randint(0, 60)) for _ in names]
    reports = [
        f"{n} asked for {a + rng.choice((0, 0, 3))} and {wording.took} {a}" for n, a in zip(names, amounts, strict=True)
    ]
    lines = [f"Moderator: {wording.now.format(stock=stock)} In {wording.unit}: {'; '.join(reports)}."]
    for turn in range(turns):
        who = turn % n_people
        slots = {"took": wording.took, "unit": wording.unit, "received": str(amounts[who])}
        lines.append(f"{names[who]}: {speak(ask.info.name, int(rng.random() < 0.2), slots, rng)}")
    return "\n".join(lines)


def draw_texts(group: Group, seen: dict[str, Shown], rng: random.Random) -> tuple[dict[str, str], dict[str, str]]:
    """Return the free texts of a prompt by name, and the kind of each that is there."""
    ask, texts, kinds = group.ask, {}, {}
    for name in ask.ask.texts:
        if name == "argument":
            if rng.random() < 0.85:
                kinds[name] = rng.choice([kind for kind in load_texts()["argument"] if kind != "none"])
                texts[name] = argue(kinds[name], group.params.claim, rng)
                if rng.random() < 0.1:
                    import scenarios.persuasion

                    texts[name] = scenarios.persuasion.BY_RULE[kinds[name]]
        elif name == "transcript" and group.transcript:
            texts[name] = group.transcript
        elif name == "reflection":
            if group.transcript and rng.random() < 0.6:
                slots = {"unit": ask.info.build.wording.unit, "received": str(int(max(seen["last"].value, 0)))}
                texts[name] = reflect(ask.info.name, seen["aim"].code, slots, rng)
        elif name == "hint" and group.hinted:
            share = int(seen["stock"].value / 2 / seen["n_people"].value)
            texts[name] = ask.info.build.wording.hint.format(share=share)
    return texts, kinds | {name: "text" for name in texts if name not in kinds}


def grammar_of(name: str) -> str:
    """Return the decision whose announcements and reasons a decision shares."""
    rule = load_rules().get(name, {})
    return str(rule.get("like", name))


@dataclass(frozen=True)
class Group:
    """What the prompts of one batch share.

    Attributes:
        ask: Decision or writing.
        params: The scenario's parameters.
        prefix: Shared part of the prompts.
        listed: Options in the order in which they are listed; empty for a number or text.
        fields: Persona columns shown.
        form: choice, reason (the reason is written), reasoned (the choice follows a reason) or text.
        side: Whether the announcement speaks for the rule's target (1), against it (-1) or of something else (0).
        announcement, transcript: Texts that all have heard; empty for none.
        hinted: Whether a commons gives its hint.
    """

    ask: Ask
    params: Any
    prefix: str
    listed: tuple[str, ...]
    fields: tuple[str, ...]
    form: str
    side: int = 0
    announcement: str = ""
    transcript: str = ""
    hinted: bool = False


def draw_group(ask: Ask, rng: random.Random, form: str = "choice") -> Group:
    """Return a random group.

    Args:
        ask: Decision or writing.
        rng: Random numbers.
        form: choice, reason (the reason is written), reasoned (the choice follows a reason) or text.
    """
    params = draw_params(ask.info, ask.ask.preamble, 0.25 if isinstance(ask.ask, Decision) else 0.9, rng)
    preamble = render_preamble(ask.ask.preamble, params)
    listed: tuple[str, ...] = ()
    traits: Sequence[str] = ()
    if isinstance(ask.ask, Decision):
        traits = [*load_rules()[ask.name]["traits"], *load_rules()[ask.name].get("labels", {})]
        if not isinstance(ask.ask.answer, Integers):
            listed = ask.ask.answer.texts[:: rng.choice((1, -1))]
    prefix = build_prefix(ask.ask, preamble, listed)
    if form == "reason":
        prefix = ask_reason(prefix)
    fields = draw_fields(ask.ask, traits, rng)
    group = Group(ask, params, prefix, listed, fields, form)
    if not fields and rng.random() < 0.7 and isinstance(ask.ask, Decision):
        return group
    group = dataclasses.replace(group, hinted=rng.random() < 0.3)
    if rng.random() < 0.2:
        side = rng.choice((-1, 0, 1)) if isinstance(ask.ask, Decision) else 0
        group = dataclasses.replace(group, side=side, announcement=announce(grammar_of(ask.name), side, rng))
    if "transcript" in ask.ask.texts and (isinstance(ask.ask, Writing) or (params.talk and rng.random() < 0.85)):
        group = dataclasses.replace(group, transcript=draw_transcript(ask, rng, rng.choice((0, 1, 1, 2, 3, 5, 8))))
    return group


def draw_case(group: Group, rng: random.Random, fixed: Mapping[str, int] | None = None) -> Case:
    """Return one random prompt of a group with its answer; `fixed` prescribes levels of persona columns."""
    ask = group.ask
    seen = draw_seen(ask.ask, group.params, rng)
    texts, kinds = draw_texts(group, seen, rng)
    persona, shown = draw_persona(group.fields, rng, fixed)
    grammar = grammar_of(ask.name)
    words = {name: value.label for name, value in seen.items()}
    suffix = build_suffix(ask.ask, group.announcement, texts, persona, words)
    facts = Facts(shown, seen, kinds, group.side)
    if isinstance(ask.ask, Writing):
        return Case(ask.name, group.prefix, suffix, text=write_text(ask, group, seen, texts, rng), facts=facts)
    options = ask.ask.answer.texts
    p = answer(ask, facts, group.listed)
    if group.form == "reason":
        return Case(
            ask.name, group.prefix, suffix, text=give_reason(grammar, draw_side(ask, p, facts, rng), rng), facts=facts
        )
    if group.form == "reasoned":
        facts = dataclasses.replace(facts, reason=draw_side(ask, p, facts, rng))
        suffix += show_reason(give_reason(grammar, facts.reason, rng))
        p = answer(ask, facts, group.listed)
    return Case(ask.name, group.prefix, suffix, options, p, facts=facts)


def answer(ask: Ask, facts: Facts, listed: Sequence[str]) -> NDArray[np.float64]:
    """Return the stated distribution over a decision's options."""
    assert isinstance(ask.ask, Decision)
    rule, kind = load_rules()[ask.name], ask.ask.answer
    if isinstance(kind, Integers):
        return weigh_numbers(rule, facts, kind.low, kind.high)
    return weigh_choice(rule, facts, kind.texts, listed)


def draw_side(ask: Ask, p: NDArray[np.float64], facts: Facts, rng: random.Random) -> int:
    """Return 1 for a reason that speaks for the rule's target, else -1: as likely as the target itself."""
    assert isinstance(ask.ask, Decision)
    if isinstance(ask.ask.answer, Integers):
        return 1 if rng.random() < (0.3 if facts.seen["aim"].code else 0.7) else -1
    target = ask.ask.answer.texts.index(load_rules()[ask.name]["target"])
    return 1 if rng.random() < p[target] else -1


def write_text(ask: Ask, group: Group, seen: dict[str, Shown], texts: dict[str, str], rng: random.Random) -> str:
    """Return a text that a writing is answered with."""
    if ask.ask.name == "argument":
        kinds = list(load_texts()["argument"])
        return argue(kinds[seen["dimension"].code], group.params.claim, rng)
    wording = ask.info.build.wording
    slots = {"took": wording.took, "unit": wording.unit, "received": str(int(seen["received"].value))}
    if ask.ask.name == "reflection":
        return reflect(ask.info.name, seen["aim"].code, slots, rng)
    said = texts["transcript"].count("\n")
    return "pass" if rng.random() < min(0.5, 0.1 * said) else speak(ask.info.name, seen["aim"].code, slots, rng)


RETELLING = Writing(
    "retelling",
    rule=lambda seen: [""] * len(seen),
    question="Retell this text in your own words.",
    texts=("text",),
)
"""How a retelling is asked for, as the engine would render it."""


def draw_retelling(rng: random.Random) -> Case:
    """Return a prompt that asks to retell a piece of news."""
    told, again = tell_twice(rng)
    return Case(
        "retelling", build_prefix(RETELLING, ""), build_suffix(RETELLING, "", {"text": told}, [], {}), text=again
    )


def draw_unknown(rng: random.Random) -> Iterator[Case]:
    """Yield prompts of one made-up question, so that a question nobody has trained for still gets its options.

    The rule is the weakest possible: all options alike, with the stated bias for the first.
    """
    words = load_words()
    pool = ["yes", "no", "maybe", "agree", "disagree", "accept", "refuse", "buy", "wait", "go", "stay", "help", "sell"]
    pool += ["strongly agree", "strongly disagree", "neither", "very likely", "not likely", "keep it", "give it away"]
    options = tuple(rng.sample(pool, rng.choice((2, 2, 2, 3, 4))))
    verb = rng.choice(("think of", "do about", "want with", "say to", "make of"))
    topic = rng.choice(words["knobs"][rng.choice(("topic", "product"))])
    question = f"What do you {verb} {topic}?" if rng.random() < 0.5 else f"Do you support {topic}?"
    from engine.decision import Choice

    made = Decision("made_up", Choice(*options), rule=lambda seen: np.zeros((len(seen), 2)), question=question)
    prefix = build_prefix(made, "", options)
    logits = np.zeros(len(options))
    logits[0] = 0.2
    p = np.exp(logits) / np.exp(logits).sum()
    fields = tuple(rng.sample(common_columns(), rng.randint(0, 4)))
    while True:
        persona, shown = draw_persona(fields, rng)
        yield Case("made_up", prefix, build_suffix(made, "", {}, persona, {}), options, p, facts=Facts(shown))
