"""A public-health modeller: vaccinate the best connected in one arm, compare attack rates, check the report."""

import re

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import expect
from walking import download_report, go_on, pick, settle, stands_in, type_number, wait_for_experiment

from engine.store import read_agents, read_edges, read_measures

pytestmark = pytest.mark.browser
N_PAIRS = 8
SENTENCE = "More runs shrink any p-value: report the effect and its Monte Carlo error."


def test_vaccinating_the_best_connected(tabs, studio):
    page = tabs()
    page.locator(".st-key-preset_sir button").first.click()
    page.get_by_text("sir_households").first.click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    go_on(page, "Outcome")
    pick(page, "^Outcome", "recovered share")
    go_on(page, "People", "Ties", "Who decides", "Interventions", "Comparison")
    vaccinate_in_one_arm(page)
    type_number(page, "Runs of each arm", N_PAIRS)
    go_on(page, "Runs")
    page.locator(".st-key-next_run button").click()
    experiment = wait_for_experiment(studio, 2 * N_PAIRS)
    difference, error = attack_rates(experiment)
    agents, ties = (read(experiment.folders_of(experiment.arms[0])[0]) for read in (read_agents, read_edges))
    assert agents.height == 10_000 and set(ties["layer"]) == {"household", "community"}
    expect(page.get_by_text(SENTENCE).first).to_be_visible(timeout=30_000)
    shown = page.get_by_test_id("stMetric")
    expect(shown.filter(has_text="Difference").first).to_contain_text(f"{difference:.4g}", timeout=20_000)
    expect(shown.filter(has_text="Monte Carlo error").first).to_contain_text(f"{error:.4g}")
    expect(page.get_by_text(re.compile("equal up to day|different from the start")).first).to_be_visible()
    words = download_report(page, experiment)
    assert stands_in(difference, words), "the paired difference stands in the report"


def vaccinate_in_one_arm(page):
    """Give the second arm an intervention: the tenth with the most ties is immune from the start."""
    page.locator(".st-key-add_arm button").click()
    settle(page)
    arm = page.get_by_text("Interventions of this arm alone").nth(1)
    arm.click()
    page.locator(".st-key-add_change_arm1 button").click()
    settle(page)
    type_number(page, "^Step", 0)
    pick(page, "^Whom", "those with the largest value")
    type_number(page, "^Share", 0.1)
    pick(page, "^What$", "give a column a value")
    pick(page, "^value", "recovered")
    expect(page.get_by_text(re.compile("differ in nothing"))).to_have_count(0)


def attack_rates(experiment):
    """Return (mean paired difference, its standard error) of the recovered share at the end, by numpy."""
    last = [
        [
            read_measures(folder).filter(pl.col("measure") == "recovered_share").sort("step")["value"][-1]
            for folder in experiment.folders_of(arm)
        ]
        for arm in experiment.arms
    ]
    differences = np.array(last[1]) - np.array(last[0])
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(N_PAIRS))
