"""What a layer says beside its kind: ties by hand, weights, signs, columns of agents; likeness in several columns."""

import math

import networkx as nx
import numpy as np
import pytest

from engine import dump_study, load_study, parse_study
from engine.errors import NetworkError, StudyError
from engine.layer_checks import MEASURED
from engine.loading import scenario_info
from engine.measures.balance import measure_balance, measure_frustration, triads_balanced
from engine.measures.centrality import (
    find_cores,
    local_clustering,
    measure_betweenness,
    measure_closeness,
    measure_eigenvector,
    measure_pagerank,
    measure_strength,
)
from engine.measures.graph import measure_homophily
from engine.measures.places import measure_agents
from engine.network import Graph, build_network, export_edges, find_network_file, write_graphml
from engine.network.editing import edit_graph
from engine.network.formats import write_gexf, write_matrix, write_pajek
from engine.network.graph import Network, edges_to_graph
from engine.population import Column, Population
from engine.simulation import build_world, simulate
from engine.spec import LayerSpec

STUDY = {
    "scenario": "bounded_confidence",
    "steps": 2,
    "population": {"recipe": "adults_generic", "size": 120, "groups": {"core": [0, 3, 9]}},
    "network": {
        "kind": "ring",
        "add": [[0, 60], [1, 50]],
        "cut": [[0, 1]],
        "agent_columns": {"broker": "betweenness", "circle": "community"},
    },
}


def people(n, seed=3):
    rng = np.random.default_rng(seed)
    population = Population(n)
    labels = ("a", "b", "c", "d")
    population.add("party", Column("category", "int16", labels=labels), rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]))
    population.add("age", Column("float", "float64"), rng.integers(18, 90, n).astype(float))
    population.add("urban", Column("boolean", "bool"), rng.random(n) < 0.4)
    population.add("name", Column("text", "object"), np.array(["x"] * n, dtype=object))
    return population


def layer(kind="ring", **beside):
    params = beside.pop("params", {})
    return LayerSpec(kind=kind, params=params, **beside)


def built(spec, n=30, seed=1, population=None):
    return build_network([spec], n, seed, population=population).layer()


# -- by hand ---------------------------------------------------------------------------------------------------------


def test_edits_come_last_and_leave_alone_what_is_so_already():
    graph = built(layer(add=((0, 15), (0, 1)), cut=((2, 3), (2, 20))))
    assert graph.has_tie(0, 15)
    assert not graph.has_tie(2, 3)
    assert graph.n_ties == 30  # one more, one less
    assert graph.lattice == (30,)
    shuffled = built(layer(add=((0, 15),), shuffle=True))
    assert shuffled.has_tie(0, 15)


def test_an_added_tie_may_have_a_weight_and_changes_the_one_that_is_there():
    graph = edit_graph(built(layer()), [[0, 1, 3.5], [0, 15]], [])
    source, target, weight = graph.edges()
    held = dict(zip(zip(source.tolist(), target.tolist(), strict=True), weight.tolist(), strict=True))
    assert (held[0, 1], held[0, 15], held[1, 2]) == (3.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("edit", "told"), [([[0, 30]], "unknown agents"), ([[4, 4]], "self loops"), ([[0, 4, -1.0]], "negative weights")]
)
def test_impossible_edits_are_refused(edit, told):
    with pytest.raises(NetworkError, match=told):
        edit_graph(built(layer()), edit, [])


def test_a_complete_network_loses_ties():
    graph = built(layer("complete", cut=((0, 1),), add=((3, 4),)), n=6)
    assert graph.n_ties == 14


# -- study file ------------------------------------------------------------------------------------------------------


def test_a_study_with_edits_groups_and_columns_comes_back_from_its_file():
    study = load_study(STUDY)
    assert parse_study(dump_study(study)) == study
    plain = load_study({"scenario": "bounded_confidence"})
    assert not {"add", "cut", "groups", "agent_columns", "weigh", "signed"} & set(dump_study(plain).split())
    alike = load_study({**STUDY, "network": {"kind": "homophily", "column": "gender", "target": -0.2}})
    assert "columns" not in dump_study(alike)


def test_every_mistake_is_told_at_its_place():
    tables = {
        "scenario": "bounded_confidence",
        "population": {"size": 30, "groups": {"core": [0, 33]}},
        "network": {
            "kind": "ring",
            "add": [[0, 44], [1, 1], [1]],
            "cut": [[0, -1]],
            "signed": True,
            "weigh": {"distribution": "column"},
            "agent_columns": {"opinion": "degree", "b": "betweeness", "9x": "degree"},
        },
    }
    with pytest.raises(StudyError) as caught:
        load_study(tables)
    told = str(caught.value)
    for part in (
        "agent 44 does not exist; ids run from 0 to 29 @ network.add.0",
        "agent 1 cannot be tied to itself",
        "is not a tie; write [agent, agent]",
        "agent -1 does not exist",
        "did you mean 'betweenness'?",
        "agent 33 does not exist; ids run from 0 to 29 @ population.groups.core",
        "bounded_confidence has no use for negative ties",
        "'opinion' is a column already",
        "'9x' cannot name a column",
        "column is missing",
    ):
        assert part in told


