"""Surveys in studies and runs: checked when they are read, kept by the run, and never needed again."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from survey_files import make_answers, write_sav

from app.cli import main
from engine import StudyError, dump_study, load_study, read_states
from engine.errors import PopulationError
from engine.loading import expand_arms, parse_study, study_hash
from engine.runs import (
    create_run,
    create_runs,
    fork_run,
    inputs_of,
    open_workspace,
    read_info,
    read_study,
    replay_run,
)
from engine.runs.execution import Worker, execute_run
from engine.simulation import build_world

STUDY = """
scenario = "bounded_confidence"
steps = 12
seed = 5

[params]
epsilon = 0.2

[population]
size = 80
file = "data/ess.sav"
weight = "pspwght"
keep = ["cntry"]

[population.map]
opinion = { variable = "lrscale", range = [0, 10], to = [0, 1] }
gender = { variable = "gndr", labels = { "1" = "man", "2" = "woman" }, missing = "draw" }

[network]
kind = "homophily"
mean_degree = 6
column = "opinion"
target = 0.4
"""


@pytest.fixture
def workspace(tmp_path):
    return open_workspace(tmp_path / "workspace")


def execute(folder):
    return execute_run(folder, Worker(live=False))


@pytest.fixture
def study_file(tmp_path):
    (tmp_path / "data").mkdir()
    write_sav(tmp_path / "data" / "ess.sav")
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def test_a_mapped_column_is_the_initial_state(study_file):
    study = load_study(study_file)
    world = build_world(study, base=study_file.parent)
    raw = make_answers()["lrscale"].to_numpy()[world.persona.values["source_row"] - 1]
    assert np.allclose(world.population["opinion"], raw / 10)
    scenario = world.info.build()
    scenario.setup(world)
    assert np.allclose(world.population["opinion"], raw / 10)


def test_a_study_with_a_survey_survives_its_file(study_file):
    study = load_study(study_file)
    again = parse_study(dump_study(study), base=study_file.parent)
    assert again == study
    assert study_hash(again) == study_hash(study)
    assert "redistribute" not in dump_study(study)
    assert study_hash(load_study("sir")) == study_hash(parse_study(dump_study(load_study("sir"))))


def problems(study_file, *changes):
    with pytest.raises(StudyError) as caught:
        load_study(study_file, changes)
    return [f"{problem.message} @ {problem.key}" for problem in caught.value.problems]


def test_problems_have_their_place(study_file):
    assert problems(study_file, "population.map.opinion.variable=lrscle") == [
        "'lrscle' is not a variable of ess.sav; did you mean 'lrscale'? @ population.map.opinion.variable"
    ]
    found = problems(study_file, "population.map.opinion.to=[-1, 1]")
    assert found == [
        "'opinion' is the state that agents start from in bounded_confidence; it lies in [0, 1], but here it reaches "
        "from -1 to 1; rescale it with range and to @ population.map.opinion"
    ]
    assert problems(study_file, "population.map.opinion.rnage=[0, 1]")[0] == (
        "'rnage' is not a key of opinion; did you mean 'range'? @ population.map.opinion.rnage"
    )
    assert "'misssing'" in problems(study_file, "population.map.gender.missing=misssing")[0]
    assert problems(study_file, "population.weight=weight")[0].startswith("'weight' is not a variable of ess.sav")
    assert problems(study_file, "network.column=opinio") == [
        "'opinio' is not a column of the population; did you mean 'opinion'? @ network.column"
    ]
    assert problems(study_file, "network.target=-0.5") == [
        "target = -0.5: for the numbers in 'opinion' it is their correlation between tied agents, in [0, 1) "
        "@ network.target"
    ]
    (gone,) = problems(study_file, 'population.file="gone.sav"')
    assert gone.startswith("the survey file 'gone.sav' is not in ") and gone.endswith("@ population.file")


def test_a_run_keeps_what_it_drew_and_needs_the_file_no_more(study_file, workspace):
    study = load_study(study_file)
    folder = create_run(workspace, study, base=study_file.parent)
    shutil.rmtree(study_file.parent / "data")
    kept = pl.read_parquet(inputs_of(folder) / "respondents.parquet")
    assert kept.height == 80
    assert set(kept.columns) == {"opinion", "gender", "cntry", "source_row"}, "nothing else leaves the survey"
    assert not (folder / "inputs" / "surveys").exists()
    assert read_study(folder) == study
    assert execute(folder) == "done"
    first = read_states(folder, 0)
    raw = make_answers()["lrscale"].to_numpy()[kept["source_row"].to_numpy() - 1]
    assert np.allclose(first.sort("agent_id")["opinion"].to_numpy(), raw / 10)
    assert replay_run(folder).identical
    child = fork_run(workspace, folder, 5, ["params.epsilon=0.3"])
    assert execute(child) == "done"
    assert replay_run(child).identical
    assert read_info(child).digest != read_info(folder).digest
    with pytest.raises(PopulationError, match=r"the survey file 'data/ess.sav' is not in"):
        create_run(workspace, study, base=study_file.parent)
    assert len(list(workspace.runs.iterdir())) == 2, "nothing half-made is left"


def test_a_free_licence_lets_the_run_keep_the_file(study_file, workspace):
    study = load_study(study_file, ["population.redistribute=true"])
    folder = create_run(workspace, study, base=study_file.parent)
    copy = folder / "inputs" / "surveys" / "ess.sav"
    assert copy.read_bytes() == (study_file.parent / "data" / "ess.sav").read_bytes()


def test_redrawn_populations_are_kept_for_each_replicate(study_file, workspace):
    study = load_study(study_file, ['redraw=["population"]', "replicates=2"])
    folders = create_runs(workspace, study, base=study_file.parent)
    shutil.rmtree(study_file.parent / "data")
    rows = [pl.read_parquet(inputs_of(folder) / "respondents.parquet")["source_row"] for folder in folders]
    assert not rows[0].equals(rows[1])
    assert [execute(folder) for folder in folders] == ["done", "done"]


def test_arms_of_a_study_with_a_survey(study_file, workspace):
    arms = '\n[[arms]]\nname = "wide"\nset = { "params.epsilon" = 0.5 }\n\n[[arms]]\nname = "as it is"\n'
    study_file.write_text(STUDY + arms)
    study = load_study(study_file)
    folders = create_runs(workspace, study, replicates=1, base=study_file.parent)
    assert len(folders) == 2
    shutil.rmtree(study_file.parent / "data")
    assert [read_study(folder).params["epsilon"] for folder in folders] == [0.5, 0.2]


def test_an_arm_takes_other_people(study_file):
    people = '{ "population.recipe" = "undergraduates", "network.kind" = "complete" }'
    study_file.write_text(STUDY + f'\n[[arms]]\nname = "students"\nset = {people}\n\n[[arms]]\nname = "respondents"\n')
    arms = dict(expand_arms(load_study(study_file), base=study_file.parent))
    assert arms["students"].population.file is None and not arms["students"].population.map
    assert arms["respondents"].population.file == "data/ess.sav"


def test_a_run_keeps_the_users_own_recipe(workspace):
    (workspace.personas / "recipes").mkdir()
    recipe = workspace.personas / "recipes" / "mine.toml"
    recipe.write_text('title = "Mine"\n[columns.age]\nvalues = [20, 30]\n')
    study = load_study("sir", ["population.recipe=mine", "population.size=60", "steps=5"], personas=workspace.personas)
    folder = create_run(workspace, study)
    recipe.unlink()
    assert execute(folder) == "done"
    assert replay_run(folder).identical


def test_damaged_respondents_are_named(study_file, workspace):
    folder = create_run(workspace, load_study(study_file), base=study_file.parent)
    (folder / "inputs" / "respondents.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(StudyError, match=r"the stored respondents .* cannot be read"):
        read_study(folder)


def test_from_the_command_line(study_file, workspace, capsys, monkeypatch):
    """Paths start at the study file's folder, wherever the command is given."""
    monkeypatch.chdir(study_file.parent / "workspace")
    options = ["--workspace", str(workspace.path), "--json"]
    assert main(["check", str(study_file), *options]) == 0
    assert main(["estimate", str(study_file), *options]) == 0
    assert main(["run", str(study_file), *options]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["status"], result["n_agents"]) == ("done", 80)
    shutil.rmtree(study_file.parent / "data")
    (study_file.parent / "push.toml").write_text(
        '[[interventions]]\nname = "push"\nwhom = { where = "cntry == \'DE\'" }\n'
        'do = { effect = "set", column = "opinion", value = 1.0 }\n'
    )
    folder = create_run(
        workspace, read_study(workspace.runs / result["run_id"]), like=workspace.runs / result["run_id"]
    )
    assert main(["inject", folder.name, str(study_file.parent / "push.toml"), *options]) == 0
    assert main(["replay", result["run_id"], *options]) == 0
    assert main(["check", str(study_file), *options]) == 2
    assert "the survey file 'data/ess.sav' is not in" in capsys.readouterr().out
