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
N_RESPONDENTS, N_PEOPLE = 2000, 1000
N_RUNS, N_STEPS = 20, 10
ARMS = ("as it is", "wide", "alike", "wide and alike", "shuffled ties")


def write_wave(path, seed, share):
    """Write 2,000 respondents with weights, labels and missing codes; return (mean, polarization) on 0 to 1, weighted.

    Args:
        path: File to write.
        seed: Of the draws.
        share: Of the respondents, those in the smaller camp.
    """
    rng = np.random.default_rng(seed)
    camp = rng.random(N_RESPONDENTS) < share
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
    opinion, counted = scale[valid] / 10, weight[valid]
    mean = np.average(opinion, weights=counted)
    return float(mean), float(4 * np.average((opinion - mean) ** 2, weights=counted))


def test_from_a_survey_to_a_paired_contrast(tabs, studio, tmp_path):
    mean, first = write_wave(tmp_path / "wave 1 (Größe).sav", 5, 0.4)
    _, second = write_wave(tmp_path / "wave 2.sav", 6, 0.3)
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
    make_arms(page)
    go_on(page, "Runs")
    type_number(page, "^Steps", N_STEPS)
    n_runs = len(ARMS) * N_RUNS
    expect(page.locator(".st-key-run_study button")).to_contain_text(f"Run {n_runs} times")
    page.locator(".st-key-next_run button").click()
    experiment = wait_for_experiment(studio, n_runs, limit_s=240)
    assert tuple(experiment.arms)[:4] == ARMS[:4]
    check_people(experiment, mean)
    difference = check_contrast(experiment)
    page.reload()
    shown = page.get_by_test_id("stMetric").filter(has_text="Difference")
    expect(shown).to_contain_text(number(difference))
    check_second_wave(page, tmp_path, first, second, difference)
    words = download_report(page, experiment)
    assert stands_in(difference, words), "the paired difference stands in the report"
    assert "polarization of the respondents of wave_2.sav" in words, "the report says what was validated"
    assert stands_in(round(second, 4), words)
    assert re.search(r"wave.{0,20}\.sav", words), "the report names the survey file"


def bring_people(page, folder):
    """Upload the survey, map left-right to opinion, keep the suggested weight, and draw 1,000."""
    page.get_by_text("Respondents of a survey file").click()
    settle(page)
    page.locator("input[type=file]").set_input_files(str(folder / "wave 1 (Größe).sav"))
    expect(page.get_by_text(re.compile("2,000 respondents")).first).to_be_visible(timeout=20_000)
    page.locator(".st-key-add_mapping button").click()
    settle(page)
    pick(page, "Variable of the survey", "leri: Where would you place", 1)
    expect(page.get_by_role("textbox", name="Answers from, to").nth(1)).to_have_value("0 to 10")
    expect(page.get_by_role("textbox", name="become from, to").nth(1)).to_have_value("0 to 1")
    type_number(page, "^People", N_PEOPLE)
    page.get_by_text("Fit", exact=True).click()
    expect(page.get_by_text("Effective n").first).to_be_visible()


def make_arms(page):
    """Cross epsilon with homophily, and add the null control; an arm that changes nothing is told so."""
    page.locator(".st-key-add_arm button").click()
    expect(page.get_by_text(re.compile("differ in nothing")).first).to_be_visible()
    for place, changes in ((1, ("epsilon",)), (2, ("ties: target",)), (3, ("epsilon", "ties: target"))):
        if place > 1:
            page.locator(".st-key-add_arm button").click()
            settle(page)
        name = page.get_by_role("textbox", name=re.compile("^Arm$")).last
        name.fill(ARMS[place])
        name.press("Enter")
        settle(page)
        for change in changes:
            pick(page, "What differs", change, place)
            page.keyboard.press("Escape")
            settle(page)
            label, value = ("^epsilon", 0.4) if change == "epsilon" else ("^target", 0.8)
            field = page.get_by_role("spinbutton", name=re.compile(label)).last
            field.fill(str(value))
            field.press("Enter")
            settle(page)
    page.get_by_role("button", name="Shuffled ties").click()
    settle(page)
    expect(page.get_by_text(re.compile("differ in nothing"))).to_have_count(0)
    type_number(page, "Runs of each arm", N_RUNS)
    expect(page.get_by_text(re.compile("compared pair by pair"))).to_be_visible()


def check_second_wave(page, folder, first, second, difference):
    """The other wave stands beside the simulated difference, labelled as validation, with the numbers of numpy."""
    page.get_by_text("Validation: beside an observed second wave").click()
    settle(page)
    page.locator("input[type=file]").last.set_input_files(str(folder / "wave 2.sav"))
    shown = page.get_by_test_id("stMetric")
    observed = shown.filter(has_text="Observed second wave")
    expect(observed).to_contain_text(re.compile(r"0\.\d"), timeout=30_000)
    for name, value in (("first wave", first), ("second wave", second)):
        text = shown.filter(has_text=f"Observed {name}").inner_text()
        assert float(text.split()[-1]) == pytest.approx(value, abs=2e-4)
    with page.expect_download() as waiting:
        page.locator(".st-key-csv_observed button").first.click()
    table = pl.read_csv(waiting.value.path())
    assert table["end"][0] == pytest.approx(second, abs=2e-4)
    assert table["end"][-1] == pytest.approx(difference, abs=1e-9)
    assert table.height == 1 + len(ARMS) + 1


def check_people(experiment, mean):
    """The agents carry opinions of the weighted survey."""
    agents = read_agents(experiment.folders_of(experiment.arms[0])[0])
    opinions = agents["opinion"].to_numpy()
    assert len(opinions) == N_PEOPLE
    assert set(np.rint(opinions * 10)) <= set(range(11))
    assert np.allclose(opinions * 10, np.rint(opinions * 10))
    assert abs(opinions.mean() - mean) < 4 * opinions.std() / N_PEOPLE**0.5


def check_contrast(experiment):
    """The paired difference equals numpy on the stored measures; return it."""
    last = {
        arm: [
            read_measures(folder).filter(pl.col("measure") == "polarization").sort("step")["value"][-1]
            for folder in experiment.folders_of(arm)
        ]
        for arm in experiment.arms
    }
    first, second = ARMS[:2]
    differences = np.array(last[second]) - np.array(last[first])
    pairs = pair_outcomes(
        outcome_table({arm: experiment.folders_of(arm) for arm in experiment.arms}, "polarization"), first, second
    )
    contrast = paired_contrast(pairs.a, pairs.b)
    assert contrast.n_runs == N_RUNS
    assert contrast.difference == pytest.approx(differences.mean(), abs=1e-12)
    assert differences.mean() < 0, "people who listen to more others end closer together"
    return contrast.difference
