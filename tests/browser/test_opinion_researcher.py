"""An opinion researcher with a survey: from the file to a paired contrast, by clicks alone, checked with numpy."""

import re

import numpy as np
import polars as pl
import pyreadstat
import pytest
from playwright.sync_api import expect
from walking import download_report, go_on, pick, settle, stands_in, type_number, wait_for_experiment

from app.contrasts import number
from engine.analysis import outcome_table, pair_outcomes, paired_contrast
from engine.store import read_agents, read_measures

pytestmark = pytest.mark.browser
N_RESPONDENTS = 2000
N_RUNS = 4


def write_wave(path):
    """Write 2,000 respondents with weights, labels and missing codes; return their weighted mean on 0 to 1."""
    rng = np.random.default_rng(5)
    camp = rng.random(N_RESPONDENTS) < 0.4
    scale = np.clip(np.rint(rng.normal(np.where(camp, 2.5, 7.0), 1.6)), 0, 10)
    weight = np.where(camp, 1.8, 0.6) * rng.uniform(0.8, 1.2, N_RESPONDENTS)
    valid = rng.random(N_RESPONDENTS) > 0.06
    answers = pl.DataFrame(
        {
            "idno": np.arange(1.0, N_RESPONDENTS + 1),
            "leri": np.where(valid, scale, rng.choice([77.0, 88.0], N_RESPONDENTS)),
            "agea": np.rint(rng.uniform(18, 90, N_RESPONDENTS)),
            "pspwght": weight,
        }
    )
    pyreadstat.write_sav(
        answers,
        path,
        column_labels={"leri": "Where would you place yourself?", "agea": "Age of respondent", "pspwght": "Weight"},
        variable_value_labels={"leri": {0: "Left", 10: "Right", 77: "Refusal", 88: "Don't know"}},
        missing_ranges={"leri": [{"lo": 77, "hi": 99}]},
    )
    return float(np.average(scale[valid] / 10, weights=weight[valid]))


def test_from_a_survey_to_a_paired_contrast(tabs, studio, tmp_path):
    mean = write_wave(tmp_path / "wave 1 (Größe).sav")
    page = tabs()
    page.locator(".st-key-open_bounded_confidence button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    go_on(page, "Outcome")
    pick(page, "^Outcome", "polarization")
    go_on(page, "People")
    bring_people(page, tmp_path)
    go_on(page, "Ties")
    pick(page, "Kind of network", "Birds of a feather")
    pick(page, "^column", "opinion")
    type_number(page, "^target", 0.5)
    go_on(page, "Who decides")
    go_on(page, "Interventions")
    go_on(page, "Comparison")
    compare_epsilon(page)
    go_on(page, "Runs")
    type_number(page, "^Steps", 12)
    expect(page.locator(".st-key-run_study button")).to_contain_text(f"Run {2 * N_RUNS} times")
    page.locator(".st-key-next_run button").click()
    experiment = wait_for_experiment(studio, 2 * N_RUNS)
    check_people(experiment, mean)
    difference = check_contrast(experiment)
    page.reload()
    shown = page.get_by_test_id("stMetric").filter(has_text="Difference")
    expect(shown).to_contain_text(number(difference))
    words = download_report(page, experiment)
    assert stands_in(difference, words), "the paired difference stands in the report"
    assert re.search(r"wave.{0,20}\.sav", words), "the report names the survey file"


def bring_people(page, folder):
    """Upload the survey, map left-right to opinion, keep the suggested weight, and draw 300."""
    page.get_by_text("Respondents of a survey file").click()
    settle(page)
    page.locator("input[type=file]").set_input_files(str(folder / "wave 1 (Größe).sav"))
    expect(page.get_by_text(re.compile("2,000 respondents")).first).to_be_visible(timeout=20_000)
    page.locator(".st-key-add_mapping button").click()
    settle(page)
    pick(page, "Variable of the survey", "leri: Where would you place", 1)
    expect(page.get_by_role("textbox", name="Answers from, to").nth(1)).to_have_value("0 to 10")
    expect(page.get_by_role("textbox", name="become from, to").nth(1)).to_have_value("0 to 1")
    type_number(page, "^People", 300)
    page.get_by_text("Fit", exact=True).click()
    expect(page.get_by_text("Effective n").first).to_be_visible()


def compare_epsilon(page):
    """Make two arms that differ in epsilon; before they do, the field says that they differ in nothing."""
    page.locator(".st-key-add_arm button").click()
    expect(page.get_by_text(re.compile("differ in nothing")).first).to_be_visible()
    pick(page, "What differs", "epsilon", 1)
    page.keyboard.press("Escape")
    type_number(page, "^epsilon", 0.4)
    expect(page.get_by_text(re.compile("differ in nothing"))).to_have_count(0)
    type_number(page, "Runs of each arm", N_RUNS)
    expect(page.get_by_text(re.compile("compared pair by pair"))).to_be_visible()


def check_people(experiment, mean):
    """The agents carry opinions of the weighted survey."""
    agents = read_agents(experiment.folders_of(experiment.arms[0])[0])
    opinions = agents["opinion"].to_numpy()
    assert len(opinions) == 300
    assert set(np.rint(opinions * 10)) <= set(range(11))
    assert np.allclose(opinions * 10, np.rint(opinions * 10))
    assert abs(opinions.mean() - mean) < 4 * opinions.std() / 300**0.5


def check_contrast(experiment):
    """The paired difference equals numpy on the stored measures; return it."""
    last = {
        arm: [
            read_measures(folder).filter(pl.col("measure") == "polarization").sort("step")["value"][-1]
            for folder in experiment.folders_of(arm)
        ]
        for arm in experiment.arms
    }
    first, second = experiment.arms
    differences = np.array(last[second]) - np.array(last[first])
    pairs = pair_outcomes(
        outcome_table({arm: experiment.folders_of(arm) for arm in experiment.arms}, "polarization"), first, second
    )
    contrast = paired_contrast(pairs.a, pairs.b)
    assert contrast.n_runs == N_RUNS
    assert contrast.difference == pytest.approx(differences.mean(), abs=1e-12)
    assert differences.mean() < 0, "people who listen to more others end closer together"
    return contrast.difference
