"""Decide and write by the language model: lift the agents of a call into situations, ask, draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.decision import Decision, FloatArray, IntArray, Writing
from engine.draws import draw_uniform
from engine.errors import ModelError
from engine.policy.asking import Scoring
from engine.policy.calibration import calibrate
from engine.policy.calls import Call, Room
from engine.policy.drawing import draw_answers
from engine.policy.policies import Decided
from engine.policy.prompt import ask_reason, show_reason
from engine.policy.reading import Prompt, scores_of
from engine.policy.records import LANGUAGE, RULE, Situation, content_id, content_key
from engine.policy.rendering import Lifted, lift, words_of_items
from engine.policy.rule import decide_by_rule
from engine.spec import CalibrationSpec, DecisionSpec

REASON_TOKENS = 40


def decide_by_language(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return options drawn from the model's distribution of each agent's situation.

    Raises:
        ModelError: an answer is unusable and the study does not say that the rule takes over.
    """
    ask = call.ask
    assert isinstance(ask, Decision)
    spec = room.spec_of(ask)
    lifted = lift(room, call)
    prompts, reasons = _reason(room, lifted) if spec.reason else (lifted.prompts, [])
    asked, new = room.asker.distributions(room.step, ask.name, prompts, scoring_of(spec))
    fitted = calibrate(room, call, asked, lifted.group)
    known = dict(zip((situation.key for situation in asked), fitted, strict=True))
    new = [known[situation.key] for situation in new]
    if reasons:
        _tell_reasons(room, lifted, asked, reasons, {situation.key for situation in new})
    ids = np.array([situation.situation_id for situation in fitted], np.int64)[lifted.group]
    usable = _check_usable(room, lifted, fitted, spec.calibration or CalibrationSpec())
    if usable.all():
        index, p = draw_answers(room, call, *weigh_situations(room, call, lifted, fitted), u)
        return Decided(index, p, ids, new)
    index, p = np.empty(u.size, np.int64), np.empty(u.size, np.float32)
    for by_model, mask in ((True, usable), (False, ~usable)):
        if mask.any():
            part = call.part(mask)
            if by_model:
                few = replace(lifted, call=part, group=lifted.group[mask])
                index[mask], p[mask] = draw_answers(room, part, *weigh_situations(room, part, few, fitted), u[mask])
            else:
                ruled = decide_by_rule(room, part, u[mask])
                index[mask], p[mask] = ruled.index, ruled.p
    return Decided(index, p, ids, new, np.where(usable, LANGUAGE, RULE).astype(np.int8))


def scoring_of(spec: DecisionSpec) -> Scoring:
    """Return how a decision's distributions are read."""
    calibration = spec.calibration
    if calibration is None:
        return Scoring(spec.option_order, spec.temperature)
    further = calibration.model_dump_json(include={"shares", "by"}) if calibration.shares else ""
    return Scoring(spec.option_order, spec.temperature, calibration.normalisation, calibration.neutral, further)


def weigh_situations(room: Room, call: Call, lifted: Lifted, asked: Sequence[Situation]) -> tuple[FloatArray, IntArray]:
    """Return (log weights or log odds, row of each agent) for `draw_answers`.

    Options that a situation does not list get -inf. Items with the same words share the probability of these words.
    """
    ask = call.ask
    assert isinstance(ask, Decision)
    scores = [scores_of(situation.logp, separately=situation.separately) for situation in asked]
    if call.offered is not None:
        return _weigh_items(words_of_items(call.offered, room.text), call, lifted, asked, scores)
    texts = ask.answer.texts
    if call.mask is None:
        return np.stack(scores), lifted.group
    place = {text: column for column, text in enumerate(texts)}
    table = np.full((len(asked), len(texts)), -np.inf)
    for row, situation in enumerate(asked):
        table[row, [place[option] for option in situation.options]] = scores[row]
    return table, lifted.group


def _weigh_items(
    words: Sequence[str], call: Call, lifted: Lifted, asked: Sequence[Situation], scores: Sequence[FloatArray]
) -> tuple[FloatArray, IntArray]:
    offered = call.offered
    assert offered is not None
    table = np.full((len(call.agents), int(offered.sizes.max())), -np.inf)
    for row, group in enumerate(lifted.group.tolist()):
        own = words[offered.indptr[row] : offered.indptr[row + 1]]
        place = {option: column for column, option in enumerate(asked[group].options)}
        columns = [place[word] for word in own]
        often = np.bincount(columns, minlength=len(place))
        table[row, : len(own)] = (scores[group] - np.log(often))[columns]
    return table, np.arange(len(call.agents))


