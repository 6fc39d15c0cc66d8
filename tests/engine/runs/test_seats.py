"""A person plays an agent: the run waits, the answer is journalled, a replay needs nobody."""

import re
import time

import numpy as np
import polars as pl
import pytest

from engine import StudyError, dump_study, load_study, parse_study, simulate
from engine.answers import Decimals, MultiSelect, Ranking
from engine.errors import DecisionError, RunError
from engine.policy.asking import MemoryJournal
from engine.policy.human import Question, read_answer
from engine.runs import (
    answer_run,
    cancel_run,
    create_run,
    fork_run,
    open_workspace,
    pause_run,
    read_info,
    read_question,
    read_result,
    replay_run,
    resume_run,
    start_worker,
)
from engine.store import read_decisions, read_events, read_measures

SEAT = "decisions.harvest={policy='human',seats=[2]}"


class Player(MemoryJournal):
    """A journal with a person who gives the same answers one after another."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.questions = list(answers), []

    def ask_person(self, question):
        self.questions.append(question)
        return self.answers.pop(0)


def study_with_seat(*overrides):
    return load_study("fishery", ["steps=3", "params.rule=fixed", "params.fixed_request=8", SEAT, *overrides])


def wait_until(look, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.03)
    raise AssertionError("nothing came")


def question_of(folder, step):
    return wait_until(lambda: (asked := read_question(folder)) and asked.step == step and asked)


def test_a_person_asks_for_fish():
    journal = Player("20", "7", "0")
    *_, last = simulate(study_with_seat(), journal=journal)
    assert last.world.population["gain"].tolist() == [24, 24, 27, 24, 24]
    first, second = journal.questions[0], journal.questions[1]
    assert (first.agent, first.step, first.kind, first.low, first.high) == (2, 1, "number", 0, 100)
    assert "tonnes of fish" in first.question and "lake" in first.preamble and first.persona
    assert ("Fish in the lake now", "100 tonnes") in first.seen
    assert any("20" in text for _, text in second.seen), "one sees one's last catch"
    again = Player()
    again.entries = journal.entries
    *_, replayed = simulate(study_with_seat(), journal=again)
    assert replayed.digest == last.digest


def test_the_others_decide_before_the_person():
    """The batch holds the rule's answers as of the rule, and the person's as a person's."""
    records = simulate(study_with_seat(), journal=Player("20", "7", "0"))
    next(records)
    batch = next(records).decisions[0]
    assert batch.actions.tolist() == [8, 8, 20, 8, 8]
    assert batch.policy.tolist() == [0, 0, 3, 0, 0]
    assert (batch.p == 1).all()


def test_nobody_can_be_asked_in_a_plain_simulation():
    with pytest.raises(DecisionError, match=r"agent 2 is played by a person, and nobody can be asked here .*step 1"):
        list(simulate(study_with_seat()))


def test_when_time_runs_out_the_rule_may_decide():
    *_, last = simulate(study_with_seat("decisions.harvest.on_timeout=rule"), journal=Player("20", None, "9"))
    assert last.world.population["gain"].tolist() == [24, 24, 37, 24, 24]
    records = list(simulate(study_with_seat(), journal=Player("20", None, "9")))[1:]
    # The world of a record moves on, its events and batches do not.
    assert [[event.kind for event in record.events] for record in records] == [[], ["no_answer"], []]
    assert [int(record.decisions[0].policy[2]) for record in records] == [3, 0, 3]


def test_a_person_talks():
    journal = Player("8", *["I will take 8.", "pass"] * 40)
    overrides = ["params.talk=true", "steps=1"]
    *_, last = simulate(study_with_seat(*overrides), journal=journal)
    said = [message.text for message in last.messages if message.agent_id == 2]
    assert said[0] == "I will take 8."
    written = [question for question in journal.questions if question.kind == "text"]
    assert any("Moderator" in text for _, text in written[0].texts)


QUESTION = Question("k", 1, 0, 0, "Ann", "vote", "choice", "?", options=("yes", "no"), codes=(0, 2))


@pytest.mark.parametrize(
    ("fields", "given", "index"),
    [
        ({}, " YES ", 0),
        ({}, "2", 2),
        ({"options": ("2", "1"), "codes": (0, 1)}, "2", 0),
        ({"kind": "number", "low": 5, "high": 9}, "7", 2),
        ({"kind": "number", "low": 5, "high": 9, "unit": "t"}, "9 t", 4),
        ({"kind": "number", "low": 0, "high": 1, "increment": 0.1}, "0.3", 3),
        ({"kind": "set", "options": ("a", "b", "c"), "codes": (0, 1, 3)}, "a; 3", 0b1001),
        ({"kind": "set"}, "none", 0),
        ({"kind": "ranking", "options": ("a", "b", "c"), "codes": (0, 1, 2), "places": 2}, "c; a", 4),
        ({"kind": "text"}, "whatever", 0),
    ],
)
def test_an_answer_is_read(fields, given, index):
    assert read_answer(Question(**{**QUESTION.to_plain(), **fields}), given) == index


