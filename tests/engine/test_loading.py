import importlib.resources
import tomllib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import registry
from engine.contract import Measure, ScenarioParams, column, knob, scenario
from engine.decision import Choice, Decision, Writing
from engine.errors import RegistryError, StudyError
from engine.loading import (
    default_study,
    dump_study,
    load_interventions,
    load_study,
    parse_study,
    preset_names,
    scenario_info,
    study_hash,
)
from engine.spec import InterventionSpec, LayerSpec, ModelSpec, PopulationSpec, RecordSpec, Study, Top, Whom

NAME = "test_only_debate"


@pytest.fixture(scope="module", autouse=True)
def debate():
    """Register a scenario of the tests' own, and one that is mechanism only; take both away again."""
    registry.discover()

    class Params(ScenarioParams):
        rule: Literal["fast", "slow"] = knob("fast", help="Speed.")
        epsilon: float = knob(1, ge=0, le=1, help="Width.")
        rounds: int = knob(3, ge=1, help="Rounds.")
        start: int = knob(5, ge=0, help="Read at the start.", at_setup=True)
        weights: tuple[float, ...] = knob((0.5, 0.5), help="Weights.")
        topic: str | None = knob(None, help="Topic.")

    listen = Decision("listen", Choice("yes", "no"), rule=lambda seen: seen.log_weights(0, 0), question="Listen?")
    argue = Writing("argue", rule=lambda seen: [""] * len(seen), question="Argue.")
    measures = tuple(
        Measure(name, formula=lambda world: 0.0, help="", source="ours") for name in ("polarization", "mean")
    )

    class Debate:
        columns = {
            "opinion": column("float64", low=0, high=1, help="Opinion."),
            "camp": column("int8", labels=("left", "right"), help="Camp."),
            "loud": column("bool", help="Loud."),
            "spoken": column("int64", low=0, help="Times spoken."),
        }
        decisions, writings = (listen,), (argue,)

    Debate.measures = measures
    scenario(
        NAME,
        title="A debate",
        family="tests",
        promise="",
        params=Params,
        source="ours",
        steps=50,
        defaults={
            "population": {"size": 100, "columns": {"age": {"distribution": "uniform", "low": 18, "high": 90}}},
            "network": {"name": "talk", "kind": "watts_strogatz", "k": 4, "p_rewire": 0.1},
        },
    )(Debate)

    class Falling:
        columns = {"height": column("float64", help="Height.")}

    Falling.measures = measures
    scenario("test_only_fall", title="", family="tests", promise="", params=ScenarioParams, source="ours")(Falling)
    yield
    for name in (NAME, "test_only_fall"):
        del registry.scenarios._entries[name]