def _reason(room: Room, lifted: Lifted) -> tuple[tuple[Prompt, ...], list[str | None]]:
    """Return prompts that end with a short reason, and the reasons; a prompt without a usable one stays as it is."""
    model = room.study.model
    by_prefix: dict[str, list[int]] = {}
    for place, prompt in enumerate(lifted.prompts):
        by_prefix.setdefault(prompt.listing.prefixes[0], []).append(place)
    found: list[str | None] = [None] * len(lifted.prompts)
    for prefix, places in by_prefix.items():
        written = room.asker.reasons(
            room.step,
            ask_reason(prefix),
            [lifted.prompts[place].suffix for place in places],
            max_tokens=REASON_TOKENS,
            temperature=model.temperature,
            top_p=model.top_p,
        )
        for place, text in zip(places, written, strict=True):
            found[place] = text.strip() if text is not None and text.strip() else None
    prompts = tuple(
        prompt if reason is None else replace(prompt, body=prompt.body + show_reason(reason))
        for prompt, reason in zip(lifted.prompts, found, strict=True)
    )
    n_missing = sum(reason is None for reason in found)
    if n_missing:
        agents = int(np.isin(lifted.group, [place for place, reason in enumerate(found) if reason is None]).sum())
        room.emit("unusable_text", writing=f"reason for {lifted.call.ask.name}", n=n_missing, agents=agents)
    return prompts, found


def _tell_reasons(
    room: Room, lifted: Lifted, asked: Sequence[Situation], reasons: Sequence[str | None], new: set[str]
) -> None:
    """Record each new situation's reason as a message of the first agent who is in it."""
    call = lifted.call
    for row, situation, reason in zip(lifted.first.tolist(), asked, reasons, strict=True):
        if reason is not None and situation.key in new:
            room.add_text(reason)
            room.say(int(call.agents[row]), reason, "reason", int(call.turn[row]), situation.situation_id)
            new.discard(situation.key)


def _check_usable(
    room: Room, lifted: Lifted, asked: Sequence[Situation], calibration: CalibrationSpec
) -> NDArray[np.bool_]:
    """Return for which agents the model's answer is drawn from; count the unusable ones by segment.

    Raises:
        ModelError: the study wants the run to stop, or there is nothing to draw from.
    """
    name, step = lifted.call.ask.name, room.step
    numbers = np.array([not np.isnan(situation.logp).any() for situation in asked])
    massive = np.array([situation.mass >= calibration.least_mass for situation in asked])
    bad = ~(numbers & massive)
    everyone = np.ones(lifted.call.agents.size, bool)
    if not bad.any():
        return everyone
    agents: NDArray[np.bool_] = bad[lifted.group]
    room.emit(
        "unusable_answer",
        decision=name,
        agents=int(agents.sum()),
        situations=int(bad.sum()),
        not_a_number=int((~numbers).sum()),
        least_mass=calibration.least_mass,
        by_segment=count_segments(room, lifted.call.agents[agents]),
        then=calibration.unusable,
    )
    if calibration.unusable == "rule":
        return ~agents
    example = asked[int(np.flatnonzero(bad)[0])]
    if calibration.unusable == "stop" or not numbers.all():
        why = "no usable probabilities" if not numbers.all() else f"a captured mass of {example.mass:.3g}"
        raise ModelError(
            f"model {example.model} gave {why} for '{name}' at step {step} ({int(agents.sum())} agents in all); try "
            f"another model or quantization, or let the rule decide then: decisions.{name}.calibration.unusable"
        )
    return everyone


def count_segments(room: Room, agents: IntArray) -> dict[str, int]:
    """Return the number of agents by the persona column `segment`; all under "all" where there is none."""
    column = room.persona.columns.get("segment")
    if column is None:
        return {"all": int(agents.size)}
    values, n = np.unique(room.population["segment"][agents].astype(str), return_counts=True)
    words = [column.labels[int(value)] if column.kind == "category" else value for value in values.tolist()]
    return dict(zip(words, n.tolist(), strict=True))


def write_by_language(room: Room, call: Call, number: int, variants: int | None) -> list[tuple[str | None, int]]:
    """Return texts of the language model: one per agent, or `variants` per situation given out by keyed draws."""
    ask = call.ask
    assert isinstance(ask, Writing)
    lifted = lift(room, call)
    if variants is None:
        chosen = call.agents
    else:
        u = draw_uniform(room.dynamics_seed, f"variant:{ask.name}", room.step, call.turn, call.agents)
        chosen = np.floor(u * variants).astype(np.int64)
    prefix, bodies = lifted.prompts[0].listing.prefixes[0], [prompt.body for prompt in lifted.prompts]
    keys = [content_key([ask.name, prefix, body]) for body in bodies]
    requests: dict[str, tuple[str, str, int]] = {}
    row_keys: list[str] = []
    for group, who, turn in zip(lifted.group.tolist(), chosen.tolist(), call.turn.tolist(), strict=True):
        key = content_key([keys[group], str(turn), str(who)])
        row_keys.append(key)
        seed_key = content_key([str(room.dynamics_seed), str(room.step), str(number), key])
        requests.setdefault(key, (key, bodies[group], int(seed_key[:8], 16)))
    model = room.study.model
    written = room.asker.texts(
        room.step,
        number,
        prefix,
        list(requests.values()),
        max_tokens=ask.max_tokens,
        temperature=model.temperature,
        top_p=model.top_p,
    )
    by_key = dict(zip(requests, written, strict=True))
    return [(by_key[key], content_id(keys[group])) for key, group in zip(row_keys, lifted.group.tolist(), strict=True)]
