"""Generators: laws within standard errors, exact counts, determinism, bounds that do not fit."""

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import registry
from engine.errors import NetworkError, RegistryError
from engine.measures.graph import measure_clustering
from engine.network import Graph, build_network, expected_ties
from engine.spec import LayerSpec


def build(kind, n, seed=1, **params) -> Graph:
    return build_network([LayerSpec(kind=kind, params=params)], n, seed).layer()


def digest(graph):
    held = hashlib.blake2b(graph.indptr.tobytes() + graph.indices.tobytes(), digest_size=8)
    return held.hexdigest()


def check_simple(graph):
    owner = np.repeat(np.arange(graph.n), graph.degree())
    code = owner * graph.n + graph.indices
    assert (np.diff(code) > 0).all(), "rows ascend without duplicates"
    assert (owner != graph.indices).all(), "no self loops"
    assert np.array_equal(np.sort(graph.indices.astype(np.int64) * graph.n + owner), code), "symmetric"


SMALL = {
    "erdos_renyi": {"mean_degree": 6},
    "watts_strogatz": {"k": 6, "p_rewire": 0.3},
    "barabasi_albert": {"m": 3},
    "stochastic_block": {"sizes": [50, 70], "p_within": 0.1, "p_between": 0.02},
    "configuration": {"degrees": [1, 2, 3, 4, 6, 8]},
    "ring": {"k": 4},
    "grid": {"rows": 10, "columns": 12, "periodic": True},
    "caveman": {"cliques": 20, "size": 6},
}
RANDOM = ("erdos_renyi", "watts_strogatz", "barabasi_albert", "stochastic_block", "configuration")


@pytest.mark.parametrize("kind", SMALL)
def test_ties_are_simple_and_symmetric(kind):
    check_simple(build(kind, 120, **SMALL[kind]))


@pytest.mark.parametrize("kind", SMALL)
def test_same_seed_same_ties(kind):
    first = build(kind, 120, 5, **SMALL[kind])
    assert digest(first) == digest(build(kind, 120, 5, **SMALL[kind]))


@pytest.mark.parametrize("kind", RANDOM)
def test_another_seed_or_layer_name_draws_other_ties(kind):
    first = build(kind, 120, 5, **SMALL[kind])
    assert digest(first) != digest(build(kind, 120, 6, **SMALL[kind]))
    named = build_network([LayerSpec(name="work", kind=kind, params=SMALL[kind])], 120, 5).layer("work")
    assert digest(first) != digest(named)


def test_threads_do_not_change_ties():
    def digests(seed):
        return [digest(build(kind, 120, seed, **SMALL[kind])) for kind in RANDOM]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(digests, range(8))) == [digests(seed) for seed in range(8)]


def test_ties_of_a_saved_study_stay_the_same():
    # Changing a generator changes the runs of every saved study: these digests may only change with the changelog.
    found = {kind: digest(build(kind, 120, 1, **SMALL[kind])) for kind in RANDOM}
    assert found == {
        "erdos_renyi": "1e5aec989582d238",
        "watts_strogatz": "4a9d6f3880f92bd6",
        "barabasi_albert": "aea27d19fd3fb635",
        "stochastic_block": "0500b7cfceb8dbee",
        "configuration": "17491ddc59171f05",
    }


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["erdos_renyi", "watts_strogatz", "barabasi_albert", "stochastic_block"]),
    st.integers(12, 40),
    st.integers(0, 2**40),
    st.floats(0, 1),
    st.integers(1, 5),
)
def test_any_parameters_give_simple_graphs(kind, n, seed, share, whole):
    params = {
        "erdos_renyi": {"mean_degree": share * (n - 1)},
        "watts_strogatz": {"k": 2 * whole, "p_rewire": share},
        "barabasi_albert": {"m": whole},
        "stochastic_block": {"sizes": [whole, n - whole], "p_within": share, "p_between": 1 - share},
    }[kind]
    check_simple(build(kind, n, seed, **params))


