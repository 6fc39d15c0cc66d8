"""A public-health modeller: vaccinate the best connected in one arm, compare attack rates, check the report."""

import re
import time

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import expect

from engine.experiment import queue_status, read_experiment
from engine.runs import list_experiments, open_workspace
from engine.store import read_measures

pytestmark = pytest.mark.browser
N_PEOPLE = 800
N_PAIRS = 8
SENTENCE = "More runs shrink any p-value: report the effect and its Monte Carlo error."


def settle(page):
    """Wait until the page answers no more."""
    page.wait_for_timeout(150)
    page.wait_for_function("!document.querySelector('[data-test-script-state=\"running\"]')")


def pick(page, label, option, place=0):
    """Choose an option of a select box by its label."""
    page.get_by_role("combobox", name=re.compile(label)).nth(place).click()
    found = page.get_by_role("option", name=re.compile(f"^{re.escape(option)}")).first
    page.wait_for_timeout(100)
    if not found.is_visible():  # a long list draws only a part of itself; typing filters it
        page.keyboard.type(option)
    found.click(timeout=8000)
    settle(page)


def type_number(page, label, value, place=0):
    """Type into a number field by its label."""
    field = page.get_by_role("spinbutton", name=re.compile(label)).nth(place)
    field.fill(str(value))
    field.press("Enter")
    settle(page)


def go_on(page, title):
    """Press the one visible Next and wait for the part that it leads to."""
    button = page.locator(".st-key-next_part button")
    expect(button).to_contain_text(f"Next: {title}")
    button.click()
    settle(page)


def test_vaccinating_the_best_connected(tabs, studio):
    page = tabs()
    page.locator(".st-key-open_sir button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    go_on(page, "Outcome")
    pick(page, "^Outcome", "recovered share")
    go_on(page, "People")
    type_number(page, "^Size|^People", N_PEOPLE)
    go_on(page, "Ties")
    pick(page, "Kind of network", "Hubs by preferential")
    go_on(page, "Who decides")
    go_on(page, "Interventions")
    go_on(page, "Comparison")
    vaccinate_in_one_arm(page)
    type_number(page, "Runs of each arm", N_PAIRS)
    go_on(page, "Runs")
    page.locator(".st-key-next_run button").click()
    experiment = wait_for_runs(studio)
    difference, error = attack_rates(experiment)
    expect(page.get_by_text(SENTENCE).first).to_be_visible(timeout=30_000)
    shown = page.get_by_test_id("stMetric")
    expect(shown.filter(has_text="Difference").first).to_contain_text(f"{difference:.4g}")
    expect(shown.filter(has_text="Monte Carlo error").first).to_contain_text(f"{error:.4g}")
    expect(page.get_by_text(re.compile("equal up to day|different from the start")).first).to_be_visible()
    page.get_by_role("link", name=re.compile("Next: Report")).click()
    expect(page.get_by_text(re.compile(f"All {2 * N_PAIRS} runs")).first).to_be_visible()
    page.locator(".st-key-build_report button").click()
    with page.expect_download() as waiting:
        page.locator(".st-key-download_report button").click()
    text = waiting.value.path().read_text(encoding="utf-8")
    for folder in experiment.folders.values():
        assert folder.name[:8] in text, "all runs are listed"
    words = re.sub(r"<[^>]+>", " ", text).replace("\u2212", "-")
    assert any(form in words for form in (f"{difference:.4g}", f"{difference:.3g}")), "the difference stands in it"


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


def wait_for_runs(studio, limit_s=40):
    """Return the newest experiment once all of its runs are done."""
    workspace = open_workspace(studio.workspace)
    end = time.monotonic() + limit_s
    while not (found := list_experiments(workspace)) and time.monotonic() < end:
        time.sleep(0.1)
    while (status := queue_status(workspace, found[0])).n_done < 2 * N_PAIRS and time.monotonic() < end:
        time.sleep(0.2)
    assert status.n_done == 2 * N_PAIRS, status
    return read_experiment(workspace, found[0])


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
