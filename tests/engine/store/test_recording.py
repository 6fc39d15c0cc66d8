"""The recorder: key frames, changes, entries and departures; a population that changes survives a checkpoint."""

import contextlib
import json

import numpy as np
import polars as pl
import pytest

from engine import (
    Choice,
    Decision,
    Measure,
    ScenarioParams,
    Writing,
    column,
    read_measures,
    read_states,
    registry,
    scenario,
)
from engine.errors import RunError
from engine.runs import create_run, fork_run, open_workspace, read_result, replay_run
from engine.runs.execution import Execution, Worker, execute_run
from engine.spec import LayerSpec, PopulationSpec, RecordSpec, Study
from engine.store import Catalog, count_rows, query, read_agents, read_decisions, read_edges, read_events, read_messages
from engine.store.recording import FULL_DECISION_ROWS, Recorder
from engine.store.schema import check_column_names, duckdb_type

ANSWER = Decision("answer", Choice("no", "yes"), rule=lambda seen: np.asarray(seen.agents) % 2, question="Yes?")
REMARK = Writing("remark", rule=lambda seen: [f"{agent} at {seen.step}" for agent in seen.agents], question="Speak.")


@contextlib.contextmanager
def village(step):
    class Village:
        columns = {
            "mood": column("float64", help="Mood.", low=0, high=1, initial=0.25),
            "side": column("int8", help="Side.", labels=("left", "right"), initial=1),
            "met": column("bool", help="Whether it met someone."),
        }
        decisions = (ANSWER,)
        writings = (REMARK,)
        measures = (
            Measure("mean_mood", lambda world: float(world.population["mood"].mean()), help="Mean.", source="ours"),
            Measure("undefined", lambda world: float("nan"), help="Nothing.", source="ours"),
        )

        def setup(self, world):
            world.population["mood"] = world.uniform("mood")

        def step(self, world):
            step(world)

    registry.discover()
    scenario("village", title="Village", family="tests", promise="Nothing.", params=ScenarioParams, source="ours")(
        Village
    )
    try:
        yield
    finally:
        registry.scenarios._entries.pop("village")


def live(world):
    """One agent's mood changes each step; at 3 two enter, at 5 one leaves; everyone answers and one speaks."""
    world.population["mood"][world.step % 4] += 0.001
    if world.step == 3:
        world.enter(2, mood=0.5)
        world.change_ties("ties", np.array([[0, 20], [21, 1]]), None)
    if world.step == 5:
        world.leave(np.array([7]))
    world.decide(ANSWER)
    world.write(REMARK, world.agents[:1])


def study_of(steps=12, **record):
    return Study(
        scenario="village",
        steps=steps,
        population=PopulationSpec(size=20),
        layers=(LayerSpec(kind="ring", params={"k": 2}),),
        record=RecordSpec(**record),
    )


@pytest.fixture
def run(tmp_path):
    workspace = open_workspace(tmp_path / "w")

    def execute(study, folder=None):
        folder = folder or create_run(workspace, study)
        with Worker(live=False) as worker:
            execute_run(folder, worker)
        return read_result(folder)

    with village(live):
        yield execute


def test_entries_and_departures_are_told(run):
    result = run(study_of())
    agents = read_agents(result)
    assert agents["agent_id"].to_list() == list(range(22))
    assert agents["entered"].to_list() == [0] * 20 + [3, 3]
    assert agents.filter(agents["agent_id"] == 7)["left"].to_list() == [5]
    assert agents["left"].null_count() == 21
    assert agents["initial_side"].to_list() == ["right"] * 22
    assert [read_states(result, step).height for step in (2, 3, 4, 5, 12)] == [20, 22, 22, 21, 21]
    assert read_states(result, 3)["mood"][21] == 0.5
    assert read_states(result, 12).schema["met"] == pl.Boolean
    assert read_events(result)["kind"].to_list() == ["entered", "entered", "left"]
    assert read_messages(result)["text"][2] == "0 at 3"
    late = read_edges(result).filter(pl.col("from_step") == 3)
    assert list(zip(late["source"], late["target"], strict=True)) == [(0, 20), (1, 21)]
    assert read_decisions(result).height == 2 * 20 + 2 * 22 + 8 * 21


def test_an_undefined_measure_is_null(run):
    result = run(study_of(steps=2))
    measures = read_measures(result)
    assert measures.filter(measures["measure"] == "undefined")["value"].null_count() == 3
    assert json.loads(json.dumps(result.to_json()))["measures"]["undefined"] is None


def test_changes_are_few_rows_and_frames_bound_what_is_read(run):
    result = run(study_of(steps=200))
    frames = query(result, "select step, count(*) as n from states where keyframe group by step order by step")
    assert frames["step"][0] == 0 and 3 in frames["step"].to_list()
    gaps = np.diff(frames["step"].to_numpy())
    assert 60 < gaps[2:].max() <= 4 * 22 + 1
    assert count_rows(result, "states") < 200 + frames["n"].sum()
    dense = run(study_of(steps=20, states="dense"))
    assert count_rows(dense, "states") == 3 * 20 + 18 * 22
    for step in (0, 3, 4, 11, 19):
        assert read_states(dense, step).equals(read_states(result, step)), "both ways of recording say the same"


def test_a_changing_population_survives_pause_fork_and_replay(run, tmp_path, monkeypatch):
    whole = run(study_of())
    for stop in (2, 4, 6):
        folder = create_run(open_workspace(tmp_path / "w"), study_of())
        worker = Worker(live=False)

        def stop_at(self, record, stop=stop):
            self.worker.stopping = record.step >= stop

        with monkeypatch.context() as patch:
            patch.setattr(Execution, "_show", stop_at)
            execute_run(folder, worker)
        with Catalog(folder) as catalog:
            catalog.write_status(status="queued")
        resumed = run(None, folder)
        assert resumed.digest == whole.digest
        assert read_agents(resumed).equals(read_agents(whole))
        assert (
            read_edges(resumed)
            .sort("source", "target", "from_step")
            .equals(read_edges(whole).sort("source", "target", "from_step"))
        )
        assert read_states(resumed, 12).equals(read_states(whole, 12))
        assert read_messages(resumed).equals(read_messages(whole))
    fork = run(None, fork_run(open_workspace(tmp_path / "w"), whole.folder, 4))
    assert fork.digest == whole.digest and read_agents(fork).equals(read_agents(whole))
    assert replay_run(whole.folder).identical and replay_run(fork.folder).identical


def test_too_many_decisions_are_counted_and_a_panel_is_kept(run, monkeypatch):
    monkeypatch.setattr("engine.store.recording.FULL_DECISION_ROWS", 100)
    monkeypatch.setattr("engine.store.recording.PANEL_SIZE", 3)
    counted = run(study_of())
    assert set(read_decisions(counted)["agent_id"]) == {0, 9, 19}
    counts = query(counted, "select sum(n) as n from decision_counts")["n"][0]
    assert counts == 2 * 20 + 2 * 22 + 8 * 21
    assert FULL_DECISION_ROWS == 5_000_000


def test_names_that_the_recorder_needs_are_refused():
    with pytest.raises(RunError, match="the name is taken"):
        check_column_names("states", ["mood", "Agent_ID"])
    with pytest.raises(RunError, match="the name is taken"):
        check_column_names("states", ["mood", "Mood"])
    with pytest.raises(RunError, match="complex128 cannot be recorded"):
        duckdb_type("complex128")


def test_an_empty_recorder_gives_nothing_out():
    assert Recorder(study_of(), 20, 1).take() is None
