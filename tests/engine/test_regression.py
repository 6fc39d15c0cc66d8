"""A regression as the rule: coefficient tables as printed, bound names, evaluation against formulas, recovery."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from regression_outputs import (
    COEF_VECTOR,
    GLM,
    GLM_SPACED,
    MLOGIT,
    MULTINOM,
    OLOGIT,
    PLAIN,
    POLR,
    SPSS,
    SPSS_GERMAN,
    STATA_LOGIT,
    VCOV,
)
from scipy.special import expit

from engine import (
    Choice,
    Decision,
    Integers,
    MicrocosmError,
    ScenarioParams,
    StudyError,
    Words,
    Writing,
    dump_study,
    load_study,
    parse_study,
    registry,
    simulate,
)
from engine.contract import Measure, column, scenario
from engine.decision import Categories
from engine.draws import stream_rng
from engine.llm import ScriptedModel
from engine.loading import study_hash
from engine.policy.regression import build_regression, regression_weights
from engine.population.columns import Column
from engine.regressions import (
    TermColumn,
    TermReader,
    cholesky_root,
    coefficient_values,
    describe_regression,
    draw_values,
    read_matrix,
    read_pasted,
)
from engine.regressions.tables import clean_lines
from engine.spec import RegressionSpec

NAME = "test_only_ballot"
AGREE = ("disagree", "neither", "somewhat agree", "fully agree")
PARTIES = ("left", "centre", "far right")
VOTE = Decision("vote", Choice(*PARTIES), rule=lambda seen: seen.log_weights(0, 0, 0), question="Whom?")
ANSWER = Decision("answer", Choice(*AGREE), rule=lambda seen: seen.log_weights(0, 0, 0, 0), question="Agree?")
GO = Decision(
    "go",
    Choice("stay", "go"),
    rule=lambda seen: seen.log_weights(0, 0),
    question="Go?",
    shows={"crowd": Words((10.0,), ("few", "many")), "mode": Categories(("quiet", "loud"))},
)
COUNT = Decision("count", Integers(0, 9), rule=lambda seen: seen.log_weights(*[0] * 10), question="How many?")
SPEAK = Writing("speak", rule=lambda seen: ["x"] * len(seen), question="Speak.")

POPULATION = """
[population]
size = 400
[population.columns]
age = { distribution = "uniform", low = 18, high = 80 }
income = { distribution = "normal", mean = 0.0, sd = 1.0 }
female = { values = [true, false], weights = [1, 1] }
schooling = { values = ["primary", "secondary", "tertiary"], weights = [1, 2, 1] }
"""


@pytest.fixture(scope="module", autouse=True)
def ballot():
    """Register a scenario with a choice of two, of three, an ordered one, a number and a writing."""
    registry.discover()

    class Ballot:
        columns = {
            "camp": column("int8", labels=("red", "blue"), help="Camp."),
            "tired": column("float64", help="Tiredness.", initial=0.25),
        }
        decisions = (VOTE, ANSWER, GO, COUNT)
        writings = (SPEAK,)
        measures = (Measure("people", lambda world: world.n_agents, help="People.", source="ours"),)

        def setup(self, world):
            world.population["camp"] = (world.agents % 2).astype(np.int8)

        def step(self, world):
            world.decide(VOTE)
            world.decide(ANSWER)
            world.decide(GO, crowd=5.0 + world.agents % 20, mode=world.agents % 3 == 0)

    scenario(NAME, title="Ballot", family="tests", promise="", params=ScenarioParams, source="ours", steps=2)(Ballot)
    yield
    del registry.scenarios._entries[NAME]


def study_of(decision, regression, population=POPULATION, head=""):
    """Return a study whose decision is a regression, from TOML text."""
    return parse_study(
        f'scenario = "{NAME}"\nseed = 5\n{head}\n{population}\n[decisions.{decision}.regression]\n{regression}',
        file="s.toml",
    )


def problems_of(decision, regression, population=POPULATION):
    """Return every problem of such a study, as text."""
    with pytest.raises(StudyError) as caught:
        study_of(decision, regression, population)
    return [str(problem).replace(" (s.toml)", "") for problem in caught.value.problems]


def batch_of(study, decision, **options):
    """Return (batch, world) of the first step of one decision."""
    records = simulate(study, **options)
    next(records)
    record = next(records)
    return next(batch for batch in record.decisions if batch.decision == decision), record.world


# -- printed tables ------------------------------------------------------------------------------------------------


def rows(text, options=(), several=False):
    """Return {name: value} of a pasted text without problems, and its thresholds."""
    found = read_pasted(text, options, several)
    assert found.problems == []
    keys = [(row.outcome, row.name) if several else row.name for row in found.rows]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, (row.value for row in found.rows), strict=True)), found.cuts


def test_summary_of_glm():
    assert rows(GLM) == (
        {
            "(Intercept)": -3.989979,
            "gre": 0.002264,
            "gpa": 0.804038,
            "rank2": -0.675443,
            "rank3": -1.340204,
            "rank4": -1.551464,
        },
        [],
    )


def test_names_with_spaces_and_dropped_columns():
    found, cuts = rows(GLM_SPACED)
    assert found == {
        "(Intercept)": 0.5,
        "schoolingupper secondary school": 0.25,
        "schoolingshort course 2": -1.5e-05,
        "age:femaleTRUE": 0.013,
    }
    assert cuts == []


def test_multinom_in_wrapped_blocks():
    found, _ = rows(MULTINOM, PARTIES, several=True)
    assert found == {
        ("centre", "(Intercept)"): 2.85217,
        ("far right", "(Intercept)"): 5.21826,
        ("centre", "schoolingupper secondary"): -0.5332810,
        ("far right", "schoolingupper secondary"): -0.9828349,
        ("centre", "age"): -0.0579287,
        ("far right", "age"): -0.1136037,
    }


def test_polr_has_slopes_and_thresholds():
    assert rows(POLR) == (
        {"pared": 1.04769, "public": -0.05879, "gpa": 0.61594},
        [("unlikely|somewhat likely", 2.2039), ("somewhat likely|very likely", 4.2994)],
    )


def test_coefficients_printed_as_a_vector():
    assert rows(COEF_VECTOR)[0] == {"(Intercept)": -1.234, "age": 0.0321, "sexmale": 0.5}


def test_logit_of_stata_with_factor_variables():
    assert rows(STATA_LOGIT)[0] == {
        "age": -0.0270531,
        "schooling[secondary]": 0.4512345,
        "schooling[tertiary]": 0.9876543,
        "1.female": 0.31,
        "schooling[2]#c.age": 0.0123,
        "schooling[3]#c.age": -0.0456,
        "_cons": 1.333575,
    }


def test_mlogit_of_stata():
    found, _ = rows(MLOGIT, PARTIES, several=True)
    assert found == {
        ("centre", "age"): -0.011745,
        ("centre", "male"): 0.5616934,
        ("centre", "_cons"): 0.2697127,
        ("far_right", "age"): -0.0077961,
        ("far_right", "male"): 0.4518496,
        ("far_right", "_cons"): -1.286943,
    }


def test_ologit_of_stata():
    slopes, cuts = rows(OLOGIT)
    assert slopes == {"foreign": 2.896807, "length": 0.0828275, "mpg": 0.2307677}
    assert cuts == [("/cut1", 17.92748), ("/cut2", 19.86506), ("/cut3", 22.10331)]


def test_last_step_of_spss():
    assert rows(SPSS)[0] == {"age": 0.034, "schooling(1)": 0.512, "schooling(2)": -0.125, "Constant": -2.345}


def test_decimal_commas():
    assert rows(SPSS_GERMAN)[0] == {"age": 0.034, "Constant": -2.345}
    assert clean_lines("a,b 1,5")[0] == "a,b 1.5"
    assert clean_lines("age 1,5 0.25")[0] == "age 1,5 0.25"


def test_plain_lines():
    assert rows(PLAIN)[0] == {"intercept": -1.0, "age": 0.02, "age:female": 0.5, "mood": 1e-3, "x": -0.25, "y": 2.0}
    found, _ = rows("left:\nintercept 1\nage 2\nfar right\nintercept 3\n", PARTIES, several=True)
    assert found == {("left", "intercept"): 1, ("left", "age"): 2, ("far right", "intercept"): 3}
    assert rows("cut1 -1\n/cut2 = 0.5\nage 1") == ({"age": 1.0}, [("/cut1", -1.0), ("/cut2", 0.5)])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "Call:\nglm(formula = y ~ x, family = binomial(link = probit))\n\nCoefficients:\n   Estimate\nx 1",
            "a probit",
        ),
        ("Probit regression   Number of obs = 10\n y | Coef.\n--+--\n x | 1.5", "a probit"),
        (
            "Coefficients:\n  Estimate Std. Error\nx  1 2\n(Dispersion parameter for poisson family taken to be 1)",
            "logit",
        ),
        ("------\n y | Odds ratio   Std. err.\n------+-----\n x | 1.5 0.1", "odds ratios"),
        ("Residual standard error: 3 on 10 degrees of freedom\nx 3", "a linear regression"),
        ("", "no coefficients were found"),
        ("Coefficients:\n    Estimate Std. Error\n\n", "no coefficients were found"),
        ("age 1\nnothing here\n2", "line 2 ('nothing here') has no value"),
        ("age 1\n2 3", "line 2 ('2 3') has no name"),
        ("Coefficients:\n(Intercept) educa tion\n1 2\n", "cannot be told apart"),
    ],
)
def test_output_that_holds_no_logit_is_refused(text, complaint):
    found = read_pasted(text, (), False)
    assert complaint in " ".join(found.problems)


def test_a_long_hostile_text_is_read_quickly():
    texts = ["1" * 90_000, "-" * 90_000 + "x", "I(" * 40_000, "a:" * 40_000, ",1" * 40_000, "a1" * 40_000]
    start = time.perf_counter()
    for text in (*texts, *("Coefficients:\n" + text for text in texts), *("y | Coef.\n" + text for text in texts)):
        read_pasted(text, ("a",), True)
    reader = reader_of()
    for name in ("a:" * 140, "age:" * 70 + "age", "I(" * 100, "age^" * 70, "factor(" * 40):
        reader.read(name)
    assert time.perf_counter() - start < 5


# -- names ---------------------------------------------------------------------------------------------------------

COLUMNS = {
    "age": TermColumn("age", "integer"),
    "income": TermColumn("income", "number"),
    "female": TermColumn("female", "boolean"),
    "schooling": TermColumn("schooling", "category", ("primary", "upper secondary", "bachelor's degree")),
    "region": TermColumn("region", "category", ("north", "south")),
    "bio": TermColumn("bio", "text"),
    "mode": TermColumn("mode", "coded", ("quiet", "loud")),
}


def reader_of(*names):
    """Return a reader of the columns above that knows these names."""
    reader = TermReader(COLUMNS, "that 'vote' can see")
    reader.note_levels(names)
    return reader


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("(Intercept)", "intercept"),
        ("_cons", "intercept"),
        ("Constant", "intercept"),
        ("age", "age"),
        ("AGE", "age"),
        ("c.age", "age"),
        ("`age`", "age"),
        ("I(age^2)", "age^2"),
        ("age^2", "age^2"),
        ("age**3", "age^3"),
        ("c.age#c.age", "age^2"),
        ("age:income", "age:income"),
        ("income:age", "age:income"),
        ("femaleTRUE", "female"),
        ("1.female", "female"),
        ("female[T.True]", "female"),
        ("femaleFALSE", "female[false]"),
        ("schoolingupper secondary", "schooling[upper secondary]"),
        ("schoolinguppersecondary", "schooling[upper secondary]"),
        ("C(schooling)[T.bachelor's degree]", "schooling[bachelor's degree]"),
        ("factor(schooling)primary", "schooling[primary]"),
        ("primary.schooling", "schooling[primary]"),
        ("scho~g[primary]", "schooling[primary]"),
        ("age:schoolingprimary:femaleTRUE", "age:female:schooling[primary]"),
        ("1.female#c.age", "age:female"),
        ("factor(age)30", "age[30]"),
        ("age[30]", "age[30]"),
        ("mode", "mode"),
        ("mode[loud]", "mode[loud]"),
    ],
)
def test_a_name_is_bound(name, text):
    term = reader_of(name).read(name)
    assert not isinstance(term, str), term
    assert term.text == text
    assert reader_of().read(term.text) == term


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("agee", "'agee' is not a column that 'vote' can see; did you mean 'age'?"),
        ("zzz", "'zzz' is not a column that 'vote' can see; valid: age, income, female, schooling, region, bio, mode"),
        ("age:zzz", "'zzz' is not a column that 'vote' can see; valid: "),
        ("schooling", "'schooling' holds categories; write schooling[LABEL] with one of primary, upper secondary"),
        ("bio", "'bio' holds text; a regression needs numbers, categories or true and false"),
        ("schooling[primry]", "'primry' is not a value of 'schooling'; did you mean 'primary'?"),
        ("schoolingprimry", "'primry' is not a value of 'schooling'; did you mean 'primary'?"),
        ("age2", "'age2' may be age^2 or age[2]; write the one that is meant"),
        ("2.schooling", "level 2 of 'schooling' fits no one label for sure; write schooling[LABEL]"),
        ("schooling(1)", "'schooling(1)' is an indicator by number; write schooling[LABEL]"),
        ("schooling.L", "'schooling.L' is a polynomial contrast of an ordered factor"),
        ("schooling^4", "'schooling^4' is a polynomial contrast of an ordered factor"),
        ("log(income)", "'log(income)' transforms a column"),
        ("poly(age, 2)1", "'poly(age, 2)1' transforms a column"),
        ("female[maybe]", "'female' is a boolean column without such levels"),
        ("", "'' is not a name of a term"),
        ("x" * 5000, "is not a name of a term"),
    ],
)
def test_a_name_that_fits_nothing_is_explained(name, complaint):
    sentence = reader_of(name).read(name)
    assert isinstance(sentence, str)
    assert complaint in sentence


def test_numeric_levels_are_bound_only_where_one_count_fits():
    assert reader_of("0.schooling", "2.schooling").read("2.schooling").text == "schooling[bachelor's degree]"
    assert reader_of("2.schooling", "3.schooling").read("2.schooling").text == "schooling[upper secondary]"
    assert "fits no one label" in reader_of("1.schooling", "2.schooling").read("2.schooling")
    assert "fits no one label" in reader_of("2.schooling", "9.schooling").read("2.schooling")
    numbered = TermReader({"wave": TermColumn("wave", "category", ("1", "2", "3"))})
    assert numbered.read("2.wave").text == numbered.read("wave2").text == "wave[2]"


def test_two_readings_of_a_name_are_refused():
    columns = {name: TermColumn(name, "category", labels) for name, labels in (("a", ("bc",)), ("ab", ("c",)))}
    assert TermReader(columns).read("abc") == "'abc' can mean a[bc] or ab[c]; write the one that is meant"


# -- evaluation ----------------------------------------------------------------------------------------------------


def weights_of(spec, ask, columns, values, seen=None, *, seed=1, people=2, step=3, agents=None):
    """Return log weights for columns {name: Column} with their values."""
    room = SimpleNamespace(population=values, dynamics_seed=seed, population_seed=people, step=step)
    n = next(iter((seen or values).values())).size
    call = SimpleNamespace(ask=ask, agents=np.arange(n) if agents is None else agents, columns=seen or {})
    return regression_weights(room, call, build_regression(spec, ask, columns, seed))


def test_logit_by_hand():
    study = study_of(
        "go",
        """kind = "logit"
        [decisions.go.regression.coefficients]
        intercept = -1
        age = 0.02
        "age^2" = -0.0001
        female = 0.3
        "female[false]" = 0.05
        "schooling[tertiary]" = 0.5
        "income:female" = -0.2
        crowd = 0.1
        "mode[loud]" = 0.4
        "camp[blue]" = -0.6
        tired = 2""",
    )
    batch, world = batch_of(study, "go")
    x = world.population
    tertiary = np.array(world.persona.columns["schooling"].labels)[x["schooling"]] == "tertiary"
    eta = -1 + 0.02 * x["age"] - 0.0001 * x["age"] ** 2 + 0.3 * x["female"] + 0.5 * tertiary
    eta += -0.2 * x["income"] * x["female"] + 0.1 * (5.0 + np.arange(400) % 20) + 0.4 * (np.arange(400) % 3 == 0)
    eta += -0.6 * (np.arange(400) % 2) + 2 * 0.25 + 0.05 * ~x["female"]
    p_go = expit(eta)
    assert batch.p == pytest.approx(np.where(batch.actions == 1, p_go, 1 - p_go), rel=1e-6)
    assert abs(batch.actions.mean() - p_go.mean()) < 4 * np.sqrt((p_go * (1 - p_go)).sum()) / 400
    assert np.all(batch.policy == 0) and np.all(batch.situations == -1)
    assert 0.2 < p_go.min() + 0.2 < p_go.max() < 1


def test_option_says_whose_log_odds_are_meant():
    for option, sign in (("stay", -1), ("go", 1)):
        study = study_of("go", f'kind = "logit"\noption = "{option}"\ncoefficients = {{ intercept = 0.7 }}')
        batch, _ = batch_of(study, "go")
        expected = expit(np.where(batch.actions == 1, sign * 0.7, -sign * 0.7))
        assert batch.p == pytest.approx(expected, rel=1e-6)


def test_multinomial_against_softmax():
    study = study_of(
        "vote",
        """kind = "multinomial"
        coefficients.left = { intercept = 0.3, age = -0.01 }
        coefficients."far right" = { intercept = -2, age = 0.02, "schooling[primary]" = 0.8 }""",
    )
    batch, world = batch_of(study, "vote")
    x = world.population
    primary = np.array(world.persona.columns["schooling"].labels)[x["schooling"]] == "primary"
    eta = np.stack([0.3 - 0.01 * x["age"], np.zeros(400), -2 + 0.02 * x["age"] + 0.8 * primary], axis=1)
    p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    assert batch.p == pytest.approx(p[np.arange(400), batch.actions], rel=1e-6)
    assert set(batch.actions) == {0, 1, 2}


def test_ordinal_is_proportional_odds():
    """McCullagh (1980), eq. 1.2: logit P(Y <= j) = threshold_j - x'b."""
    cuts = (-1.0, 0.2, 1.5)
    study = study_of("answer", f'kind = "ordinal"\nthresholds = {list(cuts)}\ncoefficients = {{ income = 0.8 }}')
    batch, world = batch_of(study, "answer")
    below = np.concatenate(
        [np.zeros((400, 1)), expit(np.array(cuts) - 0.8 * world.population["income"][:, None]), np.ones((400, 1))],
        axis=1,
    )
    p = np.diff(below, axis=1)
    assert batch.p == pytest.approx(p[np.arange(400), batch.actions], rel=1e-6)
    spec = study.decisions["answer"].regression
    weights = weights_of(spec, ANSWER, {"income": Column("float", "float64")}, {"income": np.array([-2.0, 0.0, 5.0])})
    p = np.exp(weights)
    assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-14)
    odds = p.cumsum(axis=1)[:, :3] / (1 - p.cumsum(axis=1)[:, :3])
    assert np.log(odds[0] / odds[2]) == pytest.approx(np.full(3, 0.8 * 7), rel=1e-9)  # the same at every threshold


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-20, 20), min_size=3, max_size=3, unique=True).filter(lambda c: np.diff(sorted(c)).min() > 1e-6),
    st.lists(st.floats(-30, 30), min_size=1, max_size=5),
)
def test_ordinal_probabilities_sum_to_one(cuts, values):
    spec = RegressionSpec(kind="ordinal", coefficients={"income": 1.0}, thresholds=tuple(sorted(cuts)))
    weights = weights_of(spec, ANSWER, {"income": Column("float", "float64")}, {"income": np.array(values)})
    assert np.logaddexp.reduce(weights, axis=1) == pytest.approx(np.zeros(len(values)), abs=1e-9)


