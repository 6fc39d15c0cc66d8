"""What all walks through the studio do: choose, type, go on, wait for the runs, take the report along."""

import re
import time
from contextlib import suppress

from playwright.sync_api import TimeoutError, expect

from engine.experiment import queue_status, read_experiment
from engine.runs import list_experiments, open_workspace


def settle(page):
    """Wait until the page answers no more, seen twice: on a busy machine an answer begins late."""
    for _ in range(2):
        page.wait_for_timeout(100)
        page.wait_for_function("!document.querySelector('[data-test-script-state=\"running\"]')")


def pick(page, label, option, place=0):
    """Choose an option of a select box by its label; again where a list that was still being drawn took no click."""
    box = page.get_by_role("combobox", name=re.compile(label)).nth(place)
    named = page.get_by_test_id("stWidgetLabel").filter(has_text=re.compile(label))  # an open list hides roles
    field = page.locator("[data-testid=stMultiSelect], [data-testid=stSelectbox]").filter(has=named).nth(place)
    found = page.get_by_role("option", name=re.compile(f"^{re.escape(option)}")).first
    for _ in range(3):
        box.click()
        with suppress(TimeoutError):
            found.wait_for(state="visible", timeout=1000)
        if not found.is_visible():  # a long list draws only a part of itself; typing filters it
            page.keyboard.type(option)
        found.click(timeout=10_000)
        settle(page)
        if option in shown_in(field):
            return
        page.keyboard.press("Escape")
    raise AssertionError(f"{option!r} cannot be chosen in {label!r}: {field.inner_text()!r}")


def shown_in(field):
    """Return what a select box shows as chosen; one of several options has its labels, another its input's text."""
    kind = "stMultiSelect"
    several = field.get_attribute("data-testid") == kind or field.get_by_test_id(kind).count() > 0
    return field.inner_text() if several else f"{field.inner_text()} {field.locator('input').first.input_value()}"


def type_number(page, label, value, place=0):
    """Type into a number field by its label."""
    field = page.get_by_role("spinbutton", name=re.compile(label)).nth(place)
    field.fill(str(value))
    field.press("Enter")
    settle(page)


def go_on(page, *titles):
    """Press the one visible Next, part after part, and wait for each that it leads to."""
    for title in titles:
        button = page.locator(".st-key-next_part button")
        expect(button).to_contain_text(f"Next: {title}")
        button.click()
        settle(page)


def wait_for_experiment(studio, n_runs, limit_s=90):
    """Return the experiment of that many runs once all of them are done."""
    workspace = open_workspace(studio.workspace)
    end, seen = time.monotonic() + limit_s, []
    while time.monotonic() < end:
        seen = [queue_status(workspace, name) for name in list_experiments(workspace)]
        for status in seen:
            if status.n_runs == n_runs == status.n_done:
                return read_experiment(workspace, status.experiment_id)
        time.sleep(0.2)
    raise AssertionError(f"no experiment of {n_runs} runs is done: {seen}")


def download_report(page, experiment):
    """Go from Compare to Report, build it, download it, and return its words; every run must stand in it."""
    page.get_by_role("link", name=re.compile("Next: Report")).click()
    expect(page.get_by_text(re.compile(f"All {len(experiment.folders)} runs")).first).to_be_visible(timeout=20_000)
    page.locator(".st-key-build_report button").click()
    with page.expect_download(timeout=60_000) as waiting:
        page.locator(".st-key-download_report button").click(timeout=60_000)
    text = waiting.value.path().read_text(encoding="utf-8")
    for folder in experiment.folders.values():
        assert folder.name[:8] in text, "all runs are listed"
    return re.sub(r"<[^>]+>", " ", text).replace("\u2212", "-")


def stands_in(number, words):
    """Tell whether a number stands in a report to three or four digits."""
    return any(form in words for form in (f"{number:.4g}", f"{number:.3g}"))
