"""The studio in Chromium: the whole path by clicks, refresh and tabs, refusals, a killed server, hostile text."""

import http.client
import re
import time
from contextlib import closing

import pytest
from playwright.sync_api import expect

from app.guard import cookie_name
from engine.loading import load_study
from engine.runs import cancel_run, create_run, list_runs, open_workspace, read_info, start_worker

pytestmark = pytest.mark.browser
HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=2'> {{ 7*7 }} **not bold** :red[plain]"
STAGE = ".stage[data-frames]"


def run_to_end(studio, overrides, limit_s=60):
    """Start a run without the studio and wait for its end."""
    folder = create_run(open_workspace(studio.workspace), load_study(overrides))
    start_worker([folder])
    end = time.monotonic() + limit_s
    while read_info(folder).status not in ("done", "failed") and time.monotonic() < end:
        time.sleep(0.1)
    assert read_info(folder).status == "done", read_info(folder)
    return folder


def long_run(studio):
    """Start a run that goes on for minutes: nobody recovers, nobody infects."""
    study = {
        "scenario": "sir",
        "title": "a long run",
        "steps": 1_000_000,
        "params": {"gamma": 0.0, "p_transmit": 0.0},
        "population": {"size": 2000},
    }
    folder = create_run(open_workspace(studio.workspace), load_study(study))
    start_worker([folder])
    end = time.monotonic() + 60
    while read_info(folder).step < 5 and time.monotonic() < end:
        time.sleep(0.1)
    return folder


def frames(page):
    return int(page.locator(STAGE).get_attribute("data-frames"))


def test_from_home_by_clicks_to_a_report(tabs, tmp_path):
    page = tabs()
    page.locator(".st-key-open_sir button").click()
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
    page.locator(".st-key-run_study button").click()
    page.wait_for_selector(STAGE)
    first = page.locator(STAGE).get_attribute("data-step")
    expect(page.get_by_text("done", exact=True).first).to_be_visible(timeout=60_000)
    page.reload()
    page.wait_for_selector(STAGE)
    before = frames(page)
    page.wait_for_timeout(1500)
    assert frames(page) > before + 4, "the picture moves"
    assert page.locator(STAGE).get_attribute("data-step") != first
    page.get_by_role("link", name=re.compile("Next: Explore")).first.click()
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    page.get_by_role("link", name=re.compile("Next: Report")).click()
    page.locator(".st-key-build_report button").click()
    expect(page.locator("iframe").first).to_be_visible()
    with page.expect_download() as waiting:
        page.locator(".st-key-download_report button").click()
    text = (tmp_path / "report.html").write_bytes(waiting.value.path().read_bytes())
    assert text > 10_000
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")[:200]


def test_refresh_and_two_tabs_show_the_same_run(tabs, studio):
    folder = run_to_end(studio, {"scenario": "sir", "population": {"size": 300}, "steps": 60})
    first = tabs(f"/live?run={folder.name}")
    first.wait_for_selector(STAGE)
    second = tabs(f"/live?run={folder.name}")
    second.wait_for_selector(STAGE)
    first.reload()
    first.wait_for_selector(STAGE)
    for page in (first, second):
        assert f"run={folder.name}" in page.url
        assert "token" not in page.url
        expect(page.get_by_text(re.compile("of 60|of [0-9]+")).first).to_be_visible()


def test_a_click_on_an_agent_tells_about_it(tabs, studio):
    folder = run_to_end(studio, {"scenario": "sir", "population": {"size": 40}, "steps": 20})
    page = tabs(f"/live?run={folder.name}")
    page.wait_for_selector(STAGE)
    box = page.locator(STAGE).bounding_box()
    for x in range(8, 114, 3):  # somewhere on this line there is an agent
        page.mouse.click(box["x"] + box["width"] * x / 120, box["y"] + box["height"] / 2)
        page.wait_for_timeout(120)
        if "agent=" in page.url:
            break
    expect(page.get_by_text(re.compile("neighbours")).first).to_be_visible()


