"""Shuffled ties: a null control that keeps everyone's number of ties and nothing else of a network."""

from __future__ import annotations

from engine.draws import stream_key, stream_rng
from engine.errors import NetworkError
from engine.network.generators import draw_with_degrees
from engine.network.graph import Graph, edges_to_graph
from engine.network.random_graphs import shuffle_arrows

_SWAPS_PER_TIE = 10


def shuffle_graph(graph: Graph, seed: int, stream: str) -> Graph:
    """Return a random network in which every agent has as many ties as in the given one.

    Groups, clustering, correlations of degrees and any likeness of neighbours go; degrees stay. Directed ties keep
    both in- and out-degrees. Weights are dealt out afresh among the ties.

    Args:
        graph: The network to shuffle.
        seed: Seed of the network.
        stream: Name of the stream of random numbers.

    Raises:
        NetworkError: everyone is tied to everyone, so that nothing can be shuffled.

    Source: configuration model, Newman (2010), Networks, section 13.2; for directed ties the switching algorithm of
    Milo et al. (2003), arXiv:cond-mat/0312028, ten swaps per tie.
    """
    if graph.complete:
        raise NetworkError("a complete network cannot be shuffled: everyone is tied to everyone")
    if graph.directed:
        source, target, _ = graph.edges()
        source, target = source.copy(), target.copy()
        if source.size:
            shuffle_arrows(stream_key(seed, stream), graph.n, source, target, _SWAPS_PER_TIE * source.size)
    else:
        drawn = draw_with_degrees(graph.degree(), seed, stream) if graph.n_ties else graph
        source, target, _ = drawn.edges()
    weights = None
    if graph.weights is not None:
        weights = stream_rng(seed, f"{stream}/weights", 0).permutation(graph.edges()[2])
    return edges_to_graph(graph.n, source, target, weights, directed=graph.directed, signed=True)
