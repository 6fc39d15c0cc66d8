"""The figures of a report: measures over time, who chose what, and the state at the start and the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.decision import Answer, Items, MultiSelect, Ranking
from engine.reports.comparisons import merge_equal
from engine.reports.contents import Figure
from engine.reports.figures import Line, draw_distributions, draw_lines
from engine.reports.language import STEREOTYPE, compares_people, model_note
from engine.reports.reading import Result, StudyPart
from engine.reports.study_section import describe_policy
from engine.store import query

MAX_OPTIONS = 6
N_BINS = 25


def draw_results(parts: Sequence[StudyPart]) -> list[Figure]:
    """Return the figures of the results section, measures first."""
    labels: dict[str, None] = {}
    for part in parts:
        labels.update(dict.fromkeys(result.stack.label for result in part.results))
    figures = [_draw_measure(f"f{number}", label, parts) for number, label in enumerate(labels)]
    for number, part in enumerate(parts):
        prefix = f"{part.label}: " if len(parts) > 1 else ""
        figures += _draw_decisions(f"d{number}", part, prefix)
        figures += _draw_states(f"s{number}", part, prefix)
    return figures


def caption_of(parts: Sequence[StudyPart], *, band: str) -> str:
    """Return what every caption over runs says: agents, runs, seeds, the band, and what the model is."""
    told = []
    for part in parts:
        s = "s" if len(part.counted) != 1 else ""
        told.append((part.label, f"{part.n_agents:,} agents, {len(part.counted)} run{s}, seed{s} {part.seeds}"))
    who = merge_equal(told) if len(told) > 1 else told[0][1]
    return join([f"{who}.", band, *model_notes(parts)])


def caption_of_first(part: StudyPart, remark: str = "") -> str:
    """Return what the caption of a figure from the first run alone says."""
    info = part.counted[0].info
    seed = part.study.seed_of("dynamics", info.replicate)
    told = f"{part.n_agents:,} agents, 1 run ({info.run_id}), seed {seed}; one run has no band."
    return join([told, remark, *model_notes([part])])


def model_notes(parts: Sequence[StudyPart]) -> list[str]:
    """Return the sentences that stand on every figure of a demonstration model."""
    return sorted({model_note(row.record.get("model") or {}) for part in parts for row in part.counted[:1]})


def join(sentences: Sequence[str]) -> str:
    """Return the sentences that are not empty as one text."""
    return " ".join(sentence for sentence in sentences if sentence)


def describe_band(results: Sequence[Result]) -> str:
    """Return what the band of some results is."""
    level = f"{results[0].band.level:.0%}"
    n_runs = [int(result.final.n_runs[0]) for result in results]
    if max(n_runs) < 2:
        return "One run has no band: nothing here tells how much another seed would differ."
    told = f"Line: mean over runs; band: {level} bootstrap interval of that mean over runs; thin lines: single runs."
    if min(n for n in n_runs if n >= 2) < 8:
        told += " With so few runs the interval is too narrow."
    ended = sum(result.stack.ended_early for result in results)
    if ended:
        told += f" {ended} run(s) ended early and keep their last value."
    return told


def _draw_measure(name: str, label: str, parts: Sequence[StudyPart]) -> Figure:
    shown = [(part, result) for part in parts for result in part.results if result.stack.label == label]
    lines = []
    for part, result in shown:
        several = result.has_band
        lines.append(
            Line(
                part.label,
                result.stack.steps,
                result.band.mean,
                result.band.low if several else None,
                result.band.high if several else None,
                tuple(result.stack.values) if several else (),
            )
        )
    measure = shown[0][1].measure
    unit = f" ({measure.unit})" if measure and measure.unit else ""
    marks = sorted({spec.at for part, _ in shown for spec in part.study.interventions if spec.at is not None})
    svg = draw_lines(
        name,
        lines,
        x_label=f"step ({shown[0][0].info.unit})" if shown[0][0].info.unit != "step" else "step",
        y_label=f"{label}{unit}",
        low=measure.low if measure else None,
        high=measure.high if measure else None,
        marks=marks,
    )
    band = describe_band([result for _, result in shown])
    if marks:
        band += " Dashed: scheduled interventions."
    caption = caption_of([part for part, _ in shown], band=band)
    help_text = f"{measure.help} " if measure else ""
    ends = ", ".join(f"{part.label} ends at {result.final.mean[0]:.4g}" for part, result in shown)
    if any(compares_people(part, [result.stack.segment]) for part, result in shown):
        caption = f"{caption} {STEREOTYPE}"
    return Figure(label, svg, help_text + caption, f"{label} over steps: {ends}.")


def _options_taken(answer: Answer, action: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which options each recorded action stands for, shape (n, n_options); of a ranking the first place."""
    if isinstance(answer, MultiSelect):
        return answer.chosen(action)
    first = answer.orders(action)[:, 0] if isinstance(answer, Ranking) else action
    taken: NDArray[np.bool_] = first[:, None] == np.arange(len(answer.texts))
    return taken