def problems(text: str, *overrides: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        parse_study(f'scenario = "{NAME}"\n' + text, file="f.toml", overrides=overrides)
    return [str(problem) for problem in caught.value.problems]


def intervention(do: str, rest: str = "at = 1", whom: str = "") -> str:
    return f"[[interventions]]\n{rest}\n" + (f"whom = {{ {whom} }}\n" if whom else "") + f"do = {{ {do} }}\n"


SET = 'effect = "set", column = "opinion", value = 0.5'


# What a study leaves out


def test_the_scenario_fills_what_a_study_leaves_out():
    study = default_study(NAME)
    assert (study.title, study.steps, study.seed, study.replicates) == ("A debate", 50, 0, 1)
    assert study.params == {"rule": "fast", "epsilon": 1.0, "rounds": 3, "start": 5, "weights": [0.5, 0.5]}
    assert type(study.params["epsilon"]) is float
    assert study.population.size == 100
    assert study.layers == (LayerSpec(name="talk", kind="watts_strogatz", params={"k": 4, "p_rewire": 0.1}),)
    assert study.decisions == {}
    assert load_study(NAME) == study == load_study({"scenario": NAME})


def test_without_defaults_everyone_is_tied_to_everyone():
    study = default_study("test_only_fall")
    assert [(layer.name, layer.kind) for layer in study.layers] == [("ties", "complete")]
    assert study.population.size is None


def test_naming_a_source_of_the_population_drops_the_default_one():
    study = parse_study(f'scenario = "{NAME}"\npopulation.columns = {{ income = 3 }}')
    assert study.population.size == 100
    assert set(study.population.columns) == {"income"}
    assert parse_study(f'scenario = "{NAME}"\npopulation = {{ size = 7, columns = {{}} }}').population.columns == {}


def test_another_network_kind_keeps_only_default_parameters_that_it_has():
    ring = parse_study(f'scenario = "{NAME}"\n[network]\nkind = "ring"').layers[0]
    assert (ring.name, ring.kind, ring.params) == ("talk", "ring", {"k": 4})
    more = parse_study(f'scenario = "{NAME}"\n[network]\nk = 6').layers[0]
    assert more.params == {"k": 6, "p_rewire": 0.1}


def test_several_layers():
    study = parse_study(
        f"""
        scenario = "{NAME}"
        [[network.layers]]
        name = "family"
        kind = "caveman"
        size = 5
        [[network.layers]]
        name = "talk"
        p_rewire = 0.3
        """
    )
    assert [(layer.name, layer.kind, layer.params) for layer in study.layers] == [
        ("family", "caveman", {"size": 5}),
        ("talk", "watts_strogatz", {"k": 4, "p_rewire": 0.3}),
    ]
    assert parse_study(dump_study(study)) == study


# Problems


def test_six_mistakes_give_six_messages():
    assert problems(
        f"""
        steps = 40
        [params]
        epsilom = 0.25
        [network]
        p_rewire = 1.4
        [decisions.listen]
        policy = "langage"
        {intervention(SET, "at = 40", 'where = "agee > 40"')}
        {intervention(SET, 'when = "polarisation > 0.5"')}
        """
    ) == [
        f"'epsilom' is not a knob of {NAME}; did you mean 'epsilon'? @ params.epsilom (f.toml)",
        "p_rewire = 1.4 is not in [0, 1] @ network.p_rewire (f.toml)",
        "'langage' is not a policy; did you mean 'language'? @ decisions.listen.policy (f.toml)",
        "at = 40 is not in [0, 39]; the run has 40 steps @ interventions.0.at (f.toml)",
        "'agee' is not a column; did you mean 'age'? @ interventions.0.whom.where (f.toml)",
        f"'polarisation' is not a measure of {NAME}; did you mean 'polarization'? @ interventions.1.when (f.toml)",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("titel = 'x'", "'titel' is not a key of a study; did you mean 'title'? @ titel"),
        ("seed = -1", "seed = -1 is not in [0, 2^63) @ seed"),
        ("seed = 1.5", "seed = 1.5 is not a whole number @ seed"),
        ("seed = true", "seed = true is not a whole number @ seed"),
        ("title = 3", "title = 3 is not text @ title"),
        ("format = 2", "format = 2 is not 1 @ format"),
        ("steps = 0", "steps = 0 is not in [1, 10000000] @ steps"),
        ("redraw = ['networks']", "redraw[0] = 'networks' is not one of 'population' or 'network' @ redraw.0"),
        ("seeds.networks = 3", "'networks' is not a key of seeds; did you mean 'network'? @ seeds.networks"),
        ("seeds = 3", "seeds = 3 is not a table @ seeds"),
        ("params = 3", "params = 3 is not a table @ params"),
        ("params.epsilon = '0.3'", "epsilon = '0.3' is not a number @ params.epsilon"),
        ("params.epsilon = true", "epsilon = true is not a number @ params.epsilon"),
        ("params.epsilon = nan", "nan is not a finite number @ params.epsilon"),
        ("params.epsilon = inf", "inf is not a finite number @ params.epsilon"),
        ("params.rounds = 0", "rounds = 0 is not at least 1 @ params.rounds"),
        ("params.rule = 'fats'", "rule = 'fats' is not one of 'fast', 'slow'; did you mean 'fast'? @ params.rule"),
        ("params.weights = [1, 'x']", "weights[1] = 'x' is not a number @ params.weights.1"),
        ("params.weights = 1", "weights = 1 is not a list @ params.weights"),
        ("params.start = 99999999999999999999", "99999999999999999999 is not in [-2^63, 2^63 - 1] @ params.start"),
        ("params.topic = 2020-01-01", "a value of type date cannot stand in a study @ params.topic"),
        ("population.sizee = 3", "'sizee' is not a key of population; did you mean 'size'? @ population.sizee"),
        ("population.size = 0", "size = 0 is not in [1, 100000000] @ population.size"),
        ("network = 3", "network = 3 is not a table @ network"),
        ("network.kind = 'rin'", "'rin' is not a network kind; did you mean 'ring'? @ network.kind"),
        ("network.kind = 3", "kind = 3 is not a name @ network.kind"),
        ("network.name = ''", "name = '' is not a name @ network.name"),
        ("network.k = 5", "k = 5 is not a multiple of 2 @ network.k"),
        ("network.p = 1", "'p' is not a parameter of watts_strogatz; valid: k, p_rewire @ network.p"),
        ("network.k = 200", "k = 200 is more than 99, the most ties that one of 100 agents can have @ network"),
        ("decisions.lissen = {}", f"'lissen' is not a decision of {NAME}; did you mean 'listen'? @ decisions.lissen"),
        ("decisions.listen = 'language'", "listen = 'language' is not a table @ decisions.listen"),
        ("decisions.listen.share = 2", "share = 2 is not in [0, 1] @ decisions.listen.share"),
        (
            "decisions.listen.persona_fields = ['agee']",
            "'agee' is not a column of the population; did you mean 'age'? @ decisions.listen.persona_fields",
        ),
        ("model.top_p = 0", "top_p = 0 is not in (0, 1] @ model.top_p"),
        ("record.states = 'all'", "states = 'all' is not one of 'changes', 'dense', 'panel', 'none' @ record.states"),
        ("interventions = 3", "interventions = 3 is not a list of tables; write [[interventions]] @ interventions"),
        ("interventions = [3]", "interventions[0] = 3 is not a table @ interventions.0"),
    ],
)
def test_each_mistake_is_one_sentence(text, problem):
    assert problems(text) == [f"{problem} (f.toml)"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (intervention(SET, ""), " @ interventions.0"),
        (intervention(SET, "at = 1\nevery = 2"), "at, every and when says when it acts; given: at and every @ interv"),
        (intervention(SET, "at = 3\nuntil = 2"), "until = 2 lies before the first step 3 at which it could act @"),
        (intervention(SET, "at = -1"), "at = -1 is not at least 0 @ interventions.0.at"),
        (intervention(SET, "at = 1\nuntill = 3"), "'untill' is not a key of an intervention; did you mean 'until'?"),
        (intervention(SET, "when = 'abs(mean) > 1'"), "a call is not in the language"),
        (intervention(SET, "when = 'mean'"), "'mean' is a number; a condition must be true or false"),
        (intervention(SET, whom="where = 'camp == \"lef\"'"), "'lef' is not a value of 'camp'; did you mean 'left'?"),
        (intervention(SET, whom="where = 'loud > 1'"), "'loud' is a boolean and '1' a number"),
        (intervention(SET, whom="top = { by = 'camp', n = 3 }"), "'camp' is not a numeric column or degree"),
        (intervention(SET, whom="top = { by = 'age' }"), "top needs either share or n @ interventions.0.whom.top"),
        (intervention(SET, whom="top = { n = 3 }"), "'by' is missing @ interventions.0.whom.top.by"),
        (intervention(SET, whom="sample = { n = 3, share = 0.1 }"), "sample needs either share or n @"),
        (intervention(SET, whom="ids = [3, -2]"), "agent -2 does not exist; ids count from 0 @"),
        (intervention('effect = "sett"'), "'sett' is not an effect; did you mean 'set'? @ interventions.0.do.effect"),
        (intervention('effect = "set", column = "opinion"'), "'value' is missing @ interventions.0.do.value"),
        (
            intervention('effect = "set", column = "opinion", valu = 1'),
            "'valu' is not an argument of the effect 'set'; did you mean 'value'? @ interventions.0.do.valu",
        ),
        (intervention('effect = "set", column = "opinon", value = 1'), "'opinon' is not a column; did you mean 'opin"),
        (
            intervention('effect = "set", column = "opinion", value = 1.5'),
            "value = 1.5 is not in [0, 1], the range of 'opinion' @ interventions.0.do.value",
        ),
        (intervention('effect = "set", column = "spoken", value = -1'), "value = -1 is not in [0, inf), the range of"),
        (intervention('effect = "set", column = "spoken", value = 1.5'), "is not a whole number, which 'spoken' holds"),
        (intervention('effect = "set", column = "loud", value = 1'), "value = 1 is not true or false, which 'loud' h"),
        (intervention('effect = "set", column = "opinion", value = true'), "value = true is not a number, which"),
        (intervention('effect = "set", column = "camp", value = "rigth"'), "'rigth' is not a value of 'camp'; did you"),
        (intervention('effect = "seed_adopters", column = "camp", value = "up"'), "'up' is not a value of 'camp'"),
        (
            intervention('effect = "add", column = "camp", amount = 1'),
            "'camp' is a category column; 'add' needs a numeric one @ interventions.0.do.column",
        ),
        (intervention('effect = "scale", column = "loud", factor = 2'), "'loud' is a boolean column; 'scale' needs a"),
        (intervention('effect = "set_param", param = "epsilom", value = 0'), f"'epsilom' is not a knob of {NAME}; did"),
        (
            intervention('effect = "set_param", param = "epsilon", value = 3'),
            "epsilon = 3 is not in [0, 1] @ interventions.0.do.value",
        ),
        (
            intervention('effect = "set_param", param = "start", value = 3'),
            "'start' is read only when the world is set",
        ),
        (
            intervention('effect = "cut_ties", layer = "tak"'),
            "'tak' is not a layer of the network; did you mean 'talk'",
        ),
        (intervention('effect = "cut_ties", share = 0'), "share = 0 is not in (0, 1] @ interventions.0.do.share"),
        (
            "[[interventions]]\nat = 1",
            'what it does is missing, for example do = { effect = "set", ... } @ interventions.0.do',
        ),
        ('[[interventions]]\nat = 1\nname = "a"\ndo = {}', "what it does is missing, for example do"),
        (
            intervention(SET, 'name = "a"\nat = 1') + intervention(SET, 'name = "a"\nat = 2'),
            "two interventions are called 'a'; each needs a name of its own @ interventions.1.name",
        ),
    ],
)
def test_each_mistake_in_an_intervention_is_one_sentence(text, problem):
    found = problems(text)
    assert len(found) == 1
    assert problem in found[0]


