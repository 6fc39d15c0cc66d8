"""An experimental economist: talk x hint, 30 groups a cell, survival curves, a seat of her own, a CSV like oTree's."""

import io
import re
import time

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import expect
from walking import download_report, go_on, pick, settle, stands_in, type_number, wait_for_experiment

from engine.analysis import event_times, survival_curve
from engine.runs import list_runs, open_workspace, read_question
from engine.store import read_decisions, read_measures

pytestmark = pytest.mark.browser
N_GROUPS = 30
CELLS = ((), ("talk",), ("hint",), ("talk", "hint"))
REQUESTS = (20, 15, 12, 11)
"""What she assumes people ask for in each cell."""


def test_talk_and_hint_in_thirty_groups_a_cell(tabs, studio):
    page = tabs()
    page.locator(".st-key-open_fishery button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    fixed_rule(page, REQUESTS[0])
    go_on(page, "Outcome")
    pick(page, "^Outcome", "survival months")
    go_on(page, "People", "Ties", "Who decides", "Interventions", "Comparison")
    make_cells(page)
    type_number(page, "Runs of each arm", N_GROUPS)
    go_on(page, "Runs")
    page.locator(".st-key-next_run button").click()
    n_runs = len(CELLS) * N_GROUPS
    experiment = wait_for_experiment(studio, n_runs, limit_s=240)
    expect(page.get_by_text(f"{n_runs} of {n_runs} runs are done").first).to_be_visible(timeout=30_000)
    months = survival_months(experiment)
    assert months.shape == (len(CELLS), N_GROUPS)
    for request, cell in zip(REQUESTS, months, strict=True):
        assert (cell == months_of(request)).all(), "the lake lives as long as its arithmetic says"
    check_outcomes(page, experiment, months)
    check_survival(page, experiment)
    words = download_report(page, experiment)
    assert stands_in(float(months[0].mean()), words), "mean survival of the first cell stands in the report"


def fixed_rule(page, request):
    """The baseline: everyone asks for the same, every month."""
    pick(page, "^rule", "fixed")
    type_number(page, "^fixed request", request)


def months_of(request):
    """Return the month in which five people who ask for the same empty the lake that doubles what they leave."""
    stock, month = 100, 0
    while True:
        month += 1
        left = stock - min(5 * request, stock)
        if left < 5:
            return month
        stock = min(100, 2 * left)


def make_cells(page):
    """Four arms: neither, talk, hint, both; each with the request that she assumes there."""
    for place, names in enumerate(CELLS):
        if not names:
            continue
        page.locator(".st-key-add_arm button").click()
        settle(page)
        expect(page.get_by_role("combobox", name=re.compile("What differs"))).to_have_count(place + 1)
        for name in names:
            pick(page, "What differs", name, place)
            page.keyboard.press("Escape")
            settle(page)
            switch = page.locator('[data-testid="stCheckbox"] label').filter(has_text=re.compile(f"^{name}")).last
            switch.click()
            settle(page)
        pick(page, "What differs", "fixed request", place)
        page.keyboard.press("Escape")
        settle(page)
        type_number(page, "^fixed request", REQUESTS[place], place - 1)
    expect(page.get_by_text(re.compile("differ in nothing"))).to_have_count(0)


def survival_months(experiment):
    """Return the months that each group's lake lived, shape (4 cells, n groups)."""
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
    settle(page)
    with page.expect_download() as waiting:
        page.locator(selector).first.click()
    return pl.read_csv(io.BytesIO(waiting.value.path().read_bytes()))


def check_outcomes(page, experiment, months):
    """One row per group with its outcome, and one row per participant and round as oTree writes them."""
    page.get_by_role("button", name=re.compile("Every run")).click()
    table = download(page, ".st-key-csv_outcomes button")
    assert table.height == months.size
    for arm, expected in zip(experiment.arms, months, strict=True):
        own = table.filter(pl.col("arm") == arm).sort("replicate")
        assert own["value"].to_list() == expected.tolist()
    rows = download(page, ".st-key-csv_otree button")
    assert rows.height == 5 * int(months.sum())
    assert {"participant.code", "session.code", "group.id_in_subsession", "player.id_in_group"} <= set(rows.columns)
    assert rows["session.code"].n_unique() == len(CELLS)
    assert rows["group.id_in_subsession"].max() == N_GROUPS
    for arm, request in zip(experiment.arms, REQUESTS, strict=True):
        own = rows.filter(pl.col("session.config.name") == arm)
        assert (own["player.harvest"] == request).all()
    first = rows.filter(pl.col("session.config.name") == experiment.arms[0])
    by_group = first.group_by("group.id_in_subsession").agg(pl.col("subsession.round_number").max())
    assert sorted(by_group["subsession.round_number"]) == sorted(months[0].astype(int))
    page.keyboard.press("Escape")


def check_survival(page, experiment):
    """The survival curves are those of Kaplan and Meier over groups."""
    page.get_by_text("Survival", exact=True).click()
    settle(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    shown = download(page, ".st-key-csv_survival button")
    for arm in experiment.arms:
        curve = survival_curve(*event_times(experiment.folders_of(arm), "collapsed"))
        own = shown.filter(pl.col("group") == arm)
        assert own["step"].to_list() == curve.steps.tolist()
        assert own["mean"].to_list() == pytest.approx(curve.share.tolist())


def test_she_plays_one_seat(tabs, studio):
    page = tabs()
    page.locator(".st-key-open_fishery button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    fixed_rule(page, 8)  # the lake outlives her two months
    go_on(page, "Outcome", "People", "Ties", "Who decides")
    pick(page, "^Who decides", "A person plays some of them")
    seats = page.get_by_role("textbox", name=re.compile("^Seats"))
    seats.fill("2")
    seats.press("Enter")
    settle(page)
    go_on(page, "Interventions", "Comparison", "Runs")
    type_number(page, "^Steps", 2)
    page.locator(".st-key-next_run button").click()
    for step, request in ((1, 30), (2, 5)):
        run = waiting_run(studio, step)
        expect(page.get_by_text("You are").first).to_be_visible(timeout=30_000)
        expect(page.get_by_text(f"month {step}").first).to_be_visible(timeout=30_000)
        field = page.get_by_role("spinbutton", name=re.compile("^Your answer"))
        field.fill(str(request))
        field.press("Enter")
    expect(page.get_by_text(re.compile("The run is over")).first).to_be_visible(timeout=30_000)
    own = read_decisions(run.folder).filter(pl.col("agent_id") == 2).sort("step")
    assert own["action"].to_list() == [30, 5]
    assert own["policy"].to_list() == ["human", "human"]


def waiting_run(studio, step, limit_s=60):
    """Return the run that waits with the question of a step."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        for info in list_runs(open_workspace(studio.workspace)):
            if info.status == "waiting" and (asked := read_question(info.folder)) and asked.step == step:
                return info
        time.sleep(0.2)
    raise AssertionError(f"no run asks anything at step {step}")
