"""What a report says about who decides, where people come from, when a run ends, and what a replay found."""

import random

import pytest
from report_words import findings_of, section, words_of

from engine import load_study
from engine.reports.language import NOT_PEOPLE, STEREOTYPE, compares_people
from engine.reports.reading import gather_studies
from engine.reports.sections import build_document
from engine.reports.study_section import describe_policy, tabulate_differences, tabulate_survey
from engine.runs import create_runs, open_workspace, replay_run
from engine.runs.execution import Worker, execute_run
from engine.spec import DecisionSpec, PopulationSpec, RegressionSpec
from engine.store.catalog import Catalog

REGRESSION = {"kind": "logit", "option": "move", "coefficients": {"intercept": -1.0, "age": 0.02}}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return open_workspace(tmp_path_factory.mktemp("words"))


def execute(workspace, tables, base=None):
    folders = create_runs(workspace, load_study(tables, base=base) if base else load_study(tables), base=base)
    for folder in folders:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    return folders


def text_of(document, *names):
    return " ".join(line for name in names for line in words_of(section(document, name).blocks))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (None, "the scenario's rule"),
        (DecisionSpec(policy="language"), "the language model"),
        (DecisionSpec(policy="scripted"), "seeded random answers (no meaning)"),
        (DecisionSpec(policy="mixture", share=0.2), "the language model for a share of 0.2, else the scenario's rule"),
        (
            DecisionSpec(regression=RegressionSpec(**REGRESSION)),
            "a regression: a logit of 'move' (intercept -1, age 0.02)",
        ),
        (
            DecisionSpec(policy="mixture", share=0.2, regression=RegressionSpec(**REGRESSION)),
            "the language model for a share of 0.2, else a regression: a logit of 'move' (intercept -1, age 0.02)",
        ),
    ],
)
def test_who_decides(spec, expected):
    assert describe_policy(spec) == expected


def test_a_regression_is_named_wherever_the_decision_is(workspace):
    tables = {
        "scenario": "bounded_confidence",
        "steps": 2,
        "population": {"size": 30, "recipe": "adults_generic"},
        "decisions": {"listen": {"regression": REGRESSION}},
        "stop_when": "step >= 1",
    }
    document = build_document(execute(workspace, tables))
    assert "a logit of 'move' (intercept -1, age 0.02)" in text_of(document, "study")
    methods = text_of(document, "methods")
    assert "decided by a regression: a logit of 'move' (intercept -1, age 0.02)." in methods
    assert "A run ends after the first step at which this holds: step >= 1." in methods
    assert "the scenario's rule" not in text_of(document, "study", "methods")


def test_respondents_of_a_survey_are_named_with_file_weight_and_mapping(workspace, tmp_path):
    rng = random.Random(1)
    rows = [f"{rng.randint(0, 10)},{rng.choice(['female', 'male'])},{rng.random():.3f}" for _ in range(200)]
    (tmp_path / "answers.csv").write_text("\n".join(["lr,sex,w", *rows]))
    population = {
        "size": 50,
        "file": "answers.csv",
        "weight": "w",
        "map": {"opinion": {"variable": "lr", "range": [0, 10], "to": [0, 1], "missing_codes": [9]}},
        "keep": ["sex"],
    }
    tables = {"scenario": "bounded_confidence", "steps": 2, "population": population}
    document = build_document(execute(workspace, tables, tmp_path))
    methods = text_of(document, "methods")
    assert "50 respondents drawn with replacement from the survey file “answers.csv”" in methods
    assert "with probability proportional to the weight “w”" in methods
    assert "The file may not be passed on" in methods
    told = text_of(document, "study")
    assert "opinion lr 0 to 10 becomes 0 to 1, linear rows dropped; also missing: 9" in told
    assert "sex sex kept as it is rows dropped" in told


def test_labels_of_a_mapping_are_shown():
    population = PopulationSpec(file="x.csv", map={"vote": {"variable": "q1", "labels": {"1": "yes", "2": "no"}}})
    assert tabulate_survey(population)[0]["change"] == "1 → yes, 2 → no"


