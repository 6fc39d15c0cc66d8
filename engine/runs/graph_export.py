"""A run's ties for network programs: GraphML, GEXF, Pajek or a matrix, with the agents' columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import NetworkError
from engine.network import Graph, write_graphml
from engine.network.formats import write_gexf, write_matrix, write_pajek
from engine.runs.statistics_export import last_agents
from engine.store.readers import query, read_edges

FORMS = {"graphml": ".graphml", "gexf": ".gexf", "pajek": ".net", "matrix": ".csv"}


def write_ties(folder: Path, to: str, out: Path) -> Path:
    """Write the ties of a run's last step and return the file.

    A run of several layers gives one file each, NAME-LAYER.SUFFIX beside `out`; the first one's path is returned.
    Agents carry their persona columns and last states.

    Raises:
        NetworkError: too many ties or agents for the form.
    """
    agents = last_agents(folder)
    edges = read_edges(folder, _last_step(folder))
    layers = query(folder, "select layer, directed, stored from layers")
    written = []
    for name, directed, stored in layers.iter_rows():
        if not stored:
            raise NetworkError(
                f"layer '{name}' is complete and its ties are not stored; export csv for the agents alone"
            )
        graph = _graph(edges.filter(pl.col("layer") == name), agents.height, directed)
        place = out if layers.height == 1 else out.with_name(f"{out.stem}-{name}{out.suffix}")
        written.append(_write(to, graph, place, _plain(agents)))
    return written[0]


def _last_step(folder: Path) -> int:
    return int(query(folder, "select coalesce(max(step), 0) from measures").item())


def _graph(rows: pl.DataFrame, n: int, directed: bool) -> Graph:
    weights = rows["weight"].to_numpy()
    given = None if (weights == 1).all() else weights
    return Graph.from_edges(n, rows["source"].to_numpy(), rows["target"].to_numpy(), given, directed=directed)


def _plain(agents: pl.DataFrame) -> Mapping[str, Sequence[Any]]:
    """Return the agents' columns without their numbers, for node attributes; missing numbers are left out."""
    columns = agents.drop("agent_id")
    floats = [name for name, kind in columns.schema.items() if kind.is_float()]
    return columns.with_columns(pl.col(floats).fill_nan(None)).to_dict(as_series=False)


def _write(to: str, graph: Graph, path: Path, columns: Mapping[str, Sequence[Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if to == "graphml":
        return write_graphml(graph, path, columns)
    if to == "gexf":
        return write_gexf(graph, path, columns)
    if to == "pajek":
        names = columns.get("display_name")
        return write_pajek(graph, path, None if names is None or len(set(names)) < len(names) else list(names))
    return write_matrix(graph, path)
