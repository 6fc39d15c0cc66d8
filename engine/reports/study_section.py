"""The study in tables: knobs, people, ties, who decides, interventions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.contract import ScenarioInfo
from engine.decision import Decimals, Integers
from engine.loading import study_tables
from engine.regressions import describe_regression
from engine.spec import DecisionSpec, InterventionSpec, MapSpec, PopulationSpec, Sample, Study, Top, Whom
from engine.store import query

Rows = list[dict[str, Any]]
MAX_COLUMNS = 40
LONG_TEXT = 40
MAX_LABELS = 12
BOUNDS = ("ge", "gt", "le", "lt")
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def tabulate_knobs(study: Study, info: ScenarioInfo) -> Rows:
    """Return one row per knob: name, value, default, unit, range, help, and whether the study changed it."""
    params = info.params(**study.params)
    rows = []
    for name, field in info.params.model_fields.items():
        value = getattr(params, name)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        held = [(b, getattr(part, b)) for part in field.metadata for b in BOUNDS if getattr(part, b, None) is not None]
        rows.append(
            {
                "name": name,
                "value": show_exactly(value),
                "default": show_exactly(field.default),
                "unit": extra.get("unit", ""),
                "range": ", ".join(f"{SIGNS[bound]} {show_exactly(limit)}" for bound, limit in held),
                "help": field.description or "",
                "strong": value != field.default,
            }
        )
    return rows


def tabulate_people(folder: Path) -> Rows:
    """Return one row per persona column: its name and what its values are at the start."""
    # Aggregated in the database, so that a population of millions never becomes a frame here.
    described = query(folder, "SELECT column_name, column_type FROM (DESCRIBE agents)").to_dicts()
    skipped = {"agent_id", "entered", "left"}
    kinds = {str(row["column_name"]): str(row["column_type"]) for row in described}
    kinds = {name: kind for name, kind in kinds.items() if name not in skipped and not name.startswith("initial_")}
    kept = dict(list(kinds.items())[:MAX_COLUMNS])
    numbers = _describe_numbers(folder, kept)
    rows: Rows = [
        {"name": name, "values": numbers[name] if name in numbers else _describe_texts(folder, name)} for name in kept
    ]
    if len(kinds) > len(kept):
        rows.append({"name": "…", "values": "further columns are in the table agents"})
    return rows


def _describe_numbers(folder: Path, kinds: Mapping[str, str]) -> dict[str, str]:
    """Return what the numbers and truth values are, by column, from one pass over the people."""
    names = [name for name, kind in kinds.items() if kind != "VARCHAR"]
    if not names:
        return {}
    asked = [f"avg({q}::DOUBLE), min({q}::DOUBLE), max({q}::DOUBLE)" for q in map(_quoted, names)]
    found = query(folder, f"SELECT {', '.join(asked)} FROM agents").row(0)
    told = {}
    for place, name in enumerate(names):
        mean, low, high = found[3 * place : 3 * place + 3]
        if kinds[name] == "BOOLEAN":
            told[name] = "no value" if mean is None else f"yes {mean:.0%}"
        else:
            told[name] = f"mean {show(mean)}, {show(low)} to {show(high)}"
    return told


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _describe_texts(folder: Path, name: str) -> str:
    quoted = _quoted(name)
    counts = query(
        folder,
        f"SELECT {quoted} AS v, count(*) AS n, sum(count(*)) OVER ()::BIGINT AS total, count(*) OVER () AS different "
        "FROM agents GROUP BY 1 ORDER BY n DESC, v LIMIT 9",
    )
    if counts.is_empty():
        return "no value"
    total, different = int(counts["total"][0]), int(counts["different"][0])
    length = max(len(str(value)) for value in counts["v"])
    if length > LONG_TEXT or (counts.height > 8 and int(counts["n"][0]) * 20 < total):
        return f"texts, {different:,} different"
    told = [f"{str(value)[:60]} {n / total:.0%}" for value, n in counts.select("v", "n").head(8).iter_rows()]
    return ", ".join(told) + (", …" if counts.height > 8 else "")


def tabulate_layers(study: Study, folder: Path, n_agents: int) -> Rows:
    """Return one row per layer of ties: name, kind, parameters, ties, mean degree."""
    held = {row["layer"]: row for row in query(folder, "SELECT * FROM layers ORDER BY layer").to_dicts()}
    rows = []
    for layer in study.layers:
        found = held.get(layer.name, {})
        ties = found.get("n_ties")
        if found.get("complete"):
            ties = n_agents * (n_agents - 1) // 2
        both = 1 if found.get("directed") else 2
        rows.append(
            {
                "name": layer.name,
                "kind": f"{layer.kind}, shuffled" if layer.shuffle else layer.kind,
                "params": ", ".join(f"{name} = {show_exactly(value)}" for name, value in layer.params.items())
                or "none",
                "ties": "not recorded" if ties is None else f"{int(ties):,}",
                "degree": "" if ties is None or not n_agents else show(both * int(ties) / n_agents),
            }
        )
    return rows


def tabulate_survey(spec: PopulationSpec) -> Rows:
    """Return one row per column that comes from a survey file: variable, what became of it, missing answers."""
    rows: Rows = [{"name": name, **_describe_mapping(mapped)} for name, mapped in spec.map.items()]
    return rows + [
        {"name": name, "variable": name, "change": "kept as it is", "missing": "rows dropped"} for name in spec.keep
    ]


def _describe_mapping(mapped: MapSpec) -> dict[str, str]:
    told = []
    if mapped.range and mapped.to:
        (a, b), (c, d) = mapped.range, mapped.to
        told.append(f"{show_exactly(a)} to {show_exactly(b)} becomes {show_exactly(c)} to {show_exactly(d)}, linear")
    elif mapped.range:
        told.append(f"as it is, {show_exactly(mapped.range[0])} to {show_exactly(mapped.range[1])} allowed")
    if mapped.labels:
        named = [f"{old} → {show_exactly(new)}" for old, new in mapped.labels.items()]
        told.append(
            ", ".join(named[:MAX_LABELS]) + (f" and {len(named) - MAX_LABELS} more" * (len(named) > MAX_LABELS))
        )
    missing = {"drop": "rows dropped", "draw": "an answer drawn from those who gave one, by weight"}[mapped.missing]
    if mapped.missing_codes:
        missing += f"; also missing: {', '.join(show_exactly(code) for code in mapped.missing_codes)}"
    return {"variable": mapped.variable, "change": "; ".join(told) or "as it is", "missing": missing}


def describe_survey(spec: PopulationSpec, n_agents: int) -> str:
    """Return where a population of respondents comes from, in words that follow "The agents "."""
    drawn = (
        f"with probability proportional to the weight “{spec.weight}”"
        if spec.weight
        else "with equal probability (no weight)"
    )
    kept = (
        "The study says that the file may be passed on"
        if spec.redistribute
        else "The file may not be passed on: a run keeps only the columns of the respondents that were drawn"
    )
    return (
        f"are {n_agents:,} respondents drawn with replacement from the survey file “{spec.file}”, {drawn}; "
        f"{len(spec.map) + len(spec.keep)} of its variables became columns. {kept}"
    )


def describe_policy(chosen: DecisionSpec | None, *, rule: str = "the scenario's rule") -> str:
    """Return who decides, in words; a regression in the place of the rule is named with its coefficients.

    Args:
        chosen: What the study says about the decision; None where it says nothing.
        rule: What the rule is where no regression takes its place.
    """
    if chosen is None:
        return rule
    if chosen.regression is not None:
        rule = f"a regression: {describe_regression(chosen.regression)}"
    return {
        "rule": rule,
        "language": "the language model",
        "scripted": "seeded random answers (no meaning)",
        "mixture": f"the language model for a share of {show(chosen.share)}, else {rule}",
        "surrogate": "a regression fitted to the language model's own answers, and the model where it is unsure",
    }[chosen.policy]


def tabulate_decisions(study: Study, info: ScenarioInfo) -> Rows:
    """Return one row per decision and kind of text: question, options, and who decides or writes."""
    rows = []
    for decision in info.decisions:
        chosen = study.decisions.get(decision.name)
        answer = decision.answer
        options = (
            f"{answer.low} to {answer.high}" if isinstance(answer, Integers | Decimals) else " / ".join(answer.texts)
        )
        options = options or "items that are offered to each agent"
        rows.append(
            {
                "name": decision.name,
                "question": decision.question,
                "options": options,
                "who": describe_policy(chosen) + _describe_asking(chosen, decision.persona_fields, orders=True),
            }
        )
    first = study.decisions.get(info.decisions[0].name) if info.decisions else None
    for writing in info.writings:
        chosen = study.decisions.get(writing.name, first)
        who = {
            "language": "the language model",
            "surrogate": "the language model",
            "mixture": "the language model or fixed texts",
        }
        told = who.get(chosen.policy if chosen else "rule", "fixed texts of the scenario")
        asking = _describe_asking(chosen, writing.persona_fields, orders=False)
        rows.append({"name": writing.name, "question": writing.question, "options": "free text", "who": told + asking})
    return rows


def shown_fields(chosen: DecisionSpec | None, own: Sequence[str]) -> tuple[str, ...]:
    """Return the persona columns that a language policy is shown; none where no language model decides."""
    if chosen is None or chosen.policy not in ("language", "mixture", "surrogate"):
        return ()
    return tuple(own) if chosen.persona_fields is None else chosen.persona_fields


ORDERS = {
    "both": "options asked forwards and backwards",
    "forward": "options asked forwards",
    "rotations": "options asked in every rotation",
}


def _describe_calibration(chosen: DecisionSpec) -> str:
    """Return how the model's answers are corrected, beginning with "; ", or an empty string."""
    told, calibration = ["a short reason first"] if chosen.reason else [], chosen.calibration
    if calibration is not None:
        if calibration.normalisation == "pmi":
            told.append(f"log P minus log P under “{calibration.neutral}”")
        elif calibration.normalisation == "bytes":
            told.append("log P per byte")
        if calibration.shares:
            told.append("fitted to given shares" + (f" by {calibration.by}" if calibration.by else ""))
        if calibration.least_mass > 0:
            then = {"count": "are counted", "rule": "go to the rule", "stop": "stop the run"}[calibration.unusable]
            told.append(f"answers with a captured mass below {show(calibration.least_mass)} {then}")
    return "".join(f"; {part}" for part in told)


