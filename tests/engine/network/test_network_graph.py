"""Graph: rows, ties in and out, bad ties; checked against plain Python sets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import NetworkError
from engine.network import Graph, Network

N = 9
pairs = st.lists(
    st.tuples(st.integers(0, N - 1), st.integers(0, N - 1)).filter(lambda pair: pair[0] != pair[1]), max_size=40
)


def as_columns(ties):
    return [a for a, _ in ties], [b for _, b in ties]


def as_sets(ties, directed):
    return {(a, b) if directed else (min(a, b), max(a, b)) for a, b in ties}


def held_ties(graph):
    source, target, _ = graph.edges()
    return list(zip(source.tolist(), target.tolist(), strict=True))


def as_array(ties):
    return np.array(sorted(ties), np.int64).reshape(-1, 2)


def check_rows(graph):
    assert graph.indptr.dtype == np.int64
    assert graph.indices.dtype == np.uint32
    assert graph.indptr[0] == 0
    assert graph.indptr[-1] == graph.indices.size
    rows = [graph.neighbours(i).tolist() for i in range(graph.n)]
    for i, row in enumerate(rows):
        assert row == sorted(set(row))
        assert i not in row
        if not graph.directed:
            assert all(i in rows[j] for j in row)


@settings(max_examples=60, deadline=None)
@given(pairs, st.booleans())
def test_rows_ascend_without_loops_or_duplicates(ties, directed):
    graph = Graph.from_edges(N, *as_columns(ties), directed=directed)
    check_rows(graph)
    expected = as_sets(ties, directed)
    assert set(held_ties(graph)) == expected
    assert graph.n_ties == len(expected)
    assert graph.degree().sum() == len(expected) * (1 if directed else 2)


@settings(max_examples=60, deadline=None)
@given(pairs, pairs, pairs, st.booleans())
def test_with_ties_cuts_first_and_then_adds(ties, added, cut, directed):
    graph = Graph.from_edges(N, *as_columns(ties), directed=directed)
    before = held_ties(graph)
    changed = graph.with_ties(add=added, cut=cut)
    check_rows(changed)
    expected = (as_sets(ties, directed) - as_sets(cut, directed)) | as_sets(added, directed)
    assert set(held_ties(changed)) == expected
    assert held_ties(graph) == before


@settings(max_examples=60, deadline=None)
@given(pairs, pairs, st.booleans())
def test_adding_and_cutting_new_ties_is_a_round_trip(ties, added, directed):
    graph = Graph.from_edges(N, *as_columns(ties), np.arange(len(ties)) * 0 + 2.5, directed=directed)
    new = as_array(as_sets(added, directed) - as_sets(ties, directed))
    back = graph.with_ties(add=new, weight=7.0).with_ties(cut=new)
    np.testing.assert_array_equal(back.indptr, graph.indptr)
    np.testing.assert_array_equal(back.indices, graph.indices)
    np.testing.assert_array_equal(back.weights, graph.weights)


def test_weights_follow_their_ties():
    graph = Graph.from_edges(4, [3, 0, 2], [1, 2, 3], [5.0, 0.5, 2.0])
    source, target, weight = graph.edges()
    assert list(zip(source.tolist(), target.tolist(), weight.tolist(), strict=True)) == [
        (0, 2, 0.5),
        (1, 3, 5.0),
        (2, 3, 2.0),
    ]
    assert graph.weights.dtype == np.float32
    changed = graph.with_ties(add=[[0, 1], [1, 3]], cut=[[2, 3]], weight=9.0)
    held = dict(zip(held_ties(changed), changed.edges()[2].tolist(), strict=True))
    assert held == {(0, 1): 9.0, (0, 2): 0.5, (1, 3): 5.0}
    assert changed.weights.size == changed.indices.size


def test_directed_ties_lead_from_the_observer():
    graph = Graph.from_edges(3, [0, 2], [1, 0], directed=True)
    assert graph.neighbours(0).tolist() == [1]
    assert graph.neighbours(1).tolist() == []
    assert graph.n_ties == 2
    assert graph.has_tie(2, 0)
    assert not graph.has_tie(0, 2)


def test_grown_adds_agents_without_ties_or_completely_tied():
    graph = Graph.from_edges(3, [0], [1])
    grown = graph.grown(2)
    check_rows(grown)
    assert grown.n == 5
    assert grown.degree().tolist() == [1, 1, 0, 0, 0]
    assert graph.grown(0) is graph
    assert Graph.complete_graph(3).grown(2).degree().tolist() == [4] * 5
    with pytest.raises(NetworkError, match="cannot grow by -1"):
        graph.grown(-1)


def test_complete_stores_nothing():
    graph = Graph.complete_graph(1_000_000)
    assert graph.indices.size == 0
    assert graph.n_ties == 499_999_500_000
    assert graph.degree()[7] == 999_999
    assert graph.neighbours(3).size == 999_999
    assert 3 not in graph.neighbours(3)[:10]
    with pytest.raises(NetworkError, match=r"499999500000 ties.*at most 5000000"):
        graph.edges()
    with pytest.raises(NetworkError, match="to cut ties"):
        graph.with_ties(cut=[[0, 1]])


def test_complete_changes_into_stored_ties_when_one_is_cut():
    graph = Graph.complete_graph(5)
    assert graph.with_ties(add=[[0, 1]]) is graph
    assert len(held_ties(graph)) == 10
    cut = graph.with_ties(cut=[[4, 1]])
    check_rows(cut)
    assert not cut.complete
    assert cut.n_ties == 9
    assert not cut.has_tie(1, 4)


@pytest.mark.parametrize(
    ("source", "target", "weights", "message"),
    [
        ([0, 1, 2], [1, 5, -1], None, r"unknown agents in rows 1, 2; ids run from 0 to 4"),
        ([0, 1], [1, 1], None, r"self loops in row 1;"),
        ([0, 1], [1, 2], [1.0, -0.5], r"negative weights in row 1;"),
        ([0, 1], [1, 2], [float("nan"), 1.0], r"not finite in row 0"),
        ([0, 1], [1, 2], [float("inf"), 1.0], r"not finite in row 0"),
        ([0, 2, 1], [1, 3, 0], [1.0, 1.0, 2.0], r"the tie 0-1 has different weights in rows 0, 2"),
        ([0, 1], [1], None, r"differ in number: 2, 1"),
        ([0.0, 1.0], [1.0, 2.0], None, r"type float64"),
        (list(range(5)) * 3, [9] * 15, None, r"rows 0, 1, 2, 3, 4 and 10 more"),
    ],
)
def test_bad_ties_name_their_rows(source, target, weights, message):
    with pytest.raises(NetworkError, match=message):
        Graph.from_edges(5, source, target, weights)


def test_all_problems_of_a_list_come_at_once():
    with pytest.raises(NetworkError) as caught:
        Graph.from_edges(5, [0, 1, 2], [9, 1, 3], [1.0, 1.0, -1.0])
    assert all(part in str(caught.value) for part in ("unknown agents", "self loops", "negative weights"))


@pytest.mark.parametrize("change", [{"add": [[0, 9]]}, {"cut": [[2, 2]]}, {"add": [[0.5, 1.0]]}, {"cut": [0, 1]}])
def test_bad_changes_are_refused(change):
    with pytest.raises(NetworkError, match=r"added ties|cut ties"):
        Graph.from_edges(5, [0], [1]).with_ties(**change)


def test_a_duplicate_of_the_same_weight_counts_once():
    graph = Graph.from_edges(3, [0, 1, 0], [1, 0, 1], [2.0, 2.0, 2.0])
    assert graph.n_ties == 1
    assert graph.weights.tolist() == [2.0, 2.0]


def test_empty_and_unknown():
    graph = Graph.empty(3)
    assert graph.n_ties == 0
    assert Graph.from_edges(3, [], []).n_ties == 0
    with pytest.raises(NetworkError, match="agent 3 is not in a network of 3 agents"):
        graph.neighbours(3)
    with pytest.raises(NetworkError, match="a network of 0 agents"):
        Graph.empty(0)


def test_layers_by_name():
    network = Network({"home": Graph.empty(3), "work": Graph.complete_graph(3)})
    assert network.layer() is network.layers["home"]
    assert network.layer("work").complete
    assert network.n_ties == 3
    with pytest.raises(NetworkError, match="'wrok' is not a layer of the network; did you mean 'work'"):
        network.layer("wrok")
    with pytest.raises(NetworkError, match="no layer"):
        Network().layer()
