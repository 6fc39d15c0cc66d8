"""The language section of a report: what the model was asked, and what it put on the options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.decision import Choice, Decision, MultiSelect
from engine.reports.reading import StudyPart
from engine.reports.study_section import show, shown_fields
from engine.store import query, read_columns

NOT_PEOPLE = (
    "These are the model's answer probabilities, not the share of people who would choose so. "
    "No human data were compared."
)
STEREOTYPE = "Differences between groups here may be the model's stereotype."
RANDOM_WEIGHTS = "Demonstration model with random weights: its answers carry no meaning."
BUILT_IN_RULES = "Demonstration model with built-in rules."
SCRIPTED = "Scripted answers are seeded random numbers: they carry no meaning and stand in for a model in tests."
MAX_SITUATIONS = 8
MAX_GROUPS = 8


@dataclass(frozen=True)
class AskedDecision:
    """What the model was asked for one decision of one run."""

    name: str
    n_situations: int
    n_decisions: int
    mass_mean: float
    mass_low: float
    sources: str


@dataclass(frozen=True)
class ShownSituation:
    """One distinct prompt with its distribution.

    Attributes:
        decision: Name of the decision.
        n_decisions: How many decisions of the run met it.
        prompt: The exact text that the model was given.
        options: Option texts.
        p: Probability of each option as agents drew from it.
        mass: Probability that the model put on the options together.
    """

    decision: str
    n_decisions: int
    prompt: str
    options: tuple[str, ...]
    p: tuple[float, ...]
    mass: float


@dataclass(frozen=True)
class LanguagePart:
    """The language section of one study, from its first counted run."""

    label: str
    run_id: str
    model: dict[str, Any]
    asked: list[AskedDecision]
    shown: list[ShownSituation]
    counts: dict[str, int]
    sentences: list[str]
    groups: list[dict[str, Any]]


def asks_model(part: StudyPart) -> bool:
    """Tell whether a language model takes any decision of a study."""
    return any(spec.policy in ("language", "mixture", "surrogate") for spec in part.study.decisions.values())


def compares_people(part: StudyPart, segments: Sequence[str]) -> bool:
    """Tell whether segments of a measure are groups of people by a persona column, and a language model decides."""
    named = {segment for segment in segments if segment}
    if not named or not asks_model(part) or not part.folders:
        return False
    columns = read_columns(part.folders[0])
    labels = {
        label
        for table, column, kind, labels in columns.select("table", "column", "kind", "labels").iter_rows()
        if table == "agents" and kind == "category" and not str(column).startswith("initial_")
        for label in labels
    }
    return bool(named & labels)


def shows_nobody(part: StudyPart) -> bool:
    """Tell whether a language model takes decisions of a study and is told nothing about who decides."""
    asked: list[tuple[str, tuple[str, ...]]] = [(ask.name, ask.persona_fields) for ask in part.info.decisions]
    asked += [(ask.name, ask.persona_fields) for ask in part.info.writings]
    first = part.study.decisions.get(asked[0][0]) if asked else None  # texts that a study does not name follow it
    of_writings = {ask.name: first for ask in part.info.writings}
    chosen = {**of_writings, **part.study.decisions}
    return asks_model(part) and not any(shown_fields(chosen.get(name), own) for name, own in asked)


def read_language(part: StudyPart) -> LanguagePart | None:
    """Return the language section of a study, or None where no language model decided or wrote anything."""
    if not part.folders:
        return None
    folder, row = part.folders[0], part.counted[0]
    by_decision = query(
        folder,
        "SELECT decision, count(*) AS n, avg(mass) FILTER (source <> 'surrogate') AS mean_mass, "
        "min(mass) FILTER (source <> 'surrogate') AS low_mass, "
        "string_agg(DISTINCT source, ', ' ORDER BY source) AS sources FROM situations "
        "GROUP BY decision ORDER BY decision",
    ).to_dicts()
    model = row.record.get("model") or {}
    written = query(folder, "SELECT count(*) AS n FROM messages WHERE situation_id >= 0")["n"][0]
    if not by_decision and not written:
        return None
    met = _count_decisions(folder)
    asked = [
        AskedDecision(
            str(found["decision"]),
            int(found["n"]),
            sum(n for (decision, _), n in met.items() if decision == found["decision"]),
            float(found["mean_mass"] if found["mean_mass"] is not None else np.nan),
            float(found["low_mass"] if found["low_mass"] is not None else np.nan),
            str(found["sources"]),
        )
        for found in by_decision
    ]
    counts = {name: int(value) for name, value in _read_counts(folder).items()}
    groups = _compare_groups(part, folder)
    compared = bool(groups) or compares_people(part, [result.stack.segment for result in part.results])
    sentences = [*sentences_for(model, asked, compared=compared), *_tell_surrogates(folder)]
    shown = _show_situations(folder, met)
    return LanguagePart(part.label, row.info.run_id, model, asked, shown, counts, sentences, groups)


def _tell_surrogates(folder: Path) -> list[str]:
    """Return one sentence per surrogate of a run: what it was fitted to, and how far off it was."""
    told = []
    for (text,) in query(folder, "SELECT detail FROM events WHERE kind = 'surrogate_fitted' ORDER BY step").iter_rows():
        detail = json.loads(text)
        use = (
            "stood in for the model where it was sure" if detail["trusted"] else "was too far off, so the model decided"
        )
        told.append(
            f"Surrogate for “{detail['decision']}”: a regression fitted to the model's answers in "
            f"{detail['fitted_to']} situations. In {detail['held_out']} others its distributions lay "
            f"{detail['distance_mean']:.3f} from the model's on average and {detail['distance_largest']:.3f} at most "
            f"(total variation; the mean distribution: {detail['distance_of_the_mean']:.3f}). It {use}."
        )
    return told


def _compare_groups(part: StudyPart, folder: Path) -> list[dict[str, Any]]:
    """Return one row per language decision and group of the people: how many decisions, and what was answered.

    Groups are those of the persona columns that the model is shown, where a column has two to eight groups. Needs
    decisions recorded in full.
    """
    kinds = {
        str(name): str(kind)
        for name, kind in query(folder, "SELECT column_name, column_type FROM (DESCRIBE agents)").iter_rows()
    }
    rows = []
    for decision in part.info.decisions:
        for field in shown_fields(part.study.decisions.get(decision.name), decision.persona_fields):
            if kinds.get(field) in ("VARCHAR", "BOOLEAN"):
                rows += _answers_by_group(folder, decision, field)
    return rows


def _answers_by_group(folder: Path, decision: Decision, field: str) -> list[dict[str, Any]]:
    quoted = '"' + field.replace('"', '""') + '"'
    counts = query(
        folder,
        f"SELECT agents.{quoted}::VARCHAR AS g, action, count(*) AS n FROM decisions JOIN agents USING (agent_id) "
        "WHERE decision = ? AND situation_id >= 0 GROUP BY ALL ORDER BY g, action",
        [decision.name],
    )
    groups: dict[str, dict[int, int]] = {}
    for group, action, n in counts.iter_rows():
        groups.setdefault("no answer" if group is None else str(group), {})[int(action)] = int(n)
    if not 2 <= len(groups) <= MAX_GROUPS:
        return []
    return [
        {
            "decision": decision.name,
            "group": f"{field}: {group}",
            "n": f"{sum(found.values()):,}",
            "answers": _describe_answers(decision, found),
        }
        for group, found in groups.items()
    ]


def _describe_answers(decision: Decision, found: dict[int, int]) -> str:
    total = sum(found.values())
    answer = decision.answer
    if answer.is_number:
        values = answer.values(np.array(list(found), np.int64)).tolist()
        return f"mean {show(sum(value * n for value, n in zip(values, found.values(), strict=True)) / total)}"
    if isinstance(answer, MultiSelect):
        taken = np.array(list(found.values())) @ answer.chosen(np.array(list(found), np.int64))
        return ", ".join(f"{text} {n / total:.1%}" for text, n in zip(answer.texts, taken.tolist(), strict=True))
    if not isinstance(answer, Choice):
        best = sorted(found, key=lambda action: -found[action])[:3]
        return "; ".join(f"{answer.describe(action)} ({found[action] / total:.1%})" for action in best)
    texts = answer.texts
    return ", ".join(f"{text} {found.get(code, 0) / total:.1%}" for code, text in enumerate(texts))


def sentences_for(model: dict[str, Any], asked: list[AskedDecision], *, compared: bool = False) -> list[str]:
    """Return the sentences that stand beside every language result, and the one for groups where they are compared."""
    told = [NOT_PEOPLE, *([STEREOTYPE] if compared else [])]
    if asked and all(decision.sources == "scripted" for decision in asked):
        told.insert(0, SCRIPTED)
    note = model_note(model)
    return [note, *told] if note else told


def model_note(model: dict[str, Any]) -> str:
    """Return the sentence that stands on every figure of a demonstration model, or an empty string."""
    name = str(model.get("name", "")).lower()
    if not (model.get("is_pocket") or "pocket" in name):
        return ""
    return RANDOM_WEIGHTS if "random" in name else BUILT_IN_RULES


def _count_decisions(folder: Path) -> dict[tuple[str, int], int]:
    full = query(
        folder,
        "SELECT decision, situation_id, count(*) AS n FROM decisions WHERE situation_id >= 0 GROUP BY ALL",
    )
    counted = query(
        folder,
        "SELECT decision, situation_id, sum(n)::BIGINT AS n FROM decision_counts WHERE situation_id >= 0 GROUP BY ALL",
    )
    met: dict[tuple[str, int], int] = {}
    for frame in (counted, full):  # a run that records both keeps the full count
        for decision, situation, n in frame.iter_rows():
            met[str(decision), int(situation)] = int(n)
    return met


def _show_situations(folder: Path, met: dict[tuple[str, int], int]) -> list[ShownSituation]:
    names = sorted({decision for decision, _ in met})
    each = max(1, MAX_SITUATIONS // max(1, len(names)))
    chosen: list[tuple[str, int]] = []
    for name in names:
        own = sorted((key for key in met if key[0] == name), key=lambda key: (-met[key], key[1]))
        chosen += own[:each]
    if not chosen:
        return []
    ids = ", ".join(str(situation) for _, situation in chosen)
    rows = query(folder, f"SELECT * FROM situations WHERE situation_id IN ({ids})").to_dicts()
    found = {(str(row["decision"]), int(row["situation_id"])): row for row in rows}
    return [
        ShownSituation(
            key[0],
            met[key],
            str(found[key]["prompt"]),
            tuple(str(option) for option in found[key]["options"]),
            tuple(float(np.exp(value)) for value in found[key]["logp"]),
            float(found[key]["mass"]),
        )
        for key in chosen
        if key in found
    ]


def _read_counts(folder: Path) -> dict[str, int]:
    from engine.runs import read_result

    result = read_result(folder)
    return {
        "model calls": result.model_calls,
        "situations": result.situations,
        "answers taken from the cache": result.cache_hits,
    }
