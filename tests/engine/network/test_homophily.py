"""Homophily: targets reached, the law of the rest, what cannot be reached, and measures against networkx."""

import hashlib
import time

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import load_study
from engine.errors import NetworkError, StudyError
from engine.measures.graph import (
    expect_ei_index,
    measure_assortativity,
    measure_clustering,
    measure_ei_index,
    measure_homophily,
)
from engine.network import Graph, build_network, expected_ties
from engine.network.mixing import count_pairs, share_out
from engine.population import Column, Population
from engine.simulation import build_world
from engine.spec import LayerSpec

RNG = np.random.default_rng(11)
N = 1000


def people(n=N, seed=5):
    rng = np.random.default_rng(seed)
    population = Population(n)
    labels = tuple(f"g{i}" for i in range(40))
    shares = {"two": [0.7, 0.3], "five": [0.4, 0.3, 0.2, 0.08, 0.02], "forty": np.full(40, 1 / 40)}
    for name, share in shares.items():
        column = Column("category", "int16", labels=labels[: len(share)])
        population.add(name, column, rng.choice(len(share), n, p=share))
    population.add("yes", Column("boolean", "bool"), rng.random(n) < 0.4)
    population.add("flat", Column("float", "float64"), rng.random(n))
    population.add("skewed", Column("float", "float64"), rng.lognormal(0, 1, n))
    population.add("steps", Column("integer", "int64"), rng.integers(0, 11, n))
    population.add("poles", Column("float", "float64"), (rng.random(n) < 0.5) + rng.normal(0, 0.02, n))
    population.add("same", Column("float", "float64"), np.full(n, 3.0))
    population.add("name", Column("text", "object"), np.array(["x"] * n, dtype=object))
    return population


def build(population, column, target, mean_degree=10.0, seed=1) -> Graph:
    params = {"column": column, "target": target, "mean_degree": mean_degree}
    layers = [LayerSpec(kind="homophily", params=params)]
    return build_network(layers, population.n, seed, population=population).layer()


def reached(population, column, graph):
    return measure_homophily(graph, population.columns[column], population.values[column])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("column", "target"),
    [(name, target) for name in ("two", "five", "yes") for target in (-1, -0.6, 0.0, 0.5, 1)]
    + [("forty", -0.5), ("forty", 0.0), ("forty", 1)],
)
def test_an_ei_index_is_reached_up_to_one_tie(column, target, seed):
    population = people(seed=seed)
    graph = build(population, column, target, seed=seed)
    assert graph.n_ties == 5000
    assert abs(reached(population, column, graph) - target) <= 1 / 5000


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("column", "target"),
    [(name, target) for name in ("flat", "steps", "poles") for target in (0.0, 0.2, 0.5, 0.8, 0.95)]
    + [("skewed", 0.3), ("skewed", 0.7)],
)
def test_a_correlation_is_reached(column, target, seed):
    population = people(seed=seed)
    graph = build(population, column, target, seed=seed)
    assert graph.n_ties == 5000
    assert abs(reached(population, column, graph) - target) <= 0.002


def test_targets_at_a_hundred_thousand_agents_within_seconds():
    population = people(100_000)
    build(population, "five", 0.0), build(population, "flat", 0.5)  # kernels are compiled
    for column, target in (("five", -0.7), ("forty", 0.2), ("flat", 0.6), ("skewed", 0.5)):
        started = time.perf_counter()
        graph = build(population, column, target)
        assert time.perf_counter() - started < 10
        assert graph.n_ties == 500_000
        assert abs(reached(population, column, graph) - target) <= 0.002


