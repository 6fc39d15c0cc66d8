"""Networks in files: CSV lists of ties and GraphML, read with every problem named by its row, and written."""

from __future__ import annotations

import csv
import importlib.resources
import io
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine import registry
from engine.errors import NetworkError
from engine.network.formats import (
    GEXF_SUFFIXES,
    PAJEK_SUFFIXES,
    is_matrix,
    read_gexf,
    read_matrix,
    read_pajek,
    to_networkx,
)
from engine.network.graph import Graph, edges_to_graph, named_rows

GRAPHML_SUFFIXES = (".graphml", ".xml")
CSV_SUFFIXES = (".csv", ".tsv", ".txt")
SUFFIXES = CSV_SUFFIXES + GRAPHML_SUFFIXES + GEXF_SUFFIXES + PAJEK_SUFFIXES
MOST_BYTES = 1_000_000_000
_SEPARATORS = (",", ";", "\t")
_FIRST_ROW = 2  # the header is row 1


@dataclass(frozen=True)
class GraphFile:
    """What a GraphML file holds.

    Attributes:
        graph: The ties; agent i is the i-th node of the file.
        node_ids: Name of each node in the file, in order.
        columns: Node attributes by name, one value per node; None where a node has none.
    """

    graph: Graph
    node_ids: tuple[str, ...]
    columns: dict[str, list[Any]]


def find_network_file(path: str, base: Path | None = None) -> Path:
    """Return the file that a study means: from the study's folder, or else a shipped one by its plain name.

    Args:
        path: As written in the study.
        base: Folder of the study; None for the current folder.

    Raises:
        NetworkError: no such file, not a file, or more than 1 GB, before anything is read.
    """
    place = (base or Path()) / path
    if path and place.is_file():
        size = place.stat().st_size
        if size > MOST_BYTES:
            raise NetworkError(
                f"'{path}' has {size / 1e9:.1f} GB; files of ties have at most {MOST_BYTES / 1e9:.0f} GB: leave out "
                "columns that are not needed, or take a part of the ties"
            )
        return place
    if path and place.is_dir():
        raise NetworkError(f"'{path}' is a folder; give the file with the ties")
    shipped = Path(str(importlib.resources.files("scenarios") / "networks"))
    if Path(path).name == path and (shipped / path).is_file():
        return shipped / path
    known = [item.name for item in sorted(shipped.iterdir()) if item.suffix in SUFFIXES]
    folder = (base or Path()).absolute()
    raise NetworkError(f"no file '{path}' in {folder} or among the shipped networks{registry.nearest(path, known)}")


def read_graph(
    path: Path,
    n: int,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    *,
    directed: bool = False,
    signed: bool = False,
) -> Graph:
    """Read the ties of n agents from a CSV list or matrix, GraphML, GEXF or Pajek, told apart by the file's suffix.

    A CSV file without the named columns that is as wide as its first row of numbers is a matrix.

    Raises:
        NetworkError: another suffix, or a file that cannot be read or does not fit n agents.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise NetworkError(f"{path.name}: files of ties end in {', '.join(SUFFIXES)}; rename or convert it")
    if suffix in CSV_SUFFIXES and not is_matrix(path, (source, target)):
        return read_csv_ties(path, n, source, target, weight, directed=directed, signed=signed)
    graph, names, _ = read_named(path, directed=directed, signed=signed)
    if graph.n != n:
        raise NetworkError(
            f"{path.name} has {graph.n} nodes, but the population has {n} agents; set population.size to {graph.n}"
        )
    return replace(graph, file_ids=() if names == tuple(map(str, range(n))) else names)


def read_named(
    path: Path, *, directed: bool = False, signed: bool = False
) -> tuple[Graph, tuple[str, ...], dict[str, list[Any]]]:
    """Read a file that names its nodes; returns (ties, names in order, node attributes by name).

    With `signed`, weights may be negative.

    Raises:
        NetworkError: the file cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix in GEXF_SUFFIXES:
        return read_gexf(path, signed=signed)
    if suffix in PAJEK_SUFFIXES:
        return read_pajek(path, signed=signed)
    if suffix in CSV_SUFFIXES:
        return read_matrix(path, directed=directed, signed=signed)
    held = read_graphml(path, signed=signed)
    return held.graph, held.node_ids, held.columns


def count_ties(path: Path, n: int) -> int:
    """Return about how many ties a file holds for n agents; a CSV list is counted by lines and not checked.

    Raises:
        NetworkError: as `read_graph`, but for the contents of a CSV list.
    """
    if path.suffix.lower() in CSV_SUFFIXES and not is_matrix(path, ("source", "target")):
        return max(_read_bytes(path).count(b"\n") - 1, 0)
    return read_named(path, directed=True, signed=True)[0].n_ties


