"""Whatever the order of pauses, forks and injections, a run is exactly repeatable."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import load_study, read_states
from engine.runs import create_run, fork_run, inject, open_workspace, read_result, replay_run
from engine.runs.execution import Execution, Worker, execute_run
from engine.spec import Do, InterventionSpec
from engine.store import Catalog

STEPS = 16
STUDY = ["population.size=30", f"steps={STEPS}", "network.k=4", "params.initial_infected=4", "params.gamma=0.02"]


class Stopping(Worker):
    """A worker that the system asks to end at one step."""

    def __init__(self, stop):
        super().__init__(live=False)
        self.stop = stop


@pytest.fixture(autouse=True)
def stopping(monkeypatch):
    def show(self, record):
        self.worker.stopping = record.step + 1 >= self.worker.stop

    monkeypatch.setattr(Execution, "_show", show)


def advance(folder, stop=10**9):
    with Catalog(folder) as catalog:
        catalog.write_status(status="queued")
    execute_run(folder, Stopping(stop))
    return read_result(folder)


@given(
    stops=st.lists(st.integers(1, STEPS), max_size=3).map(sorted),
    every=st.sampled_from([1, 3]),
    checkpoint_every=st.integers(1, 20),
    at=st.integers(0, STEPS - 1),
    shock_after=st.integers(1, STEPS - 2),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pauses_forks_and_replays_agree(stops, every, checkpoint_every, at, shock_after):
    with tempfile.TemporaryDirectory() as path:
        workspace = open_workspace(Path(path))
        study = load_study("sir", [*STUDY, f"record.every={every}", f"record.checkpoint_every={checkpoint_every}"])
        whole = advance(create_run(workspace, study))
        folder = create_run(workspace, study)
        for stop in stops:
            advance(folder, stop)
        paused = advance(folder)
        assert paused.digest == whole.digest
        assert paused.measures == whole.measures
        fork = advance(fork_run(workspace, whole.folder, min(at, whole.steps - 1)))
        assert fork.digest == whole.digest
        for step in {0, whole.steps // every * every, whole.steps}:
            assert read_states(paused, step).equals(read_states(whole, step))
            assert read_states(fork, step).equals(read_states(whole, step))
        shocked = create_run(workspace, study)
        advance(shocked, shock_after)
        do = Do.model_validate({"effect": "set_param", "param": "p_transmit", "value": 0.9})
        inject(shocked, [InterventionSpec(name="shock", do=do)])
        changed = advance(shocked)
        assert replay_run(shocked).identical
        assert advance(fork_run(workspace, shocked, changed.steps - 1)).digest == changed.digest
