"""Workspaces and small studies that run in the test's own process."""

import pytest

from engine import load_study
from engine.runs import create_run, open_workspace, read_result
from engine.runs.execution import Execution, Worker, execute_run


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(tmp_path / "workspace")


@pytest.fixture
def small():
    """A run of a few milliseconds: 60 people, 30 steps, a checkpoint every seven."""

    def study(*overrides):
        basic = ["population.size=60", "steps=30", "record.checkpoint_every=7", "network.k=6"]
        return load_study("sir", [*basic, "params.initial_infected=3", "params.gamma=0.02", *overrides])

    return study


@pytest.fixture
def asking():
    """A study whose people are asked a (scripted) language model, so that the journal fills."""

    def study(*overrides):
        basic = ["population.size=16", "steps=14", "network.kind=complete", "record.checkpoint_every=4"]
        language = ["decisions.listen.policy=language", "model.file=scripted"]
        return load_study("bounded_confidence", [*basic, *language, *overrides])

    return study


@pytest.fixture
def execute(monkeypatch):
    """Execute a run here until it ends, or until a step at which the system asks the worker to end."""

    def run(folder, stop_at=None, live=False):
        with Worker(live=live) as worker:
            if stop_at is not None:
                worker.stopping = stop_at == 0

                def show(self, record, shown=Execution._show):
                    shown(self, record)
                    worker.stopping = record.step >= stop_at - 1

                monkeypatch.setattr(Execution, "_show", show)
            execute_run(folder, worker)
        if stop_at is not None:
            monkeypatch.undo()
        return read_result(folder)

    return run


@pytest.fixture
def finished(workspace, small, execute):
    """The result of a finished small run."""
    return execute(create_run(workspace, small()))
