"""Compare a model's answers with the stated rules, through the engine's own scoring and on prompts never trained on."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from assets.pocket.checker import find_fault
from assets.pocket.rules import load_rules
from assets.pocket.sentences import announce, give_reason
from assets.pocket.situations import (
    Ask,
    Case,
    Group,
    answer,
    draw_case,
    draw_group,
    draw_retelling,
    grammar_of,
    list_asks,
)
from engine.decision import Decision, Integers
from engine.llm import LanguageModel
from engine.policy.prompt import show_reason

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How close a model is to the rule of one decision.

    Attributes:
        name: Scenario and decision.
        distance: Mean total variation distance between answer and rule.
        constant: The same for the best answer that ignores the prompt; a lower bound of it.
        mass: Mean probability that the model gives to the options together.
        n_cases: Prompts compared.
    """

    name: str
    distance: float
    constant: float
    mass: float
    n_cases: int


def both_orders(group: Group) -> tuple[list[str], tuple[str, ...]]:
    """Return the group's prefix with the options as listed and reversed, and the options as listed."""
    listed = "; ".join(group.listed)
    if not listed:
        return [group.prefix], ()
    return [group.prefix, group.prefix.replace(listed, "; ".join(group.listed[::-1]))], group.listed


def ask_model(model: LanguageModel, group: Group, cases: Sequence[Case]) -> tuple[Array, Array]:
    """Return (probabilities, captured mass) as the engine reads them: option order averaged where there is one."""
    prefixes, _ = both_orders(group)
    scores = model.score(prefixes, [case.suffix for case in cases], list(cases[0].options))
    return np.exp(np.stack(scores.logp)), np.asarray(scores.mass)


def stated(case: Case, group: Group) -> Array:
    """Return the rule's answer as the engine reads it: without the position bias, which the two orders cancel."""
    assert case.p is not None
    if not group.listed:
        return case.p
    logits = np.log(case.p)
    logits[case.options.index(group.listed[0])] -= load_rules()[group.ask.name]["first_listed"]
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def held_out(group: Group, rng: random.Random, number: int) -> list[Case]:
    """Return at most `number` prompts of a group that were kept from training; a group may have none."""
    drawn = (draw_case(group, rng) for _ in range(40 * number))
    return list(itertools.islice((case for case in drawn if case.is_held_out), number))


def compare(model: LanguageModel, ask: Ask, *, seed: int = 1, n_groups: int = 12, n_cases: int = 12) -> Agreement:
    """Return the agreement of one decision over random groups of held-out prompts."""
    rng = random.Random(f"{ask.name}{seed}")
    found, rule, mass = [], [], []
    for _ in range(n_groups):
        group = draw_group(ask, rng)
        cases = held_out(group, rng, n_cases)
        if not cases:
            continue
        p, captured = ask_model(model, group, cases)
        found.append(p)
        rule.append(np.stack([stated(case, group) for case in cases]))
        mass.append(captured)
    p, truth = np.concatenate(found), np.concatenate(rule)
    distance = 0.5 * np.abs(p - truth).sum(axis=1).mean()
    constant = 0.5 * np.abs(truth - np.median(truth, axis=0)).sum(axis=1).mean()
    return Agreement(ask.name, float(distance), float(constant), float(np.concatenate(mass).mean()), len(p))


def effect(
    model: LanguageModel, ask: Ask, column: str, *, seed: int = 1, n_groups: int = 4, n_cases: int = 6
) -> tuple[float, float]:
    """Return (answer's, rule's) mean difference between the highest and lowest level of a shown persona column.

    The unit is logit of the first option for a choice, and log mean for a number. All else in a pair is equal.
    """
    assert isinstance(ask.ask, Decision)
    rng = random.Random(f"{ask.name}{column}{seed}")
    differences: list[Array] = []
    for _ in range(n_groups):
        group = draw_group(ask, rng)
        if column not in group.fields:
            group = dataclasses.replace(group, fields=(*group.fields, column))
        cases = [case for pair in pairs(group, column, rng, n_cases) for case in pair]
        p, _ = ask_model(model, group, cases)
        answers = np.array([summary(ask, row) for row in p])
        rules = np.array([summary(ask, stated(case, group)) for case in cases])
        differences.append(np.stack([answers[1::2] - answers[::2], rules[1::2] - rules[::2]], axis=1))
    mean = np.concatenate(differences).mean(axis=0)
    return float(mean[0]), float(mean[1])


def pairs(group: Group, column: str, rng: random.Random, number: int) -> Iterator[tuple[Case, Case]]:
    """Yield pairs of prompts that differ only in one persona column: its lowest and its highest level."""
    from assets.pocket.situations import column_of

    top = column_of(column).shown(0.0, 10.0).n_codes - 1
    for _ in range(number):
        state = rng.getstate()
        low = draw_case(group, rng, {column: 1 if column == "age" else 0})
        rng.setstate(state)
        yield low, draw_case(group, rng, {column: top})


def bias(model: LanguageModel, ask: Ask, kind: str, *, seed: int = 1, n_groups: int = 4, n_cases: int = 6) -> float:
    """Return how much an announcement, a reason or the first place in the list moves an answer, as a share of the rule.

    1 is what `rules.toml` states, 0 nothing; the unit of both is logit of the first option, or log mean for a number.

    Args:
        model: The model.
        ask: Decision.
        kind: announcement, reason, or first_listed (choices only).
        seed: Of the prompts.
        n_groups: Groups of prompts.
        n_cases: Pairs of prompts in each; all else in a pair is equal.
    """
    rng, found = random.Random(f"{ask.name}{kind}{seed}"), []
    for _ in range(n_groups):
        group = dataclasses.replace(draw_group(ask, rng), side=0, announcement="")
        for first, second in (PAIRS[kind](group, rng) for _ in range(n_cases)):
            answers, rules = [], []
            for own, case in (first, second):
                scores = model.score(own.prefix, [case.suffix], list(case.options))
                assert case.p is not None
                answers.append(summary(ask, np.exp(scores.logp[0])))
                rules.append(summary(ask, case.p))
            found.append((answers[0] - answers[1], rules[0] - rules[1]))
    answer_moves, rule_moves = np.array(found).T
    return float(answer_moves @ rule_moves / (rule_moves @ rule_moves))


