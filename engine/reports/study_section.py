"""The study in tables: knobs, people, ties, who decides, interventions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.contract import ScenarioInfo
from engine.decision import Integers
from engine.spec import InterventionSpec, Sample, Study, Top, Whom
from engine.store import query

Rows = list[dict[str, Any]]
MAX_COLUMNS = 40
LONG_TEXT = 40
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
                "changed": value != field.default,
            }
        )
    return rows


def tabulate_people(folder: Path) -> Rows:
    """Return one row per persona column: its name and what its values are at the start."""
    # Aggregated in the database, so that a population of millions never becomes a frame here.
    described = query(folder, "SELECT column_name, column_type FROM (DESCRIBE agents)").to_dicts()
    skipped = {"agent_id", "entered", "left"}
    rows: Rows = []
    for row in described:
        name, kind = str(row["column_name"]), str(row["column_type"])
        if name in skipped or name.startswith("initial_"):
            continue
        if len(rows) == MAX_COLUMNS:
            rows.append({"name": "…", "values": "further columns are in the table agents"})
            break
        rows.append({"name": name, "values": _values(folder, name, kind)})
    return rows


def _values(folder: Path, name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    if kind == "VARCHAR":
        counts = query(folder, f"SELECT {quoted} AS v, count(*) AS n FROM agents GROUP BY 1 ORDER BY n DESC, v LIMIT 9")
        total = int(query(folder, "SELECT count(*) AS n FROM agents")["n"][0])
        length = max((len(str(v)) for v in counts["v"]), default=0)
        if length > LONG_TEXT or (counts.height > 8 and int(counts["n"][0]) * 20 < total):
            return (
                f"texts, {int(query(folder, f'SELECT count(DISTINCT {quoted}) AS n FROM agents')['n'][0]):,} different"
            )
        told = [f"{str(v)[:60]} {n / total:.0%}" for v, n in counts.head(8).iter_rows()]
        return ", ".join(told) + (", …" if counts.height > 8 else "")
    if kind == "BOOLEAN":
        return f"yes {float(query(folder, f'SELECT avg({quoted}::INT) AS a FROM agents')['a'][0]):.0%}"
    found = query(folder, f"SELECT avg({quoted}) AS a, min({quoted}) AS b, max({quoted}) AS c FROM agents").row(0)
    return f"mean {show(found[0])}, {show(found[1])} to {show(found[2])}"


def tabulate_layers(study: Study, folder: Path, n_agents: int) -> Rows:
    """Return one row per layer of ties: name, kind, parameters, ties, mean degree."""
    held = {row["layer"]: row for row in query(folder, "SELECT * FROM layers").to_dicts()}
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
                "kind": layer.kind,
                "params": ", ".join(f"{name} = {show_exactly(value)}" for name, value in layer.params.items())
                or "none",
                "ties": "not recorded" if ties is None else f"{int(ties):,}",
                "degree": "" if ties is None or not n_agents else show(both * int(ties) / n_agents),
            }
        )
    return rows


def tabulate_decisions(study: Study, info: ScenarioInfo) -> Rows:
    """Return one row per decision: question, options, and who decides."""
    rows = []
    for decision in info.decisions:
        chosen = study.decisions.get(decision.name)
        policy = chosen.policy if chosen else "rule"
        answer = decision.answer
        options = f"{answer.low} to {answer.high}" if isinstance(answer, Integers) else " / ".join(answer.texts)
        who = {
            "rule": "the scenario's rule",
            "language": "the language model",
            "scripted": "seeded random answers (no meaning)",
            "mixture": f"the language model for a share of {show(chosen.share) if chosen else ''}, else the rule",
        }[policy]
        fields = decision.persona_fields
        if chosen is not None and chosen.persona_fields is not None:
            fields = chosen.persona_fields
        shown = ", ".join(fields) or "no persona fields"
        order = {"both": "options asked forwards and backwards", "forward": "options asked forwards"}
        detail = ""
        if policy in {"language", "mixture"} and chosen is not None:
            detail = f"shown: {shown}; {order[chosen.option_order]}; temperature {show(chosen.temperature)}"
        rows.append(
            {"name": decision.name, "question": decision.question, "options": options, "who": who, "detail": detail}
        )
    return rows


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
