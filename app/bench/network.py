"""Seconds to build networks of a million agents, and to measure them, on one core."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from app.bench.rows import BenchOptions, Row, take_time
from engine.measures.graph import (
    estimate_clustering,
    find_communities,
    find_components,
    measure_clustering,
    measure_degree_assortativity,
)
from engine.network import Graph, build_network
from engine.spec import LayerSpec

BUILT = (
    ("erdos_renyi", {"mean_degree": 10}, ""),
    ("watts_strogatz", {"k": 10, "p_rewire": 0.1}, "0.5"),
    ("barabasi_albert", {"m": 5}, "1.5"),
    ("stochastic_block", {}, ""),
    ("configuration", {"degrees": (10,)}, ""),
    ("spatial", {"mean_degree": 10}, ""),
)
MEASURED: tuple[tuple[str, Callable[[Graph], object]], ...] = (
    ("components", find_components),
    ("clustering, exact", measure_clustering),
    ("clustering, 100,000 samples", estimate_clustering),
    ("degree assortativity", measure_degree_assortativity),
    ("communities by label propagation", find_communities),
)


def measure(options: BenchOptions) -> Iterator[Row]:
    """Yield the group's figures in processor seconds."""
    n = options.agents
    for kind, params, aim in BUILT:
        if kind == "stochastic_block":
            params = {"sizes": (n // 2, n - n // 2), "p_within": 16 / n, "p_between": 4 / n}
        layer = LayerSpec(kind=kind, params=params)
        seconds = take_time(partial(build_network, [layer], n, 1))
        yield Row(f"build {kind}", seconds, "s", aim, f"{n:,} agents, mean degree 10, one core")
    graph = build_network([LayerSpec(kind="barabasi_albert", params={"m": 5})], n, 1).layer()
    for name, work in MEASURED:
        yield Row(f"measure {name}", take_time(partial(work, graph), 1), "s", note="barabasi_albert, m = 5")
