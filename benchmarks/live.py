"""Measure the picture of a real run in headless Chromium: `python benchmarks/live.py [--seconds 5]`.

Prints one JSON line per size: time from opening the page to the first frame, time from mounting the picture to its
first frame, and frames drawn per second while the run goes on; then one line per page with its time to answer while
a run goes on. Targets: 1,000 agents at 20 frames a second, 10,000 at 10, first frame within 4 s, pages within 1 s.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright

from engine.loading import load_study
from engine.runs import cancel_run, create_run, open_workspace, read_info, start_worker

TARGETS = {1_000: 20.0, 10_000: 10.0}
STAGE = ".stage[data-frames]"
PAGES = {
    "home": "Recent runs",
    "compose": "Compose a study",
    "explore": "Runs; the first one",
    "report": "Runs in the report",
}


def studio_module() -> Any:
    """Return the browser tests' server and Chromium flags."""
    path = Path(__file__).parents[1] / "tests" / "browser" / "conftest.py"
    spec = importlib.util.spec_from_file_location("studio_for_benchmarks", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is missing; run the benchmark from a full copy of the project")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def start_run(workspace: Path, n_agents: int) -> Path:
    """Start an epidemic that never ends: people fall ill and become well, and colours change at every step."""
    study = load_study(
        {
            "scenario": "bounded_confidence",
            "steps": 1_000_000,
            "params": {"epsilon": 0.02, "mu": 0.001},
            "population": {"size": n_agents},
            "network": {"kind": "watts_strogatz", "k": 10, "p_rewire": 0.05},
            "record": {"every": 200, "states": "none", "decisions": "none"},
        }
    )
    folder = create_run(open_workspace(workspace), study)
    start_worker([folder])
    while read_info(folder).step < 2:
        time.sleep(0.1)
    return folder


def measure(context: BrowserContext, url: str, folder: Path, n_agents: int, seconds: float) -> dict[str, Any]:
    """Return first paint and frames per second of one run's picture."""
    page = context.new_page()
    began = time.perf_counter()
    page.goto(f"{url}/live?run={folder.name}")
    page.wait_for_selector(STAGE, timeout=60_000)
    first_s = time.perf_counter() - began
    page.wait_for_timeout(1000)
    before, at = _frames(page), time.perf_counter()
    page.wait_for_timeout(1000 * seconds)
    rate = (_frames(page) - before) / (time.perf_counter() - at)
    mounted = int(page.locator(STAGE).get_attribute("data-first-paint-ms") or 0) / 1000
    page.close()
    return {
        "benchmark": "live",
        "n_agents": n_agents,
        "first_frame_s": round(first_s, 2),
        "first_frame_after_mount_s": round(mounted, 2),
        "frames_per_s": round(rate, 1),
        "target_frames_per_s": TARGETS[n_agents],
        "run_steps_per_s": round(read_info(folder).steps_per_s, 1),
    }


def _frames(page: Page) -> int:
    return int(page.locator(STAGE).get_attribute("data-frames") or 0)


def measure_pages(context: BrowserContext, url: str, folder: Path) -> list[dict[str, Any]]:
    """Return how long each page takes to answer a click in the navigation while a run goes on."""
    page = context.new_page()
    page.goto(f"{url}/live?run={folder.name}")
    page.wait_for_selector(STAGE, timeout=60_000)
    rows = []
    for name, words in PAGES.items():
        link = page.get_by_role("link", name=name.capitalize(), exact=False).first
        began = time.perf_counter()
        link.click()
        page.get_by_text(words).first.wait_for(timeout=20_000)
        rows.append({"benchmark": "page", "page": name, "answer_s": round(time.perf_counter() - began, 2)})
    page.close()
    return rows


def main() -> None:
    """Run the benchmark and print its lines."""
    parser = argparse.ArgumentParser(description="Measure the live picture in headless Chromium.")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long frames are counted")
    seconds = parser.parse_args().seconds
    browser_tests = studio_module()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        studio = browser_tests.Studio(Path(folder) / "workspace")
        studio.workspace.mkdir()
        studio.start()
        context = driver.chromium.launch_persistent_context(
            str(Path(folder) / "profile"),
            executable_path=shutil.which("chromium"),
            headless=True,
            args=browser_tests.ARGUMENTS,
            viewport={"width": 1280, "height": 800},
        )
        try:
            context.new_page().goto(f"{studio.url}/?token={studio.token}")
            for n_agents in TARGETS:
                run = start_run(studio.workspace, n_agents)
                print(json.dumps(measure(context, studio.url, run, n_agents, seconds)), flush=True)
                if n_agents == min(TARGETS):
                    for row in measure_pages(context, studio.url, run):
                        print(json.dumps(row), flush=True)
                cancel_run(run)
        finally:
            context.close()
            studio.stop()


if __name__ == "__main__":
    main()