def test_good_interventions_are_accepted():
    study = parse_study(
        f'scenario = "{NAME}"\n'
        + intervention(SET, "at = 49", "where = 'age > 40 and camp == \"left\" and degree > 2 and agent_id < 9'")
        + intervention('effect = "set", column = "camp", value = "right"', "every = 5\nuntil = 90", "ids = [1, 2]")
        + intervention('effect = "set", column = "age", value = 20', "when = 'mean > 0.5 and step < 10'")
        + intervention(
            'effect = "set_param", param = "rounds", value = 4.0', "at = 1", "top = {by = 'age', share = 0.1}"
        )
        + intervention('effect = "set_param", param = "rule", value = "slow"', "at = 1", "sample = { n = 3 }")
        + intervention('effect = "broadcast", text = "Hello."')
        + intervention('effect = "cut_ties", layer = "talk", share = 0.5')
    )
    assert [spec.name for spec in study.interventions] == [f"intervention {number}" for number in range(1, 8)]
    assert parse_study(dump_study(study)) == study


def test_a_mistake_in_the_population_hides_no_other():
    found = problems('population.recipe = "no_such_recipe"\n' + intervention(SET, whom='where = "ag > 3 and own == 2"'))
    assert len(found) == 2
    assert found[0].endswith("@ population.recipe (f.toml)")
    assert "'ag' is not a column; did you mean 'age'?" in found[1]
    # A column that the lost recipe may well have is no mistake.
    assert len(problems('population.recipe = "no_such_recipe"\n' + intervention(SET, whom='where = "qqqq > 3"'))) == 1


