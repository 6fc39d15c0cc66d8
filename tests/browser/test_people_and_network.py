"""The pages People and Network by clicks: a conditional table, the fit report, an edit by hand, a file of ties."""

import re
from contextlib import suppress

import pytest
from playwright.sync_api import TimeoutError, expect
from walking import settle, shown_in

from app.drafts import Draft
from engine.network import Graph
from engine.runs import open_workspace
from engine.simulation import build_world

pytestmark = pytest.mark.browser


def graph_of(draft) -> Graph:
    """Return the ties that a run of the study as it stands in its file would have."""
    study, problems = Draft.open(draft.path).check()
    assert study is not None, problems
    return build_world(study, base=draft.path.parent).network.layer()


def open_part(page, name):
    """Choose a part of the page by its name."""
    page.get_by_role("radio", name=name, exact=True).first.click()
    settle(page)


def choose(page, key, name):
    """Choose an option of a list by its whole name; again where the page was drawn anew and took no click."""
    field = page.locator(f".st-key-{key}")
    option = page.get_by_role("option", name=name, exact=True)
    for limit_ms in (5_000, 5_000, 20_000):
        field.locator("input").first.fill(name)
        page.wait_for_timeout(200)
        with suppress(TimeoutError):
            option.click(timeout=limit_ms)
            settle(page)
            if re.search(rf"\b{re.escape(name)}\b", shown_in(field)):
                return
        page.keyboard.press("Escape")
    raise AssertionError(f"{name!r} cannot be chosen in {key}: {field.inner_text()!r}")


def type_text(page, label, text):
    """Type into a text field by its label."""
    field = page.get_by_role("textbox", name=label, exact=True)
    field.fill(text)
    field.press("Enter")
    settle(page)


def test_people_and_ties_are_shaped_by_clicks(tabs, studio, tmp_path):
    workspace = open_workspace(studio.workspace)
    draft = Draft.new(workspace.studies, "bounded_confidence")
    draft.put("population", {"recipe": "adults_generic", "size": 1500})
    draft.put("network", {"kind": "watts_strogatz", "k": 6, "p_rewire": 0.1})
    page = tabs(f"/people?study={draft.name}")
    expect(page.get_by_text(re.compile("1,500 people")).first).to_be_visible()
    open_part(page, "Shares and households")
    _give_marital(page, draft)
    open_part(page, "Fit")
    expect(page.get_by_text("Effective n").first).to_be_visible()
    expect(page.get_by_text(re.compile("which is an assumption")).first).to_be_visible()

    page.get_by_role("link", name="Network", exact=True).click()
    expect(page.get_by_text("Mean path").first).to_be_visible()
    _cut_a_tie(page, draft)
    ties = tmp_path / "friends.csv"
    ties.write_text("from,to\n0,1\n1,2\n1499,7\n", encoding="utf-8")
    open_part(page, "From a file")
    page.locator("input[type=file]").set_input_files(str(ties))
    page.locator(".st-key-use_ties button").first.click()
    settle(page)
    assert graph_of(draft).n_ties == 3


def _give_marital(page, draft):
    """Make the marital status depend on sex and age, in the grid."""
    page.get_by_text(re.compile("^A column given others")).first.click()
    settle(page)
    choose(page, "table_column", "marital")
    for parent in ("sex", "age"):
        choose(page, "table_given_marital", parent)
    page.keyboard.press("Escape")
    page.locator(".st-key-table_keep button").first.click()
    settle(page)
    held = Draft.open(draft.path).table("population.columns")["marital"]
    assert held["given"] == ["sex", "age"]
    assert set(held["table"]) >= {"female", "male"}
    assert all(abs(sum(row) - 1) < 0.01 for rows in held["table"].values() for row in rows.values())


def _cut_a_tie(page, draft):
    """Go to one person of a network that is too large to be shown whole, and cut a tie there."""
    before = graph_of(draft)
    other = int(before.neighbours(1400)[0])
    open_part(page, "Edit by hand")
    type_text(page, "Show the people around", "1400")
    expect(page.get_by_text(f"{1 + before.degree()[1400]} of 1,500 agents").first).to_be_visible()
    type_text(page, "Chosen agents", f"1400, {other}")
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.locator(".st-key-cut_chosen button").first.click()
    expect(page.get_by_text("Ties by hand (1)").first).to_be_visible()
    assert not graph_of(draft).has_tie(1400, other)
