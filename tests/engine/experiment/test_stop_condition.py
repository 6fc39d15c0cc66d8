"""`stop_when`: when a run ends by it, what is recorded, and that resuming and forking agree."""

import pytest

from engine import StudyError, dump_study, load_study, parse_study, simulate
from engine.runs import create_run, fork_run, read_info, read_result, replay_run
from engine.runs.execution import Worker, execute_run

STUDY = {"scenario": "sir", "steps": 60, "population": {"size": 300}, "stop_when": "recovered_share > 0.3 and step > 4"}


def test_a_run_ends_after_the_first_step_at_which_it_holds():
    study = load_study(STUDY)
    records = [(r.step, r.measures["recovered_share", ""], r.stopped, r.recorded, r.digest) for r in simulate(study)]
    assert all(stopped is None and share <= 0.3 for step, share, stopped, _, _ in records[5:-1])
    step, share, stopped, recorded, _ = records[-1]
    assert share > 0.3
    assert step < 60
    assert stopped == "stop_when = recovered_share > 0.3 and step > 4 holds"
    assert recorded
    free = [record.digest for record, _ in zip(simulate(load_study({**STUDY, "stop_when": ""})), records, strict=False)]
    assert free == [digest for *_, digest in records]


def test_the_initial_state_is_not_asked():
    study = load_study({**STUDY, "stop_when": "susceptible_share > 0", "record": {"every": 7}})
    assert [(r.step, r.stopped is None, r.recorded) for r in simulate(study)] == [(0, True, True), (1, False, True)]


def test_it_survives_the_file():
    study = load_study(STUDY)
    assert parse_study(dump_study(study)) == study
    assert "stop_when" not in dump_study(load_study("sir"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("recoverd_share > 1", "'recoverd_share' is not a measure of sir; did you mean 'recovered_share'? @ stop_when"),
        ("recovered_share", "a condition must be true or false"),
        ("open('x')", "a call is not in the language"),
    ],
)
def test_a_wrong_condition_is_a_problem(text, sentence):
    with pytest.raises(StudyError) as caught:
        load_study({**STUDY, "stop_when": text})
    assert sentence in str(caught.value)


def test_a_run_says_why_it_ended_and_a_fork_follows_its_own_condition(workspace):
    parent = create_run(workspace, load_study(STUDY))
    with Worker(live=False) as worker:
        execute_run(parent, worker)
    result = read_result(parent)
    assert result.message == f"ended at step {result.steps}: stop_when = {STUDY['stop_when']} holds"
    assert replay_run(result.folder).identical
    same = fork_run(workspace, result.folder, result.steps)
    on = fork_run(workspace, result.folder, result.steps, ["stop_when=recovered_share > 0.5"])
    whole = create_run(workspace, load_study({**STUDY, "stop_when": "recovered_share > 0.5"}))
    for folder in (same, on, whole):
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    assert (read_info(same).status, read_info(same).step) == ("done", result.steps)
    assert read_info(on).step > result.steps
    assert "recovered_share > 0.5" in read_info(on).message
    assert read_info(whole).digest == read_info(on).digest
