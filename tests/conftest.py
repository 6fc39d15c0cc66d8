"""What every test gets: a workspace of its own, and no worker left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the person's workspace, and wait for workers that are about to end."""
    before = os.environ.get("MICROCOSM_WORKSPACE")
    os.environ["MICROCOSM_WORKSPACE"] = str(tmp_path_factory.mktemp("workspace"))
    yield
    if before is None:
        del os.environ["MICROCOSM_WORKSPACE"]
    else:
        os.environ["MICROCOSM_WORKSPACE"] = before
    from engine.runs import launch

    for process in launch._started:
        process.wait(timeout=60)