def test_ordinal_keeps_its_digits_in_the_tails():
    spec = RegressionSpec(kind="ordinal", coefficients={"income": 1.0}, thresholds=(-1.0, 0.0, 1.0))
    values = {"income": np.array([60.0, -60.0, 800.0])}
    weights = weights_of(spec, ANSWER, {"income": Column("float", "float64")}, values)
    assert weights[0, 0] == pytest.approx(-61, rel=1e-12)
    assert weights[0, 1] == pytest.approx(-60 + np.log(1 - np.exp(-1)), rel=1e-12)
    assert weights[1, 3] == pytest.approx(-61, rel=1e-12)
    assert np.isfinite(weights).all()


def test_order_of_coefficients_and_of_agents_does_not_matter():
    terms = {"intercept": 0.1, "age": 0.37, "income": 1.0 / 3, "age:income": 0.011, "schooling[b]": 0.3}
    columns = {
        "age": Column("integer", "int64"),
        "income": Column("float", "float64"),
        "schooling": Column("category", "int16", labels=("a", "b")),
    }
    rng = np.random.default_rng(1)
    values = {"age": rng.integers(18, 90, 50), "income": rng.normal(size=50), "schooling": rng.integers(0, 2, 50)}
    one = RegressionSpec(kind="logit", option="go", coefficients=terms, person_sd=1, shock_sd=1)
    other = one.model_copy(update={"coefficients": dict(reversed(terms.items()))})
    plain = Decision("go", Choice("stay", "go"), rule=GO.rule, question="Go?")
    weights = weights_of(one, plain, columns, values)
    assert np.array_equal(weights, weights_of(other, plain, columns, values))
    # Sums are taken in the order of the names, not in that of a set, which changes from process to process.
    added = [factors for factors, _ in build_regression(one, plain, columns, 1).products]
    assert [":".join(factor.text for factor in factors) for factors in added] == ["age", "age:income", "income"]
    shuffled = rng.permutation(50)
    assert np.array_equal(weights[shuffled], weights_of(one, plain, columns, values, agents=shuffled))