def test_wrong_columns_of_the_population_are_named():
    assert "@ population.columns.age (f.toml)" in problems("population.columns.age = []")[0]
    found = problems("population = { size = 100, columns = { age = [30, 40] } }")
    assert found == [
        "2 values were given for 100 agents; the list needs one per agent @ population.columns.age (f.toml)"
    ]


def test_layers_need_different_names():
    text = '[[network.layers]]\nname = "a"\nkind = "ring"\n[[network.layers]]\nname = "a"\nkind = "complete"\nk = 3'
    assert problems(text) == [
        "'k' is not a parameter of complete @ network.layers.1.k (f.toml)",
        "two layers are called 'a'; each needs a name of its own @ network.layers.1.name (f.toml)",
    ]
    either = "[network] is either one layer with a kind, or [[network.layers]] with at least one @ network (f.toml)"
    assert problems("network.layers = []") == [either]
    assert problems('network = { kind = "ring", layers = [] }') == [either]
    assert problems('network.layers = [{ kind = "ring" }, { name = "b" }]') == [
        "'name' is missing @ network.layers.0.name (f.toml)",
        "'kind' is missing @ network.layers.1.kind (f.toml)",
    ]


def test_nothing_decides_where_everything_is_mechanism():
    with pytest.raises(StudyError, match=r"nothing in test_only_fall is a person's decision .* @ decisions.listen"):
        load_study("test_only_fall", ["decisions.listen.policy=language"])


