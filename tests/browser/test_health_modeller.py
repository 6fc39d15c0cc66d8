"""A public-health modeller: a city with households of her own, vaccination by fork, attack rate, peak and its day."""

import re
import time

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import expect
from scipy.optimize import brentq
from walking import go_on, pick, settle, stands_in, type_number

from engine.analysis import outcome_table, pair_outcomes, paired_contrast
from engine.runs import list_runs, open_workspace, read_study
from engine.store import read_agents, read_edges

pytestmark = pytest.mark.browser
N_PEOPLE, N_PAIRS = 300, 50
RANDOM, HUBS = "0.1 at random", "0.1 with the most ties"


def write_city(path):
    """Write people with households of one to five and their ages; return each person's household."""
    rng = np.random.default_rng(3)
    sizes = rng.choice([1, 2, 3, 4, 5], N_PEOPLE, p=[0.3, 0.3, 0.15, 0.15, 0.1])
    household = np.repeat(np.arange(N_PEOPLE), sizes)[:N_PEOPLE]
    pl.DataFrame({"hh_id": household, "age": rng.integers(0, 95, N_PEOPLE)}).write_csv(path)
    return household


def test_vaccinating_at_random_or_the_best_connected_by_fork(tabs, studio, tmp_path):
    household = write_city(tmp_path / "city.csv")
    before = {info.run_id for info in list_runs(open_workspace(studio.workspace))}
    page = tabs()
    page.locator(".st-key-open_sir button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    go_on(page, "Outcome")
    pick(page, "^Outcome", "recovered share")
    go_on(page, "People")
    bring_city(page, tmp_path)
    go_on(page, "Ties")
    tie_city(page)
    go_on(page, "Who decides", "Interventions", "Comparison")
    type_number(page, "^Runs", N_PAIRS)
    go_on(page, "Runs")
    page.locator(".st-key-next_run button").click()
    parents = wait_for_runs(studio, N_PAIRS, before)
    check_city(parents, household)
    for whom in ("a share at random", "those with the most ties"):
        fork_all(page, whom)
    runs = wait_for_runs(studio, 3 * N_PAIRS, before)
    expect(page.get_by_text(re.compile("runs are done"))).to_have_count(0, timeout=30_000)
    groups = {words: [run.folder for run in runs if words in names_of(run)] for words in (RANDOM, HUBS)}
    pick(page, "^Compared with", f"state = recovered, {RANDOM}")
    pick(page, "^Arm$", f"state = recovered, {HUBS}")
    check_metric(page, groups, "recovered_share", "last")
    pick(page, "^Outcome", "infected_share")
    pick(page, "^Read", "largest")
    check_metric(page, groups, "infected_share", "max")
    pick(page, "^Read", "step of the largest")
    check_metric(page, groups, "infected_share", "step_of_max")
    download(page, groups)


def bring_city(page, folder):
    """Upload the city and take each of its people once, with the household that she wrote down."""
    page.get_by_text("Respondents of a survey file").click()
    settle(page)
    page.locator("input[type=file]").set_input_files(str(folder / "city.csv"))
    expect(page.get_by_text(re.compile(f"{N_PEOPLE} respondents")).first).to_be_visible(timeout=20_000)
    pick(page, "^Respondents are", "each respondent once")
    type_number(page, "^People", N_PEOPLE)
    pick(page, "^Further variables", "hh_id")
    page.keyboard.press("Escape")
    settle(page)


def tie_city(page):
    """Everyone of one household meets, and each person meets a few of the others."""
    pick(page, "^Kind of network", "Workplaces, classes")
    for label, value in (("^by", "hh_id"), ("^sizes", "")):
        field = page.get_by_role("textbox", name=re.compile(label)).first
        field.fill(value)
        field.press("Enter")
        settle(page)
    page.locator(".st-key-add_layer button").click()
    settle(page)
    pick(page, "^Kind of network", "Random ties", 1)
    type_number(page, "^mean degree", 5)


def fork_all(page, whom):
    """Fork every run at its start and vaccinate a tenth of the susceptible."""
    page.get_by_role("button", name=re.compile("Fork every run")).click()
    page.get_by_text("Some people").last.click()
    settle(page)
    pick(page, "^What they get", "state")
    pick(page, "^Value", "recovered")
    pick(page, "^Whom", whom)
    where = page.get_by_role("textbox", name=re.compile("^Only where"))
    where.fill("state == 'susceptible'")
    where.press("Enter")
    settle(page)
    page.locator(".st-key-fork_all button").click()
    settle(page)


def wait_for_runs(studio, n_runs, before, limit_s=240):
    """Return the done runs of this study, those there before left out, once there are that many."""
    workspace = open_workspace(studio.workspace)
    end, done = time.monotonic() + limit_s, []
    while time.monotonic() < end:
        done = [info for info in list_runs(workspace) if info.run_id not in before and info.status == "done"]
        if len(done) == n_runs:
            return done
        time.sleep(0.3)
    raise AssertionError(f"{len(done)} of {n_runs} runs are done")


def names_of(run):
    return " ".join(spec.name for spec in read_study(run.folder).interventions)


def check_city(runs, household):
    """Households of the run are cliques of the file's households."""
    ties = read_edges(runs[0].folder)
    assert set(ties["layer"]) == {"ties", "layer 2"}
    own = ties.filter(pl.col("layer") == "ties")
    sizes = np.bincount(household)
    assert own.height == (sizes * (sizes - 1) // 2).sum()
    assert (household[own["source"].to_numpy()] == household[own["target"].to_numpy()]).all()
    assert read_agents(runs[0].folder).height == N_PEOPLE


def check_metric(page, groups, measure, at):
    """The page's paired difference is that of numpy over the stored measures."""
    pairs = pair_outcomes(outcome_table(groups, measure, at), RANDOM, HUBS)
    contrast = paired_contrast(pairs.a, pairs.b)
    assert contrast.n_runs == N_PAIRS
    assert contrast.difference == pytest.approx(float(np.mean(pairs.b - pairs.a)), abs=1e-12)
    shown = page.get_by_test_id("stMetric")
    expect(shown.filter(has_text="Difference").first).to_contain_text(f"{contrast.difference:.4g}", timeout=20_000)
    expect(shown.filter(has_text="Variance reduction").first).to_be_visible()


def download(page, groups):
    """The report holds both kinds of fork and their mean attack rates."""
    page.get_by_role("link", name=re.compile("Next: Report")).click()
    page.locator(".st-key-build_report button").click()
    with page.expect_download(timeout=60_000) as waiting:
        page.locator(".st-key-download_report button").click(timeout=60_000)
    words = re.sub(r"<[^>]+>", " ", waiting.value.path().read_text(encoding="utf-8"))
    assert RANDOM in words and HUBS in words
    for folders in groups.values():
        mean = outcome_table(folders, "recovered_share")["value"].mean()
        assert stands_in(mean, words), "the mean attack rate of each group stands in the report"


def test_the_textbook_run_ends_at_the_final_size(tabs, studio):
    """First check: well mixed, R0 = beta / gamma, the recovered share at the end is near the root of Kermack."""
    page = tabs()
    page.locator(".st-key-preset_sir button").first.click()
    page.get_by_text("sir_textbook").first.click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    go_on(page, "Outcome", "People", "Ties", "Who decides", "Interventions", "Comparison")
    type_number(page, "^Runs", 1)
    page.locator(".st-key-run_study button").click()
    run = wait_for_textbook(studio)
    expect(page.get_by_text("done", exact=True).first).to_be_visible(timeout=60_000)
    study = read_study(run.folder)
    r0 = study.params["beta"] / study.params["gamma"]
    expected = brentq(lambda z: 1 - z - np.exp(-r0 * z), 1e-6, 1)
    found = outcome_table([run.folder], "recovered_share")["value"][0]
    assert found == pytest.approx(expected, abs=0.1)


def wait_for_textbook(studio, limit_s=120):
    """Return the well-mixed run once it is done; the city's runs of the other walk have another size."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        for info in list_runs(open_workspace(studio.workspace)):
            if info.status == "done" and info.n_agents != N_PEOPLE and "beta" in read_study(info.folder).params:
                return info
        time.sleep(0.3)
    raise AssertionError("the textbook run is not done")