def test_a_replay_is_told_with_its_versions_and_without_a_time(workspace):
    run, other = execute(workspace, {"scenario": "sir", "steps": 4, "population": {"size": 40}, "replicates": 2})
    findings = [
        f.text
        for b in section(build_document([run, other]), "validity").blocks
        if b.kind == "findings"
        for f in b.findings
    ]
    assert any(text.startswith("The runs were not replayed") for text in findings)
    assert replay_run(run).identical
    findings = findings_of([run, other])
    told = next(finding for finding in findings if finding.text.startswith("Replayed bit for bit"))
    assert told.status == "checked"
    assert f"{run.name} (steps 0 to 4)" in told.text
    assert "numpy" in told.text
    assert "20:" not in told.text
    assert any(finding.text.startswith("1 of 2 were not replayed") for finding in findings)


def test_a_replay_that_differs_is_a_concern(workspace):
    (run,) = execute(workspace, {"scenario": "sir", "steps": 4, "population": {"size": 40}, "seed": 9})
    with Catalog(run) as catalog, catalog.transaction() as connection:
        connection.execute("update digests set digest = 'other' where step >= 3")
    assert not replay_run(run).identical
    told = [finding for finding in findings_of([run]) if run.name in finding.text]
    assert [finding.status for finding in told] == ["concern"]
    assert "from step 3 on but its measures agree within 1e-9" in told[0].text


@pytest.fixture(scope="module")
def asked(workspace):
    """Return runs of one study with and without a persona, decided by the scripted stand-in for a model."""
    tables = {
        "scenario": "bounded_confidence",
        "steps": 2,
        "population": {"size": 40, "recipe": "adults_generic"},
        "model": {"file": "scripted"},
        "record": {"states": "none"},
    }
    told, blank = (
        execute(workspace, {**tables, "decisions": {"listen": {"policy": "language", "persona_fields": fields}}})[0]
        for fields in (["sex", "age"], [])
    )
    return told, blank


def test_groups_carry_their_sentence_only_where_they_are_compared(asked):
    told, blank = (build_document([run]) for run in asked)
    words = text_of(told, "language")
    assert STEREOTYPE in words
    assert "sex: female" in words
    assert NOT_PEOPLE in text_of(blank, "language")
    assert STEREOTYPE not in text_of(blank, "language")


def test_answers_by_group_count_every_decision(asked):
    from engine.store import read_agents, read_decisions

    document = build_document(asked[:1])
    decisions = read_decisions(asked[0]).join(read_agents(asked[0]).select("agent_id", "sex"), on="agent_id")
    women = decisions.filter(sex="female")
    moved = women.filter(action=0).height / women.height
    options = gather_studies(asked[:1])[0].info.decisions[0].answer.texts
    line = next(line for line in words_of(section(document, "language").blocks) if "sex: female" in line)
    assert line == (f"listen sex: female {women.height:,} {options[0]} {moved:.1%}, {options[1]} {1 - moved:.1%}")


def test_a_blank_persona_beside_the_study_is_a_control(asked):
    def controls(runs):
        return [found.text for found in findings_of(runs) if "swapped-attribute" in found.text]

    assert controls(asked[:1]) == [
        "Position bias, wording, blank-persona and swapped-attribute controls of the model were not run."
    ]
    assert controls(asked) == ["Position bias, wording and swapped-attribute controls of the model were not run."]


def test_segments_by_persona_columns_compare_people(asked):
    part = gather_studies(asked[:1])[0]
    assert compares_people(part, ["", "female"])
    assert not compares_people(part, ["", "no such group"])


def test_differences_of_studies_leave_out_words():
    one, other = (
        load_study({"scenario": "sir", "title": title, "params": {"beta": beta}})
        for title, beta in (("a", 0.1), ("b", 0.2))
    )
    assert tabulate_differences(one, other) == [{"key": "params.beta", "value": "0.1", "first": "0.2"}]
