"""Files of ties are kept with the run: it is resumed, forked and replayed after the file is gone."""

import polars as pl

from engine import load_study
from engine.runs import create_run, fork_run, replay_run
from engine.store import read_edges


def test_a_run_outlives_its_file_of_ties(workspace, execute, tmp_path):
    base = tmp_path / "study"
    (base / "data").mkdir(parents=True)
    ties = pl.DataFrame({"source": [0, 1, 2, 3, 4], "target": [1, 2, 3, 4, 5]})
    ties.write_csv(base / "data" / "ties.csv")
    study = load_study(
        {
            "scenario": "sir",
            "population": {"size": 6},
            "params": {"p_transmit": 0.5, "initial_infected": 1},
            "network": {"kind": "file", "path": "data/ties.csv"},
            "steps": 8,
        },
        base=base,
    )
    folder = create_run(workspace, study, base=base)
    (base / "data" / "ties.csv").unlink()
    assert execute(folder).status == "done"
    assert read_edges(folder).height == 5
    assert replay_run(folder).identical
    child = fork_run(workspace, folder, 1, ["params.gamma=0.9"])
    assert execute(child).status == "done"
    assert replay_run(child).identical


def test_a_shipped_network_needs_no_copy(workspace, execute):
    network = {"kind": "file", "path": "karate_club.graphml"}
    study = load_study({"scenario": "sir", "population": {"size": 34}, "network": network, "steps": 3})
    folder = create_run(workspace, study)
    assert execute(folder).status == "done"
    assert not (folder / "inputs").exists()