def test_writings_can_be_given_a_policy():
    assert load_study(NAME, ["decisions.argue.policy=language"]).decisions["argue"].policy == "language"


def test_the_scenario_itself():
    for text, words in (
        ("seed = -1", r"'scenario' is missing; valid: .*\nseed = -1 is not in"),
        ("scenario = 3", r"^scenario = 3 is not text @ scenario \(f.toml\)$"),
        ('scenario = "test_only_debat"', f"did you mean '{NAME}'"),
    ):
        with pytest.raises(StudyError, match=words):
            parse_study(text, file="f.toml")
    with pytest.raises(RegistryError, match=f"did you mean '{NAME}'"):
        scenario_info("test_only_debat")
    assert scenario_info(NAME).title == "A debate"


def test_at_most_a_hundred_problems_are_listed():
    assert len(problems("\n".join(f"key_{number} = 1" for number in range(500)))) == 100


def test_long_names_are_shortened():
    [found] = problems(f"{'x' * 100_000} = 1")
    assert len(found) < 500


# --set


def test_overrides_change_any_key():
    study = load_study(
        NAME,
        [
            "params.epsilon=0.3",
            "params.rule=slow",
            "params.weights=[1, 2]",
            "population.size=2e2",
            "title=Two words = one title",
            "decisions.listen.policy=language",
            "seeds.dynamics=4",
            "record.every = 5",
            "population.columns.income={ distribution = 'normal', mean = 3, sd = 1 }",
        ],
    )
    assert study.params == {"rule": "slow", "epsilon": 0.3, "rounds": 3, "start": 5, "weights": [1.0, 2.0]}
    assert study.population.size == 200
    assert set(study.population.columns) == {"age", "income"}
    assert study.title == "Two words = one title"
    assert study.decisions["listen"].policy == "language"
    assert (study.seeds.dynamics, study.record.every) == (4, 5)


def test_overriding_the_network_kind_drops_parameters_that_it_does_not_have():
    for source in (NAME, {"scenario": NAME, "network": {"k": 6}}):
        study = load_study(source, ["network.kind=complete"])
        assert (study.layers[0].kind, study.layers[0].params) == ("complete", {})
    assert load_study(NAME, ["network.kind=ring"]).layers[0].params == {"k": 4}
    assert load_study(NAME, ["network.kind=ring", "network.k=6"]).layers[0].params == {"k": 6}
    assert load_study(NAME, ["network={kind='grid', rows=10}"]).layers[0].params == {"rows": 10, "periodic": False}
    with pytest.raises(StudyError, match=r"^'k' is not a parameter of complete @ network.k \(--set\)$"):
        load_study(NAME, ["network.k=6", "network.kind=complete"])


def test_a_parameter_that_the_old_kind_did_not_have_either_stays_a_mistake():
    with pytest.raises(StudyError, match=r"^'p_rewrie' is not a parameter of complete @ network.p_rewrie"):
        load_study({"scenario": NAME, "network": {"p_rewrie": 6}}, ["network.kind=complete"])


