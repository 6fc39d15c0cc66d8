"""Networks in the forms of other programs: GEXF (Gephi), Pajek and adjacency matrices, read and written.

networkx reads and writes GEXF and Pajek; a matrix is a square CSV table, with or without names in its first row and
column.
"""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from engine.errors import NetworkError
from engine.network.graph import Graph, edges_to_graph, named_rows

GEXF_SUFFIXES, PAJEK_SUFFIXES = (".gexf",), (".net", ".paj")
MOST_WRITTEN_TIES = 2_000_000
MOST_MATRIX_AGENTS = 5_000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

Named = tuple[Graph, tuple[str, ...], dict[str, list[Any]]]


def read_gexf(path: Path, *, signed: bool = False) -> Named:
    """Read a GEXF file; returns (ties, node ids in order, node attributes by name).

    Raises:
        NetworkError: not GEXF, XML entities, self loops, or weights that are negative.
    """
    raw = path.read_bytes()
    if b"<!ENTITY" in raw:
        raise NetworkError(f"{path.name}: declares XML entities, which networks do not need; remove the declaration")
    try:
        held = nx.read_gexf(io.BytesIO(raw))
    except (ElementTree.ParseError, nx.NetworkXException, ValueError, TypeError, LookupError) as error:
        raise NetworkError(f"{path.name} is not readable GEXF ({str(error)[:200]}); export it again") from None
    return _from_networkx(path, held, ("viz", "label"), signed)


def read_pajek(path: Path, *, signed: bool = False) -> Named:
    """Read a Pajek network; returns (ties, vertex labels in order, no attributes).

    Raises:
        NetworkError: not a Pajek network, another encoding than UTF-8, labels that repeat, or self loops.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NetworkError(f"{path.name} is not UTF-8 at byte {error.start}; save it with the encoding UTF-8") from None
    declared = re.search(r"^\*vertices\s+(\d+)", text, re.IGNORECASE | re.MULTILINE)
    if declared is None:
        raise NetworkError(f"{path.name} is not a Pajek network: it has no line '*Vertices N'")
    try:
        held = nx.parse_pajek(text.splitlines())
    except (nx.NetworkXException, ValueError, TypeError, LookupError, StopIteration) as error:
        raise NetworkError(f"{path.name} is not a readable Pajek network ({str(error)[:200]})") from None
    if held.number_of_nodes() != int(declared[1]):
        raise NetworkError(
            f"{path.name} declares {declared[1]} vertices and holds {held.number_of_nodes()} different labels; give "
            "each vertex a line and a label of its own"
        )
    graph, names, _ = _from_networkx(path, held, (), signed)
    return graph, names, {}


def read_matrix(path: Path, *, directed: bool = False, signed: bool = False) -> Named:
    """Read a square CSV table of ties: 0 or an empty cell for none, 1 or a weight for a tie; row observes column.

    Raises:
        NetworkError: not square, cells that are no numbers, a tie of someone to themselves, negative weights, or, where
            `directed` is False, a table that is not symmetric; names rows and columns.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NetworkError(f"{path.name} is not UTF-8 at byte {error.start}; save it with the encoding UTF-8") from None
    mark = max(",;\t", key=text.partition("\n")[0].count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=mark) if any(cell.strip() for cell in row)]
    names, cells = _unnamed(rows)
    n = len(cells)
    wrong = [number for number, row in enumerate(cells) if len(row) != n]
    if not n or wrong:
        found = f"row {wrong[0] + 1} has {len(cells[wrong[0]])} values" if wrong else "it is empty"
        raise NetworkError(f"{path.name}: a matrix of ties is square; it has {n} rows, and {found}")
    if n > MOST_MATRIX_AGENTS:
        raise NetworkError(f"{path.name}: {n} agents are too many for a matrix; give a list of ties instead")
    values = np.array([[_number(path, cell, i, j) for j, cell in enumerate(row)] for i, row in enumerate(cells)])
    if not directed and not np.array_equal(values, values.T):
        i, j = (int(k[0]) for k in np.nonzero(values != values.T))
        raise NetworkError(
            f"{path.name}: row {i + 1} column {j + 1} is {values[i, j]:g} and the reverse {values[j, i]:g}; set "
            "directed = true for ties that go one way"
        )
    source, target = np.nonzero(values if directed else np.triu(values))
    weights = values[source, target]
    graph = edges_to_graph(
        n, source, target, None if (weights == 1).all() else weights, directed=directed, where=path.name, first_row=1,
        signed=signed,
    )  # fmt: skip
    return graph, names or tuple(map(str, range(n))), {}


def is_matrix(path: Path, names: Sequence[str]) -> bool:
    """Tell whether a CSV file looks like a matrix: none of the columns of a list of ties in its first row."""
    with path.open("rb") as file:
        head = file.readline(1_000_000).decode("utf-8-sig", "replace")
        second = file.readline(1_000_000).decode("utf-8-sig", "replace")
    mark = max(",;\t", key=head.count)
    first = [cell.strip() for cell in next(csv.reader([head], delimiter=mark), [])]
    width = len(next(csv.reader([second], delimiter=mark), []))
    numbers = all(cell.removeprefix("-").replace(".", "", 1).isdigit() for cell in first if cell)
    return not set(first) & set(names) and len(first) == width and (numbers or not first[0])