def read_csv_ties(
    path: Path,
    n: int,
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    *,
    directed: bool = False,
    signed: bool = False,
) -> Graph:
    """Read a UTF-8 list of ties with a header; separated by comma, semicolon or tab. Row 1 is the header.

    Args:
        path: The file.
        n: Number of agents; ids in the file run from 0 to n - 1, or there are exactly n different ones, which are
            numbered in ascending order and kept in `file_ids`.
        source: Name of the column with the first agent of a tie.
        target: Name of the column with the second.
        weight: Name of the column with weights; None for none.
        directed: Whether (a, b) leaves (b, a) out.
        signed: Whether weights may be negative.

    Raises:
        NetworkError: wrong encoding, missing columns, cells that are no numbers, unknown agents, self loops, negative
            weights; the text names the rows.
    """
    names = [source, target] + ([weight] if weight else [])
    table = read_table(path, names)
    ids = pl.col(source, target).str.strip_chars().cast(pl.Int64, strict=False)
    typed = table.select(ids, *([pl.col(weight).str.strip_chars().cast(pl.Float64, strict=False)] if weight else []))
    problems = []
    for name in names:
        wrong = typed[name].is_null().to_numpy()
        if wrong.any():
            cell = table[name][int(wrong.argmax())]
            kind = "numbers" if name == weight else "whole numbers"
            problems.append(
                f"column '{name}' has cells that are no {kind} ({cell!r:.40}){named_rows(wrong, _FIRST_ROW)}"
            )
    if problems:
        raise NetworkError(f"{path.name}: " + "; ".join(problems))
    columns = [typed[name].to_numpy() for name in names]
    weights = columns[2] if weight else None
    names_in_file = _numbered(path, n, columns)
    graph = edges_to_graph(
        n, columns[0], columns[1], weights, directed=directed, where=path.name, first_row=_FIRST_ROW, signed=signed
    )
    return replace(graph, file_ids=names_in_file)


def _numbered(path: Path, n: int, columns: list[NDArray[Any]]) -> tuple[str, ...]:
    """Renumber the ends of ties in place where a file has n ids that are not 0 to n - 1; return the ids by agent.

    Ids below n need no renumbering: an agent without ties then has no row. Of other ids there must be exactly n,
    or nobody could tell which agents are without ties.

    Raises:
        NetworkError: unknown ids, and fewer different ones than agents; names the rows.
    """
    ends = np.concatenate(columns[:2])
    if not ends.size or ends.min() < 0 or ends.max() < n:
        return ()
    held = np.unique(ends)
    if held.size > n:
        return ()
    if held.size < n:
        unknown = (columns[0] >= n) | (columns[1] >= n)
        raise NetworkError(
            f"{path.name}: unknown agents{named_rows(unknown, _FIRST_ROW)}; ids run from 0 to {n - 1}, or set "
            f"population.size to {held.size}, the number of different ids, which are then numbered in ascending order"
        )
    for place in range(2):
        columns[place] = np.searchsorted(held, columns[place])
    return tuple(map(str, held.tolist()))


def read_table(path: Path, names: Sequence[str]) -> pl.DataFrame:
    """Read a UTF-8 CSV list as texts, separated by comma, semicolon or tab; empty rows at the end are left out.

    Raises:
        NetworkError: wrong encoding, or a missing or repeated column of those named; names the row.
    """
    raw = _read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise NetworkError(f"{path.name}: row {row} is not UTF-8; save the file with the encoding UTF-8") from None
    header = text.partition("\n")[0].rstrip("\r")
    separator = max(_SEPARATORS, key=lambda mark: len(set(names) & set(_cells(header, mark))))
    columns = _cells(header, separator)
    missing = [name for name in names if columns.count(name) != 1]
    if missing:
        held = f"it has {', '.join(map(repr, columns))}" if header.strip() else "it is empty"
        raise NetworkError(f"{path.name}: needs one column each of {', '.join(map(repr, missing))}; {held}"[:500])
    try:
        table = pl.read_csv(raw, infer_schema=False, separator=separator)
    except pl.exceptions.PolarsError:
        raise NetworkError(f"{path.name}: {_misshapen_rows(text, separator, len(columns))}") from None
    empty = table.select(pl.all_horizontal(pl.all().is_null())).to_series().to_numpy()
    filled = np.flatnonzero(~empty)
    return table.head(int(filled[-1]) + 1 if filled.size else 0)


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _misshapen_rows(text: str, separator: str, n_columns: int) -> str:
    try:
        wrong = np.array([len(cells) > n_columns for cells in csv.reader(io.StringIO(text), delimiter=separator)])
    except csv.Error as error:
        return f"is not a readable CSV list ({error})"
    if not wrong.any():
        return "has a quotation mark that is never closed; remove it"
    return f"more than {n_columns} cells{named_rows(wrong, 1)}; give each tie one row with one cell per column"


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NetworkError(f"{path.name} cannot be read: {error.strerror or error}") from None