def test_a_code_without_a_label_is_refused():
    spec = RegressionSpec(kind="logit", option="go", coefficients={"intercept": 0.0, "mode[loud]": 1.0})
    seen = {"mode": np.array([0, -1]), "crowd": np.zeros(2)}
    with pytest.raises(MicrocosmError, match=r"'mode' has the code -1 for an agent who decides 'go'; its 2 labels"):
        weights_of(spec, GO, {}, {}, seen)


# -- in a run ------------------------------------------------------------------------------------------------------


def test_the_scenarios_own_rule_as_a_regression_gives_the_same_run():
    from scenarios.persuasion import BASE, EFFECTS, NO_ARGUMENT

    terms = {"intercept": BASE, "stubbornness": -1.0, "dimension[none]": NO_ARGUMENT - BASE}
    terms |= {f"dimension[{name}]": effect for name, effect in EFFECTS.items()}
    tables = {"scenario": "persuasion", "steps": 3, "params": {"n_dyads": 600}, "population": {"size": 1200}}
    regression = {"kind": "logit", "option": "yes", "coefficients": terms}
    by_rule = [record.digest for record in simulate(load_study(tables))]
    study = load_study({**tables, "decisions": {"change": {"regression": regression}}})
    assert [record.digest for record in simulate(study)] == by_rule
    assert study_hash(study) != study_hash(load_study(tables))


