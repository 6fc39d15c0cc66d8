"""Check what a layer of ties says beside its kind: ties by hand, weights, signs, and columns of the agents."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from engine.population.columns import Column
from engine.problems import Findings, Path, check_shape, shown, unknown
from engine.spec import LayerSpec

LAYER_KEYS = ("name", "kind", "shuffle", "add", "cut", "weigh", "signed", "agent_columns")
_BESIDE = ("add", "cut", "weigh", "signed", "agent_columns")


def _number(help: str, low: float | None = None, high: float | None = None, whole: bool = False) -> Column:
    kind, dtype = ("integer", "int64") if whole else ("float", "float64")
    return Column(kind, dtype, low=low, high=high, help=help)  # type: ignore[arg-type]


MEASURED = {
    "degree": _number("Number of ties.", 0, whole=True),
    "strength": _number("Sum of the weights of the ties."),
    "betweenness": _number("Share of the shortest paths between others that lead past the agent.", 0, 1),
    "closeness": _number("How near the others that can be reached are, with their share.", 0, 1),
    "eigenvector": _number("Ties to agents who themselves have many; the best connected has 1.", 0, 1),
    "pagerank": _number("Share of a random walk's time that is spent with the agent.", 0, 1),
    "k_core": _number("Largest k for which the agent is in a group where all have k ties.", 0, whole=True),
    "clustering": _number("Share of the pairs of neighbours that are tied.", 0, 1),
    "component": _number("Number of the connected part of the network, from 0.", 0, whole=True),
    "community": _number("Number of the community by label propagation, from 0.", 0, whole=True),
}
"""Measures of an agent's place in a layer, and the columns that they make."""


def check_beside(table: Mapping[str, Any], path: Path, size: int | None, findings: Findings) -> dict[str, Any]:
    """Return the fields of `LayerSpec` beside name, kind and parameters; problems go to `findings`.

    Args:
        table: One layer as in the study's file.
        path: Its key.
        size: Number of agents where the study states it.
        findings: Where problems go.
    """
    given = {key: table[key] for key in _BESIDE if key in table}
    if not given:
        return {}
    spec = check_shape(LayerSpec, given, path, findings, "a key of a layer")
    if spec is None:
        return {}
    for key in ("add", "cut"):
        for place, tie in enumerate(getattr(spec, key)):
            problem = _tie_problem(tie, key, size, spec.signed)
            if problem:
                findings.add(problem, *path, key, place)
    for name, measure in spec.agent_columns.items():
        if measure not in MEASURED:
            findings.add(unknown(measure, "a measure of agents", list(MEASURED)), *path, "agent_columns", name)
    if spec.weigh is not None:
        _check_weigh(spec, path, findings)
    return {key: getattr(spec, key) for key in given}


def _tie_problem(tie: Sequence[float], key: str, size: int | None, signed: bool) -> str:
    lengths = (2, 3) if key == "add" else (2,)
    form = "[agent, agent] or [agent, agent, weight]" if key == "add" else "[agent, agent]"
    if len(tie) not in lengths or any(end != int(end) for end in tie[:2]):
        return f"{shown(list(tie))} is not a tie; write {form}"
    last = "" if size is None else f" to {size - 1}"
    strange = [int(end) for end in tie[:2] if end < 0 or (size is not None and end >= size)]
    if strange:
        return f"agent {strange[0]} does not exist; ids run from 0{last}"
    if tie[0] == tie[1]:
        return f"agent {int(tie[0])} cannot be tied to itself; a tie joins two different agents"
    if len(tie) == 3 and tie[2] < 0 and not signed:
        return f"weight {tie[2]:g} is negative; give 0 or more, or set signed = true in this layer"
    return ""


def _check_weigh(spec: LayerSpec, path: Path, findings: Findings) -> None:
    weigh = spec.weigh
    if weigh is None:
        return
    if weigh.distribution == "column" and not weigh.column:
        findings.add("column is missing: the numeric column of which both ends' mean is the weight", *path, "weigh")
    if weigh.distribution == "uniform" and weigh.low > weigh.high:
        findings.add(f"low = {weigh.low:g} lies above high = {weigh.high:g}; exchange them", *path, "weigh", "low")
    if weigh.negative and not spec.signed:
        message = f"negative = {weigh.negative:g} makes negative weights; set signed = true in this layer"
        findings.add(message, *path, "weigh", "negative")
    if weigh.negative_across and not spec.signed:
        message = f"negative_across = '{weigh.negative_across}' makes negative weights; set signed = true in this layer"
        findings.add(message, *path, "weigh", "negative_across")
    if weigh.distribution == "uniform" and weigh.low < 0 and not spec.signed:
        findings.add(f"low = {weigh.low:g} is negative; set signed = true in this layer", *path, "weigh", "low")


def layer_columns(
    layers: Sequence[LayerSpec], persona: Mapping[str, Any], info: Any, findings: Findings, certain: bool = True
) -> dict[str, Column]:
    """Return the columns that the layers give the agents; what is wrong with them goes to `findings`.

    Args:
        layers: The study's layers.
        persona: Columns of the population.
        info: The scenario, or None.
        findings: Where problems go.
        certain: Whether `persona` is the population's and not a guess.
    """
    schema = importlib.import_module("engine.population.schema")  # the population stands above this module
    found: dict[str, Column] = {}
    states = {} if info is None else info.columns
    for position, layer in enumerate(layers):
        path: Path = ("network", "layers", position)
        for name, measure in layer.agent_columns.items():
            wrong = schema.name_problem(name)
            if wrong:
                findings.add(wrong, *path, "agent_columns")
            elif name in found or name in states or (certain and name in persona):
                findings.add(f"'{name}' is a column already; choose another name", *path, "agent_columns", name)
            elif measure in MEASURED:
                found[name] = MEASURED[measure]
        if layer.weigh is not None and layer.weigh.column and certain:
            column = persona.get(layer.weigh.column)
            if column is None:
                sentence = unknown(layer.weigh.column, "a column of the population", persona)
                findings.add(sentence, *path, "weigh", "column")
            elif column.kind not in ("integer", "float"):
                sentence = f"'{layer.weigh.column}' is a {column.kind} column; weights need a numeric one"
                findings.add(sentence, *path, "weigh", "column")
        if layer.weigh is not None and layer.weigh.negative_across and certain:
            camp = layer.weigh.negative_across
            if camp not in persona:
                findings.add(unknown(camp, "a column of the population", persona), *path, "weigh", "negative_across")
            elif persona[camp].kind in ("text", "float"):
                sentence = f"'{camp}' is a {persona[camp].kind} column; camps need categories or whole numbers"
                findings.add(sentence, *path, "weigh", "negative_across")
    return found


def check_groups(groups: Mapping[str, Sequence[int]], size: int | None, findings: Findings) -> None:
    """Report members of `[population.groups]` who do not exist."""
    for name, ids in groups.items():
        strange = [agent for agent in ids if agent < 0 or (size is not None and agent >= size)]
        if strange:
            last = "" if size is None else f" to {size - 1}"
            message = f"agent {strange[0]} does not exist; ids run from 0{last}"
            findings.add(message, "population", "groups", name)


def check_signs(layers: Sequence[LayerSpec], info: Any, findings: Findings) -> None:
    """Report signed layers where the scenario takes every tie for a friendly one."""
    if info is None or info.signed_ties:
        return
    for position, layer in enumerate(layers):
        if layer.signed:
            message = f"{info.name} has no use for negative ties; leave signed out, or choose a scenario that has"
            findings.add(message, "network", "layers", position, "signed")
