"""The SQL box: reads a run's tables, and refuses in one sentence whatever writes, looks elsewhere or never ends."""

import time

import pytest

from engine.errors import RunError, RunNotFound
from engine.loading import load_study
from engine.runs import create_run, open_workspace, read_info, start_worker
from engine.store.sql_box import MAX_ROWS, run_sql


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder of a finished run of 50 people."""
    workspace = open_workspace(tmp_path_factory.mktemp("sql") / "workspace")
    folder = create_run(workspace, load_study({"scenario": "sir", "steps": 6, "population": {"size": 50}}))
    start_worker([folder], live=False)
    end = time.monotonic() + 60
    while read_info(folder).status not in ("done", "failed") and time.monotonic() < end:
        time.sleep(0.05)
    assert read_info(folder).status == "done"
    return folder


def test_a_query_reads_the_run(run):
    answer = run_sql(run, "select count(*) as n from agents -- all of them")
    assert answer.frame["n"].to_list() == [50]
    assert not answer.is_cut
    described = run_sql(run, "describe states").frame
    assert "agent_id" in described["column_name"].to_list()
    assert run_sql(run, "select * from states_at(3)").frame.height == 50


def test_rows_beyond_the_limit_are_cut(run):
    answer = run_sql(run, "select * from range(30000)")
    assert answer.frame.height == MAX_ROWS
    assert answer.is_cut


def test_a_run_that_is_not_consolidated_is_read_from_its_segments(run, tmp_path):
    workspace = open_workspace(tmp_path / "w")
    folder = create_run(workspace, load_study({"scenario": "sir", "steps": 6, "population": {"size": 50}}))
    assert run_sql(folder, "select count(*) as n from agents").frame["n"].to_list() == [0]
    with pytest.raises(RunError, match="COPY is refused"):
        run_sql(folder, f"copy (select 1) to '{folder}/segments/x.parquet'")


@pytest.mark.parametrize(
    "sql",
    [
        "create table x (a int)",
        "delete from measures",
        "copy states to '{here}/out.csv'",
        "copy (select 1) to '{run}/segments/out.csv'",
        "export database '{here}/out'",
        "attach '{here}/other.db'",
        "set memory_limit = '8GB'",
        "pragma database_list",
        "install httpfs",
        "load httpfs",
        "vacuum",
        "call pragma_version()",
    ],
)
def test_other_statements_are_refused_by_name(run, tmp_path, sql):
    with pytest.raises(RunError, match="is refused: the box only reads"):
        run_sql(run, sql.format(here=tmp_path, run=run))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('{run}/../../studies/*')",
        "select * from glob('/*')",
        "select * from read_blob('{run}/catalog.sqlite')",
    ],
)
def test_other_files_are_refused(run, sql):
    with pytest.raises(RunError, match="this run's tables and nothing else"):
        run_sql(run, sql.format(run=run))


@pytest.mark.parametrize("sql", ["select 1; select 2", "select 1; drop table states", "", "-- nothing"])
def test_one_statement_at_a_time(run, sql):
    with pytest.raises(RunError, match="one statement at a time"):
        run_sql(run, sql)


def test_data_changing_parts_of_a_query_change_nothing(run):
    with pytest.raises(RunError, match="cannot be answered"):
        run_sql(run, "with x as (insert into measures values (1, 'a', '', 1) returning *) select * from x")
    assert run_sql(run, "select count(*) as n from measures where measure = 'a'").frame["n"][0] == 0


@pytest.mark.parametrize(
    "sql",
    [
        "with recursive t(x) as (select 1 union all select x + 1 from t) select max(x) from t",
        "select count(*) from range(100000000000) a, range(100000) b",
    ],
)
def test_a_query_that_never_ends_is_stopped(run, sql):
    began = time.monotonic()
    with pytest.raises(RunError, match="took longer than 1 s"):
        run_sql(run, sql, seconds=1)
    assert time.monotonic() - began < 8


def test_a_query_that_needs_too_much_memory_is_stopped(run):
    with pytest.raises(RunError, match="more than 256 MB"):
        run_sql(run, "select string_agg(repeat('x', 1000000)) from range(100000)")


def test_a_mistake_is_told_in_one_line(run):
    with pytest.raises(RunError, match="cannot be answered: Catalog Error") as told:
        run_sql(run, "select * from nothing")
    assert "\n" not in str(told.value)
    with pytest.raises(RunError, match="at most 20,000"):
        run_sql(run, "select 1" + " " * 20_001)


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunNotFound, match="is not a run"):
        run_sql(tmp_path, "select 1")