def test_erdos_renyi_degrees_are_poisson():
    """Mean and variance 10 and P(0..) of the Poisson limit, four standard errors. Source: Gilbert (1959)."""
    n, mean = 100_000, 10.0
    degree = build("erdos_renyi", n, mean_degree=mean).degree()
    assert abs(degree.mean() - mean) < 4 * math.sqrt(2 * mean / n)
    assert abs(degree.var() - mean) < 4 * mean * math.sqrt(2 / n)
    for k in (4, 10, 16):
        p = math.exp(-mean) * mean**k / math.factorial(k)
        assert abs((degree == k).mean() - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_erdos_renyi_pairs_are_independent_with_equal_chance():
    """Over 3,000 seeds every pair of five agents appears with p = 1/2, and every two pairs together with 1/4."""
    seeds, n = 3_000, 5
    first, second = np.triu_indices(n, 1)
    present = np.empty((seeds, first.size))
    for seed in range(seeds):
        graph = build("erdos_renyi", n, seed, mean_degree=2)
        present[seed] = [graph.has_tie(int(a), int(b)) for a, b in zip(first, second, strict=True)]
    assert np.abs(present.mean(axis=0) - 0.5).max() < 4.5 * 0.5 / math.sqrt(seeds)
    together = present.T @ present / seeds
    apart = together[~np.eye(first.size, dtype=bool)]
    assert np.abs(apart - 0.25).max() < 4.5 * math.sqrt(0.25 * 0.75 / seeds)


def test_erdos_renyi_at_its_bounds():
    assert build("erdos_renyi", 30, mean_degree=0).n_ties == 0
    assert build("erdos_renyi", 30, mean_degree=29).n_ties == 435
    assert build("erdos_renyi", 1, mean_degree=0).n_ties == 0


@pytest.mark.parametrize("p_rewire", [0, 0.05, 0.5, 1])
def test_watts_strogatz_has_exactly_n_k_half_ties(p_rewire):
    assert build("watts_strogatz", 500, k=8, p_rewire=p_rewire).n_ties == 2000


@pytest.mark.parametrize("k", [4, 6, 10])
def test_watts_strogatz_without_rewiring_has_the_clustering_of_the_ring(k):
    """C(0) = 3 (k - 2) / (4 (k - 1)). Source: Barrat and Weigt (2000), Eur. Phys. J. B 13, p. 547, section 3."""
    graph = build("watts_strogatz", 200, k=k, p_rewire=0)
    assert measure_clustering(graph) == pytest.approx(3 * (k - 2) / (4 * (k - 1)), abs=1e-12)
    assert digest(graph) == digest(build("ring", 200, k=k))


def test_watts_strogatz_rewires_the_given_share():
    n, k, p = 20_000, 10, 0.2
    source, target, _ = build("watts_strogatz", n, k=k, p_rewire=p).edges()
    gap = target.astype(np.int64) - source
    far = np.minimum(gap, n - gap) > k // 2
    # A rewired tie lands on the ring again with a chance of about k / n.
    assert abs(far.mean() - p) < 4 * math.sqrt(p * (1 - p) / far.size) + k / n


def test_watts_strogatz_where_everyone_is_tied_stays_complete():
    assert build("watts_strogatz", 11, k=10, p_rewire=1).n_ties == 55


@pytest.mark.parametrize(("n", "m"), [(2, 1), (50, 1), (200, 3), (200, 7)])
def test_barabasi_albert_has_exactly_m_n_minus_m_ties(n, m):
    graph = build("barabasi_albert", n, m=m)
    assert graph.n_ties == m * (n - m)
    assert graph.degree()[m + 1 :].min(initial=m) >= m


def test_barabasi_albert_degrees_follow_the_power_law():
    """P(k) = 2 m (m + 1) / (k (k + 1) (k + 2)). Source: Bollobas et al. (2001), Random Struct. Alg. 18, p. 279."""
    n, m = 50_000, 3
    degree = build("barabasi_albert", n, m=m).degree()
    for k in (3, 4, 6, 10):
        p = 2 * m * (m + 1) / (k * (k + 1) * (k + 2))
        assert abs((degree == k).mean() - p) < 4 * math.sqrt(p * (1 - p) / n)


def test_stochastic_block_densities():
    sizes, p_within, p_between = [2_000, 3_000, 1_000], 0.01, 0.002
    graph = build("stochastic_block", 6_000, sizes=sizes, p_within=p_within, p_between=p_between)
    block = np.repeat(np.arange(3), sizes)
    source, target, _ = graph.edges()
    counts = np.zeros((3, 3))
    np.add.at(counts, (block[source], block[target]), 1)
    for a in range(3):
        for b in range(a, 3):
            pairs = sizes[a] * (sizes[a] - 1) / 2 if a == b else sizes[a] * sizes[b]
            p = p_within if a == b else p_between
            assert abs(counts[a, b] / pairs - p) < 4 * math.sqrt(p * (1 - p) / pairs)


def test_stochastic_block_without_sizes_makes_two_halves():
    graph = build("stochastic_block", 7, p_within=1, p_between=0)
    assert graph.degree().tolist() == [3, 3, 3, 3, 2, 2, 2]


@pytest.mark.parametrize(
    "degrees",
    [[3] * 40, [1, 2, 3, 4], [39] + [1] * 39, [0] * 39 + [0], [38] * 40, [20] * 40, [25, 15] * 20],
)
def test_configuration_keeps_the_degrees(degrees):
    graph = build("configuration", 40, degrees=degrees)
    check_simple(graph)
    assert graph.degree().tolist() == (degrees * 40)[:40]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=2, max_size=14), st.integers(0, 1000))
