"""Target shares of a study, on the columns that people have: checked, raked, and told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import PopulationError
from engine.population.columns import Column
from engine.population.raking import Marginal, Raked, check_cells, rake, read_shares
from engine.population.tables import given_parent, partition_values
from engine.population.text import quoted
from engine.registry import nearest
from engine.spec import RakeSpec

WHERE = "population.rake.targets"
MAX_COLUMNS = 40


def check_targets(spec: RakeSpec, columns: Mapping[str, Column], problems: list[str]) -> None:
    """Add what is wrong with the targets whoever the people are: unknown columns, shares that do not sum."""
    if not spec.targets or len(spec.targets) > MAX_COLUMNS:
        problems.append(f"raking needs the shares of 1 to {MAX_COLUMNS} columns @ {WHERE}")
    read_shares(spec.targets, WHERE, problems)
    for name in spec.targets:
        if name not in columns:
            problems.append(f"{quoted(name)} is not a column{nearest(name, columns)} @ {WHERE}.{name}")
        elif columns[name].kind == "text":
            problems.append(f"{quoted(name)} is a text column; shares need categories or intervals @ {WHERE}.{name}")


def read_marginals(
    spec: RakeSpec, people: Mapping[str, tuple[Column, NDArray[Any]]], problems: list[str]
) -> list[Marginal]:
    """Return the targets on people's values; what does not fit is added to `problems`."""
    check_targets(spec, {name: column for name, (column, _) in people.items()}, problems)
    if problems:
        return []
    shares = read_shares(spec.targets, WHERE, problems)
    marginals = []
    for name, row in spec.targets.items():
        column, values = people[name]
        if column.kind in ("integer", "float"):  # values that nobody has need no interval
            column = dataclasses.replace(column, low=float(values.min()), high=float(values.max()))
        partition = partition_values(list(row), name, given_parent(name, column, values), problems, f"{WHERE}.{name}")
        if partition is not None:
            marginals.append(Marginal(name, tuple(row), shares[name], partition.positions(values)))
    return marginals


def rake_people(
    spec: RakeSpec, people: Mapping[str, tuple[Column, NDArray[Any]]], weights: NDArray[np.float64]
) -> Raked:
    """Return raked weights of people, 0 where the first weight is 0.

    Args:
        spec: The targets.
        people: Column and one value per person, by name.
        weights: First weights, at least 0.

    Raises:
        PopulationError: one line per target that does not fit or cannot be reached, or how far raking got.
    """
    problems: list[str] = []
    usable = weights > 0
    held = {name: (column, values[usable]) for name, (column, values) in people.items() if name in spec.targets}
    marginals = read_marginals(spec, {**people, **held}, problems)
    if not problems:
        problems += check_cells(marginals, weights[usable], WHERE)
    if problems:
        raise PopulationError("\n".join(problems))
    raked = rake(marginals, weights[usable], tolerance=spec.tolerance, rounds=spec.rounds)
    if not raked.is_converged:
        raise PopulationError(not_converged(raked, spec))
    full = np.zeros(weights.size)
    full[usable] = raked.weights
    return dataclasses.replace(raked, weights=full)


def not_converged(raked: Raked, spec: RakeSpec) -> str:
    """Return in one sentence how far raking got and what to do."""
    column, label = raked.worst
    return (
        f"raking did not converge in {raked.rounds} rounds: {quoted(label)} is still {raked.difference:.2g} from its "
        f"share, and {raked.n_empty:,} of {raked.n_cells:,} combinations have nobody; merge categories, allow more "
        f"rounds or a larger tolerance than {spec.tolerance:g} @ {WHERE}.{column}"
    )