def read_graphml(path: Path, *, signed: bool = False) -> GraphFile:
    """Read a GraphML file: ties, an optional tie attribute `weight`, and all node attributes.

    Raises:
        NetworkError: not GraphML, an edge to an undeclared node, self loops, negative weights unless `signed`, or
            weights on some ties only; rows count the file's edges from 1.
    """
    raw = _read_bytes(path)
    if b"<!ENTITY" in raw:
        raise NetworkError(f"{path.name}: declares XML entities, which networks do not need; remove the declaration")
    try:
        first = ElementTree.fromstring(raw).find("{*}graph")
        held = nx.read_graphml(io.BytesIO(raw), force_multigraph=True)
    except (ElementTree.ParseError, nx.NetworkXException, ValueError, TypeError, LookupError) as error:
        raise NetworkError(f"{path.name} is not readable GraphML ({str(error)[:200]}); export it again") from None
    declared = [] if first is None else [node.get("id") for node in first.findall(".//{*}node")]
    edges = [] if first is None else _edges_in_order(first, held)
    nodes = list(held.nodes)
    if len(set(declared)) != len(declared):
        raise NetworkError(f"{path.name}: declares {len(declared) - len(set(declared))} nodes twice; ids must differ")
    unknown = [str(node) for node in nodes if node not in set(declared)]
    if unknown:
        raise NetworkError(f"{path.name}: edges to nodes that are not declared: {', '.join(unknown[:5])}"[:300])
    place = {node: agent for agent, node in enumerate(nodes)}
    source = np.array([place[a] for a, _, _ in edges], np.int64)
    target = np.array([place[b] for _, b, _ in edges], np.int64)
    weights = _graphml_weights(path, held, [data for _, _, data in edges])
    graph = edges_to_graph(
        len(nodes), source, target, weights, directed=held.is_directed(), where=path.name, first_row=1, signed=signed
    )
    return GraphFile(graph, tuple(map(str, nodes)), _node_columns(held))


def _edges_in_order(first: ElementTree.Element, held: Any) -> list[tuple[str, str, Mapping[str, Any]]]:
    # networkx lists edges by node; errors count them as they stand in the file.
    waiting: dict[Any, Any] = {}
    edges = []
    for edge in first.findall(".//{*}edge"):
        a, b = str(edge.get("source")), str(edge.get("target"))
        if held.has_edge(a, b):
            pair = (a, b) if held.is_directed() else frozenset((a, b))
            data: Mapping[str, Any] = next(waiting.setdefault(pair, iter(held[a][b].values())), {})
            edges.append((a, b, data))
    return edges


def _graphml_weights(path: Path, held: Any, attributes: Sequence[Mapping[str, Any]]) -> list[float] | None:
    default = held.graph.get("edge_default", {}).get("weight")
    values = [data.get("weight", default) for data in attributes]
    if all(value is None for value in values):
        return None
    wrong = np.array([not isinstance(value, int | float) for value in values])
    if wrong.any():
        raise NetworkError(
            f"{path.name}: edges without a number as weight{named_rows(wrong, 1)}; give all ties a weight, or none"
        )
    return [float(value) for value in values]


def _node_columns(held: Any) -> dict[str, list[Any]]:
    default = held.graph.get("node_default", {})
    names = dict.fromkeys(name for _, data in held.nodes(data=True) for name in data)
    names.update(dict.fromkeys(default))
    return {name: [data.get(name, default.get(name)) for _, data in held.nodes(data=True)] for name in names}


def read_node_columns(path: Path) -> dict[str, list[Any]]:
    """Return the node attributes of a network file by name, in the order of agents; `node_id` holds the file's names.

    Raises:
        NetworkError: as `read_named`.
    """
    _, names, columns = read_named(path, directed=True)
    return {"node_id": list(names), **columns}


def export_edges(graph: Graph) -> pl.DataFrame:
    """Return one row per tie: source, target (UInt32), weight (Float32, 1 where the graph has none).

    Raises:
        NetworkError: a complete network of more than 5 million ties.
    """
    source, target, weight = graph.edges()
    return pl.DataFrame({"source": source, "target": target, "weight": weight})


def write_graphml(graph: Graph, path: Path, columns: Mapping[str, Sequence[Any]] | None = None) -> Path:
    """Write ties, weights and agent columns as GraphML and return the path.

    The shipped karate club was written by it, from `networkx.karate_club_graph()` and its node attribute `club`.

    Args:
        graph: At most 2 million ties.
        path: File to write; replaced where it exists.
        columns: Values per agent by name: str, int, float or bool; None leaves an agent without.

    Raises:
        NetworkError: too many ties, or a column that does not have one value per agent.
    """
    held = to_networkx(graph, columns, form="GraphML")
    nx.write_graphml_xml(held, str(path), infer_numeric_types=True)
    return path
