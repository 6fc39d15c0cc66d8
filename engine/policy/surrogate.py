"""Decide by a surrogate: a regression fitted to the language model's own distributions; where unsure, by the model.

At its first call the model answers a designed set of situations: people of every kind that decide, and every code of
what they may observe, each about equally often. A regression is fitted to these answers, and judged on a part that it
had not seen. It then stands in for the model, except for a situation

- that the model has answered for the fit;
- that holds a code which the fit has not seen, or an announcement;
- whose predicted probability has a standard error above `unsure`;
- and for all situations where the mean distance on the part held out is above `largest_distance`.

These the model answers. The fit is journalled, and an event tells what it was fitted to and how far off it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decision import Categories, Choice, Decision, FloatArray, IntArray, Presentation, Rounded, Words
from engine.draws import stream_rng
from engine.errors import DecisionError
from engine.policy.calls import Call, Room
from engine.policy.language import scoring_of
from engine.policy.lifting import draw_options, group_codes
from engine.policy.policies import Decided
from engine.policy.reading import Prompt
from engine.policy.records import LANGUAGE, SURROGATE, Situation, content_id, content_key
from engine.policy.rendering import lift
from engine.policy.surrogate_fit import Fit, fit_surrogate
from engine.spec import SurrogateSpec

MOST_OPTIONS = 12
EVENT = "surrogate_fitted"


def decide_by_surrogate(room: Room, call: Call, u: FloatArray) -> Decided:
    """Return options drawn from predicted distributions, and from the model's own where the surrogate is unsure.

    Raises:
        DecisionError: the decision is of a kind for which no surrogate can be fitted.
    """
    ask = call.ask
    assert isinstance(ask, Decision)
    shown = _columns_shown(room, call)
    settings = room.spec_of(ask).surrogate or SurrogateSpec()
    held, new = _fitted(room, call, shown, settings)
    fit, answered = Fit.parse(held["fit"]), {tuple(row) for row in held["codes"]}
    lifted = lift(room, call)
    codes = _codes_of(room, call, shown, lifted.first)
    predicted, error = fit.predict(codes)
    asks = fit.is_new(codes) | (error > settings.unsure) | (room.announcements(call.agents[lifted.first]) >= 0)
    asks |= np.array([tuple(row) in answered for row in codes.tolist()], bool)
    asks |= fit.error.mean > settings.largest_distance
    prompts = [prompt for prompt, by_model in zip(lifted.prompts, asks, strict=True) if by_model]
    asked, fresh = room.asker.distributions(room.step, ask.name, prompts, scoring_of(room.spec_of(ask)))
    answers = iter(asked)
    situations: list[Situation] = []
    for prompt, by_model, logp in zip(lifted.prompts, asks.tolist(), predicted, strict=True):
        if by_model:
            situations.append(next(answers))
            continue
        situations.append(_predicted(held["key"], str(held["model"]), ask, prompt, logp))
        if situations[-1].key not in room.asker.asked:
            room.asker.asked[situations[-1].key] = room.step
            new.append(situations[-1])
    index, p = draw_options(np.stack([situation.logp for situation in situations]), lifted.group, u)
    ids = np.array([situation.situation_id for situation in situations], np.int64)[lifted.group]
    policy = np.where(asks, LANGUAGE, SURROGATE).astype(np.int8)[lifted.group]
    return Decided(index, p, ids, [*new, *fresh], policy)


def _predicted(fit_key: str, model: str, ask: Decision, prompt: Prompt, logp: FloatArray) -> Situation:
    key = content_key(["surrogate", fit_key, prompt.suffix])
    shared = prompt.listing.prefixes[0]
    parts = (content_id(key), key, ask.name, shared, prompt.suffix, prompt.listing.options)
    return Situation(*parts, logp, logp, float("nan"), model, "surrogate", logp)


@dataclass(frozen=True)
class _Column:
    """A shown column: of the persona, or observed."""

    name: str
    of_persona: bool
    presentation: Presentation

    @property
    def is_ordered(self) -> bool:
        return isinstance(self.presentation, Words | Rounded)


def _columns_shown(room: Room, call: Call) -> list[_Column]:
    """Return what the prompts show, each with its presentation.

    Raises:
        DecisionError: no surrogate can be fitted to such a decision; says why.
    """
    ask, spec = call.ask, room.spec_of(call.ask)
    assert isinstance(ask, Decision)
    fields = spec.persona_fields if spec.persona_fields is not None else ask.persona_fields
    present = [name for name in fields if name in room.persona.columns]
    texts = [*ask.texts, *(name for name in present if room.persona.columns[name].kind == "text")]
    why = ""
    if not isinstance(ask.answer, Choice) or len(ask.answer.texts) > MOST_OPTIONS:
        why = f"its answer is not one of at most {MOST_OPTIONS} options"
    elif call.mask is not None or call.offered is not None:
        why = "its options differ between people"
    elif texts:
        why = f"it shows free text ({', '.join(texts)})"
    elif spec.reason or spec.calibration is not None:
        why = "reasons and calibrations are for the model's own answers"
    if why:
        raise DecisionError(
            f"no surrogate can stand in for the model in '{ask.name}': {why} @ decisions.{ask.name}.policy; "
            "take policy = 'language'"
        )
    shown = [_Column(name, True, _presentation(room, name)) for name in present]
    return shown + [_Column(name, False, presentation) for name, presentation in ask.shows.items()]


def _presentation(room: Room, name: str) -> Presentation:
    column, everyone = room.persona.columns[name], room.population[name]
    bounds = (float(everyone.min()), float(everyone.max())) if column.kind in ("float", "integer") else (0.0, 0.0)
    presentation = column.shown(*bounds)
    assert presentation is not None
    return presentation


def _codes_of(room: Room, call: Call, shown: list[_Column], rows: IntArray) -> IntArray:
    """Return the code of each shown column for some rows of a call, shape (n_rows, n_columns)."""
    codes = [
        one.presentation.codes(
            room.population[one.name][call.agents[rows]] if one.of_persona else call.columns[one.name][rows]
        )
        for one in shown
    ]
    return np.stack(codes, axis=1).astype(np.int64) if codes else np.zeros((rows.size, 0), np.int64)


def _fitted(
    room: Room, call: Call, shown: list[_Column], settings: SurrogateSpec
) -> tuple[dict[str, Any], list[Situation]]:
    """Return this run's fit for a decision, and the situations that were asked for it just now."""
    ask, spec = call.ask, room.spec_of(call.ask)
    scoring = scoring_of(spec)
    example = lift(room, call.part(np.arange(call.agents.size) == 0)).prompts[0].listing
    columns = [f"{one.name} {one.presentation.n_codes}" for one in shown]
    parts = [ask.name, room.asker.model_file, scoring.words, settings.model_dump_json(), *example.prefixes, *columns]
    key = content_key(["surrogate", *parts])
    if key in room.asker.fits:
        return room.asker.fits[key], []
    design = _design(room, call, shown, settings.situations)
    lifted = lift(room, design)
    asked, new = room.asker.distributions(room.step, ask.name, lifted.prompts, scoring)
    codes, logp = _codes_of(room, design, shown, lifted.first), np.stack([situation.logp for situation in asked])
    order = stream_rng(room.population_seed, f"surrogate:{ask.name}:held out", 0).permutation(len(codes))
    held_out = np.sort(order[: max(1, round(settings.held_out * len(codes)))])

    def fit() -> dict[str, Any]:
        names, n_codes = [one.name for one in shown], [one.presentation.n_codes for one in shown]
        return fit_surrogate(names, n_codes, [one.is_ordered for one in shown], codes, logp, held_out).dump()

    found = room.asker.recall(room.step, "surrogate", key, fit)
    held = {"key": key, "model": asked[0].model, "fit": found, "codes": codes.tolist()}
    room.asker.fits[key] = held
    error = Fit.parse(found).error
    room.emit(
        EVENT,
        decision=ask.name,
        asked=len(codes),
        fitted_to=error.n_fitted,
        held_out=error.n_held_out,
        distance_mean=error.mean,
        distance_largest=error.largest,
        distance_of_the_mean=error.baseline,
        trusted=error.mean <= settings.largest_distance,
        **settings.model_dump(include={"largest_distance", "unsure"}),
    )
    return held, new