def test_fused_kernels_give_way():
    regression = {"kind": "logit", "option": "move", "coefficients": {"intercept": 40.0}}
    tables = {"scenario": "bounded_confidence", "steps": 1, "params": {"epsilon": 0.0}, "population": {"size": 60}}
    still = list(simulate(load_study(tables)))[-1]
    assert not still.decisions
    moving = list(simulate(load_study({**tables, "decisions": {"listen": {"regression": regression}}})))[-1]
    assert sum(batch.agents.size for batch in moving.decisions) == 60
    assert all(np.all(batch.actions == 0) for batch in moving.decisions)
    assert moving.measures["polarization", ""] < 0.8 * still.measures["polarization", ""]


def newton(x, y):
    """Return (coefficients, standard errors) of a logit by eight Newton steps."""
    beta = np.zeros(x.shape[1])
    for _ in range(8):
        p = expit(x @ beta)
        information = (x * (p * (1 - p))[:, None]).T @ x
        beta = beta + np.linalg.solve(information, x.T @ (y - p))
    return beta, np.sqrt(np.diag(np.linalg.inv(information)))


def test_recovery_of_a_logit_in_persuasion():
    truth = {"intercept": -1.0, "age": 0.02, "big5_o": -0.3, "sex[male]": 0.5, "big5_o:sex[male]": 0.25}
    study = load_study(
        {
            "scenario": "persuasion",
            "steps": 1,
            "seed": 3,
            "params": {"dimension": "none", "n_dyads": 20_000},
            "population": {"size": 40_000, "recipe": "adults_generic"},
            "decisions": {"change": {"regression": {"kind": "logit", "option": "yes", "coefficients": truth}}},
        }
    )
    batch, world = batch_of(study, "change")
    people = {name: values[batch.agents] for name, values in world.population.items()}
    male = people["sex"] == world.persona.columns["sex"].labels.index("male")
    x = np.stack([np.ones(20_000), people["age"], people["big5_o"], male, people["big5_o"] * male], axis=1)
    estimate, error = newton(x, batch.actions == 0)
    assert np.all(np.abs(estimate - list(truth.values())) < 4 * error)
    assert np.all(error < np.abs(list(truth.values())) / 3)
    assert np.abs(estimate[1]) > 4 * error[1]


