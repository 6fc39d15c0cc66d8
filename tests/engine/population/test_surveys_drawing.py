"""Respondents drawn by weight: the law, its independence of the size, and the report of how well it fits."""

import numpy as np
import polars as pl
import pytest
from scipy import stats
from survey_files import N, make_answers, write_sav

from engine.errors import PopulationError
from engine.population import build_population, describe_draw
from engine.spec import PopulationSpec

MAP = {
    "left_right": {"variable": "lrscale"},
    "party_id": {"variable": "prtclede"},
    "age": {"variable": "agea"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("drawing")
    write_sav(home / "ess.sav")
    return home


def spec_of(**changes):
    return PopulationSpec(**{"file": "ess.sav", "weight": "pspwght", "map": MAP, "size": 20_000} | changes)


def test_rows_are_drawn_with_a_probability_proportional_to_their_weight(folder):
    population = build_population(spec_of(map={"age": {"variable": "agea"}}), 7, base=folder)
    weights = make_answers()["pspwght"].to_numpy()
    counts = np.bincount(population.values["source_row"] - 1, minlength=N)
    expected = population.n * weights / weights.sum()
    assert stats.chisquare(counts, expected).pvalue > 1e-4
    equal = build_population(spec_of(map={"age": {"variable": "agea"}}, weight=None), 7, base=folder)
    counts = np.bincount(equal.values["source_row"] - 1, minlength=N)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_an_agent_depends_on_the_seed_and_its_id_alone(folder):
    large = build_population(spec_of(size=997), 4, base=folder)
    small = build_population(spec_of(size=31), 4, base=folder)
    for name, values in small.values.items():
        assert np.array_equal(values, large.values[name][:31]), name
    other = build_population(spec_of(size=31), 5, base=folder)
    assert not np.array_equal(other.values["source_row"], small.values["source_row"])
    fewer = build_population(spec_of(size=31, map={"age": MAP["age"]}), 4, base=folder)
    assert not np.array_equal(fewer.values["source_row"], small.values["source_row"]), "other rows are usable"


def test_rows_stay_whole(folder):
    population = build_population(spec_of(), 1, base=folder)
    rows = make_answers()[(population.values["source_row"] - 1).tolist()]
    assert np.array_equal(population.values["age"], rows["agea"].to_numpy())
    assert np.array_equal(population.values["left_right"], rows["lrscale"].to_numpy())


def test_bad_weights(folder):
    answers = make_answers()
    bad = answers.with_columns(pl.when(pl.col("idno") == 3).then(-1.0).otherwise(pl.col("pspwght")).alias("pspwght"))
    write_sav(folder / "negative.sav", bad)
    with pytest.raises(PopulationError, match=r"negative weights \(-1 in row 3\) @ population.weight"):
        build_population(spec_of(file="negative.sav"), 1, base=folder)
    write_sav(folder / "zero.sav", answers.with_columns(pl.lit(0.0).alias("pspwght")))
    with pytest.raises(PopulationError, match=r"all weights in 'pspwght' are 0 or missing @ population.weight"):
        build_population(spec_of(file="zero.sav"), 1, base=folder)
    some = pl.when(pl.col("idno") <= 10).then(pl.col("pspwght")).when(pl.col("idno") <= 1000).then(0.0).otherwise(None)
    write_sav(folder / "few.sav", answers.with_columns(some.alias("pspwght")))
    drawn = build_population(spec_of(file="few.sav", map={"age": MAP["age"]}), 1, base=folder)
    assert drawn.values["source_row"].max() <= 10


def test_no_respondent_left(folder):
    answers = make_answers()
    odd = pl.col("idno") % 2 == 1
    halves = answers.with_columns(
        pl.when(odd).then(pl.col("agea")).alias("agea"), pl.when(~odd).then(pl.col("cntry")).alias("cntry")
    )
    write_sav(folder / "halves.sav", halves)
    spec = spec_of(file="halves.sav", map={"age": MAP["age"]}, keep=["cntry"], weight=None)
    with pytest.raises(PopulationError, match=r"no respondent is left: answers are missing for age \(1000\), cntry"):
        build_population(spec, 1, base=folder)


def test_the_report_compares_target_and_achieved(folder):
    spec = spec_of(size=5000)
    population = build_population(spec, 2, base=folder)
    report = describe_draw(spec, population, base=folder)
    answers = make_answers()
    weights = answers["pspwght"].to_numpy()
    scale, party = answers["lrscale"].to_numpy(), answers["prtclede"].to_numpy()
    valid, partisan = scale <= 10, party != 66

    def row(column, statistic, label=""):
        found = report.frame.filter(column=column, statistic=statistic, label=label)
        assert found.height == 1
        return found.row(0, named=True)

    mean = row("left_right", "mean")
    assert mean["target"] == pytest.approx(np.average(scale[valid], weights=weights[valid]), rel=1e-12)
    assert mean["achieved"] == pytest.approx(population.values["left_right"].mean(), rel=1e-12)
    assert mean["difference"] == pytest.approx(mean["achieved"] - mean["target"], abs=1e-12)
    share = row("party_id", "share", "Greens")
    assert share["target"] == pytest.approx(weights[party == 3].sum() / weights[partisan].sum(), rel=1e-12)
    assert share["achieved"] == pytest.approx((population.decoded("party_id") == "Greens").mean(), rel=1e-12)
    assert abs(share["difference"]) < 4 * share["standard_error"]
    assert share["standard_error"] == pytest.approx((share["target"] * (1 - share["target"]) / 5000) ** 0.5)
    usable = valid & partisan
    kept = weights[usable]
    assert (report.n_agents, report.n_rows, report.n_usable) == (5000, N, usable.sum())
    assert report.dropped == {"left_right": (~valid).sum(), "party_id": (~partisan).sum()}
    assert report.effective_n == pytest.approx(kept.sum() ** 2 / (kept**2).sum())
    assert report.weight_ratio == pytest.approx(kept.max() / kept.min())
    assert report.n_respondents == np.unique(population.values["source_row"]).size
    assert any(f"{N - usable.sum():,} of {N:,} respondents were left out" in note for note in report.notes)


def test_weights_undo_an_oversample(folder):
    """Greens have four times the weight of others: by weight their share is far above that among respondents."""
    by_weight = build_population(spec_of(), 3, base=folder)
    plain = build_population(spec_of(weight=None), 3, base=folder)
    party = make_answers()["prtclede"].to_numpy()
    assert abs((plain.decoded("party_id") == "Greens").mean() - (party == 3).sum() / (party != 66).sum()) < 0.03
    assert (by_weight.decoded("party_id") == "Greens").mean() > 0.45
