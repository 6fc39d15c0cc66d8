"""What a run recorded can be read while it runs, afterwards, and after `run.duckdb` was lost."""

import duckdb
import numpy as np
import polars as pl
import pytest

from engine import load_study, read_measures, read_states, simulate
from engine.errors import RunError, RunNotFound
from engine.runs import create_run, open_workspace, read_result
from engine.runs.execution import Worker, execute_run
from engine.store import (
    Catalog,
    consolidate,
    count_rows,
    open_run,
    query,
    read_agents,
    read_columns,
    read_decision_counts,
    read_decisions,
    read_edges,
    read_messages,
    read_situations,
    table_names,
)
from engine.store.readers import open_segments

TABLES = ["agents", "columns", "decision_counts", "decisions", "digests", "edges", "events", "layers", "measures"]
TABLES += ["file_ids", "memories", "messages", "run", "situation_parts", "situations", "states", "surveys", "texts"]


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    workspace = open_workspace(tmp_path_factory.mktemp("workspace"))

    def run(scenario, *overrides):
        folder = create_run(workspace, load_study(scenario, overrides))
        assert execute_run(folder, Worker(live=False)) == "done", read_result(folder).message
        return read_result(folder)

    return run


@pytest.fixture(scope="module")
def epidemic(run_of):
    return run_of("sir", "population.size=300", "steps=25", "params.initial_infected=20", "record.every=2")


@pytest.fixture(scope="module")
def talk(run_of):
    language = ["decisions.listen.policy=language", "model.file=scripted", "network.kind=complete"]
    return run_of("bounded_confidence", "population.size=12", "steps=5", *language)


def test_every_table_is_there_with_its_columns(epidemic):
    assert sorted(set(table_names(epidemic)) & set(TABLES)) == sorted(TABLES)
    found = query(epidemic, "select * from run").row(0, named=True)
    assert (found["run_id"], found["status"], found["steps"]) == (epidemic.run_id, "done", 25)
    assert found["digest"] == epidemic.digest
    assert 'scenario = "sir"' in found["study"]


@pytest.mark.parametrize("table", [name for name in TABLES if name != "run"])
def test_views_and_tables_say_the_same(talk, table):
    columns = "order by all"
    with open_run(talk) as kept, open_segments(talk.folder) as live:
        one, other = (c.sql(f'select * from "{table}" {columns}').pl() for c in (kept, live))
    assert one.equals(other)


def test_states_at_a_step_are_those_of_the_simulation(epidemic):
    study = load_study("sir", ["population.size=300", "steps=25", "params.initial_infected=20", "record.every=2"])
    labels = list(read_states(epidemic, 0)["state"].dtype.categories)
    for record in simulate(study):
        if record.recorded:
            found = read_states(epidemic, record.step, labels=False)
            assert np.array_equal(found["state"].to_numpy(), record.world.population["state"])
            named = read_states(epidemic, record.step)["state"].to_list()
            assert named == [labels[code] for code in record.world.population["state"]]


def test_states_and_measures_are_recorded_every_second_step(epidemic):
    expected = [*range(0, 25, 2), 25]
    assert sorted(set(read_measures(epidemic)["step"])) == expected
    assert set(read_states(epidemic)["step"]) <= set(expected)
    assert read_measures(epidemic, after=20)["step"].min() == 22
    assert count_rows(epidemic, "digests") == 26


def test_columns_are_explained(epidemic):
    state = read_columns(epidemic).filter(pl.col("table") == "states").row(0, named=True)
    assert state["labels"][:2] == ["susceptible", "exposed"] and state["help"]
    assert set(read_columns(epidemic)["table"]) >= {"states", "agents", "measures"}


def test_agents_and_edges(epidemic):
    agents = read_agents(epidemic)
    assert agents["agent_id"].to_list() == list(range(300))
    assert agents["left"].is_null().all() and (agents["entered"] == 0).all()
    assert agents.filter(pl.col("initial_state") == "infected").height == 20
    edges = read_edges(epidemic)
    assert edges.height == 1500 and (edges["source"] < edges["target"]).all()
    assert read_edges(epidemic, 7).height == 1500