def test_configuration_agrees_with_networkx_on_what_is_possible(degrees, seed):
    if nx.is_graphical(degrees):
        assert build("configuration", len(degrees), seed, degrees=degrees).degree().tolist() == degrees
    else:
        with pytest.raises(NetworkError, match=r"odd number|no network has these degrees|largest of degrees"):
            build("configuration", len(degrees), seed, degrees=degrees)


def test_configuration_is_uniform():
    """Of the 70 simple graphs on six agents with two ties each, 60 are hexagons and 10 are pairs of triangles."""
    seeds = 2_000
    hexagons = 0
    for seed in range(seeds):
        graph = build("configuration", 6, seed, degrees=[2])
        third = {int(j) for i in graph.neighbours(0) for j in graph.neighbours(int(i))} - {0}
        hexagons += not third <= set(graph.neighbours(0).tolist())
    assert abs(hexagons / seeds - 6 / 7) < 4 * math.sqrt(6 / 49 / seeds)


def test_ring_grid_and_caveman_equal_networkx():
    ring = nx.circulant_graph(12, [1, 2])
    grid = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4), ordering="sorted")
    torus = nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4, periodic=True), ordering="sorted")
    caves = nx.connected_caveman_graph(4, 3)
    built = [
        build("ring", 12, k=4),
        build("grid", 12),
        build("grid", 12, rows=3, periodic=True),
        build("caveman", 12, size=3),
    ]
    for expected, graph in zip([ring, grid, torus, caves], built, strict=True):
        source, target, _ = graph.edges()
        held = {frozenset(pair) for pair in zip(source.tolist(), target.tolist(), strict=True)}
        assert held == {frozenset(pair) for pair in expected.edges}


def test_grid_shapes():
    assert build("grid", 1000).lattice == (25, 40)
    assert build("grid", 12, columns=6).lattice == (2, 6)
    assert build("grid", 2, periodic=True).n_ties == 1
    assert build("grid", 7, rows=1, periodic=True).n_ties == 7
    assert build("caveman", 5, cliques=1).n_ties == 10


def test_complete_is_implicit():
    graph = build("complete", 10)
    assert graph.complete
    assert graph.indices.size == 0