@pytest.mark.parametrize(
    ("fields", "given", "allowed"),
    [
        ({}, "maybe", "one of: 1 = yes; 2 = no"),
        ({}, "3", "one of"),
        ({}, "", "one of"),
        ({"kind": "number", "low": 5, "high": 9}, "7.5", "from 5 to 9 in steps of 1"),
        ({"kind": "number", "low": 5, "high": 9}, "10", "from 5 to 9"),
        ({"kind": "number", "low": 5, "high": 9}, "nan", "from 5 to 9"),
        ({"kind": "set"}, "yes; yes", "any of these"),
        ({"kind": "ranking", "places": 2}, "yes", "2 of these in order"),
        ({"kind": "text"}, "x" * 2001, "at most 2,000 characters"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_is(fields, given, allowed):
    with pytest.raises(DecisionError, match=allowed):
        read_answer(Question(**{**QUESTION.to_plain(), **fields}), given)


def test_answers_agree_with_the_kinds_of_answers():
    ranking, several = Ranking("a", "b", "c"), MultiSelect("a", "b", "c")
    asked = {**QUESTION.to_plain(), "options": ("a", "b", "c"), "codes": (0, 1, 2), "places": 3}
    code = read_answer(Question(**{**asked, "kind": "ranking"}), "b;c;a")
    assert ranking.orders(np.array([code]))[0].tolist() == [1, 2, 0]
    mask = read_answer(Question(**{**asked, "kind": "set"}), "a; c")
    assert several.chosen(np.array([mask]))[0].tolist() == [True, False, True]
    grid = Decimals(0.5, 2.0, 0.25)
    place = read_answer(Question(**{**asked, "kind": "number", "low": 0.5, "high": 2, "increment": 0.25}), "1.25")
    assert grid.values(np.array([place])).tolist() == [1.25]


def test_a_study_with_seats_is_written_and_read():
    study = study_with_seat("decisions.harvest.timeout_s=60", "decisions.harvest.others=scripted")
    assert parse_study(dump_study(study)) == study


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["decisions.harvest={policy='human'}"], "seats is missing: .* @ decisions.harvest.seats"),
        (["decisions.harvest={policy='human',seats=[5]}"], "seat 5 is not an agent; ids run from 0 to 4"),
        (["decisions.harvest={policy='rule',seats=[1]}"], "seats are read under policy = 'human' alone"),
        (["decisions.harvest={policy='human',seats=[0],others='human'}"], "'human' is not a policy for the others"),
        (["decisions.harvest={policy='human',seats=[0],timeout_s=0}"], "timeout_s"),
    ],
)
def test_seats_that_cannot_be(overrides, problem):
    with pytest.raises(StudyError, match=problem):
        load_study("fishery", overrides)


def test_a_run_waits_is_answered_and_replayed(tmp_path):
    workspace = open_workspace(tmp_path / "workspace")
    folder = create_run(workspace, study_with_seat())
    with pytest.raises(RunError, match="is not waiting for an answer"):
        answer_run(folder, "3")
    start_worker([folder], live=False)
    first = question_of(folder, 1)
    info = read_info(folder)
    assert (info.status, info.step) == ("waiting", 0)
    assert re.fullmatch(r"waiting for .+ \(agent 2\): harvest", info.message)
    with pytest.raises(DecisionError, match="allowed is a number from 0 to 100"):
        answer_run(folder, "all of it")
    answer_run(folder, "20", first)
    question_of(folder, 2)
    assert read_info(folder).step == 1, "what was done before the question can be seen"
    with pytest.raises(RunError, match="answered already"):
        answer_run(folder, "20", first)
    answer_run(folder, "7")
    answer_run(folder, "0", question_of(folder, 3))
    wait_until(lambda: read_info(folder).status == "done")
    assert read_question(folder) is None
    own = read_decisions(folder).filter(pl.col("agent_id") == 2).sort("step")
    assert own["action"].to_list() == [20, 7, 0]
    assert own["policy"].to_list() == ["human"] * 3
    assert replay_run(folder).identical
    child = fork_run(workspace, folder, 2, ["params.fixed_request=1"])
    resume_run(child, live=False)
    asked = question_of(child, 3)
    assert asked.agent == 2
    cancel_run(child, wait_s=10)
    assert read_info(child).status == "cancelled"


def test_a_waiting_run_can_be_paused_and_resumed(tmp_path):
    workspace = open_workspace(tmp_path / "workspace")
    folder = create_run(workspace, study_with_seat("steps=2"))
    start_worker([folder], live=False)
    answer_run(folder, "20", question_of(folder, 1))
    question_of(folder, 2)
    pause_run(folder, wait_s=10)
    assert read_question(folder) is None
    resume_run(folder, live=False)
    answer_run(folder, "30", question_of(folder, 2))
    wait_until(lambda: read_info(folder).status == "done")
    assert read_decisions(folder).filter(pl.col("agent_id") == 2).sort("step")["action"].to_list() == [20, 30]
    assert replay_run(folder).identical


@pytest.mark.parametrize("on_timeout", ["pause", "rule"])
def test_time_runs_out(tmp_path, on_timeout):
    workspace = open_workspace(tmp_path / "workspace")
    overrides = ["steps=1", "decisions.harvest.timeout_s=0.2", f"decisions.harvest.on_timeout={on_timeout}"]
    folder = create_run(workspace, study_with_seat(*overrides))
    start_worker([folder], live=False)
    info = wait_until(lambda: (now := read_info(folder)).status in ("done", "paused", "failed") and now)
    if on_timeout == "pause":
        assert info.status == "paused"
        assert "nobody answered for" in info.message and "within 0.2 s" in info.message
        return
    assert info.status == "done"
    assert read_events(folder)["kind"].to_list() == ["no_answer"]
    assert read_measures(folder).filter(pl.col("measure") == "gain_mean")["value"][-1] == 8
    assert replay_run(folder).identical
    assert read_result(folder).steps == 1