def test_overriding_lists_by_position_or_name():
    layers = [{"name": "a", "kind": "ring"}, {"name": "b", "kind": "ring"}]
    tables = {
        "scenario": NAME,
        "network": {"layers": layers},
        "interventions": [{"at": 1, "do": {"effect": "cut_ties"}}],
    }
    study = load_study(tables, ["network.layers.1.k=4", "network.layers.a.kind=complete", "interventions.0.at=7"])
    assert [(layer.kind, layer.params) for layer in study.layers] == [("complete", {}), ("ring", {"k": 4})]
    assert study.interventions[0].at == 7
    with pytest.raises(StudyError) as caught:
        load_study(tables, ["network.kind=ring", "network.layers.2.k=4", "interventions.0.do.share=5"])
    assert [str(problem) for problem in caught.value.problems] == [
        "the network has several layers (a, b); write network.layers.NAME.kind @ network.kind (--set)",
        "'2' is neither a position in layers (0 to 1) nor a name in it @ network.layers.2.k (--set)",
        "share = 5 is not in (0, 1] @ interventions.0.do.share (--set)",
    ]


def test_overriding_the_scenario_takes_its_defaults():
    assert load_study({"scenario": "nothing"}, [f"scenario={NAME}"]).steps == 50


def test_problems_of_overrides_name_set():
    with pytest.raises(StudyError) as caught:
        load_study(
            {"scenario": NAME, "params": {"rounds": 0}},
            ["params.epsilom=1", "steps", "=3", "a..b=1", "seed.x=1", "decisions.lisen.policy=rule", "seed=x=3"],
            file="f.toml",
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "'steps' is not KEY=VALUE, for example params.epsilon=0.3 (--set)",
        "'=3' is not KEY=VALUE, for example params.epsilon=0.3 (--set)",
        "'a..b=1' is not KEY=VALUE, for example params.epsilon=0.3 (--set)",
        "seed = 'x=3' is not a whole number @ seed (--set)",
        "rounds = 0 is not at least 1 @ params.rounds (f.toml)",
        f"'epsilom' is not a knob of {NAME}; did you mean 'epsilon'? @ params.epsilom (--set)",
        f"'lisen' is not a decision of {NAME}; did you mean 'listen'? @ decisions.lisen (--set)",
    ]


def test_a_value_cannot_smuggle_in_another_key():
    study = load_study(NAME, ["title=1\nsteps = 3"])
    assert (study.title, study.steps) == ("1\nsteps = 3", 50)


def test_a_study_can_be_changed():
    study = load_study(NAME, ["params.epsilon=0.5"])
    assert load_study(study) == study
    assert load_study(study, ["seed=3"]) == study.model_copy(update={"seed": 3})


# Files and texts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = ", "not valid TOML at line 1, column 5: Invalid value"),
        ("a = 1\nb == 2", "not valid TOML at line 2, column 4: Invalid value"),
        ("a = 1\na = 2\n", "not valid TOML at line 2, column 6: Cannot overwrite a value"),
        ("a = " + "[" * 50_000, "nested too deeply; a study nests at most 24 levels"),
        ("a = " + "{a=" * 50_000, "nested too deeply; a study nests at most 24 levels"),
        ("a." * 500_000 + "a = 1", "a dotted key has more than 64 parts; a study nests at most 24 levels"),
        ("[" + "'a' . " * 100_000 + "a]", "a dotted key has more than 64 parts; a study nests at most 24 levels"),
        ("a = " + "9" * 5000, "a number in the file has too many digits"),
        ("#" * 5_000_001, "the text has more than 5 million characters"),
    ],
)
def test_what_is_not_toml_is_one_problem(text, problem):
    with pytest.raises(StudyError) as caught:
        parse_study(text, file="f.toml")
    assert str(caught.value) == f"{problem} (f.toml)"


def test_nesting_is_limited():
    inner: dict = {}
    for _ in range(5000):
        inner = {"a": inner}
    with pytest.raises(StudyError, match="nested deeper than 24 levels"):
        load_study({"scenario": NAME, "params": inner})
    ring: dict = {}
    ring["a"] = ring["b"] = [ring, ring]
    with pytest.raises(StudyError, match=r"nested deeper than 24 levels|more than a million values"):
        load_study({"scenario": NAME, "params": ring})


