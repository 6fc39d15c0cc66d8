"""The words of a report about what came out: results, events and messages, the language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.reports.comparisons import (
    Difference,
    compare_parts,
    draw_differences,
    tabulate_arms,
    tabulate_contrasts,
)
from engine.reports.contents import (
    Answer,
    Block,
    Figure,
    Figures,
    Heading,
    Label,
    Message,
    Messages,
    Mono,
    Notice,
    Section,
    headed,
    say,
    tabulate,
)
from engine.reports.figures import draw_bars
from engine.reports.language import STEREOTYPE, LanguagePart, ShownSituation
from engine.reports.reading import StudyPart
from engine.reports.result_tables import tabulate_final, tabulate_measures
from engine.reports.results import draw_results, join, model_notes
from engine.reports.study_section import (
    show,
)
from engine.reports.validity import MONTE_CARLO

MAX_BARS = 12


def results_section(parts: Sequence[StudyPart]) -> Section:
    """Return figures, tables of last values or arms, contrasts, and what the measures mean."""
    shown = [part for part in parts if part.results]
    blocks: list[Block] = [Figures(tuple(draw_results(parts)))]
    differences = compare_parts(shown)
    if any(part.arm for part in shown) and len(shown) > 1:
        blocks += _arms(shown)
    else:
        blocks += _last_values(shown)
    if differences:
        blocks += _contrasts(parts, differences)
    columns = (
        ("name", "measure", "name"),
        ("unit", "unit", "unit"),
        ("range", "range", "unit"),
        ("help", "meaning"),
        ("source", "source"),
    )
    blocks += [Heading("What the measures mean"), tabulate(columns, tabulate_measures(parts))]
    return Section("results", "Results", "Results", tuple(blocks))


def _arms(parts: Sequence[StudyPart]) -> list[Block]:
    columns = (
        ("measure", "outcome (last value)", "name"),
        ("study", "arm"),
        ("n_runs", "runs", "number"),
        ("mean", "mean over runs", "number"),
        ("band", "95 % band of the mean", "number"),
        ("sd", "standard deviation over runs", "number"),
    )
    told = "The band is a percentile bootstrap interval over runs; one run has no band."
    return [Heading("Arms"), tabulate(columns, tabulate_arms(parts)), say(told)]


def _last_values(parts: Sequence[StudyPart]) -> list[Block]:
    rows = tabulate_final(parts)
    banded = any(row["n_runs"] > 1 for row in rows)
    values: list[Any] = [("mean", "value", "number")]
    if banded:
        values = [
            ("mean", "mean over runs", "number"),
            ("band", "95 % band of the mean", "number"),
            ("error", "Monte Carlo error", "number"),
            ("range", "range over runs", "number"),
        ]
    study: list[Any] = [("study", "study")] if len(parts) > 1 else []
    columns = [*study, ("measure", "measure", "name"), ("unit", "unit", "unit"), *values, ("n_runs", "runs", "number")]
    told = (
        "The band is a percentile bootstrap interval over runs; one run has no band. The Monte Carlo error is the "
        "standard error of the mean over runs."
        if banded
        else "One run has no band: nothing here tells how much another seed would differ."
    )
    return [Heading("Last values"), tabulate(columns, rows), say(told)]


def _contrasts(parts: Sequence[StudyPart], differences: Sequence[Difference]) -> list[Block]:
    arms = all(difference.other.arm for difference in differences)
    columns = (
        ("measure", "outcome (last value)", "name"),
        ("n_pairs", "pairs", "number"),
        ("difference", "mean difference", "number"),
        ("band", "95 % interval", "number"),
        ("effect", "effect size", "number"),
        ("reduction", "variance reduction", "number"),
        ("error", "Monte Carlo error", "number"),
        ("needed", "pairs needed", "number"),
    )
    tables: list[Block] = []
    for title in dict.fromkeys(difference.title for difference in differences):
        own = [difference for difference in differences if difference.title == title]
        tables += [Label(title), tabulate(columns, tabulate_contrasts(own), empty="No pair has a last value.")]
    explained = (
        "A pair are two runs with the same seeds (common random numbers), so that what chance does to both alike "
        "cancels. Interval: BCa bootstrap over pairs. Effect size: difference over the root of the mean variance over "
        "runs (Cohen's d_av). Variance reduction: how many times more unpaired runs would be needed; ∞ where the pairs "
        "all differ by the same; below 1 where pairing did not help. Monte Carlo "
        "error: standard error of the difference over pairs. Pairs needed: for a 95 % interval no wider than the "
        "difference is large."
    )
    return [
        Heading("Difference between arms" if arms else "Difference between studies"),
        Notice((MONTE_CARLO,)),
        *tables,
        say(explained),
        Figures(tuple(draw_differences(differences, join(model_notes(parts))))),
    ]


def events_section(parts: Sequence[StudyPart]) -> Section:
    """Return the events and a sample of the messages of the first run of each study."""
    blocks: list[Block] = []
    columns = (
        ("steps", "steps", "unit"),
        ("times", "times", "number"),
        ("kind", "event"),
        ("agents", "agents"),
        ("detail", "detail"),
    )
    for part in parts:
        blocks += headed(parts, part)
        if part.n_events:
            counts = ", ".join(f"{kind} {n:,}" for kind, n in part.n_events)
            blocks.append(say("In run ", Mono(part.counted[0].info.run_id), f": {counts}."))
            spans = [
                row["first"] if row["last"] == row["first"] else f"{row['first']} to {row['last']}"
                for row in part.events
            ]
            rows = [{**row, "steps": span} for row, span in zip(part.events, spans, strict=True)]
            blocks.append(tabulate(columns, rows))
            if sum(n for _, n in part.n_events) > sum(row["times"] for row in part.events):
                blocks.append(say("Not all are shown; all are in the table ", Mono("events"), "."))
        else:
            blocks.append(say("No event was recorded."))
        if part.messages:
            blocks += _messages(part)
    return Section("events", "Events and messages", "Events", tuple(blocks))


def show_steps(first: int, last: int) -> str:
    """Return a span of steps: '4', '4 to 9'."""
    return str(first) if first == last else f"{first} to {last}"


def _messages(part: StudyPart) -> list[Block]:
    told = f"{len(part.messages)} of {part.n_messages:,} messages, evenly spread over run "
    messages = []
    for row in part.messages:
        agent = row["agent_id"]
        who = "moderator" if agent is None or agent < 0 else f"agent {agent}"
        messages.append(Message(f"step {row['step']} · {who}", str(row["channel"]), str(row["text"])))
    return [
        Heading("Messages"),
        say(told, Mono(part.counted[0].info.run_id), ". Texts are shown as they were written."),
        Messages(tuple(messages)),
    ]


def language_section(language: Sequence[LanguagePart], *, several: bool) -> Section:
    """Return what the language model was asked, what it answered, and the sentences that belong to that."""
    blocks: list[Block] = []
    for number, part in enumerate(language):
        if several:
            blocks.append(Heading(part.label, major=True))
        blocks.append(Notice(tuple(part.sentences)))
        rows = [{"name": name, "value": show(value)} for name, value in part.model.items()]
        if rows:
            blocks.append(tabulate((("name", "", "name"), ("value", "", "mono")), rows))
        blocks += _asked(part)
        blocks += _groups(part)
        if part.shown:
            blocks.append(Heading("Most frequent situations"))
            blocks += [_answer(f"p{number}-{place}", place == 0, shown, part) for place, shown in enumerate(part.shown)]
    return Section("language", "Language model", "Language model", tuple(blocks))


def _asked(part: LanguagePart) -> list[Block]:
    if not part.asked:
        return []
    columns = (
        ("name", "decision", "name"),
        ("decisions", "decisions", "number"),
        ("situations", "distinct situations", "number"),
        ("mean", "captured mass, mean", "number"),
        ("low", "captured mass, lowest", "number"),
        ("sources", "answers from"),
    )
    rows = [
        {
            "name": asked.name,
            "decisions": f"{asked.n_decisions:,}",
            "situations": f"{asked.n_situations:,}",
            "mean": show(asked.mass_mean),
            "low": show(asked.mass_low),
            "sources": asked.sources,
        }
        for asked in part.asked
    ]
    counts = ", ".join(f"{name} {n:,}" for name, n in part.counts.items())
    told = (
        f": {counts}. Captured mass is the probability that the model put on the offered options together before "
        "normalising; a low value means that it would rather have said something else."
    )
    return [Heading("What was asked"), tabulate(columns, rows), say("Run ", Mono(part.run_id), told)]


def _groups(part: LanguagePart) -> list[Block]:
    if not part.groups:
        return []
    columns = (
        ("decision", "decision", "name"),
        ("group", "group"),
        ("n", "decisions", "number"),
        ("answers", "answers that agents drew"),
    )
    told = "A null control with a blank persona, or with attributes swapped between people, shows how much of them is."
    return [
        Heading("Answers by group"),
        tabulate(columns, part.groups),
        say(f"{STEREOTYPE} {told} One run: decisions within it are not independent cases, so no band stands here."),
    ]


def _answer(name: str, first: bool, shown: ShownSituation, part: LanguagePart) -> Answer:
    p = np.array(shown.p)
    kept = np.sort(np.argsort(-p, kind="stable")[:MAX_BARS])
    options = [shown.options[i] for i in kept]
    s = "" if shown.n_decisions == 1 else "s"
    title = f"{shown.decision}: met by {shown.n_decisions:,} decision{s}, captured mass {show(shown.mass)}"
    largest = " (the twelve largest)" if len(shown.options) > MAX_BARS else ""
    caption = f"Probabilities that agents drew from{largest}. {' '.join(part.sentences[:2])}"
    alt = ", ".join(f"{option} {share:.3f}" for option, share in zip(options, p[kept], strict=True))
    return Answer(title, shown.prompt, Figure("", draw_bars(name, options, p[kept]), caption, alt), first)