def test_pause_and_resume_end_the_same():
    study = study_of(
        "go",
        """kind = "logit"
        coefficients = { intercept = 0, age = 0.01 }
        covariance = [[0.5, -0.005], [-0.005, 0.0001]]
        draw_coefficients = true
        person_sd = 0.5
        shock_sd = 0.5""",
        head="steps = 4",
    )
    whole = list(simulate(study))
    first = simulate(study)
    held = [next(first) for _ in range(3)][-1]
    state, digest = held.world.get_state(), held.digest
    rest = list(simulate(study, state=state, digest=digest))
    assert [record.digest for record in rest] == [record.digest for record in whole[3:]]
    assert whole[-1].digest != list(simulate(study, replicate=1))[-1].digest


def test_mixture_shares_between_model_and_regression():
    study = study_of("go", 'kind = "logit"\ncoefficients = { intercept = 40 }\n', head="[model]\nfile = 'scripted'\n")
    study = load_study(study, ["decisions.go.policy=mixture", "decisions.go.share=0.5"])
    batch, world = batch_of(study, "go", model=ScriptedModel())
    assert 120 < (batch.policy == 1).sum() < 280
    assert np.all(batch.actions[batch.policy == 0] == 1)
    assert not world.decided_by_rule(GO) and world.decided_by_rule(VOTE)
    assert not batch_of(load_study(study, ["decisions.go.share=0.0"]), "go")[1].decided_by_rule(GO)