def _describe_asking(chosen: DecisionSpec | None, own: Sequence[str], *, orders: bool) -> str:
    if chosen is None or chosen.policy not in ("language", "mixture", "surrogate"):
        return ""
    shown = ", ".join(shown_fields(chosen, own)) or "no persona fields"
    order = ORDERS[chosen.option_order]
    how = f"; {order}; temperature {show(chosen.temperature)}{_describe_calibration(chosen)}" if orders else ""
    return f" (shown: {shown}{how})"


def tabulate_differences(study: Study, first: Study) -> Rows:
    """Return one row per key of the study file that differs between two studies: key, value in each.

    Interventions, which have a table of their own, and words and recording are left out.
    """
    one, other = (flatten(study_tables(each)) for each in (study, first))
    skipped = ("title", "question", "replicates", "record", "interventions")
    keys = [key for key in dict.fromkeys([*other, *one]) if one.get(key) != other.get(key)]
    return [
        {
            "key": key,
            "value": show_exactly(one[key]) if key in one else "not set",
            "first": show_exactly(other[key]) if key in other else "not set",
        }
        for key in keys
        if key.split(".")[0] not in skipped
    ]


def flatten(tables: Any, path: str = "") -> dict[str, Any]:
    """Return the values of nested tables by dotted key; lists of tables are numbered from 1."""
    if isinstance(tables, dict):
        parts = [flatten(value, f"{path}.{key}" if path else str(key)) for key, value in tables.items()]
    elif isinstance(tables, list) and tables and isinstance(tables[0], dict):
        parts = [flatten(value, f"{path}.{number + 1}") for number, value in enumerate(tables)]
    else:
        return {path: tables}
    return {key: value for part in parts for key, value in part.items()}