def _unnamed(rows: list[list[str]]) -> tuple[tuple[str, ...], list[list[str]]]:
    """Return (names, cells) of a table whose first row and column may hold names."""
    if rows and len(rows[0]) == len(rows) and not rows[0][0].strip():
        return tuple(cell.strip() for cell in rows[0][1:]), [row[1:] for row in rows[1:]]
    return (), rows


def _number(path: Path, cell: str, row: int, column: int) -> float:
    try:
        return float(cell) if cell.strip() else 0.0
    except ValueError:
        raise NetworkError(f"{path.name}: row {row + 1} column {column + 1} is {cell[:40]!r}, not a number") from None


def _from_networkx(path: Path, held: Any, skipped: Sequence[str], signed: bool) -> Named:
    nodes = list(held.nodes)
    place = {node: agent for agent, node in enumerate(nodes)}
    edges = list(held.edges(data=True))
    source = np.array([place[a] for a, _, _ in edges], np.int64)
    target = np.array([place[b] for _, b, _ in edges], np.int64)
    given = [data.get("weight") for _, _, data in edges]
    weights = None
    if any(value is not None and float(value) != 1.0 for value in given):
        wrong = np.array([value is None for value in given])
        if wrong.any():
            raise NetworkError(f"{path.name}: ties without a weight{named_rows(wrong, 1)}; give all ties one, or none")
        weights = [float(value) for value in given]
    graph = edges_to_graph(
        len(nodes), source, target, weights, directed=held.is_directed(), where=path.name, first_row=1, signed=signed
    )
    columns = dict.fromkeys(name for _, data in held.nodes(data=True) for name in data if name not in skipped)
    attributes = {name: [data.get(name) for _, data in held.nodes(data=True)] for name in columns}
    return graph, tuple(map(str, nodes)), attributes


def to_networkx(graph: Graph, columns: Mapping[str, Sequence[Any]] | None = None, *, form: str) -> Any:
    """Return a small graph as networkx holds it, with the agents' columns.

    Raises:
        NetworkError: more than 2 million ties, or a column that does not have one value per agent.
    """
    if graph.n_ties > MOST_WRITTEN_TIES:
        raise NetworkError(
            f"{graph.n_ties} ties are too many for {form} (at most {MOST_WRITTEN_TIES}); export CSV instead"
        )
    held = nx.DiGraph() if graph.directed else nx.Graph()
    held.add_nodes_from(range(graph.n))
    for name, values in (columns or {}).items():
        if len(values) != graph.n:
            raise NetworkError(f"column '{name}' has {len(values)} values for {graph.n} agents; give one each")
        plain = np.asarray(values).tolist() if isinstance(values, np.ndarray) else list(values)
        told = {i: _CONTROL.sub("?", value) if isinstance(value, str) else value for i, value in enumerate(plain)}
        nx.set_node_attributes(held, {i: value for i, value in told.items() if value is not None}, name)
    source, target, weight = (part.tolist() for part in graph.edges())
    if graph.weights is None:
        held.add_edges_from(zip(source, target, strict=True))
    else:
        held.add_weighted_edges_from(zip(source, target, weight, strict=True))
    return held


def write_gexf(graph: Graph, path: Path, columns: Mapping[str, Sequence[Any]] | None = None) -> Path:
    """Write ties, weights and agent columns as GEXF 1.2 and return the path.

    Raises:
        NetworkError: too many ties, or a column that does not have one value per agent.
    """
    nx.write_gexf(to_networkx(graph, columns, form="GEXF"), path)
    return path


def write_pajek(graph: Graph, path: Path, labels: Sequence[str] | None = None) -> Path:
    """Write ties and weights as a Pajek network and return the path; vertices are numbered from 1.

    Raises:
        NetworkError: too many ties, or not one label per agent.
    """
    if graph.n_ties > MOST_WRITTEN_TIES:
        raise NetworkError(
            f"{graph.n_ties} ties are too many for Pajek (at most {MOST_WRITTEN_TIES}); export CSV instead"
        )
    if labels is not None and len(labels) != graph.n:
        raise NetworkError(f"{len(labels)} labels for {graph.n} agents; give one each")
    source, target, weight = graph.edges()
    names = [_CONTROL.sub("?", str(name)).replace('"', "'") for name in (labels or range(graph.n))]
    with path.open("w", encoding="utf-8", newline="\r\n") as file:
        file.write(f"*Vertices {graph.n}\n")
        file.writelines(f'{i + 1} "{name}"\n' for i, name in enumerate(names))
        file.write("*Arcs\n" if graph.directed else "*Edges\n")
        rows = zip(source.tolist(), target.tolist(), weight.tolist(), strict=True)
        file.writelines(f"{a + 1} {b + 1} {w:g}\n" for a, b, w in rows)
    return path


def write_matrix(graph: Graph, path: Path) -> Path:
    """Write a square CSV table of ties, named by agent in the first row and column, and return the path.

    Raises:
        NetworkError: more than 5,000 agents.
    """
    if graph.n > MOST_MATRIX_AGENTS:
        raise NetworkError(
            f"{graph.n} agents are too many for a matrix (at most {MOST_MATRIX_AGENTS}); export CSV instead"
        )
    table = np.zeros((graph.n, graph.n), np.float32)
    source, target, weight = graph.edges()
    table[source, target] = weight
    if not graph.directed:
        table[target, source] = weight
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", *range(graph.n)])
        rows.writerows([agent, *(f"{value:g}" for value in row)] for agent, row in enumerate(table.tolist()))
    return path