def test_a_file(tmp_path):
    path = tmp_path / "my study.toml"
    path.write_text(f'scenario = "{NAME}"\ntitle = "Größe"\nseed = 3', encoding="utf-8-sig")
    assert load_study(path) == load_study(str(path)) == load_study(NAME, ["title=Größe", "seed=3"])
    path.write_text("seed = -1")
    with pytest.raises(StudyError, match=r"seed = -1 .* \(my study.toml\)"):
        load_study(path)
    with pytest.raises(StudyError, match=r"seed = -1 .* \(other\)"):
        load_study(path, file="other")


def test_files_that_cannot_be_read(tmp_path):
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "x"\nquestion = "Größe"'.encode("latin-1"))
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * 5_000_001)
    for source, words in (
        (tmp_path, "is a folder; give the path of a study file"),
        (tmp_path / "none.toml", r"there is no file .*none.toml'; check the path \(none.toml\)"),
        (latin, r"^line 2 is not UTF-8 \(byte 0xf6\); save the file as UTF-8 \(latin.toml\)$"),
        (large, r"the file has more than 5 MB; .* \(large.toml\)"),
        (Path("/dev/null"), "is not a file"),
        (str(tmp_path / ("x" * 300 + ".toml")), "cannot be read: File name too long"),
        ("a\0b.toml", "cannot be read: not a path|there is no file"),
        ("", "is a folder"),
        ("test_only_debat", f"'test_only_debat' is not a file, a scenario or a preset; did you mean '{NAME}'"),
        ("x" * 5000, "is not a file, a scenario or a preset"),
    ):
        with pytest.raises(StudyError, match=words) as caught:
            load_study(source)
        assert len(caught.value.problems) == 1


def test_presets(tmp_path, monkeypatch):
    folder = tmp_path / "presets"
    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    monkeypatch.setattr(registry, "discover", lambda: None)
    assert preset_names() == []
    folder.mkdir()
    (folder / "quiet_room.toml").write_text(f'scenario = "{NAME}"\nseed = 11')
    (folder / "a_fall.toml").write_text('scenario = "test_only_fall"\nseed = -1')
    (folder / "notes.txt").write_text("")
    assert preset_names() == ["a_fall", "quiet_room"]
    assert preset_names(NAME) == ["quiet_room"]
    assert load_study("quiet_room").seed == 11
    with pytest.raises(StudyError, match=r"seed = -1 .* \(a_fall.toml\)"):
        load_study("a_fall")
    with pytest.raises(StudyError, match="did you mean 'quiet_room'"):
        load_study("quite_room")


def test_every_shipped_preset_is_a_good_study():
    for name in preset_names():
        study = load_study(name)
        assert parse_study(dump_study(study)) == study


# Interventions apart from a study


def test_interventions_for_a_study(tmp_path):
    study = load_study({"scenario": NAME, "interventions": [{"name": "a", "at": 1, "do": {"effect": "cut_ties"}}]})
    path = tmp_path / "more.toml"
    path.write_text(intervention(SET, 'name = "b"\nat = 3'))
    [spec] = load_interventions(path, study)
    assert (spec.name, spec.at, spec.do.model_extra) == ("b", 3, {"column": "opinion", "value": 0.5})
    path.write_text("seed = 3\n" + intervention(SET, 'name = "a"\nat = 50'))
    with pytest.raises(StudyError) as caught:
        load_interventions(path, study)
    assert [str(problem) for problem in caught.value.problems] == [
        "'seed' is not a key of a file of interventions; valid: interventions @ seed (more.toml)",
        "at = 50 is not in [0, 49]; the run has 50 steps @ interventions.0.at (more.toml)",
        "'a' is already an intervention of the study; give it another name @ interventions.0.name (more.toml)",
    ]
    assert load_interventions({}, study) == ()


# Writing