def test_random_intercepts_stay_with_their_person():
    spec = RegressionSpec(kind="logit", option="go", coefficients={"intercept": 0.3}, person_sd=1.5)
    ask, n = Decision("go", Choice("stay", "go"), rule=GO.rule, question="Go?"), 100_000
    columns, values = {"x": Column("float", "float64")}, {"x": np.zeros(n)}
    weights = weights_of(spec, ask, columns, values)[:, 1]
    assert abs(weights.mean() - 0.3) < 4 * 1.5 / np.sqrt(n)
    assert abs(weights.var() - 1.5**2) < 4 * 1.5**2 * np.sqrt(2 / n)
    assert abs(np.mean(np.abs(weights - 0.3) > 1.5) - 0.3173) < 4 * np.sqrt(0.3173 * 0.6827 / n)  # normal tails
    assert np.array_equal(weights, weights_of(spec, ask, columns, values, step=9, seed=8)[:, 1])
    assert not np.array_equal(weights, weights_of(spec, ask, columns, values, people=9)[:, 1])


def test_shocks_are_common_and_new_in_each_step():
    spec = RegressionSpec(kind="logit", option="go", coefficients={"intercept": 0.3}, shock_sd=0.7)
    ask = Decision("go", Choice("stay", "go"), rule=GO.rule, question="Go?")
    columns, values = {"x": Column("float", "float64")}, {"x": np.zeros(3)}
    steps = np.stack([weights_of(spec, ask, columns, values, step=t)[:, 1] for t in range(2000)])
    assert np.ptp(steps, axis=1).max() == 0
    assert abs(steps[:, 0].var() - 0.49) < 4 * 0.49 * np.sqrt(2 / 2000)
    assert abs(np.corrcoef(steps[1:, 0], steps[:-1, 0])[0, 1]) < 4 / np.sqrt(2000)


def test_random_parts_of_a_multinomial_differ_between_options():
    tables = {option: {"intercept": 0.0} for option in ("left", "centre")}
    spec = RegressionSpec(kind="multinomial", coefficients=tables, person_sd=1.0)
    weights = weights_of(spec, VOTE, {"x": Column("float", "float64")}, {"x": np.zeros(20_000)})
    assert np.all(weights[:, 2] == 0)
    assert abs(np.corrcoef(weights[:, 0], weights[:, 1])[0, 1]) < 4 / np.sqrt(20_000)
    assert weights[:, :2].std(axis=0) == pytest.approx([1, 1], abs=4 / np.sqrt(40_000))


# -- coefficients with uncertainty ---------------------------------------------------------------------------------

COVARIANCE = """kind = "logit"
coefficients = { intercept = -1, age = 0.02, female = 0.5 }
covariance = [[0.25, -0.004, 0.01], [-0.004, 0.0001, 0.0002], [0.01, 0.0002, 0.09]]
draw_coefficients = true"""


def test_drawn_coefficients_have_the_covariance():
    spec = study_of("go", COVARIANCE).decisions["go"].regression
    assert spec.covariance_order == ("intercept", "age", "female")
    n = 4000
    draws = np.array([list(draw_values(spec, stream_rng(seed, "regression:go", 0)).values()) for seed in range(n)])
    wanted = np.array(spec.covariance)
    sd = np.sqrt(np.diag(wanted))
    assert np.all(np.abs(draws.mean(axis=0) - [-1, 0.02, 0.5]) < 4 * sd / np.sqrt(n))
    error = np.sqrt((wanted**2 + np.outer(sd, sd) ** 2) / n)
    assert np.all(np.abs(np.cov(draws.T) - wanted) < 4 * error)


def test_draws_hold_for_a_replicate_and_do_not_depend_on_order():
    study = study_of("go", COVARIANCE, head="steps = 3")
    worlds = [record.world for record in simulate(study)]
    constants = worlds[-1].regressions["go"].constants
    assert constants[0] == draw_values(study.decisions["go"].regression, stream_rng(5, "regression:go", 0))["intercept"]
    assert list(simulate(study, replicate=1))[-1].world.regressions["go"].constants[0] != constants[0]
    turned = study_of(
        "go",
        """kind = "logit"
        coefficients = { female = 0.5, age = 0.02, intercept = -1 }
        covariance = [[0.09, 0.0002, 0.01], [0.0002, 0.0001, -0.004], [0.01, -0.004, 0.25]]
        draw_coefficients = true""",
        head="steps = 3",
    )
    assert [record.digest for record in simulate(turned)] == [record.digest for record in simulate(study)]


def test_a_printed_covariance_brings_its_own_order():
    table = """
Coefficients:
          Value Std. Error t value
female  1.04769     0.2658  3.9418
income -0.05879     0.2979 -0.1974
tired   0.61594     0.2606  2.3632

Intercepts:
                           Value   Std. Error t value
disagree|neither           2.2039  0.7795     2.8272
neither|somewhat agree     4.2994  0.8043     5.3453
somewhat agree|fully agree 5.5000  0.9000     6.1111
"""
    study = study_of("answer", f"kind = 'ordinal'\npasted = '''{table}'''\npasted_covariance = '''{VCOV}'''")
    spec = study.decisions["answer"].regression
    assert spec.covariance_order == ("female", "income", "tired", "/cut1", "/cut2", "/cut3")
    assert list(coefficient_values(spec)) == list(spec.covariance_order)
    assert spec.covariance[0][3] == spec.covariance[3][0] == 0.0183
    assert spec.pasted_covariance is None and spec.thresholds == (2.2039, 4.2994, 5.5)
    assert parse_study(dump_study(study)) == study


