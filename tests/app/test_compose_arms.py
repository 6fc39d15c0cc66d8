"""Arms in the composer: forms in nested tables, null controls, sentences about runs, and what a run starts."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import app
from app.composer import comparison
from app.composer.comparison import add_arm, changed_keys, drop_arm, flat_values, nested_values, runs_sentence
from app.composer.plan import estimate_rows
from app.drafts import Draft, problem_at
from engine.experiment import CONTROLS
from engine.loading import expand_arms, load_study, scenario_info
from engine.runs import estimate_study


@pytest.fixture
def draft(tmp_path):
    return Draft.new(tmp_path / "studies", "bounded_confidence")


def test_the_first_arm_brings_the_base_arm_and_says_that_nothing_differs(draft):
    add_arm(draft)
    study, problems = draft.check()
    assert [arm["name"] for arm in draft.get("arms")] == ["as it is", "arm 2"]
    assert study is None
    assert "differ in nothing" in problem_at(problems, "arms")[0]


def test_a_field_of_an_arm_changes_that_arm_alone(draft):
    add_arm(draft)
    draft.put("arms.1.set.params.epsilon", 0.4)
    study, problems = draft.check()
    assert problems == ()
    assert [own.params["epsilon"] for _, own in expand_arms(study)] == [0.2, 0.4]
    assert changed_keys(draft.get("arms.1")) == ["params.epsilon"]


def test_a_wrong_value_in_an_arm_stands_at_its_field(draft):
    add_arm(draft)
    draft.put("arms.1.set.params.epsilon", 1.4)
    _, problems = draft.check()
    assert any("1.4" in message for message in problem_at(problems, "arms.1.set.params.epsilon"))


def test_dropping_the_last_but_one_arm_ends_the_comparison(draft):
    add_arm(draft)
    add_arm(draft)
    drop_arm(draft, 1)
    assert [arm["name"] for arm in draft.get("arms")] == ["as it is", "arm 3"]
    drop_arm(draft, 1)
    assert draft.get("arms") is None


def test_every_offered_change_starts_from_the_value_of_the_study(draft):
    info = scenario_info("bounded_confidence")
    base = draft.check()[0]
    for key in comparison.possible_changes(draft, info):
        add_arm(draft)
        comparison._choose(draft, 1, [key])
        assert changed_keys(draft.get("arms.1")) == [key]
        study, problems = draft.check()
        if key.endswith(".policy"):
            assert study.arms[1].set == {key: "language"}, "who decides starts with somebody else"
        else:
            assert ["differ in nothing" in problem.message for problem in problems] == [True], (key, problems)
        draft.put("arms", None)
    assert draft.check()[0] == base


def test_nested_and_dotted_keys_mean_the_same():
    flat = {"params.epsilon": 0.1, "network.k": 4, "decisions.listen.policy": "rule"}
    assert flat_values(nested_values(flat)) == flat
    assert nested_values({"network.layers.0.shuffle": True}) == {"network.layers.0.shuffle": True}


@pytest.mark.parametrize("kind", ["shuffled_ties", "no_interaction"])
def test_a_null_control_is_one_click(draft, kind, monkeypatch):
    monkeypatch.setattr(comparison.session, "change_draft", lambda change, **_: change(draft))
    comparison._add_control(draft, kind)
    study, problems = draft.check()
    assert problems == ()
    assert [arm.name for arm in study.arms] == ["as it is", kind.replace("_", " ")]
    changed = expand_arms(study)[1][1].layers[0]
    assert changed.shuffle if kind == "shuffled_ties" else changed.params["mean_degree"] == 0


def test_every_null_control_has_a_button():
    assert set(comparison.CONTROL_WORDS) == set(CONTROLS)


def test_one_run_is_said_to_have_no_band():
    assert "no band" in runs_sentence(1, 2)
    assert "no band" in runs_sentence(1, 0)
    assert "40 in all" in runs_sentence(20, 2)
    assert "pair by pair" in runs_sentence(20, 2)


def test_the_estimate_counts_all_runs():
    arms = [{"name": "a"}, {"name": "b", "set": {"params.epsilon": 0.4}}]
    study = load_study({"scenario": "bounded_confidence", "steps": 5, "replicates": 3, "arms": arms})
    found = estimate_study(study.model_copy(update={"arms": ()}))
    rows = estimate_rows(found, study)
    assert any("all 6 runs" in label for label in rows)


MISSHAPEN = """format = 1
scenario = "bounded_confidence"
arms = 3
interventions = ["x", 2]
population = 7
params = "none"
decisions = []
network = "ring"
"""


@pytest.mark.parametrize(
    "part", ["question", "outcome", "people", "network", "deciders", "changes", "comparison", "plan"]
)
@pytest.mark.parametrize("text", [MISSHAPEN, MISSHAPEN.replace("arms = 3", 'arms = [1, {name = "a", set = 5}]')])
def test_a_misshapen_study_is_shown_with_its_problems(draft, part, text, monkeypatch):
    monkeypatch.setenv("MICROCOSM_WORKSPACE", str(draft.path.parent.parent))
    draft.replace(text)
    test = AppTest.from_file(str(Path(app.__file__).with_name("main.py")), default_timeout=60).run()
    test.query_params["study"], test.query_params["part"] = draft.name, part
    test.switch_page("views/compose.py").run()
    assert not test.exception, test.exception
    assert test.button(key="run_study").disabled
    assert test.session_state["part"] == part
    assert any("open problem" in caption.value for caption in test.caption)


def test_adding_an_arm_leaves_the_fields_that_somebody_is_writing_in(draft, monkeypatch):
    kept = {"draft": draft}
    monkeypatch.setattr(comparison.session.st, "session_state", kept)
    before = comparison.session.field_key("arms.0.name")
    comparison.session.change_draft(add_arm, afresh=False)
    assert len(draft.rows("arms")) == 2
    assert comparison.session.field_key("arms.0.name") == before
    comparison.session.change_draft(lambda held: drop_arm(held, 0))
    assert comparison.session.field_key("arms.0.name") != before, "places shifted: fields are drawn afresh"
