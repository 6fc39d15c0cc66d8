"""Runs too large to keep everything: a panel, recomputed decisions, refused sizes, phases told apart, ids of files."""

import pytest

from engine import load_study, read_states
from engine.errors import PopulationError, RunError
from engine.runs import create_run, estimate_study, export_run, memory, recompute_decisions
from engine.store import query, read_decisions


def test_states_of_a_panel_are_those_of_a_full_record(workspace, execute):
    def run(states):
        sized = ["population={size=1000}", "steps=25", "params.initial_infected=30", f"record.states={states}"]
        folder = create_run(workspace, load_study("sir", sized))
        return execute(folder)

    full, panel = run("changes"), run("panel")
    assert panel.digest == full.digest
    assert 200 <= panel.changes < full.changes
    for step in (0, 7, 25):
        kept = read_states(panel, step)
        assert kept.height == 200
        everyone = read_states(full, step)
        assert kept.equals(everyone.filter(everyone["agent_id"].is_in(kept["agent_id"].to_list())))


@pytest.fixture
def counted(workspace, execute):
    """A finished run of which decisions were only counted."""
    sized = ["population.size=300", "steps=12", "record.decisions=counts", "record.checkpoint_every=5"]
    folder = create_run(workspace, load_study("threshold_cascade", [*sized, "decisions.adopt.policy=scripted"]))
    return execute(folder).folder


def test_any_decision_is_computed_again(workspace, execute, counted):
    sized = ["population.size=300", "steps=12", "record.decisions=full"]
    folder = create_run(workspace, load_study("threshold_cascade", [*sized, "decisions.adopt.policy=scripted"]))
    full = read_decisions(execute(folder).folder)
    panel = set(read_decisions(counted)["agent_id"].to_list())
    assert len(panel) < 300
    checked = 0
    for step in (1, 4, 8):
        of_step = full.filter(full["step"] == step)
        for agent in [a for a in of_step["agent_id"].to_list() if a not in panel][:2]:
            assert recompute_decisions(counted, agent, step).equals(of_step.filter(of_step["agent_id"] == agent))
            checked += 1
    assert checked >= 2
    with pytest.raises(RunError, match="step 99 cannot be computed again"):
        recompute_decisions(counted, 1, 99)


def test_a_population_that_does_not_fit_is_refused_with_one_that_would(workspace, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000_000)
    large = load_study("sir", ["population={size=20_000_000}", "network.kind=erdos_renyi"])
    with pytest.raises(PopulationError, match=r"20,000,000 agents .* about [\d,]+ agents would fit") as caught:
        create_run(workspace, large)
    assert not list(workspace.runs.iterdir())
    fitting = int(str(caught.value).split("free; about ")[1].split(" agents")[0].replace(",", ""))
    assert 1_000_000 < fitting < 20_000_000
    memory.check_memory(load_study("sir", [f"population={{size={fitting}}}", "network.kind=erdos_renyi"]))
    with pytest.raises(PopulationError):
        memory.check_memory(
            load_study("sir", [f"population={{size={int(fitting * 1.2)}}}", "network.kind=erdos_renyi"])
        )


def test_memory_grows_with_agents_ties_and_columns():
    study = load_study("sir", ["population={size=1000}"])
    base = memory.expected_memory(study, 100_000, 500_000)
    assert memory.expected_memory(study, 200_000, 500_000) > base
    assert memory.expected_memory(study, 100_000, 900_000) == base + 400_000 * memory.BYTES_PER_TIE
    richer = load_study("sir", ["population={size=1000, recipe='adults_generic'}"])
    assert memory.expected_memory(richer, 100_000, 500_000) > base


def test_phases_are_told_apart(workspace, execute):
    folder = create_run(workspace, load_study("sir", ["population={size=20000}", "steps=20"]))
    result = execute(folder)
    assert result.setup_s > 0
    assert result.step_s > 0
    assert result.consolidate_s > 0
    assert result.setup_s + result.compile_s + result.step_s + result.consolidate_s <= result.wall_s + 0.5
    assert {"setup_s", "compile_s", "consolidate_s"} <= result.to_json().keys()


def test_an_estimate_is_within_a_factor_of_two_of_the_bytes(workspace, execute):
    study = load_study("sir", ["population={size=30000}", "steps=40", "params.initial_infected=300"])
    expected = estimate_study(study)
    folder = execute(create_run(workspace, study)).folder
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size / 2 <= expected.disk_bytes <= size * 2


def test_ids_with_gaps_are_numbered_and_kept(workspace, execute, tmp_path):
    (tmp_path / "ties.csv").write_text("source,target\n101,205\n205,999\n7,101\n")
    study = load_study(
        "sir",
        ["population={size=4}", f"network={{kind='file', path='{tmp_path}/ties.csv'}}", "params.initial_infected=1"],
    )
    result = execute(create_run(workspace, study))
    assert query(result, "select layer, agent_id, file_id from file_ids order by agent_id").rows() == [
        ("ties", 0, "7"),
        ("ties", 1, "101"),
        ("ties", 2, "205"),
        ("ties", 3, "999"),
    ]
    assert sorted(query(result, "select source, target from edges").rows()) == [(0, 1), (1, 2), (2, 3)]
    export_run(result.folder, "csv", tmp_path / "out")
    assert (tmp_path / "out" / "file_ids.csv").read_text().splitlines()[1:] == [
        "ties,0,7",
        "ties,1,101",
        "ties,2,205",
        "ties,3,999",
    ]


def test_ids_with_gaps_and_too_many_agents_are_refused(workspace, execute, tmp_path):
    (tmp_path / "ties.csv").write_text("source,target\n101,205\n205,999\n7,101\n")
    study = load_study("sir", ["population={size=9}", f"network={{kind='file', path='{tmp_path}/ties.csv'}}"])
    result = execute(create_run(workspace, study))
    assert result.status == "failed"
    assert "set population.size to 4" in result.message
