"""Runs as participants and rounds, in oTree's names."""

import numpy as np
import polars as pl
import pytest

from engine import load_study, registry
from engine.errors import ReportError
from engine.runs import create_runs, open_workspace, read_otree, write_otree
from engine.runs.execution import Worker, execute_run


@pytest.fixture
def folders(tmp_path):
    arms = [{"name": "ten", "set": {"params.fixed_request": 10}}, {"name": "=12", "set": {"params.fixed_request": 12}}]
    study = load_study({"scenario": "fishery", "params": {"rule": "fixed"}, "replicates": 2, "arms": arms})
    made = create_runs(open_workspace(tmp_path / "workspace"), study)
    for folder in made:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    return made


def test_one_row_per_participant_and_round(folders):
    frame = read_otree(folders)
    assert frame.height == 2 * (5 * 12 + 5 * 3)
    key = ["session.code", "group.id_in_subsession", "player.id_in_group", "subsession.round_number"]
    assert frame.select(key).is_unique().all()
    assert frame["participant.code"].n_unique() == 20
    assert frame["participant.code"].str.contains(r"^[a-z0-9]{8}$").all()
    assert frame.group_by("participant.code").len()["len"].sort().to_list() == [3] * 10 + [12] * 10
    ten = frame.filter(pl.col("session.config.name") == "ten")
    assert sorted(ten["group.id_in_subsession"].unique()) == [1, 2]
    assert sorted(ten["participant.id_in_session"].unique()) == list(range(1, 11))
    assert (ten["player.harvest"] == 10).all()
    assert (ten["player.payoff"] == 10).all()
    assert (ten["participant.payoff"] == 120).all()
    assert (ten["participant._is_bot"] == 1).all()
    assert (ten["player.harvest_decided_by"] == "rule").all()
    own = ten.filter((pl.col("group.id_in_subsession") == 2) & (pl.col("player.id_in_group") == 3))
    assert own["subsession.round_number"].to_list() == list(range(1, 13))
    assert own["player.gain"].to_list() == np.cumsum([10.0] * 12).tolist()
    assert own["group.survival_months"].to_list() == list(range(1, 13))
    assert not [name for name in frame.columns if "transcript" in name or "initial" in name]


def test_payoffs_add_up_to_what_a_person_came_to(folders):
    frame = read_otree(folders)
    sums = frame.group_by("participant.code").agg(pl.col("player.payoff").sum(), pl.col("participant.payoff").first())
    assert (sums["player.payoff"] == sums["participant.payoff"]).all()


def test_the_file(folders, tmp_path):
    out = write_otree(folders, tmp_path / "deep" / "otree.csv")
    frame = pl.read_csv(out)
    assert frame.columns[:3] == ["session.code", "session.config.name", "participant.id_in_session"]
    assert frame.columns[-1] == "subsession.round_number"
    assert set(frame["session.config.name"]) == {"ten", "'=12"}, "no spreadsheet takes a text for a formula"
    with pytest.raises(ReportError, match="exists already"):
        write_otree(folders, out)


def test_a_column_that_does_not_change_is_carried_on(tmp_path):
    """States are recorded as changes; every round shows the state that holds."""
    study = load_study("voter", ["population.size=12", "steps=6", "network.kind=complete", "params.noise=0.4"])
    (folder,) = create_runs(open_workspace(tmp_path / "workspace"), study)
    with Worker(live=False) as worker:
        execute_run(folder, worker)
    frame = read_otree([folder])
    assert frame.height == 72
    labels = registry.scenarios.get("voter").columns["opinion"].labels
    shares = frame.group_by("subsession.round_number", maintain_order=True).agg(
        (pl.col("player.opinion") == labels[1]).mean().alias("own"), pl.col("group.share_1").first().alias("recorded")
    )
    assert shares["own"].to_list() == pytest.approx(shares["recorded"].to_list())


@pytest.mark.parametrize("case", ["none", "mixed", "no states"])
def test_what_has_no_rounds(tmp_path, case):
    workspace = open_workspace(tmp_path / "workspace")
    studies = {
        "none": [],
        "mixed": [load_study("voter", ["steps=1", "population.size=9"]), load_study("fishery", ["steps=1"])],
        "no states": [load_study("fishery", ["steps=1", "record.states=none"])],
    }[case]
    made = [folder for study in studies for folder in create_runs(workspace, study)]
    for folder in made:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    sentence = {"none": "no run is given", "mixed": "different scenarios", "no states": "recorded no states"}[case]
    with pytest.raises(ReportError, match=sentence):
        read_otree(made)