def _design(room: Room, call: Call, shown: list[_Column], wanted: int) -> Call:
    """Return a call of real people under designed observations, each code of each column about equally often."""
    rng = stream_rng(room.population_seed, f"surrogate:{call.ask.name}", 0)
    everyone = np.arange(call.agents.size)
    own = [one for one in shown if one.of_persona]
    parts = [(one.presentation.codes(room.population[one.name][call.agents]), one.presentation.n_codes) for one in own]
    kinds = rng.permutation(group_codes(parts, everyone.size)[0])
    rows = kinds[np.arange(wanted) % kinds.size]
    columns = {name: values[rows] for name, values in call.columns.items()}
    for one in shown:
        if not one.of_persona:
            values = _values_of(one.presentation, call.columns[one.name])
            columns[one.name] = values[rng.permutation(np.arange(wanted) % values.size)]
    return Call(call.ask, call.agents[rows], call.turn[rows], columns, {})


def _values_of(presentation: Presentation, given: NDArray[Any]) -> NDArray[Any]:
    """Return one value for each code of a presentation; for an unknown kind those of the given values."""
    if isinstance(presentation, Words):
        edges = np.asarray(presentation.edges)
        if not edges.size:
            return np.zeros(1)
        return np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1]])
    if isinstance(presentation, Rounded):
        return presentation.low + presentation.step * np.arange(presentation.n_codes)
    if isinstance(presentation, Categories):
        return np.arange(presentation.n_codes)
    return given[np.unique(presentation.codes(given), return_index=True)[1]]