def test_groups_that_clash_or_name_nobody_are_refused():
    for groups, told in (({"age": [1]}, "is a column already"), ({"9x": [1]}, "cannot name a column")):
        with pytest.raises(StudyError, match=told):
            load_study({**STUDY, "population": {"recipe": "adults_generic", "size": 20, "groups": groups}})


def test_groups_and_columns_serve_interventions_and_prompts():
    act = {"name": "x", "at": 0, "whom": {"where": "core and circle >= 0", "top": {"by": "broker", "n": 2}},
           "do": {"effect": "set", "column": "opinion", "value": 1.0}}  # fmt: skip
    study = load_study({**STUDY, "interventions": [act]})
    records = list(simulate(study))
    assert [event.detail["n_agents"] for event in records[1].events if event.kind == "intervention"] == [2]


def test_columns_follow_the_network_of_each_replicate():
    study = load_study({**STUDY, "redraw": ["network"], "network": {**STUDY["network"], "kind": "erdos_renyi"}})
    first, second = (build_world(study, replicate=r) for r in (0, 1))
    assert not np.array_equal(first.population["broker"], second.population["broker"])
    assert np.array_equal(first.population["broker"], build_world(study).population["broker"])
    assert second.network.layer().has_tie(0, 60)  # edits stay


def test_how_well_homophily_was_reached_is_an_event():
    network = {"kind": "homophily", "columns": ["gender", "age"], "targets": [-0.2, 0.3]}
    first = next(iter(simulate(load_study({**STUDY, "network": network}))))
    told = {event.detail["column"]: event.detail for event in first.events if event.kind == "homophily"}
    assert abs(told["gender"]["reached"] + 0.2) < 0.02
    assert abs(told["age"]["reached"] - 0.3) < 0.02


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "ties.csv"
    with path.open("wb") as file:
        file.truncate(2_000_000_000)  # a hole: takes no room on the disk
    with pytest.raises(NetworkError, match=r"has 2\.0 GB; files of ties have at most 1 GB"):
        find_network_file("ties.csv", tmp_path)


# -- weights and signs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weigh", "mean", "sd"),
    [
        ({"low": 1, "high": 3}, 2.0, 2 / math.sqrt(12)),
        ({"distribution": "exponential", "mean": 2}, 2.0, 2.0),
        (
            {"distribution": "lognormal", "mean": 0, "sd": 0.5},
            math.exp(0.125),
            math.exp(0.125) * math.sqrt(math.exp(0.25) - 1),
        ),
        ({"distribution": "normal", "mean": 5, "sd": 1}, 5.0, 1.0),
    ],
)
def test_weights_follow_their_distribution(weigh, mean, sd):
    graph = built(layer("ring", params={"k": 10}, weigh=weigh), n=4000)
    weight = graph.edges()[2].astype(np.float64)
    assert abs(weight.mean() - mean) < 4.5 * sd / math.sqrt(weight.size)
    assert weight.min() >= 0


def test_a_weight_is_keyed_by_its_tie_and_may_come_from_a_column():
    one = built(layer(weigh={"low": 0, "high": 1}))
    other = built(layer(weigh={"low": 0, "high": 1}, params={"k": 4}))
    weights = {(a, b): w for a, b, w in zip(*(part.tolist() for part in other.edges()), strict=True)}
    assert all(weights[a, b] == w for a, b, w in zip(*(part.tolist() for part in one.edges()), strict=True))
    population = people(30)
    aged = built(layer(weigh={"distribution": "column", "column": "age"}), population=population)
    source, target, weight = aged.edges()
    age = population.values["age"]
    assert np.allclose(weight, (age[source] + age[target]) / 2)


def test_signs_are_kept_where_the_layer_allows_them(tmp_path):
    graph = built(layer(params={"k": 10}, signed=True, weigh={"low": 1, "high": 1, "negative": 0.3}), n=4000)
    share = float((graph.edges()[2] < 0).mean())
    assert abs(share - 0.3) < 4.5 * math.sqrt(0.21 / graph.n_ties)
    (tmp_path / "ties.csv").write_text("source,target,weight\n0,1,-2\n1,2,1\n")
    params = {"path": "ties.csv", "weight": "weight"}
    signed = LayerSpec(kind="file", signed=True, params=params)
    assert build_network([signed], 3, 1, tmp_path).layer().edges()[2].tolist() == [-2.0, 1.0]
    with pytest.raises(NetworkError, match="negative weights in row 2"):
        build_network([signed.model_copy(update={"signed": False})], 3, 1, tmp_path)