def test_every_group_has_the_same_mean_number_of_ties():
    population = people(20_000)
    for column, target in (("two", -0.8), ("two", 0.1), ("five", -0.5), ("five", 0.2)):
        degree = build(population, column, target).degree()
        group = population.values[column]
        for code in np.unique(group):
            own = degree[group == code]
            # Degrees are nearly Poisson: variance 10; rounding of the counts adds less than one tie per pair of groups.
            assert abs(own.mean() - 10) < 5 * (10 / own.size) ** 0.5 + 5 / own.size, (column, target, code)
    for target in (0.0, 0.4, 0.9):
        degree = build(population, "flat", target).degree()
        rank = np.argsort(np.argsort(population.values["flat"]))
        for tenth in range(10):
            own = degree[rank // 2000 == tenth]
            assert abs(own.mean() - 10) < 5 * (10 / own.size) ** 0.5
        assert abs(degree.var() / 10 - 1) < 0.1


def test_without_homophily_ties_are_random():
    population = people(4000)
    neutral = build(population, "flat", 0.0)
    # Clustering of a random graph is the share of pairs that are tied, 10 / 3999, here with triangles at random.
    assert measure_clustering(neutral) < 0.006
    group = population.values["five"]
    expected = expect_ei_index(group)
    shares = np.bincount(group) / group.size
    graph = build(population, "five", expected, mean_degree=40)
    source, target, _ = graph.edges()
    for a in range(5):
        for b in range(a, 5):
            share = ((group[source] == a) & (group[target] == b)) | ((group[source] == b) & (group[target] == a))
            wanted = shares[a] * shares[b] * (1 if a == b else 2)
            assert share.mean() == pytest.approx(wanted, abs=0.003), (a, b)


def test_ties_are_simple_and_follow_the_seed():
    population = people(500)

    def digest(graph):
        return hashlib.blake2b(graph.indptr.tobytes() + graph.indices.tobytes()).hexdigest()

    for column, target in (("five", -0.4), ("flat", 0.7)):
        graph = build(population, column, target, seed=8)
        source, other, _ = graph.edges()
        assert (source != other).all()
        assert np.unique(source.astype(np.int64) * 500 + other).size == graph.n_ties == 2500
        assert digest(graph) == digest(build(population, column, target, seed=8))
        assert digest(graph) != digest(build(population, column, target, seed=9))


def test_dense_networks():
    population = people(60)
    full = build(population, "two", expect_ei_index(population.values["two"]), mean_degree=59)
    assert full.n_ties == 60 * 59 // 2
    graph = build(population, "five", -0.05, mean_degree=30)
    assert abs(reached(population, "five", graph) + 0.05) <= 1 / 900
    graph = build(population, "flat", 0.3, mean_degree=40)
    assert graph.n_ties == 1200
    assert abs(reached(population, "flat", graph) - 0.3) < 0.01
    assert build(population, "flat", 0.3, mean_degree=0).n_ties == 0


@pytest.mark.parametrize(
    ("column", "target", "mean_degree", "message"),
    [
        ("nowhere", 0, 4, "'nowhere' is not a column of the population; valid: two"),
        ("fife", 0, 4, "did you mean 'five'?"),
        ("name", 0, 4, "'name' holds texts; homophily needs categories or numbers"),
        ("flat", -0.2, 4, r"target = -0.2: for the numbers in 'flat' it is .* in \[0, 1\)"),
        ("flat", 1, 4, r"target = 1: .* in \[0, 1\)"),
        ("two", 1.5, 4, "target = 1.5: .*less than or equal to 1"),
        ("same", 0.5, 4, "all agents have same = 3, so ties cannot follow it"),
        ("forty", -1, 20, r"cannot have an E-I index of -1; it can lie in \[0\.\d+, 1\.000\]; change target"),
        ("two", 0.9, 70, r"cannot have an E-I index of 0.9; it can lie in \[-0\.\d+, 0\.\d+\]"),
        ("five", 0, 120, "mean_degree = 120 is more than 99"),
    ],
)
def test_targets_that_are_refused(column, target, mean_degree, message):
    with pytest.raises(NetworkError, match=message):
        build(people(100), column, target, mean_degree)


def test_one_extreme_value_sets_a_limit():
    population = Population(300)
    values = np.zeros(300)
    values[7] = 1e9
    population.add("wealth", Column("float", "float64"), values)
    with pytest.raises(NetworkError, match=r"reach a correlation of -0\.\d+ in 'wealth', not 0.5"):
        build(population, "wealth", 0.5, 4)


def test_a_network_without_its_population():
    layer = LayerSpec(kind="homophily", params={"column": "age"})
    with pytest.raises(NetworkError, match="'age' is not a column of the population; the network needs a population"):
        build_network([layer], 10, 1)
    assert expected_ties(LayerSpec(kind="homophily", params={"mean_degree": 6}), 100) == 300


def test_in_a_study():
    network = {"kind": "homophily", "mean_degree": 8, "column": "left_right", "target": 0.5}
    study = {"scenario": "sir", "population": {"recipe": "adults_generic", "size": 1000}, "network": network}
    world = build_world(load_study(study))
    assert reached(world.persona, "left_right", world.network.layer()) == pytest.approx(0.5, abs=0.002)
    shuffled = build_world(load_study(study | {"network": network | {"shuffle": True}}))
    assert abs(reached(world.persona, "left_right", shuffled.network.layer())) < 0.06
    for change, message in (
        (
            {"column": "leftright"},
            "'leftright' is not a column of the population; did you mean 'left_right'? @ network.column",
        ),
        ({"column": "state"}, "'state' is not a column of the population"),
        ({"column": ""}, "column is empty; name the column of the population in which ties are alike @ network.column"),
        ({"target": -0.3}, "it is their correlation between tied agents, in [0, 1) @ network.target"),
    ):
        with pytest.raises(StudyError) as caught:
            load_study(study | {"network": network | change})
        assert message in str(caught.value)
        assert len(caught.value.problems) == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.floats(0, 1), st.floats(0, 1))