def _draw_decisions(name: str, part: StudyPart, prefix: str) -> list[Figure]:
    """Draw how often each option was taken (the mean of a number), one figure per decision, from the first run."""
    figures = []
    for number, decision in enumerate(part.info.decisions):
        if not part.folders:
            break
        frame = query(
            part.folders[0],
            "SELECT step, action, sum(n)::DOUBLE AS n FROM (SELECT step, action, 1 AS n, decision FROM decisions "
            "UNION ALL SELECT step, action, n, decision FROM decision_counts WHERE step NOT IN "
            "(SELECT DISTINCT step FROM decisions)) "
            "WHERE decision = ? GROUP BY step, action ORDER BY step, action",
            [decision.name],
        )
        if frame.is_empty():
            continue
        steps, where = np.unique(frame["step"].to_numpy(), return_inverse=True)
        action, n = frame["action"].to_numpy(), frame["n"].to_numpy()
        total = np.bincount(where, n, minlength=steps.size)
        many = len(decision.answer.texts) > MAX_OPTIONS
        if isinstance(decision.answer, Items) or (many and isinstance(decision.answer, MultiSelect | Ranking)):
            continue  # neither shares of few answers nor a mean
        if decision.answer.is_number or many:
            value = decision.answer.values(action)
            lines = [Line("mean", steps, np.bincount(where, n * value, minlength=steps.size) / total)]
            label, low, high = f"mean answer{f' ({decision.unit})' if decision.unit else ''}", None, None
        else:
            lines = [
                Line(text, steps, np.bincount(where, n * taken, minlength=steps.size) / total)
                for text, taken in zip(decision.answer.texts, _options_taken(decision.answer, action).T, strict=True)
            ]
            label, low, high = "share of answers", 0.0, 1.0
            if isinstance(decision.answer, Ranking):
                label = "share in first place"
        who = describe_policy(part.study.decisions.get(decision.name))
        figures.append(
            Figure(
                f"{prefix}decision {decision.name}",
                draw_lines(f"{name}-{number}", lines, x_label="step", y_label=label, low=low, high=high),
                f"“{decision.question}” " + caption_of_first(part, f"Decided by: {who}."),
                f"Answers to the decision {decision.name} over steps.",
            )
        )
    return figures


def _draw_states(name: str, part: StudyPart, prefix: str) -> list[Figure]:
    """Draw the distribution of the displayed state column at the start and at the end of the first run."""
    column = part.info.columns.get(part.info.display)
    if column is None or not part.folders:
        return []
    quoted = '"' + part.info.display.replace('"', '""') + '"'
    steps = query(part.folders[0], "SELECT min(step) AS a, max(step) AS b FROM states").row(0)
    if steps[0] is None:
        return []
    last = int(part.counted[0].info.step)
    frames = [
        (f"step {step}", query(part.folders[0], f"SELECT {quoted}::DOUBLE AS v FROM states_at({step})")["v"].to_numpy())
        for step in dict.fromkeys((int(steps[0]), last))
    ]
    frames = [(label, values[np.isfinite(values)]) for label, values in frames if values.size]
    if not frames or not any(values.size for _, values in frames):
        return []
    if column.kind in {"category", "boolean"}:
        labels = list(column.labels) or ["no", "yes"]
        groups = [(label, np.bincount(v.astype(int), minlength=len(labels)) / v.size) for label, v in frames]
    else:
        everything = np.concatenate([values for _, values in frames])
        low = float(everything.min() if column.low is None else column.low)
        high = float(everything.max() if column.high is None else column.high)
        high = high if high > low else low + 1.0
        edges = np.linspace(low, high, N_BINS + 1)
        labels = [f"{(a + b) / 2:.3g}" for a, b in pairwise(edges)]
        groups = [(label, np.histogram(np.clip(v, low, high), edges)[0] / max(1, v.size)) for label, v in frames]
    unit = f" ({column.unit})" if column.unit else ""
    svg = draw_distributions(
        name, groups, labels, x_label=f"{part.info.display}{unit}", as_bars=column.kind in {"category", "boolean"}
    )
    return [
        Figure(
            f"{prefix}{part.info.display} at the start and at the end",
            svg,
            join([column.help, caption_of_first(part)]),
            f"Distribution of {part.info.display} at step {steps[0]} and at step {last}.",
        )
    ]
