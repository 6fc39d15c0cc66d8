"""An experimental economist: 30 groups of fishermen a cell, talk off and on, survival, and a CSV checked with numpy."""

import io
import re

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import expect
from walking import download_report, go_on, pick, settle, stands_in, type_number, wait_for_experiment

from engine.store import read_measures

pytestmark = pytest.mark.browser
N_GROUPS = 30


def test_talk_and_survival_of_thirty_groups(tabs, studio):
    page = tabs()
    page.locator(".st-key-open_fishery button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    go_on(page, "Outcome")
    pick(page, "^Outcome", "survival months")
    go_on(page, "People", "Ties", "Who decides", "Interventions", "Comparison")
    page.locator(".st-key-add_arm button").click()
    settle(page)
    expect(page.get_by_role("combobox", name=re.compile("What differs"))).to_have_count(2)
    page.wait_for_timeout(500)
    pick(page, "What differs", "talk", 1)
    page.keyboard.press("Escape")
    switch = page.locator('[data-testid="stCheckbox"] label').filter(has_text=re.compile("^talk")).last
    expect(switch).to_be_visible(timeout=10_000)
    switch.click()
    settle(page)
    expect(page.get_by_text(re.compile("differ in nothing"))).to_have_count(0)
    type_number(page, "Runs of each arm", N_GROUPS)
    go_on(page, "Runs")
    page.locator(".st-key-next_run button").click()
    expect(page.get_by_text(re.compile(f"of {2 * N_GROUPS} runs are done")).first).to_be_visible(timeout=20_000)
    experiment = wait_for_experiment(studio, 2 * N_GROUPS)
    months = survival_months(experiment)
    expect(page.get_by_text(f"{2 * N_GROUPS} of {2 * N_GROUPS} runs are done").first).to_be_visible(timeout=20_000)
    difference = float((months[1] - months[0]).mean())
    shown = page.get_by_test_id("stMetric").filter(has_text="Difference").first
    expect(shown).to_contain_text(f"{difference:.4g}")
    check_outcomes(page, experiment, months)
    check_curves(page, experiment)
    words = download_report(page, experiment)
    assert stands_in(float(months[0].mean()), words), "mean survival of the first arm stands in the report"


def survival_months(experiment):
    """Return the months that each group's lake lived, shape (2 arms, n groups)."""
    return np.array(
        [
            [
                read_measures(folder).filter(pl.col("measure") == "survival_months").sort("step")["value"][-1]
                for folder in experiment.folders_of(arm)
            ]
            for arm in experiment.arms
        ]
    )


def download(page, selector):
    """Return the CSV behind a button as a frame."""
    expect(page.locator(selector)).to_have_count(1)
    with page.expect_download() as waiting:
        page.locator(selector).click()
    return pl.read_csv(io.BytesIO(waiting.value.path().read_bytes()))


def check_outcomes(page, experiment, months):
    """One row per group of fishermen, with its arm and its outcome."""
    page.get_by_role("button", name=re.compile("Every run")).click()
    table = download(page, ".st-key-csv_outcomes button")
    assert table.height == 2 * N_GROUPS
    for arm, expected in zip(experiment.arms, months, strict=True):
        own = table.filter(pl.col("arm") == arm).sort("replicate")
        assert own["value"].to_list() == expected.tolist()
    page.keyboard.press("Escape")


def check_curves(page, experiment):
    """The survival shown by step is the mean over the groups."""
    page.get_by_text("Groups by step").click()
    settle(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    curve = download(page, ".st-key-csv_group_curves button")
    first = experiment.arms[0]
    frames = [
        read_measures(folder).filter(pl.col("measure") == "survival_months") for folder in experiment.folders_of(first)
    ]
    early = [frame.filter(pl.col("step") == 1)["value"][0] for frame in frames]
    shown = curve.filter((pl.col("group") == first) & (pl.col("step") == 1))["mean"][0]
    assert shown == pytest.approx(np.mean(early), abs=1e-9)