def test_decisions_join_their_situations(talk):
    decisions, situations = read_decisions(talk), read_situations(talk)
    assert decisions.height > 0 and (decisions["policy"] == "language").all()
    joined = decisions.join(situations, on="situation_id", how="left", suffix="_asked")
    assert joined["prompt"].is_not_null().all()
    row = joined.row(0, named=True)
    assert abs(np.exp(row["logp"][row["action"]]) - row["p"]) < 1e-6
    assert abs(sum(np.exp(row["logp"])) - 1) < 1e-9
    assert read_decisions(talk, step=2, agent=3)["agent_id"].unique().to_list() in ([], [3])
    ids = situations["situation_id"].to_list()[:2]
    assert sorted(read_situations(talk, ids)["situation_id"].to_list()) == sorted(ids)
    assert read_situations(talk)["situation_id"].is_unique().all()
    texts = query(talk, "select * from texts")
    assert texts["text_id"].is_unique().all(), "a prompt piece is stored once"


def test_many_decisions_are_counted(run_of):
    options = ["population.size=12", "steps=5", "decisions.listen.policy=scripted", "network.kind=complete"]
    full = run_of("bounded_confidence", *options)
    counted = run_of("bounded_confidence", *options, "record.decisions=counts")
    none = run_of("bounded_confidence", *options, "record.decisions=none")
    assert full.digest == counted.digest == none.digest, "recording choices do not touch the digest"
    summed = read_decisions(full).group_by("step", "action").len().sort("step", "action")
    counts = read_decision_counts(counted).group_by("step", "action").agg(pl.sum("n")).sort("step", "action")
    assert counts["n"].to_list() == summed["len"].to_list()
    assert read_decisions(none).is_empty() and read_decision_counts(none).is_empty()


def test_messages_are_in_order(run_of):
    result = run_of("fishery", "steps=3", "params.talk=true", "params.rule=sustainable")
    messages = read_messages(result)
    assert messages["message_id"].to_list() == sorted(messages["message_id"].to_list())
    assert messages.height > 5
    assert read_messages(result, 2)["step"].unique().to_list() == [2]


def test_changing_ties_have_a_beginning_and_an_end(run_of, tmp_path):
    study = tmp_path / "s.toml"
    study.write_text(
        'format = 1\nscenario = "sir"\nsteps = 8\n[population]\nsize = 40\n'
        "[params]\ninitial_infected = 40\ngamma = 0.0\n"
        '[network]\nkind = "ring"\nk = 2\n[[interventions]]\nname = "cut"\nat = 2\nwhom = { ids = [0] }\n'
        'do = { effect = "cut_ties" }\n[[interventions]]\nname = "tie"\nat = 4\n'
        'do = { effect = "add_ties", pairs = [[0, 1], [0, 20]] }\n'
    )
    result = run_of(str(study))
    edges = read_edges(result)
    ties = {(r["source"], r["target"], r["from_step"]): r["to_step"] for r in edges.iter_rows(named=True)}
    assert ties[0, 1, 0] == 3 and ties[0, 39, 0] == 3
    assert ties[0, 1, 5] is None and ties[0, 20, 5] is None
    assert [read_edges(result, step).height for step in (0, 2, 3, 4, 5, 8)] == [40, 40, 38, 38, 40, 40]


def test_a_lost_database_is_rebuilt(epidemic):
    before = read_states(epidemic)
    epidemic.database.unlink()
    assert read_states(epidemic).equals(before), "read from the segments"
    assert consolidate(epidemic.folder) == epidemic.database
    assert read_states(epidemic).equals(before)
    assert query(epidemic, "select status from run")["status"].to_list() == ["done"]


def test_the_database_alone_is_enough(epidemic, tmp_path):
    alone = tmp_path / "kept.duckdb"
    alone.write_bytes(epidemic.database.read_bytes())
    assert read_states(alone, 4).equals(read_states(epidemic, 4))
    assert read_measures(alone).equals(read_measures(epidemic))
    with duckdb.connect(str(alone), read_only=True) as connection:
        assert connection.sql("select count(*) from states_at(4)").fetchall() == [(300,)]


def test_a_merged_segment_does_not_disturb_a_reader(epidemic, monkeypatch):
    import engine.store.readers as readers

    failures, real = [], readers.open_run

    def fail_once(run):
        if not failures:
            failures.append(run)
            raise duckdb.IOException("No files found that match the pattern")
        return real(run)

    monkeypatch.setattr(readers, "open_run", fail_once)
    assert read_states(epidemic, 2).height == 300
    assert failures


def test_what_cannot_be_read_says_why(run_of, tmp_path):
    with pytest.raises(RunNotFound):
        read_states(tmp_path)
    result = run_of("sir", "population.size=20", "steps=3", "record.states=none", "params.gamma=0")
    with pytest.raises(RunError, match=r"record\.states = 'none'"):
        read_states(result)
    with Catalog(result.folder) as catalog:
        assert catalog.segments("states") == []