Pair = tuple[tuple[Group, Case], tuple[Group, Case]]


def announce_both(group: Group, rng: random.Random) -> Pair:
    """Return a prompt whose announcement speaks for the target, and the same against it."""
    both = [
        dataclasses.replace(group, side=side, announcement=announce(grammar_of(group.ask.name), side, rng))
        for side in (1, -1)
    ]
    state, cases = rng.getstate(), []
    for own in both:
        rng.setstate(state)
        cases.append((own, draw_case(own, rng)))
    return cases[0], cases[1]


def reason_both(group: Group, rng: random.Random) -> Pair:
    """Return a prompt with a reason for the target, and the same with one against it."""
    case, both = draw_case(group, rng), []
    for side in (1, -1):
        reason = give_reason(grammar_of(group.ask.name), side, rng)
        facts = dataclasses.replace(case.facts, reason=side)
        told = dataclasses.replace(
            case, suffix=case.suffix + show_reason(reason), facts=facts, p=answer(group.ask, facts, group.listed)
        )
        both.append((group, told))
    return both[0], both[1]


def list_both(group: Group, rng: random.Random) -> Pair:
    """Return a prompt with its options as listed, and the same with the options in reverse."""
    case, (forward, backward) = draw_case(group, rng), both_orders(group)[0]
    turned = dataclasses.replace(group, prefix=backward, listed=group.listed[::-1])
    other = dataclasses.replace(case, p=answer(group.ask, case.facts, turned.listed))
    return (dataclasses.replace(group, prefix=forward), case), (turned, other)


PAIRS = {"announcement": announce_both, "reason": reason_both, "first_listed": list_both}


def summary(ask: Ask, p: Array) -> float:
    """Return the logit of the first option, or the logarithm of a number's mean."""
    assert isinstance(ask.ask, Decision)
    if isinstance(ask.ask.answer, Integers):
        return float(np.log(p @ np.arange(ask.ask.answer.low, ask.ask.answer.high + 1) + 0.1))
    return float(np.log(p[0]) - np.log1p(-p[0]))


def measure_all(model: LanguageModel, n_groups: int) -> dict[str, dict[str, float]]:
    """Return per decision: distance, constant, mass, n_cases, right signs of traits, shares of the stated biases."""
    table = {}
    for ask in list_asks()[0]:
        found = compare(model, ask, n_groups=n_groups)
        effects = [effect(model, ask, trait, n_groups=3, n_cases=3) for trait in load_rules()[ask.name]["traits"]]
        right = sum(answer * rule > 0 for answer, rule in effects)
        numbers = {key: round(value, 4) for key, value in dataclasses.asdict(found).items() if key != "name"}
        kinds = [kind for kind in PAIRS if kind != "first_listed" or not isinstance(ask.ask.answer, Integers)]
        shares = {kind: round(bias(model, ask, kind), 3) for kind in kinds}
        table[ask.name] = {**numbers, "signs_right": right, "signs": len(effects), **shares}
    return table


def write_samples(model: LanguageModel, n_each: int, *, seed: int = 4) -> list[str]:
    """Return texts of the model: `n_each` of every writing, of every decision's reason, and twice as many retellings.

    Sampled as studies do when they name nothing else (temperature 0.8, top_p 0.95); "pass" is left out.
    """
    rng, texts = random.Random(seed), []
    asks = [(ask, form) for asks, form in zip(list_asks(), ("reason", "text"), strict=True) for ask in asks]
    for number, (ask, form) in enumerate(asks):
        group = draw_group(ask, rng, form)
        suffixes = [draw_case(group, rng).suffix for _ in range(n_each)]
        texts += sample(model, group.prefix, suffixes, 1000 * number)
    news = [draw_retelling(rng) for _ in range(2 * n_each)]
    texts += sample(model, news[0].prefix, [case.suffix for case in news], 0)
    return [text for text in texts if text != "pass"]


def sample(model: LanguageModel, prefix: str, suffixes: Sequence[str], seed: int) -> list[str]:
    """Return one text per suffix with consecutive seeds, empty where it was unusable."""
    seeds = range(seed, seed + len(suffixes))
    written = model.write(prefix, suffixes, seeds=list(seeds), max_tokens=64, temperature=0.8, top_p=0.95)
    return [text or "" for text in written]


def main() -> None:
    """Compare a model file with the rules and write the figures as JSON."""
    from engine.llm import load_model
    from engine.spec import ModelSpec

    parser = argparse.ArgumentParser(description="Compare a model with the stated rules.")
    parser.add_argument("file", nargs="?", default="pocket")
    parser.add_argument("--groups", type=int, default=16)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_name("measured.json"))
    settings = parser.parse_args()
    model = load_model(ModelSpec(file=settings.file), n_threads=1)
    table = measure_all(model, settings.groups)
    texts = write_samples(model, 20)
    passing = sum(not find_fault(text) for text in texts)
    table["texts"] = {"passing": passing, "written": len(texts), "different": len(set(texts))}
    settings.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
