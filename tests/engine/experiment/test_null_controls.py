"""Null controls: what each takes away, and what it leaves."""

import networkx as nx
import numpy as np
import pytest

from engine import Graph, StudyError, load_study, registry, simulate
from engine.errors import NetworkError
from engine.experiment import CONTROLS, add_arms, expand_arms, null_control
from engine.network import build_network
from engine.network.shuffling import shuffle_graph
from engine.spec import LayerSpec

registry.discover()


def shuffled(kind, n, seed=3, **params):
    """Return a layer as it is, and shuffled."""
    layers = [LayerSpec(kind=kind, params=params, shuffle=shuffle) for shuffle in (False, True)]
    return [build_network([layer], n, seed).layer() for layer in layers]


def clustering(graph):
    """Return the average clustering coefficient."""
    source, target, _ = graph.edges()
    drawn = nx.Graph()
    drawn.add_nodes_from(range(graph.n))
    drawn.add_edges_from(zip(source.tolist(), target.tolist(), strict=True))
    return nx.average_clustering(drawn)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("watts_strogatz", {"k": 10, "p_rewire": 0.05}),
        ("barabasi_albert", {"m": 4}),
        ("caveman", {"size": 6}),
        ("erdos_renyi", {"mean_degree": 220}),
        ("grid", {}),
        ("erdos_renyi", {"mean_degree": 0}),
    ],
)
def test_shuffled_ties_keep_every_degree(kind, params):
    before, after = shuffled(kind, 300, **params)
    assert (after.degree() == before.degree()).all()
    assert after.lattice == ()
    if before.n_ties:
        assert not np.array_equal(after.indices, before.indices)


def test_shuffled_ties_lose_the_clustering():
    """A ring with k = 10 clusters at 3 (k - 2) / (4 (k - 1)) = 2/3; the configuration model at about k / n."""
    before, after = shuffled("ring", 600, k=10)
    assert clustering(before) == pytest.approx(2 / 3)
    assert clustering(after) < 0.04


def test_shuffling_depends_on_the_seed_alone():
    layer = LayerSpec(kind="ring", params={"k": 4}, shuffle=True)
    first, again, other = (build_network([layer], 80, seed).layer() for seed in (1, 1, 2))
    assert np.array_equal(first.indices, again.indices)
    assert not np.array_equal(first.indices, other.indices)


def test_directed_and_weighted_ties_are_shuffled():
    rng = np.random.default_rng(5)
    pairs = np.unique(rng.integers(0, 50, (400, 2)), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    weights = rng.random(len(pairs))
    graph = Graph.from_edges(50, pairs[:, 0], pairs[:, 1], weights, directed=True)
    after = shuffle_graph(graph, 1, "shuffle/test")
    (source, target, held), (new_source, new_target, new_held) = graph.edges(), after.edges()
    assert after.directed
    assert np.array_equal(np.bincount(source, minlength=50), np.bincount(new_source, minlength=50))
    assert np.array_equal(np.bincount(target, minlength=50), np.bincount(new_target, minlength=50))
    assert np.array_equal(np.sort(held), np.sort(new_held))
    assert not np.array_equal(target, new_target)


def test_a_complete_network_cannot_be_shuffled():
    with pytest.raises(NetworkError, match="everyone is tied to everyone"):
        shuffle_graph(Graph.complete_graph(9), 0, "shuffle/test")
    with pytest.raises(StudyError, match=r"shuffle = true changes nothing .* @ network.shuffle"):
        load_study({"scenario": "sir", "network": {"kind": "complete", "shuffle": True}})
    with pytest.raises(StudyError, match=r"shuffle = 'yes' is not true or false @ network.shuffle"):
        load_study({"scenario": "sir", "network": {"kind": "ring", "shuffle": "yes"}})


def test_controls_become_arms_beside_the_study():
    study = load_study("bounded_confidence", ["population.size=80", "steps=10"])
    whole = add_arms(study, null_control(study, "shuffled_ties"), null_control(study, "no_interaction"))
    assert [arm.name for arm in whole.arms] == ["as it is", "shuffled ties", "no interaction"]
    arms = dict(expand_arms(whole))
    assert arms["as it is"] == study
    moved = {}
    for name, own in arms.items():
        first, *_, last = simulate(own)
        moved[name] = last.measures["polarization", ""] != first.measures["polarization", ""]
        ties = last.world.network.layer().n_ties
        assert ties == (0 if name == "no interaction" else 400)
    assert moved == {"as it is": True, "shuffled ties": True, "no interaction": False}


def test_controls_reach_every_layer():
    layers = [{"name": "home", "kind": "caveman"}, {"name": "town", "kind": "complete"}]
    study = load_study({"scenario": "sir", "population": {"size": 60}, "network": {"layers": layers}})
    assert null_control(study, "shuffled_ties").set == {"network.layers.0.shuffle": True}
    whole = add_arms(study, null_control(study, "no_interaction"))
    assert [layer.kind for layer in dict(expand_arms(whole))["no interaction"].layers] == ["erdos_renyi"] * 2


def test_a_blank_persona_is_shown_nothing():
    language = ["decisions.listen.policy=language", "model.file=scripted"]
    study = load_study("bounded_confidence", [*language, "population.size=300", "steps=1"])
    control = null_control(study, "blank_persona")
    assert control.set == {"decisions.listen.persona_fields": []}
    told, blank = expand_arms(add_arms(study, control))
    prompts = [
        {situation.prefix + situation.suffix for record in simulate(own) for situation in record.situations}
        for own in (told[1], blank[1])
    ]
    assert any("years old" in prompt for prompt in prompts[0])
    assert not any("years old" in prompt for prompt in prompts[1])
    assert len(prompts[1]) < len(prompts[0])


def test_a_blank_persona_keeps_who_writes():
    study = load_study("fishery", ["decisions.harvest.policy=language"])
    values = null_control(study, "blank_persona").set
    blank = dict(expand_arms(add_arms(study, null_control(study, "blank_persona"))))["blank persona"]
    assert {key.split(".")[1] for key in values} == set(blank.decisions)
    assert {spec.policy for spec in blank.decisions.values()} == {"language"}
    assert {spec.persona_fields for spec in blank.decisions.values()} == {()}


@pytest.mark.parametrize(
    ("scenario", "overrides", "kind"),
    [
        ("bounded_confidence", ["network.kind=complete"], "shuffled_ties"),
        ("bounded_confidence", ["decisions.listen.policy=scripted"], "blank_persona"),
        ("sir", [], "blank_persona"),
        ("sir", ["network.kind=erdos_renyi", "network.mean_degree=0"], "no_interaction"),
    ],
)
def test_a_control_that_changes_nothing_is_refused(scenario, overrides, kind):
    with pytest.raises(StudyError, match="would change nothing"):
        null_control(load_study(scenario, overrides), kind)


def test_an_unknown_control_names_the_nearest():
    with pytest.raises(StudyError, match="did you mean 'shuffled_ties'"):
        null_control(load_study("sir"), "shuffle_ties")
    assert set(CONTROLS) == {"shuffled_ties", "no_interaction", "blank_persona"}