@pytest.mark.parametrize(
    ("kind", "n", "params", "message"),
    [
        ("erdos_renyi", 5, {}, "mean_degree = 10 is more than 4, the most ties that one of 5 agents can have"),
        ("watts_strogatz", 6, {"k": 6}, "k = 6 is more than 5"),
        ("ring", 4, {"k": 4}, "k = 4 is more than 3"),
        ("barabasi_albert", 3, {"m": 3}, "m = 3 is more than 2"),
        ("stochastic_block", 10, {"sizes": [4, 5]}, "sizes of 2 groups sum to 9, but there are 10 agents"),
        ("configuration", 10, {"degrees": [1, 2, 3]}, "degrees has 3 numbers for 10 agents"),
        ("configuration", 3, {"degrees": [1, 1, 1]}, "sum to 3, an odd number"),
        ("configuration", 4, {"degrees": [4, 4, 4, 4]}, "largest of degrees = 4 is more than 3"),
        ("configuration", 4, {"degrees": [3, 3, 1, 1]}, "the 2 largest sum to 6, but the others leave room for 4"),
        ("grid", 10, {"rows": 3}, "3 rows and 3 columns has 9 places for 10 agents"),
        ("grid", 10, {"rows": 3, "columns": 4}, "has 12 places for 10 agents"),
        ("grid", 13, {}, "13 is prime; take 9 agents"),
        ("caveman", 12, {"cliques": 3, "size": 5}, "3 cliques of 5 agents make 15, but there are 12 agents"),
        ("caveman", 12, {}, "2 cliques of 5 agents make 10"),
        ("stochastic_block", 1_000_000, {}, r"about 5.25e\+09 ties; at most 250,000,000"),
        ("watts_strogatz", 50, {"k": 5}, "k = 5: .*multiple of 2"),
        ("watts_strogatz", 50, {"p_rewire": 1.4}, "p_rewire = 1.4: .*less than or equal to 1"),
        ("erdos_renyi", 50, {"mean_degre": 3}, "mean_degre = 3: Extra inputs"),
        ("erdos_renyi", 50, {"mean_degree": float("nan")}, "finite number"),
        ("configuration", 50, {"degrees": []}, "at least 1 item"),
        ("stochastic_block", 50, {"sizes": [0, 50]}, "greater than or equal to 1"),
    ],
)
def test_parameters_that_do_not_fit(kind, n, params, message):
    with pytest.raises(NetworkError, match=message):
        build(kind, n, **params)
    with pytest.raises(NetworkError, match=message):
        expected_ties(LayerSpec(kind=kind, params=params), n)


def test_unknown_kind_names_the_nearest():
    with pytest.raises(RegistryError, match="'watts_strogats' is not a network kind; did you mean 'watts_strogatz'"):
        build("watts_strogats", 10)


def test_layers():
    layers = [LayerSpec(name="home", kind="caveman"), LayerSpec(name="town", kind="erdos_renyi")]
    network = build_network(layers, 50, 1)
    assert list(network.layers) == ["home", "town"]
    with pytest.raises(NetworkError, match="at least one"):
        build_network([], 50, 1)
    with pytest.raises(NetworkError, match="same name: 'home'"):
        build_network([layers[0], layers[0]], 50, 1)
    with pytest.raises(NetworkError, match="a network of 0 agents"):
        build_network(layers, 0, 1)


def test_expected_ties_are_near_the_built_ones():
    for kind, params in SMALL.items():
        expected = expected_ties(LayerSpec(kind=kind, params=params), 120)
        ties = build(kind, 120, **params).n_ties
        assert abs(ties - expected) <= max(5 * math.sqrt(expected), 25), kind


@pytest.mark.parametrize("kind", list(registry.networks))
def test_every_parameter_has_words_unit_and_default(kind):
    generator = registry.networks.get(kind)
    assert generator.help.endswith(".")
    params = generator.params()
    assert generator.params(**params.model_dump()) == params
    for name, field in generator.params.model_fields.items():
        assert field.description, name
        assert "unit" in field.json_schema_extra, name
