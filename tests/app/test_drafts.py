"""A study while it is written: saved at every change, with undo, redo and messages at the field."""

import tomllib

import pytest

from app import session
from app.drafts import Draft, draft_path, normal_key, problem_at
from app.figures import plot_measures
from app.views.compose import PARTS, part_of
from engine.errors import Problem, StudyError
from engine.loading import default_study, load_study
from engine.spec import Study


@pytest.fixture
def draft(tmp_path):
    return Draft.new(tmp_path / "studies", "sir")


def test_a_new_draft_is_the_default_study(draft):
    study, problems = draft.check()
    assert problems == ()
    assert study == default_study("sir")
    assert draft.path.read_text(encoding="utf-8") == draft.text()


def test_a_second_draft_takes_another_file(draft):
    other = Draft.new(draft.path.parent, "sir")
    assert other.path != draft.path
    assert draft.path.exists()


def test_every_change_is_on_the_disk_and_can_be_undone(draft):
    before = draft.text()
    draft.put("params.gamma", 0.25)
    assert tomllib.loads(draft.path.read_text(encoding="utf-8"))["params"]["gamma"] == 0.25
    draft.undo()
    assert draft.text() == before == draft.path.read_text(encoding="utf-8")
    draft.redo()
    assert draft.get("params.gamma") == 0.25
    draft.undo()
    draft.put("seed", 99)
    assert not draft.can_redo


def test_putting_the_same_value_is_no_change(draft):
    assert not draft.put("seed", draft.get("seed"))
    assert not draft.can_undo


def test_none_drops_a_key_and_list_places_are_keys(draft):
    draft.put("interventions", [{"name": "a", "at": 1, "do": {"effect": "set_param", "param": "gamma", "value": 0.5}}])
    draft.put("interventions.0.at", 7)
    assert draft.get("interventions.0.at") == 7
    draft.put("interventions.0.at", None)
    assert draft.get("interventions.0.at", "gone") == "gone"


def test_problems_carry_their_keys(draft):
    draft.put("params.gamma", 1.4)
    draft.put("params.epsilom", 3)
    draft.put("network.p_rewire", -1.0)
    study, problems = draft.check()
    assert study is None
    assert len(problems) == 3
    assert [message for message in problem_at(problems, "params.gamma") if "1.4" in message]
    assert problem_at(problems, "network.p_rewire")
    assert problem_at(problems, "params.gamm") == []
    assert {part_of(problem.key) for problem in problems} == {"question", "network"}
    assert tomllib.loads(draft.path.read_text(encoding="utf-8"))["params"]["gamma"] == 1.4, "nothing is lost"


def test_a_pasted_study_replaces_everything_and_bad_toml_nothing(draft):
    before = draft.text()
    with pytest.raises(StudyError, match="not TOML"):
        draft.replace("title = ")
    assert draft.text() == before
    draft.replace('format = 1\nscenario = "bounded_confidence"\n')
    assert draft.check()[0].scenario == "bounded_confidence"
    draft.undo()
    assert draft.text() == before


def test_a_file_that_another_tab_wrote_is_read_again(draft):
    other = Draft.open(draft.path)
    other.put("seed", 12345)
    assert Draft.open(draft.path).get("seed") == 12345


def test_every_key_of_a_study_belongs_to_a_part():
    named = {"network" if key == "layers" else key for key in Study.model_fields}
    assert named <= {key for _, keys in PARTS.values() for key in keys}


@pytest.mark.parametrize("name", ["../secret", "a/b", "", "UPPER", "x.toml", "nothing-here"])
def test_only_drafts_of_the_workspace_are_opened(tmp_path, name):
    (tmp_path / "ok.toml").write_text("format = 1")
    assert draft_path(tmp_path, name) is None
    assert draft_path(tmp_path, "ok") == tmp_path / "ok.toml"


def test_list_places_in_problem_keys():
    assert normal_key("interventions[2].whom.where") == "interventions.2.whom.where"
    problems = (Problem("x", "interventions[1].at"), Problem("y", "interventions[11].at"))
    assert problem_at(problems, "interventions.1") == ["x"]


def test_the_text_reads_back_as_the_same_study(draft):
    draft.put("title", 'quotes " and \\ and <b>é</b>')
    study, _ = draft.check()
    assert load_study(tomllib.loads(draft.text())) == study


def test_a_change_in_one_tab_keeps_what_another_has_changed(tmp_path, monkeypatch):
    first = Draft.new(tmp_path / "studies", "sir")
    second = Draft.open(first.path)
    second.put("params.gamma", 0.3)
    kept = {"draft": first}
    monkeypatch.setattr(session.st, "session_state", kept)
    kept[session.field_key("params.p_transmit")] = 0.2
    session.store_field("params.p_transmit")
    session.change_draft(lambda draft: draft.put("seed", 5))
    left = Draft.open(first.path)
    assert [left.get(key) for key in ("params.gamma", "params.p_transmit", "seed")] == [0.3, 0.2, 5]


def test_rounding_is_not_drawn_as_if_something_happened():
    steps = list(range(50))
    noise = [0.49 + 1e-16 * (step % 3) for step in steps]
    flat = plot_measures({("mean", "a"): (steps, noise)}, unit="step", dark=False)
    low, high = flat.layout.yaxis.range
    assert high - low > 0.01 and low < 0.49 < high
    moving = plot_measures({("mean", "a"): (steps, [0.49 + 1e-3 * step for step in steps])}, unit="step", dark=False)
    assert moving.layout.yaxis.range is None