def test_ties_are_shared_out_within_all_limits(sizes, density, share):
    sizes = np.array(sizes, np.int64)
    pairs = count_pairs(sizes)
    ties = int(density * pairs.sum())
    room = int(np.trace(pairs))
    inside = min(max(round(share * ties), ties - (int(pairs.sum()) - room)), room, ties)
    counts = share_out(sizes, ties, inside)
    assert counts.sum() == ties
    assert np.trace(counts) == inside
    assert ((counts >= 0) & (counts <= pairs)).all()


def random_graph(n, p, seed, directed=False):
    held = nx.gnp_random_graph(n, p, seed=seed, directed=directed)
    source, target = np.array(held.edges, np.int64).reshape(-1, 2).T
    return held.to_undirected(), Graph.from_edges(n, source, target, directed=directed)


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_measures_agree_with_networkx(seed, directed):
    held, graph = random_graph(60, 0.1, seed, directed)
    rng = np.random.default_rng(seed)
    numbers, groups = rng.integers(0, 50, 60), rng.choice(["a", "b", "c"], 60)
    nx.set_node_attributes(held, dict(enumerate(numbers.tolist())), "number")
    nx.set_node_attributes(held, dict(enumerate(groups.tolist())), "group")
    expected = nx.numeric_assortativity_coefficient(held, "number")
    assert measure_assortativity(graph, numbers) == pytest.approx(expected, abs=1e-12)
    mixing = nx.attribute_mixing_matrix(held, "group")
    assert measure_ei_index(graph, groups) == pytest.approx(1 - 2 * np.trace(mixing), abs=1e-12)


def test_measures_at_the_edges():
    path = Graph.from_edges(4, [0, 1, 2], [1, 2, 3])
    assert measure_ei_index(path, np.array([0, 0, 1, 1])) == pytest.approx(-1 / 3)
    assert np.isnan(measure_ei_index(Graph.empty(3), np.array([0, 1, 0])))
    assert np.isnan(measure_assortativity(Graph.empty(3), np.arange(3)))
    assert np.isnan(measure_assortativity(path, np.full(4, 0.1)))
    whole = Graph.complete_graph(12)
    listed = Graph.from_edges(12, *np.triu_indices(12, 1))
    values, groups = RNG.random(12), RNG.choice(3, 12)
    assert measure_assortativity(whole, values) == pytest.approx(measure_assortativity(listed, values))
    assert measure_ei_index(whole, groups) == pytest.approx(measure_ei_index(listed, groups))


def test_the_expected_ei_index_is_that_of_shuffled_labels():
    _, graph = random_graph(200, 0.05, 3)
    groups = np.repeat([0, 1, 2], [100, 70, 30])
    shuffled = [measure_ei_index(graph, RNG.permutation(groups)) for _ in range(400)]
    error = np.std(shuffled) / 400**0.5
    assert abs(np.mean(shuffled) - expect_ei_index(groups)) < 4 * error
