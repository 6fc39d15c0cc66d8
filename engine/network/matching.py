"""Observed ties from a file, whose ends are agents' numbers or names in a column of the population."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine import registry
from engine.errors import NetworkError
from engine.network.files import CSV_SUFFIXES, count_ties, find_network_file, read_graph, read_named, read_table
from engine.network.formats import is_matrix
from engine.network.generators import Generator
from engine.network.graph import Graph, edges_to_graph, named_rows
from engine.network.parameters import FromFile
from engine.population.columns import Column

_FIRST_ROW = 2


def check_match(params: FromFile, columns: Mapping[str, Column]) -> None:
    """Refuse a column of names that the population does not have.

    Raises:
        NetworkError: no such column.
    """
    if params.match is not None and params.match not in columns:
        hint = registry.nearest(params.match, columns) if columns else "; the network needs a population with it"
        raise NetworkError(f"'{params.match}' is not a column of the population{hint}")


def find_agents(column: Column, name: str, values: NDArray[Any]) -> dict[str, int]:
    """Return the agent of each name.

    Args:
        column: Type of the column of names.
        name: Its name, for messages.
        values: One value per agent.

    Raises:
        NetworkError: a name that two agents have; says which.
    """
    if column.kind == "category":
        texts = [column.labels[code] for code in values.tolist()]
    elif column.kind in ("integer", "float"):
        texts = [f"{value:.10g}" for value in values.tolist()]
    else:
        texts = [str(value).strip() for value in values.tolist()]
    found: dict[str, int] = {}
    for agent, text in enumerate(texts):
        if found.setdefault(text, agent) != agent:
            raise NetworkError(
                f"'{text[:60]}' in column '{name}' is both agent {found[text]} and agent {agent}; ties need names that "
                "differ: choose another column, or take each respondent once"
            )
    return found


def read_matched(params: FromFile, base: Path | None, column: Column, values: NDArray[Any]) -> Graph:
    """Read a file of ties whose ends are values of one column; who is not named has no tie.

    Args:
        params: Parameters of `file`, with `match`.
        base: Folder of the study.
        column: Type of that column.
        values: Its value for each agent.

    Raises:
        NetworkError: the file cannot be read, or names people who are not in the population; says which rows.
    """
    path = find_network_file(params.path, base)
    agents = find_agents(column, str(params.match), values)
    if path.suffix.lower() in CSV_SUFFIXES and not is_matrix(path, (params.source, params.target)):
        return _from_list(path, params, agents, len(values))
    graph, names, _ = read_named(path, directed=params.directed, signed=params._signed)
    place = np.array([agents.get(name, -1) for name in names], np.int64)
    if (place < 0).any():
        unknown = [name for name, agent in zip(names, place, strict=True) if agent < 0]
        raise NetworkError(f"{path.name}: {_nobody(unknown, params)}")
    source, target, weight = graph.edges()
    weights = None if graph.weights is None else weight
    ends = (place[source], place[target])
    return edges_to_graph(len(values), *ends, weights, directed=graph.directed, signed=params._signed)


def _from_list(path: Path, params: FromFile, agents: Mapping[str, int], n: int) -> Graph:
    names = [params.source, params.target, *([params.weight] if params.weight else [])]
    table = read_table(path, names)
    ends = [
        np.array([agents.get(str(cell).strip(), -1) for cell in table[name].to_list()], np.int64) for name in names[:2]
    ]
    wrong = (ends[0] < 0) | (ends[1] < 0)
    if wrong.any():
        row = int(wrong.argmax())
        cell = table[names[0] if ends[0][row] < 0 else names[1]][row]
        raise NetworkError(f"{path.name}: {_nobody([str(cell)], params)}{named_rows(wrong, _FIRST_ROW)}")
    weights = None
    if params.weight:
        given = table[params.weight].str.strip_chars().cast(pl.Float64, strict=False)
        if given.null_count():
            rows = named_rows(given.is_null().to_numpy(), _FIRST_ROW)
            raise NetworkError(f"{path.name}: column '{params.weight}' has cells that are no numbers{rows}")
        weights = given.to_numpy()
    return edges_to_graph(
        n,
        ends[0],
        ends[1],
        weights,
        directed=params.directed,
        where=path.name,
        first_row=_FIRST_ROW,
        signed=params._signed,
    )


def _nobody(unknown: list[str], params: FromFile) -> str:
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return f"nobody's {params.match} is {', '.join(repr(name[:40]) for name in unknown[:5])}{more}"


def build_from_file(
    params: FromFile, n: int, seed: int, stream: str, base: Path | None = None, population: Any = None
) -> Graph:
    """Read ties from a file. Raises NetworkError where it does not fit n agents, or names people who are not there."""
    if params.match is not None:
        check_match(params, {} if population is None else population.columns)
        return read_matched(params, base, population.columns[params.match], population.values[params.match])
    columns = (params.source, params.target, params.weight)
    return read_graph(
        find_network_file(params.path, base), n, *columns, directed=params.directed, signed=params._signed
    )


def _file_ties(params: FromFile, n: int, base: Path | None = None) -> float:
    return float(count_ties(find_network_file(params.path, base), n))


registry.networks.register(
    "file",
    Generator(
        "file",
        FromFile,
        build_from_file,
        _file_ties,
        "Observed ties from a file: CSV list or matrix, GraphML, GEXF or Pajek.",
        check_population=check_match,
    ),
)