def test_a_study_reads_as_in_the_documentation():
    study = load_study(
        {
            "scenario": NAME,
            "question": 'Does "loud" matter?',
            "redraw": ["network"],
            "seeds": {"network": 3},
            "decisions": {"listen": {"policy": "mixture", "share": 0.2, "persona_fields": ["age"]}},
            "interventions": [
                {"at": 9, "whom": {"where": "age > 40"}, "do": {"effect": "set", "column": "opinion", "value": 0.9}}
            ],
        }
    )
    assert (
        dump_study(study)
        == f"""format = 1
title = "A debate"
question = "Does \\"loud\\" matter?"
scenario = "{NAME}"
seed = 0
steps = 50
replicates = 1
redraw = ["network"]

[seeds]
network = 3

[params]
rule = "fast"
epsilon = 1.0
rounds = 3
start = 5
weights = [0.5, 0.5]

[population]
size = 100

[population.columns.age]
distribution = "uniform"
low = 18
high = 90

[network]
name = "talk"
kind = "watts_strogatz"
k = 4
p_rewire = 0.1

[decisions.listen]
policy = "mixture"
share = 0.2
persona_fields = ["age"]
temperature = 1.0
option_order = "both"

[model]
file = "pocket"
gpu_layers = -1
temperature = 0.8
top_p = 0.95

[[interventions]]
name = "intervention 1"
at = 9
whom = {{ where = "age > 40" }}
do = {{ effect = "set", column = "opinion", value = 0.9 }}

[record]
every = 1
states = "changes"
decisions = "auto"
"""
    )
    assert parse_study(dump_study(study)) == study


def test_a_study_without_a_scenario_at_hand_can_still_be_written():
    text = dump_study(Study(scenario="gone", params={"a b": {"c": [1, {"d": "e"}]}}))
    assert tomllib.loads(text)["params"] == {"a b": {"c": [1, {"d": "e"}]}}


def test_the_hash_follows_the_content_only():
    first = load_study({"scenario": NAME, "population": {"columns": {"age": 3, "income": 4}}})
    second = load_study({"population": {"columns": {"income": 4, "age": 3}}, "scenario": NAME})
    assert study_hash(first) == study_hash(second) == study_hash(parse_study(dump_study(first)))
    assert len(study_hash(first)) == 32
    assert study_hash(first) != study_hash(first.model_copy(update={"seed": 1}))


# Nothing but StudyError

LEAVES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=3)),
    st.sampled_from(["set", "ring", "age > 3", "opinion", NAME, 1, 0.5, b"", {1}, object]),
)
MODELS = (Study, PopulationSpec, InterventionSpec, Whom, Top, ModelSpec, RecordSpec)
WORDS = [*dict.fromkeys(name for model in MODELS for name in model.model_fields)]
KEYS = st.one_of(
    st.sampled_from(
        [*WORDS, "network", "kind", "k", "listen", "policy", "effect", "column", "value", "epsilon", "age"]
    ),
    st.text(max_size=5),
    st.integers(),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(tables=st.dictionaries(KEYS, TREES, max_size=8), known=st.booleans(), overrides=st.lists(st.text(max_size=20)))
def test_random_tables_raise_nothing_else(tables, known, overrides):
    try:
        load_study({**tables, "scenario": NAME} if known else tables, overrides)
    except StudyError as error:
        assert error.problems
        assert all(problem.message for problem in error.problems)


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.text(max_size=200), st.text("[]{}=.\"'#\n\t ab1-_,", max_size=200)), named=st.booleans())
def test_random_text_raises_nothing_else(text, named):
    for call in (lambda: parse_study((f'scenario = "{NAME}"\n' if named else "") + text), lambda: load_study(text)):
        try:
            call()
        except StudyError as error:
            assert error.problems


@settings(max_examples=150, deadline=None)
@given(key=st.lists(KEYS.map(str), min_size=1, max_size=4).map(".".join), value=st.one_of(LEAVES.map(str), st.text()))
def test_random_overrides_raise_nothing_else(key, value):
    tables = {"scenario": NAME, "interventions": [{"name": "do", "at": 1, "do": {"effect": "cut_ties"}}]}
    try:
        load_study(tables, [f"{key}={value}"])
    except StudyError as error:
        assert error.problems


def test_a_list_of_values_says_how_many_agents_there_are():
    study = load_study({"scenario": "fishery", "population": {"columns": {"age": [30, 40, 50]}}})
    assert study.population.size is None
    assert parse_study(dump_study(study)) == study


def test_a_table_that_lacks_a_key_and_has_strange_ones_is_told_once_for_each():
    given = {"scenario": NAME, "population": {"file": "x.csv", "map": {"age": {"from": "agea", "labels": {}}}}}
    with pytest.raises(StudyError, match=r"population\.map\.age") as caught:
        load_study(given)
    assert any("from" in str(problem) for problem in caught.value.problems)
