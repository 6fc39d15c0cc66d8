"""A server of its own on a free port and a Chromium that may speak to nobody else."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Studio:
    """One studio server in a process of its own; runs outlive it."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.token = "token-of-the-browser-tests"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = workspace.parent / "server.log"

    def start(self) -> None:
        code = "import sys; from pathlib import Path; from app.server import serve; "
        code += "serve(Path(sys.argv[1]), port=int(sys.argv[2]), browser=False, token=sys.argv[3])"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, str(self.workspace), str(self.port), self.token],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.workspace.parent,
            )
        self.wait()

    def wait(self) -> None:
        for _ in range(240):
            if self.process.poll() is not None:
                break
            with (
                suppress(OSError),
                closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)) as connection,
            ):
                connection.request("GET", f"/_stcore/health?token={self.token}")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.25)
        raise AssertionError(f"the studio did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    held = Studio(tmp_path_factory.mktemp("studio") / "workspace")
    held.start()
    yield held
    held.stop()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium here: install the package chromium, or set CHROMIUM to its path")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # a busy machine answers late; what never comes still fails
    with sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")),
            executable_path=found,
            headless=True,
            args=ARGUMENTS,
            viewport={"width": 1280, "height": 800},
            accept_downloads=True,
        )
        context.set_default_timeout(60_000)
        yield context
        context.close()


@pytest.fixture
def tabs(browser, studio):
    """Open tabs; the test fails where one asks another server, breaks the content policy, or has a script error."""
    opened, wrong = [], []

    def console(message):
        if message.type == "error" and "Content Security Policy" in message.text:
            wrong.append(message.text)

    def request(asked):
        own = (studio.url, studio.url.replace("http", "ws"), "data:", "blob:", "about:", "chrome")
        if not asked.url.startswith(own):
            wrong.append(f"a request to {asked.url}")

    def new(path="/"):
        page = browser.new_page()
        page.on("request", request)
        page.on("websocket", request)
        page.on("pageerror", lambda error: wrong.append(f"a script error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", console)
        joined = "&" if "?" in path else "?"
        page.goto(f"{studio.url}{path}{joined}token={studio.token}")
        opened.append(page)
        return page

    yield new
    for page in opened:
        page.close()
    assert wrong == []
