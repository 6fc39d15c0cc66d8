"""Runs that ask a shared model: the same answers for all, none asked twice, pauses in the middle of a step."""

import os
import signal
import threading
import time

import pytest
from service_doubles import pid_of, stop_services, wait_until

from engine import load_study
from engine.runs import (
    create_run,
    create_runs,
    fork_run,
    open_workspace,
    pause_run,
    read_info,
    read_result,
    replay_run,
    start_worker,
)
from engine.runs.control import queue_run
from engine.runs.execution import Worker, execute_run
from engine.store import read_situations


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_MODEL_IDLE_S", "0.5")
    space = open_workspace(tmp_path / "workspace")
    yield space
    stop_services(space.cache)


@pytest.fixture
def study(tiny_file):
    """Build a study whose people are asked the tiny model."""

    def build(*overrides):
        basic = ["population.size=12", "steps=6", "network.kind=complete", "record.checkpoint_every=3"]
        language = ["decisions.listen.policy=language", f"model.file='{tiny_file}'"]
        return load_study("bounded_confidence", [*basic, *language, *overrides])

    return build


def execute(folder, worker=None):
    """Execute a run in this process and return its result."""
    worker = worker or Worker(live=False)
    execute_run(folder, worker)
    for model in (worker.models or {}).values():
        model.close()
    return read_result(folder)


def test_a_second_run_asks_nothing_and_is_the_same(workspace, study, monkeypatch):
    first = execute(create_run(workspace, study()))
    assert first.status == "done" and first.model_calls > 0 and first.situations > 10
    monkeypatch.setenv("MICROCOSM_NO_MODEL", "1")  # proves that nothing is loaded
    second = execute(create_run(workspace, study()))
    assert (second.status, second.model_calls, second.situations) == ("done", 0, 0)
    assert second.cache_hits == first.cache_hits + first.situations
    assert second.digest == first.digest
    assert set(read_situations(second)["source"]) == {"cache"} and set(read_situations(first)["source"]) == {"model"}
    for one in ("logp", "raw_logp", "mass", "situation_id"):
        assert read_situations(second)[one].to_list() == read_situations(first)[one].to_list()
    stop_services(workspace.cache)
    for path in workspace.cache.glob("answers.sqlite*"):
        path.unlink()
    assert replay_run(second.folder).identical  # the run's own journal is enough
    failed = execute(create_run(workspace, study()))
    assert failed.status == "failed" and "MICROCOSM_NO_MODEL=1 forbids" in failed.message


def test_workers_that_race_agree_and_ask_each_situation_once(workspace, study):
    twins = [create_runs(workspace, study(), 2) for _ in range(2)]
    folders = [folder for pair in twins for folder in pair]
    for order in (folders, folders[::-1]):
        start_worker(order[:2], live=False)
    wait_until(lambda: all(read_info(folder).is_finished for folder in folders), 90)
    results = [read_result(folder) for folder in folders]
    assert [result.message for result in results] == [""] * 4
    assert results[0].digest == results[2].digest and results[1].digest == results[3].digest
    assert results[0].digest != results[1].digest
    distinct = {key for result in results for key in read_situations(result)["situation_id"]}
    assert sum(result.situations for result in results) == len(distinct)
    fork = execute(fork_run(workspace, folders[0], 3))
    assert (fork.digest, fork.model_calls) == (results[0].digest, 0)
    assert all(replay_run(folder).identical for folder in folders)


def test_without_the_service_the_model_lives_in_the_worker(workspace, study, monkeypatch):
    monkeypatch.setenv("MICROCOSM_MODEL_SERVICE", "0")
    alone = execute(create_run(workspace, study()))
    assert alone.status == "done" and not list(workspace.cache.iterdir())
    assert execute(create_run(workspace, study())).model_calls == alone.model_calls
    monkeypatch.delenv("MICROCOSM_MODEL_SERVICE")
    assert execute(create_run(workspace, study())).situations == alone.situations


def test_a_service_killed_during_a_run_changes_nothing(workspace, study):
    large = study("population.size=150", "steps=2")
    folder = create_run(workspace, large)

    def kill():
        wait_until(lambda: read_info(folder).phase.startswith("asking the model"), 60)
        os.kill(pid_of(workspace.cache), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    run = execute(folder)
    killer.join()
    again = execute(create_run(workspace, large))
    assert (run.status, again.status, again.digest) == ("done", "done", run.digest)
    assert again.model_calls == 0


def test_a_run_rests_within_a_second_while_the_model_is_asked(workspace, study):
    large = study("population.size=6000", "steps=1")
    folder = create_run(workspace, large)
    taken = []

    def pause():
        wait_until(lambda: read_info(folder).phase.startswith("asking the model:"), 60)
        began = time.monotonic()
        pause_run(folder, wait_s=20)
        taken.append(time.monotonic() - began)

    pausing = threading.Thread(target=pause)
    pausing.start()
    rested = execute(folder)
    pausing.join()
    assert (rested.status, rested.steps) == ("paused", 0)
    assert taken[0] < 4.0  # a second and the commit, on a busy machine; the step itself takes far longer
    asked = rested.situations
    queue_run(folder)
    execute(folder)
    info = read_info(folder)
    assert info.status == "done" and info.step == 1
    whole = execute(create_run(workspace, large))
    assert (whole.digest, whole.model_calls) == (info.digest, 0)
    assert read_result(folder).situations + asked <= whole.cache_hits + asked


def test_a_damaged_cache_is_told_with_the_run(workspace, study):
    (workspace.cache / "answers.sqlite").write_bytes(b"nonsense" * 1000)
    run = execute(create_run(workspace, study("steps=2")))
    assert run.status == "done" and "set aside as answers.damaged-" in run.message