@pytest.mark.parametrize("suffix", ["csv", "graphml", "gexf", "net", "matrix.csv"])
def test_signed_ties_come_back_from_every_kind_of_file(suffix, tmp_path):
    graph = edges_to_graph(4, [0, 1, 2], [1, 2, 3], [1.0, -2.0, 0.5], signed=True)
    path = tmp_path / f"ties.{suffix}"
    write = {"graphml": write_graphml, "gexf": write_gexf, "net": write_pajek, "matrix.csv": write_matrix}
    if suffix == "csv":
        export_edges(graph).write_csv(path)
    else:
        write[suffix](graph, path)
    params = {"path": path.name} | ({"weight": "weight"} if suffix == "csv" else {})
    read = build_network([layer("file", params=params, signed=True)], 4, 1, tmp_path).layer()
    assert np.array_equal(read.edges()[2], graph.edges()[2])
    with pytest.raises(NetworkError, match="negative weights in row"):
        build_network([layer("file", params=params)], 4, 1, tmp_path)


def test_scenarios_take_negative_ties_only_where_they_say_so():
    assert scenario_info("degroot").signed_ties
    assert not scenario_info("sir").signed_ties


def test_balance_is_the_share_of_triangles_with_an_even_number_of_foes():
    """Cartwright and Harary (1956): +++ and +-- are balanced, ++- and --- are not."""
    first, second = np.triu_indices(3, 1)
    for signs, wanted in (((1, 1, 1), 1.0), ((1, -1, -1), 1.0), ((1, 1, -1), 0.0), ((-1, -1, -1), 0.0)):
        assert measure_balance(edges_to_graph(3, first, second, signs, signed=True)) == wanted
    # Two camps that like their own and dislike the others are balanced throughout; random signs half of the time.
    n, rng = 60, np.random.default_rng(1)
    first, second = np.triu_indices(n, 1)
    camps = np.where((first < 25) == (second < 25), 1.0, -1.0)
    assert measure_balance(edges_to_graph(n, first, second, camps, signed=True)) == 1.0
    mixed = rng.choice([-1.0, 1.0], first.size)
    assert abs(measure_balance(edges_to_graph(n, first, second, mixed, signed=True)) - 0.5) < 4.5 * 0.5 / math.sqrt(
        34220
    )
    assert math.isnan(measure_balance(Graph.from_edges(3, [0], [1])))


def test_frustration_is_the_least_share_of_ties_to_turn():
    """Harary (1959): 0 where balanced; 1 of 3 for a triangle of foes; by hand against all divisions of small graphs."""
    first, second = np.triu_indices(40, 1)
    camps = np.where((first % 3 == 0) == (second % 3 == 0), 1.0, -1.0)
    assert measure_frustration(edges_to_graph(40, first, second, camps, signed=True)) == 0.0
    first, second = np.triu_indices(3, 1)
    assert measure_frustration(edges_to_graph(3, first, second, [-1, -1, -1], signed=True)) == 1 / 3
    rng = np.random.default_rng(4)
    first, second = np.triu_indices(9, 1)
    divisions = 1 - 2 * ((np.arange(2**8)[:, None] >> np.arange(9)) & 1)
    found = []
    for _ in range(30):
        signs = rng.choice([-1.0, 1.0], first.size)
        least = (divisions[:, first] * divisions[:, second] * signs < 0).mean(axis=1).min()
        found.append(measure_frustration(edges_to_graph(9, first, second, signs, signed=True)) - least)
    assert min(found) > -1e-12  # an upper bound
    assert np.mean(found) < 0.05  # and a near one


def test_balance_is_recorded_over_signed_layers_only():
    graph = edges_to_graph(3, [0, 0, 1], [1, 2, 2], [1, 1, -1], signed=True)
    plain = Graph.from_edges(3, [0, 0, 1], [1, 2, 2])
    assert triads_balanced(Network({"ties": plain})) == {}
    assert triads_balanced(Network({"ties": graph})) == {"": 0.0}
    assert triads_balanced(Network({"a": graph, "b": plain})) == {"": 0.5, "a": 0.0, "b": 1.0}
    both = edges_to_graph(3, [0, 1, 0, 1], [1, 0, 2, 2], [1, 1, -1, -1], directed=True, signed=True)
    assert (measure_balance(both), measure_frustration(both)) == (1.0, 0.0)


