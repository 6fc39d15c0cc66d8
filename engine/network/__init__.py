"""Networks: graphs as rows of neighbours, their generators, files and layout."""

from __future__ import annotations

from engine.network.build import build_network, expected_ties
from engine.network.files import (
    GraphFile,
    export_edges,
    find_network_file,
    read_csv_ties,
    read_graph,
    read_graphml,
    read_node_columns,
    write_graphml,
)
from engine.network.generators import Generator
from engine.network.graph import Graph, Network
from engine.network.homophily import build_homophily
from engine.network.layout import layout_nodes
from engine.network.matching import build_from_file
from engine.network.parameters import NetworkParams
from engine.network.places import build_groups, build_households
from engine.network.relations import build_relations
from engine.network.spatial import build_spatial

__all__ = [
    "Generator",
    "Graph",
    "GraphFile",
    "Network",
    "NetworkParams",
    "build_from_file",
    "build_groups",
    "build_homophily",
    "build_households",
    "build_network",
    "build_relations",
    "build_spatial",
    "expected_ties",
    "export_edges",
    "find_network_file",
    "layout_nodes",
    "read_csv_ties",
    "read_graph",
    "read_graphml",
    "read_node_columns",
    "write_graphml",
]
