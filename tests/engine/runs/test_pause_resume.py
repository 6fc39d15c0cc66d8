"""Pause, resume, checkpoints and faults: the end is the same."""

import errno

import pytest

from engine import read_measures, read_states
from engine.errors import RunError, RunLocked
from engine.runs import cancel_run, create_run, inject, pause_run, read_info, replay_run, resume_run
from engine.runs.execution import Worker, execute_run
from engine.runs.locking import RunLock, is_locked
from engine.runs.worker import main
from engine.spec import Do, InterventionSpec
from engine.store import Catalog, read_events


def queue(folder):
    with Catalog(folder) as catalog:
        catalog.write_status(status="queued")


@pytest.mark.parametrize("stops", [(0,), (1,), (7,), (12, 20), (29,), (30,)])
def test_a_paused_run_ends_the_same(workspace, small, execute, finished, stops):
    folder = create_run(workspace, small())
    for stop in stops:
        assert execute(folder, stop_at=stop).status in ("paused", "done")
        queue(folder)
    resumed = execute(folder)
    assert (resumed.status, resumed.digest, resumed.steps) == ("done", finished.digest, 30)
    assert read_measures(resumed).equals(read_measures(finished))
    assert read_states(resumed, labels=False).equals(read_states(finished, labels=False))


def test_a_pause_between_recorded_steps_loses_no_change(workspace, small, execute):
    study = small("record.every=5", "record.checkpoint_every=50")
    whole = execute(create_run(workspace, study))
    folder = create_run(workspace, study)
    assert execute(folder, stop_at=13).steps == 13
    queue(folder)
    resumed = execute(folder)
    for step in (10, 15, 20, 30):
        assert read_states(resumed, step).equals(read_states(whole, step))
    assert sorted(set(read_measures(resumed)["step"])) == [0, 5, 10, 15, 20, 25, 30]


def test_a_paused_run_can_be_read(workspace, small, execute, finished):
    folder = create_run(workspace, small())
    execute(folder, stop_at=11)
    assert read_info(folder).status == "paused"
    assert read_states(folder, 11).equals(read_states(finished, 11))
    assert read_measures(folder).equals(read_measures(finished).filter(read_measures(finished)["step"] <= 11))
    with pytest.raises(RunError, match="the run has steps 0 to 11"):
        read_states(folder, 12)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(workspace, small, execute, finished):
    folder = create_run(workspace, small())
    execute(folder, stop_at=17)
    latest = max((folder / "checkpoints").iterdir())
    content = bytearray(latest.read_bytes())
    content[len(content) // 2] ^= 1
    latest.write_bytes(content)
    queue(folder)
    assert execute(folder).digest == finished.digest
    assert read_states(folder).equals(read_states(finished))


def test_without_any_checkpoint_the_run_begins_again(workspace, asking, execute):
    whole = execute(create_run(workspace, asking()))
    folder = create_run(workspace, asking())
    execute(folder, stop_at=9)
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    queue(folder)
    again = execute(folder)
    assert again.digest == whole.digest
    assert again.situations == whole.situations, "the journal was asked, not the model"


def test_a_full_disk_fails_with_one_sentence_and_keeps_what_was_committed(
    workspace, small, execute, finished, monkeypatch
):
    import engine.store.segments as segments

    written, real = [], segments.write_durably

    def write(path, work):
        written.append(path)
        if len(written) > 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, work)

    folder = create_run(workspace, small("record.checkpoint_every=2"))
    with monkeypatch.context() as patch:
        patch.setattr(segments, "write_durably", write)
        failed = execute(folder)
    assert failed.status == "failed"
    assert "is full" in failed.message and "resume the run" in failed.message and "\n" not in failed.message
    assert 0 < failed.steps < 30
    assert read_states(folder, failed.steps).equals(read_states(finished, failed.steps))
    queue(folder)
    assert execute(folder).digest == finished.digest


def test_a_failing_run_says_why_and_keeps_its_steps(workspace, asking, execute):
    folder = create_run(workspace, asking("model.file=nowhere.gguf"))
    failed = execute(folder)
    assert failed.status == "failed"
    assert "nowhere.gguf" in failed.message
    assert failed.steps == 0
    assert read_states(folder, 0).height == 16


def test_a_second_worker_is_refused(workspace, small, capsys):
    folder = create_run(workspace, small())
    assert not is_locked(folder)
    with RunLock(folder):
        assert is_locked(folder)
        with pytest.raises(RunLocked, match="another worker"), Worker(live=False) as worker:
            execute_run(folder, worker)
        assert main([str(folder)]) == 3
        assert "another worker" in capsys.readouterr().err
        with pytest.raises(RunError, match="already"):
            resume_run(folder)
    assert not is_locked(folder)


def test_a_run_whose_worker_is_gone_is_interrupted(workspace, small, execute, finished):
    folder = create_run(workspace, small())
    execute(folder, stop_at=8)
    with Catalog(folder) as catalog:
        catalog.write_status(status="running")
    info = read_info(folder)
    assert (info.status, info.step) == ("interrupted", 8)
    assert "resume the run" in info.message
    assert execute(folder).digest == finished.digest


def test_cancel_and_pause_of_a_queued_run(workspace, small, execute):
    folder = create_run(workspace, small())
    pause_run(folder)
    assert execute(folder).status == "paused"
    cancel_run(folder)
    assert execute(folder).status == "cancelled"
    with pytest.raises(RunError, match="cannot be paused"):
        pause_run(folder)


def test_requests_reach_a_worker(workspace, small, execute):
    folder = create_run(workspace, small())
    with Catalog(folder) as catalog:
        catalog.ask("cancel")
    cancelled = execute(folder)
    assert cancelled.status == "cancelled"
    assert cancelled.database.is_file()


def test_a_done_run_is_not_resumed(finished):
    with pytest.raises(RunError, match="fork it"):
        resume_run(finished.folder)


def shock(**when):
    do = Do.model_validate({"effect": "set", "column": "state", "value": "infected"})
    return InterventionSpec.model_validate({"name": "shock", "whom": {"ids": [1, 2, 50]}, "do": do, **when})


def test_an_injection_acts_once_and_is_replayed(workspace, small, execute, finished):
    folder = create_run(workspace, small())
    execute(folder, stop_at=9)
    inject(folder, [shock()])
    queue(folder)
    changed = execute(folder, stop_at=20)
    queue(folder)
    changed = execute(folder)
    assert changed.digest != finished.digest
    events = read_events(folder)
    assert events["step"].to_list() == [10]
    assert '"name": "shock"' in events["detail"][0]
    assert replay_run(folder).identical


def test_an_injection_survives_the_loss_of_its_step(workspace, small, execute):
    folder = create_run(workspace, small())
    execute(folder, stop_at=9)
    inject(folder, [shock(every=6)])
    queue(folder)
    execute(folder, stop_at=13)
    with Catalog(folder) as catalog, catalog.transaction() as connection:
        connection.execute("delete from checkpoints where step > 7")
    queue(folder)
    assert execute(folder).status == "done"
    assert read_events(folder)["step"].to_list() == [13, 19, 25]
    assert replay_run(folder).identical


def test_an_injection_into_the_past_or_a_finished_run_is_refused(workspace, small, execute, finished):
    with pytest.raises(RunError, match="fork it"):
        inject(finished.folder, [shock()])
    folder = create_run(workspace, small())
    execute(folder, stop_at=9)
    with pytest.raises(RunError, match="the run is at step 9"):
        inject(folder, [shock(at=3)])