def tabulate_interventions(study: Study) -> Rows:
    """Return one row per intervention: name, when, whom, what."""
    return [
        {
            "name": spec.name,
            "when": describe_when(spec),
            "whom": describe_whom(spec.whom),
            "what": describe_effect(spec),
        }
        for spec in study.interventions
    ]


def describe_when(spec: InterventionSpec) -> str:
    """Return when an intervention acts, in words."""
    if spec.at is not None:
        return f"on the state at step {spec.at}"
    every = "every step" if spec.every == 1 else f"every {spec.every} steps"
    when = every if spec.every is not None else f"when {spec.when}"
    return when + (f", until step {spec.until}" if spec.until is not None else "")


def describe_whom(whom: Whom) -> str:
    """Return whom an intervention reaches, in words."""
    told = []
    if whom.ids is not None:
        told.append(f"agents {', '.join(str(agent) for agent in whom.ids[:20])}{' …' if len(whom.ids) > 20 else ''}")
    if whom.where:
        told.append(f"agents with {whom.where}")
    if whom.top:
        told.append(f"the {_amount(whom.top)} with the largest {whom.top.by}")
    if whom.sample:
        told.append(f"{_amount(whom.sample)} drawn at random")
    return ", of these ".join(told) or "everyone"


def _amount(part: Top | Sample) -> str:
    return f"{100 * part.share:.4g} %" if part.share is not None else f"{part.n} agents"


def describe_effect(spec: InterventionSpec) -> str:
    """Return what an intervention does, in words."""
    rest = {name: value for name, value in spec.do.model_dump().items() if name != "effect"}
    return spec.do.effect + (
        f" ({', '.join(f'{name} = {show(value)}' for name, value in rest.items())})" if rest else ""
    )


def show(value: Any) -> str:
    """Return a value as a table shows it: numbers with four digits or whole, a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value != value:
            return "–"
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    return str(value)


def show_exactly(value: Any) -> str:
    """Return a value of the study with all of its digits."""
    return f"{value:.12g}" if isinstance(value, float) else show(value)