def handshake(studio, run_id, headers, query=""):
    """Return the status of a WebSocket handshake."""
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with closing(http.client.HTTPConnection("127.0.0.1", studio.port, timeout=10)) as connection:
        connection.request("GET", f"/microcosm/live/{run_id}{query}", headers={**upgrade, **headers})
        return connection.getresponse().status


def test_sockets_need_token_and_origin(studio):
    folder = run_to_end(studio, {"scenario": "sir", "population": {"size": 30}, "steps": 5})
    cookie = {"Cookie": f"{cookie_name(studio.port)}={studio.token}"}
    own = {"Origin": studio.url}
    assert handshake(studio, folder.name, {**own, **cookie}) == 101
    assert handshake(studio, folder.name, own, f"?token={studio.token}") == 101
    assert handshake(studio, folder.name, own) == 403
    assert handshake(studio, folder.name, own, "?token=guess") == 403
    assert handshake(studio, folder.name, {**cookie, "Origin": "http://evil.example"}) == 403
    assert handshake(studio, folder.name, {**cookie, "Origin": f"http://127.0.0.1:{studio.port + 1}"}) == 403
    assert handshake(studio, folder.name, cookie) == 403
    assert handshake(studio, folder.name, {**own, **cookie, "Host": "evil.example"}) == 403
    assert handshake(studio, "..%2F..", {**own, **cookie}) != 101


def test_a_run_survives_the_server_and_is_found_again(tabs, studio):
    folder = long_run(studio)
    try:
        page = tabs(f"/live?run={folder.name}")
        page.wait_for_selector(STAGE)
        studio.kill()
        step = read_info(folder).step
        time.sleep(1.0)
        assert read_info(folder).status == "running"
        assert read_info(folder).step > step, "the run goes on without the studio"
        studio.start()
        fresh = tabs("/")
        expect(fresh.get_by_role("heading", name="Recent runs")).to_be_visible(timeout=20000)
        assert folder.name in [info.run_id for info in list_runs(open_workspace(studio.workspace))]
        fresh.goto(f"{studio.url}/live?run={folder.name}")
        fresh.wait_for_selector(STAGE)
        before = frames(fresh)
        fresh.wait_for_timeout(1500)
        assert frames(fresh) > before
        expect(fresh.get_by_text("running", exact=True).first).to_be_visible()
        fresh.get_by_role("button", name="Pause").first.click()
        expect(fresh.get_by_text("paused", exact=True).first).to_be_visible()
    finally:
        cancel_run(folder)


def test_hostile_text_is_shown_literally(tabs, studio):
    study = {
        "scenario": "sir",
        "title": HOSTILE,
        "question": HOSTILE,
        "steps": 5,
        "population": {"columns": {"name": [HOSTILE, "Ada", "Ben", "Cleo", "Dan"]}, "size": 5},
        "network": {"kind": "complete"},
        "params": {"initial_infected": 1},
    }
    folder = run_to_end(studio, study)
    page = tabs(f"/live?run={folder.name}&agent=0&side=Agent")
    page.wait_for_selector(STAGE)
    page.get_by_text("Agent", exact=True).first.click()
    expect(page.get_by_text("<script>window.hacked=1</script>").first).to_be_visible()
    expect(page.get_by_text("{{ 7*7 }}").first).to_be_visible()
    for path in ("/", f"/explore?run={folder.name}", f"/report?run={folder.name}"):
        page.goto(studio.url + path)
        page.wait_for_timeout(1200)
        assert page.evaluate("window.hacked") is None
    page.locator(".st-key-build_report button").click()
    expect(page.locator("iframe").first).to_be_visible()
    page.wait_for_timeout(800)
    for frame in page.frames:
        assert frame.evaluate("window.hacked") is None


def test_templates_can_be_reached_by_keyboard(tabs):
    page = tabs()
    expect(page.locator(".st-key-play_sir button")).to_be_visible()
    for _ in range(60):
        page.keyboard.press("Tab")
        inside = "document.activeElement.closest('[class*=st-key-open_]') !== null"
        if page.evaluate(inside):
            break
    assert page.evaluate(inside)
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("Saved as")).first).to_be_visible()
