"""A worker killed at any moment, also between journalling and use, ends with the digest of an undisturbed run."""

import multiprocessing
import random
import time

import pytest

from engine import load_study, read_measures, read_states
from engine.runs import create_run, open_workspace, read_info, read_result, replay_run
from engine.runs.worker import main
from engine.store import Catalog

N_KILLS = 50
STUDY = [
    "population.size=50",
    "decisions.listen.policy=language",
    "model.file=scripted",
    "network.kind=complete",
    "steps=120",
    "record.checkpoint_every=4",
]


def work(folder):
    """Be the worker of one run; called in a fresh process."""
    raise SystemExit(main(["--no-live", folder]))


@pytest.fixture(scope="module")
def context():
    """Processes that start with everything imported, so that fifty of them take seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["engine.runs.worker", "engine.registry", "scenarios.bounded_confidence"])
    return context


def finish(context, folder):
    process = context.Process(target=work, args=(str(folder),))
    process.start()
    process.join(60)
    assert process.exitcode == 0, read_info(folder)
    return read_result(folder)


def journalled(folder):
    with Catalog(folder) as catalog:
        return catalog.select("select count(*) from journal")[0][0]


def kill_once(context, folder, delay_s, at_journal):
    """Start a worker, kill it after a time or as soon as it has journalled something; tell whether it was alive."""
    before = journalled(folder)
    process = context.Process(target=work, args=(str(folder),))
    process.start()
    deadline = time.monotonic() + delay_s
    while time.monotonic() < deadline and process.is_alive():
        if at_journal and journalled(folder) > before:
            break
        time.sleep(0.0005)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


@pytest.mark.timeout(180)
def test_fifty_kills_change_nothing(tmp_path, context):
    workspace = open_workspace(tmp_path)
    study = load_study("bounded_confidence", STUDY)
    undisturbed = finish(context, create_run(workspace, study))
    rng = random.Random(7)
    kills, by_journal, folder = 0, 0, create_run(workspace, study)
    while kills < N_KILLS:
        if read_info(folder).status == "done":
            assert read_result(folder).digest == undisturbed.digest
            folder = create_run(workspace, study)
        before = journalled(folder)
        at_journal = kills % 2 == 0
        if kill_once(context, folder, 5.0 if at_journal else rng.uniform(0.03, 0.8), at_journal):
            kills += 1
            by_journal += journalled(folder) > before
    assert by_journal >= 10, "too few kills came after something had been journalled"
    disturbed = finish(context, folder)
    assert disturbed.status == "done"
    assert disturbed.digest == undisturbed.digest
    assert disturbed.measures == undisturbed.measures
    assert disturbed.situations == undisturbed.situations
    assert read_measures(disturbed).equals(read_measures(undisturbed))
    for step in (0, 37, 120):
        assert read_states(disturbed, step).equals(read_states(undisturbed, step))
    assert replay_run(folder).identical