# -- places ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def club():
    return nx.karate_club_graph()


def graph_of(held):
    ends = np.array(held.edges(), np.int64)
    return Graph.from_edges(held.number_of_nodes(), ends[:, 0], ends[:, 1])


def test_places_agree_with_networkx(club):
    graph = graph_of(club)
    wanted = {
        measure_betweenness: nx.betweenness_centrality(club),
        measure_closeness: nx.closeness_centrality(club),
        measure_pagerank: nx.pagerank(club, tol=1e-12, max_iter=1000, weight=None),
        find_cores: nx.core_number(club),
        local_clustering: nx.clustering(club),
    }
    for measure, values in wanted.items():
        assert np.allclose(measure(graph), [values[i] for i in range(34)], atol=1e-7), measure.__name__
    lead = np.array(list(nx.eigenvector_centrality(club, max_iter=5000, tol=1e-10).values()))
    assert np.allclose(measure_eigenvector(graph), lead / lead.max(), atol=1e-5)
    assert measure_strength(graph).tolist() == graph.degree().tolist()


def test_places_of_parts_without_ties_and_of_everyone_tied():
    held = nx.disjoint_union(nx.star_graph(4), nx.empty_graph(2))
    graph = graph_of(held)
    assert np.allclose(measure_closeness(graph), list(nx.closeness_centrality(held).values()))
    complete, stored = Graph.complete_graph(7), graph_of(nx.complete_graph(7))
    for measure in MEASURED:
        values = measure_agents(complete, measure)
        assert np.allclose(values, measure_agents(stored, measure)), measure
        assert values.shape == (7,)


def test_betweenness_from_pivots_is_near_the_exact_one():
    graph = graph_of(nx.barabasi_albert_graph(600, 3, seed=2))
    exact, sampled = measure_betweenness(graph), measure_betweenness(graph, 1, pivots=200)
    assert np.corrcoef(exact, sampled)[0, 1] > 0.98
    assert abs(sampled.sum() / exact.sum() - 1) < 0.05


# -- likeness in several columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "targets"),
    [(("party", "age"), (-0.5, 0.4)), (("party", "age", "urban"), (-0.3, 0.5, -0.2)), (("party", "urban"), (0.7, 0.3))],
)
def test_several_targets_are_met_at_once(columns, targets):
    population = people(2000)
    spec = layer("homophily", params={"columns": columns, "targets": targets})
    graph = built(spec, 2000, population=population)
    assert graph.n_ties == 10_000
    for name, target in zip(columns, targets, strict=True):
        assert abs(measure_homophily(graph, population.columns[name], population.values[name]) - target) < 0.002
    assert np.array_equal(graph.indices, built(spec, 2000, population=population).indices)


def test_targets_that_contradict_each_other_are_refused_with_what_is_reached():
    population = people(400)
    population.add("older", Column("boolean", "bool"), population.values["age"] > 54)
    with pytest.raises(NetworkError, match="cannot meet all targets at once; reached: age"):
        built(layer("homophily", params={"columns": ("age", "older"), "targets": (0.9, 0.9), "mean_degree": 6}), 400,
              population=population)  # fmt: skip


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"columns": ("party", "age"), "targets": (0.1,)}, "1 targets for 2 columns"),
        ({"columns": ("party", "party"), "targets": (0.1, 0.1)}, "names one column twice"),
        ({"columns": ("party", "agee"), "targets": (0.1, 0.1)}, "did you mean 'age'"),
        ({"columns": ("party", "name"), "targets": (0.1, 0.1)}, "holds texts"),
        ({"columns": ("party", "age"), "targets": (0.1, -0.5)}, "in \\[0, 1\\)"),
    ],
)
def test_lists_that_do_not_fit_are_refused(params, told):
    with pytest.raises(NetworkError, match=told):
        built(layer("homophily", params=params), 400, population=people(400))


@pytest.mark.parametrize(
    ("layer_table", "told"),
    [
        ({"weigh": {"negative_across": "gender"}}, "makes negative weights; set signed = true"),
        ({"signed": True, "weigh": {"negative_across": "gendr"}}, "did you mean 'gender'"),
        ({"signed": True, "weigh": {"negative_across": "risk_aversion"}}, "camps need categories or whole numbers"),
    ],
)
def test_ties_across_camps_need_a_signed_layer_and_a_column_of_groups(layer_table, told):
    network = {"kind": "ring", "k": 2, **layer_table}
    with pytest.raises(StudyError, match=told):
        load_study({"scenario": "degroot", "population": {"recipe": "adults_generic"}, "network": network})