def test_matrices_in_wrapped_blocks():
    matrix = read_matrix(VCOV.splitlines())
    names = list(dict.fromkeys(row for row, _ in matrix))
    assert names == [
        "female",
        "income",
        "tired",
        "disagree|neither",
        "neither|somewhat agree",
        "somewhat agree|fully agree",
    ]
    assert len(matrix) == 36
    assert matrix["somewhat agree|fully agree", "neither|somewhat agree"] == 0.55


def test_root_of_a_singular_covariance():
    singular = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    root = cholesky_root(singular)
    assert root @ root.T == pytest.approx(singular, abs=1e-12)
    full = np.array([[2.0, 0.3], [0.3, 1.0]])
    assert cholesky_root(full) == pytest.approx(np.linalg.cholesky(full), rel=1e-14)


def test_drawn_thresholds_must_ascend():
    study = study_of(
        "answer",
        """kind = "ordinal"
        thresholds = [-0.001, 0.0, 0.001]
        covariance = [[9, 0, 0], [0, 9, 0], [0, 0, 9]]
        draw_coefficients = true""",
        head="seeds = { dynamics = 1 }",
    )
    with pytest.raises(MicrocosmError, match="thresholds drawn for 'answer' do not ascend"):
        for replicate in range(8):
            list(simulate(study, replicate=replicate))


# -- the study file ------------------------------------------------------------------------------------------------

GOOD = {
    "stata": (
        "go",
        f"kind = 'logit'\npasted = '''{STATA_LOGIT}'''",
        {
            "age": -0.0270531,
            "schooling[secondary]": 0.4512345,
            "schooling[tertiary]": 0.9876543,
            "female": 0.31,
            "age:schooling[secondary]": 0.0123,
            "age:schooling[tertiary]": -0.0456,
            "intercept": 1.333575,
        },
    ),
    "mlogit": (
        "vote",
        "kind = 'multinomial'\npasted = '''" + MLOGIT.replace("male ", "income") + "'''",
        {
            "centre": {"age": -0.011745, "income": 0.5616934, "intercept": 0.2697127},
            "far right": {"age": -0.0077961, "income": 0.4518496, "intercept": -1.286943},
        },
    ),
    "plain": (
        "vote",
        "kind = 'multinomial'\npasted = '''left:(Intercept) 1\nleft:age:female 2\nfar right:(Intercept) 3'''",
        {"left": {"intercept": 1.0, "age:female": 2.0}, "far right": {"intercept": 3.0}},
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_pasted_text_becomes_coefficients_that_the_file_keeps(case):
    decision, text, coefficients = GOOD[case]
    study = study_of(decision, text)
    spec = study.decisions[decision].regression
    assert spec.coefficients == coefficients
    assert spec.pasted is None
    assert "policy" in study.decisions[decision].model_fields_set  # so that --model leaves the decision as it is
    dumped = dump_study(study)
    assert "pasted" not in dumped
    assert parse_study(dumped) == study
    assert study_hash(parse_study(dumped)) == study_hash(study)
    assert list(simulate(study))[-1].digest == list(simulate(parse_study(dumped)))[-1].digest


def test_a_study_without_regression_says_nothing_of_it():
    assert "regression" not in dump_study(load_study({"scenario": NAME, "decisions": {"go": {"policy": "rule"}}}))


def test_every_problem_at_once():
    found = problems_of(
        "go",
        """kind = "logit"
        option = "leave"
        person_sd = -1
        coefficients = { age = 0.1, agee = 0.2, schooling = 1, "schooling[tertary]" = 1, AGE = 3, income = "x" }
        thresholds = [1.0]
        draw_coefficients = true""",
    )
    at = "@ decisions.go.regression"
    assert sorted(found) == sorted(
        [
            f"income = 'x' is not a number or a table {at}.coefficients.income",
            f"person_sd = -1 is not at least 0 {at}.person_sd",
            f"'leave' is not an option of 'go'; valid: stay, go {at}.option",
            f"'agee' is not a column that 'go' can see; did you mean 'age'? {at}.coefficients.agee",
            "'schooling' holds categories; write schooling[LABEL] with one of primary, secondary, tertiary "
            f"{at}.coefficients.schooling",
            f"'tertary' is not a value of 'schooling'; did you mean 'tertiary'? {at}.coefficients.schooling[tertary]",
            f"age is given twice {at}.coefficients.AGE",
            f"there is no intercept; write intercept = 0 if it is meant to be 0 {at}.coefficients",
            f"thresholds belong to an ordinal regression; logit has none {at}.thresholds",
        ]
    )


@pytest.mark.parametrize(
    ("decision", "regression", "expected"),
    [
        ("go", 'kind = "logit"', ["the coefficients are missing; give either coefficients or pasted @ {at}"]),
        ("go", 'kind = "probit"\ncoefficients = { intercept = 1 }', ["kind = 'probit' is not one of"]),
        (
            "go",
            "coefficients = { intercept = 1 }",
            ["'kind' is missing; it is one of logit, multinomial, ordinal @"],
        ),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1 }\npasted = "intercept 2"',
            ["coefficients and pasted are both given; keep one of them @ {at}.pasted"],
        ),
        ("go", 'kind = "logit"\npasted = "age 2"', ["there is no intercept; write intercept = 0 if it is meant"]),
        (
            "go",
            'kind = "logit"\npasted = "intercept 1\\nagee 2"',
            ["'agee' is not a column that 'go' can see; did you"],
        ),
        (
            "go",
            f"kind = 'logit'\npasted = '''{POLR}'''",
            [
                "'pared' is not a column that 'go' can see",
                "'public' is not a column that 'go' can see",
                "'gpa' is not a column that 'go' can see",
                "the table has thresholds (unlikely|somewhat likely, ...); that is an ordinal regression @ {at}.kind",
            ],
        ),
        (
            "vote",
            'kind = "logit"\ncoefficients = { intercept = 1 }',
            ["a logit decides between two options; 'vote' has 3: left, centre, far right @ {at}.kind"],
        ),
        (
            "vote",
            'kind = "multinomial"\ncoefficients = { intercept = 1 }',
            ["intercept = 1 stands outside the table of an option @ {at}.coefficients.intercept"],
        ),
        (
            "vote",
            'kind = "multinomial"\ncoefficients = { left = { intercept = 1 } }',
            ["a multinomial has one table for each option but one, the reference; without a table: centre, far right"],
        ),
        (
            "vote",
            'kind = "multinomial"\n'
            "coefficients = { left = { age = 1 }, right = { intercept = 1 }, centre = { age = 1 } }",
            [
                "'right' is not an option of 'vote'; did you mean 'far right'? @ {at}.coefficients.right",
                "there is no intercept for 'left', 'centre'; write intercept = 0 if it is meant to be 0 @ {at}.coeff",
            ],
        ),
        (
            "vote",
            'kind = "multinomial"\npasted = "intercept 1"',
            ["'intercept' belongs to no option; a multinomial has one table for each option @ {at}.pasted"],
        ),
        (
            "answer",
            'kind = "ordinal"\nthresholds = [0, 1]\ncoefficients = { intercept = 1 }',
            [
                "an ordinal regression has thresholds in place of an intercept; leave it out @ {at}.coefficients",
                "2 thresholds are given; the 4 options (disagree, neither, somewhat agree, fully agree) need 3 @ {at}",
            ],
        ),
        (
            "answer",
            'kind = "ordinal"\nthresholds = [0, 2, 1]',
            ["thresholds 0, 2, 1 do not ascend @ {at}.thresholds"],
        ),
        (
            "answer",
            'kind = "ordinal"\npasted = "fully agree|somewhat agree 1\\nsomewhat agree|neither 2\\nneither|disagree 3"',
            ["threshold 'fully agree|somewhat agree' stands where disagree|neither belongs; the options run disagree"],
        ),
        (
            "count",
            'kind = "ordinal"\nthresholds = [0]',
            ["'count' asks for a whole number from 0 to 9; a regression decides between named options @ {at}"],
        ),
        ("speak", 'kind = "logit"\npasted = "a 1"', ["'speak' is a writing; a regression decides between options"]),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1 }\ndraw_coefficients = true',
            ["draw_coefficients = true needs a covariance matrix @ {at}.draw_coefficients"],
        ),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1, age = 1 }\ncovariance = [[1.0]]',
            ["the covariance has 1 rows of 1; 2 coefficients need 2 x 2, in the order intercept, age @ {at}"],
        ),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1, age = 1 }\ncovariance = [[1.0, 0.5], [0.4, 1.0]]',
            ["the covariance of intercept and age is given as 0.5 and 0.4; the matrix must be symmetric"],
        ),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1, age = 1 }\ncovariance = [[1.0, 2.0], [2.0, 1.0]]',
            ["the matrix is no covariance: its correlations have the negative eigenvalue -1"],
        ),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1 }\ncovariance = [[1.0]]\ncovariance_order = ["age"]',
            ["'age' is not a coefficient of this regression; valid: intercept @ {at}.covariance_order"],
        ),
        (
            "go",
            'kind = "logit"\ncoefficients = { intercept = 1 }\nlevels = 3',
            ["'levels' is not a key of regression"],
        ),
    ],
)
def test_bad_regressions_are_explained(decision, regression, expected):
    found = problems_of(decision, regression)
    assert len(found) == len(expected), found
    for sentence, wanted in zip(found, expected, strict=True):
        assert sentence.startswith(wanted.replace("{at}", f"decisions.{decision}.regression"))


