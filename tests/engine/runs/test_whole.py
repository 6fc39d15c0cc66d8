"""Counts of all agents beside a picture that shows a part of them."""

import numpy as np
import pytest

from engine.errors import RunError
from engine.loading import load_study
from engine.network import layout_nodes
from engine.network.graph import Graph
from engine.population.columns import Column
from engine.runs import create_run
from engine.runs.live import choose_shown
from engine.runs.whole import BINS, WHOLE_NAME, WholeWriter, read_whole

N = 5_000


@pytest.fixture
def people():
    rng = np.random.default_rng(3)
    return {"state": rng.integers(0, 3, N).astype(np.int8), "opinion": rng.random(N), "ill": rng.random(N) < 0.2}


@pytest.fixture
def shown(people):
    columns = {
        "state": Column("category", "int8", labels=("s", "i", "r")),
        "opinion": Column("float", "float64", low=0.0, high=1.0),
        "ill": Column("boolean", "bool"),
    }
    return choose_shown(np.arange(10), columns, people)


def everyone_stays():
    return np.full(N, -1, np.int64)


def test_counts_equal_those_of_numpy(tmp_path, people, shown):
    WholeWriter(tmp_path, shown).write(4, people, everyone_stays(), last=True)
    whole = read_whole(tmp_path)
    assert whole.steps.tolist() == [4] and set(whole.ranges) == {"opinion"}
    assert whole.counts["state"][0, :3].tolist() == np.bincount(people["state"], minlength=3).tolist()
    assert whole.counts["ill"][0, :2].tolist() == [N - people["ill"].sum(), people["ill"].sum()]
    expected = np.histogram(people["opinion"], np.linspace(0, 1, BINS + 1))[0]
    assert whole.counts["opinion"][0].tolist() == expected.tolist()


def test_who_has_left_and_what_is_missing_do_not_count(tmp_path, people, shown):
    left = everyone_stays()
    left[:1000] = 2
    people["opinion"][1000:1100] = np.nan
    WholeWriter(tmp_path, shown).write(5, people, left, last=True)
    whole = read_whole(tmp_path)
    assert whole.counts["state"].sum() == N - 1000 and whole.counts["opinion"].sum() == N - 1100


def test_a_number_without_bounds_widens_its_range(tmp_path, people):
    people["gain"] = np.zeros(N)
    shown = choose_shown(np.arange(10), {"gain": Column("float", "float64", low=0.0)}, people)
    writer = WholeWriter(tmp_path, shown)
    for step, most in enumerate((0.0, 10.0, 640.0)):
        people["gain"] = np.linspace(0, most, N)
        writer.write(step, people, everyone_stays(), last=True)
    whole = read_whole(tmp_path)
    assert whole.ranges["gain"] == (0.0, 640.0) and (whole.counts["gain"].sum(axis=1) == N).all()
    assert whole.counts["gain"][1, 0] == N  # up to 10 of 640 is the first of 64 bins
    assert np.ptp(whole.counts["gain"][2]) <= 2


def test_a_step_that_is_computed_again_counts_once(tmp_path, people, shown):
    for steps in ((1, 2, 3), (2, 3, 4)):  # the second worker goes on from the checkpoint at step 1
        writer = WholeWriter(tmp_path, shown)
        for step in steps:
            writer.write(step, people, everyone_stays(), last=True)
    path = tmp_path / WHOLE_NAME
    path.write_bytes(path.read_bytes() + b"torn")  # a worker was killed while it wrote
    WholeWriter(tmp_path, shown).write(5, people, everyone_stays(), last=True)
    assert read_whole(tmp_path).steps.tolist() == [1, 2, 3, 4, 5]


def test_counting_takes_a_small_part_of_the_time(tmp_path, people, shown):
    writer = WholeWriter(tmp_path, shown)
    for step in range(200):
        writer.write(step, people, everyone_stays(), last=False)
    assert read_whole(tmp_path).steps.size < 100  # 200 calls in a moment


def test_a_foreign_file_is_one_sentence(tmp_path):
    (tmp_path / WHOLE_NAME).write_bytes(b"not counts")
    with pytest.raises(RunError, match="holds no counts"):
        read_whole(tmp_path)
    assert read_whole(tmp_path / "elsewhere") is None


def test_the_sample_has_every_stratum_in_proportion():
    rng = np.random.default_rng(1)
    n, limit = 40_000, 2_000
    graph = Graph.from_edges(
        n,
        *np.unique(
            np.sort(np.stack([rng.integers(0, n // 2, 90_000), rng.integers(n // 2, n, 90_000)]), axis=0), axis=1
        ),
    )
    groups = (rng.random(n) < 0.03).astype(np.int64)
    ids, _, edges = layout_nodes(graph, 5, limit, groups)
    assert ids.size == limit and np.unique(ids).size == limit
    assert groups[ids].sum() == pytest.approx(limit * groups.mean(), abs=4)  # four quarters of ties, each rounded
    degree = graph.degree()
    low = degree <= np.quantile(degree, 0.25)
    assert low[ids].mean() == pytest.approx(low.mean(), abs=4 / limit)
    independent = graph.n_ties * (limit / n) ** 2
    assert len(edges) > 3 * independent  # neighbourhoods, not scattered agents
    again, *_ = layout_nodes(graph, 5, limit, groups)
    assert np.array_equal(ids, again)


def test_a_run_of_many_counts_all_of_them(workspace, execute):
    study = load_study("sir", ["population.size=25000", "steps=5", "record.states=none"])
    result = execute(create_run(workspace, study), live=True)
    whole = read_whole(result.folder)
    assert whole.steps[-1] == 5 and whole.counts["state"][-1].sum() == 25_000
    assert round(25_000 * result.measures["infected_share"]) in whole.counts["state"][-1].tolist()
