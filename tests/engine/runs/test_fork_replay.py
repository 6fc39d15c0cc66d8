"""Fork and replay: the past is shared exactly, and every run can be computed again without the model."""

import pytest

from engine import read_measures, read_states
from engine.errors import RunError
from engine.runs import create_run, fork_run, inject, read_info, read_study, replay_run
from engine.spec import Do, InterventionSpec
from engine.store import Catalog, query, read_agents, read_edges, read_events, read_situations


def queue(folder):
    with Catalog(folder) as catalog:
        catalog.write_status(status="queued")


@pytest.mark.parametrize("at", [0, 1, 7, 13, 29])
def test_a_fork_without_a_change_ends_like_its_parent(workspace, small, execute, finished, at):
    child = execute(fork_run(workspace, finished.folder, at))
    assert (child.status, child.digest, child.steps) == ("done", finished.digest, 30)
    assert read_measures(child).equals(read_measures(finished))
    assert read_agents(child).equals(read_agents(finished))
    assert read_edges(child).equals(read_edges(finished))
    for step in (0, at, 30):
        assert read_states(child, step).equals(read_states(finished, step))


def test_a_changed_knob_acts_after_the_fork_and_is_told_by_the_study(workspace, small, execute, finished):
    folder = fork_run(workspace, finished.folder, 10, ["params.p_transmit=0"])
    child = execute(folder)
    info = read_info(folder)
    assert (info.parent_run_id, info.forked_at) == (finished.run_id, 10)
    assert child.digest != finished.digest
    before, after = read_measures(finished), read_measures(child)
    assert after.filter(after["step"] <= 10).equals(before.filter(before["step"] <= 10))
    infected = after.filter(after["measure"] == "susceptible_share")["value"].to_list()
    assert infected[10:] == [infected[10]] * (child.steps - 9)
    study = read_study(folder)
    assert study.params == read_study(finished.folder).params
    assert [(spec.at, spec.do.effect) for spec in study.interventions] == [(10, "set_param")]
    assert [row["step"] for row in read_events(child).iter_rows(named=True)] == [11]
    assert replay_run(folder).identical


def test_a_fork_of_a_fork_replays(workspace, small, execute, finished):
    first = execute(fork_run(workspace, finished.folder, 8, ["params.gamma=0.3", "seeds.dynamics=99"]))
    second = execute(fork_run(workspace, first.folder, 15, ["params.p_transmit=0.4"]))
    early = execute(fork_run(workspace, first.folder, 4))
    for child in (first, second, early):
        found = replay_run(child.folder)
        assert found.identical and found.within_tolerance and found.first_difference is None
    assert len({finished.digest, first.digest, second.digest}) == 3


def test_a_fork_is_paused_and_resumed_like_any_run(workspace, small, execute, finished):
    whole = execute(fork_run(workspace, finished.folder, 12, ["params.gamma=0.5"]))
    folder = fork_run(workspace, finished.folder, 12, ["params.gamma=0.5"])
    execute(folder, stop_at=13)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    queue(folder)
    assert execute(folder).digest == whole.digest


def test_a_fork_reads_its_parents_journal_only_before_the_fork(workspace, asking, execute):
    parent = execute(create_run(workspace, asking()))
    child = execute(fork_run(workspace, parent.folder, 6))
    assert child.digest == parent.digest
    n_before = query(parent, "select count(distinct situation_id) as n from decisions where step <= 6")["n"][0]
    assert child.situations == parent.situations - n_before
    assert read_situations(child).height == read_situations(parent).height
    assert replay_run(child.folder).identical
    with pytest.raises(RunError, match="its answers stay valid"):
        fork_run(workspace, parent.folder, 6, ["model.file=pocket"])
    fork_run(workspace, parent.folder, 0, ["model.file=pocket"])


def test_an_injection_after_the_fork_is_not_inherited(workspace, small, execute):
    folder = create_run(workspace, small())
    execute(folder, stop_at=9)
    do = Do.model_validate({"effect": "set", "column": "state", "value": "infected"})
    inject(folder, [InterventionSpec.model_validate({"name": "shock", "whom": {"ids": [3]}, "do": do})])
    queue(folder)
    parent = execute(folder)
    assert read_events(execute(fork_run(workspace, parent.folder, 9))).is_empty()
    assert read_events(execute(fork_run(workspace, parent.folder, 10))).height == 1


def test_a_fork_can_go_on_for_longer(workspace, small, execute, finished):
    child = execute(fork_run(workspace, finished.folder, 30, ["steps=40"]))
    assert child.steps == 40
    assert replay_run(child.folder).identical


@pytest.mark.parametrize(
    ("at", "overrides", "message"),
    [
        (31, [], "it has committed steps 0 to 30"),
        (-1, [], "cannot be forked at step -1"),
        (30, [], "needs more than 30 steps"),
        (5, ["population.size=61"], "population cannot change"),
        (5, ["network.k=8"], "layers cannot change"),
        (5, ["seed=8"], "seed of the population"),
        (5, ["params.initial_infected=8"], "works only when the world is set up"),
    ],
)
def test_what_a_fork_cannot_do(workspace, finished, at, overrides, message):
    n_runs = len(list(workspace.runs.iterdir()))
    with pytest.raises(RunError, match=message):
        fork_run(workspace, finished.folder, at, overrides)
    assert len(list(workspace.runs.iterdir())) == n_runs


def test_a_replay_names_the_first_step_that_differs(finished):
    assert replay_run(finished.folder).identical
    with Catalog(finished.folder) as catalog, catalog.transaction() as connection:
        connection.execute("update digests set digest = 'ff' where step >= 12")
        connection.execute("update measures set value = value + 1e-3 where step = 12 and measure = 'infected_share'")
    found = replay_run(finished.folder)
    assert (found.identical, found.within_tolerance, found.first_difference) == (False, False, 12)


def test_a_replay_asks_no_model(workspace, asking, execute, monkeypatch):
    result = execute(create_run(workspace, asking()))
    monkeypatch.setenv("MICROCOSM_NO_MODEL", "1")
    assert replay_run(result.folder).identical
    with Catalog(result.folder) as catalog, catalog.transaction() as connection:
        connection.execute("delete from journal where step = (select max(step) from journal)")
    with pytest.raises(Exception, match="journal"):
        replay_run(result.folder)