def test_a_population_that_is_not_understood_hides_no_other_problem():
    found = problems_of("go", 'kind = "logit"\ncoefficients = { my_column = 1 }', "[population]\nrecipe = 'nobody'")
    assert len(found) == 2
    assert "nobody" in found[0] or "nobody" in found[1]
    assert any("there is no intercept" in sentence for sentence in found)


def test_description_names_every_coefficient():
    spec = study_of("go", COVARIANCE + "\nperson_sd = 0.5\nshock_sd = 0.1").decisions["go"].regression
    assert describe_regression(spec) == (
        "a logit of 'go' (intercept -1, age 0.02, female 0.5); coefficients drawn once per replicate from their "
        "covariance; random intercept per person (standard deviation 0.5); common shock per step (standard deviation "
        "0.1)"
    )


def test_a_million_agents_are_weighed_quickly():
    """The bound is loose on purpose (shared machines); about 0.03 s on an idle one."""
    rng, n = np.random.default_rng(1), 1_000_000
    columns = {"age": Column("integer", "int64"), "schooling": Column("category", "int16", labels=tuple("abcdefghi"))}
    values = {"age": rng.integers(18, 90, n), "schooling": rng.integers(0, 9, n).astype(np.int16)}
    terms = {"age": 0.02, "age^2": -1e-4, **{f"schooling[{label}]": 0.1 for label in "bcdefghi"}}
    spec = RegressionSpec(kind="ordinal", coefficients=terms, thresholds=(-1.0, 0.0, 1.0))
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        weights_of(spec, ANSWER, columns, values)
        best = min(best, time.perf_counter() - start)
    assert best < 0.5
