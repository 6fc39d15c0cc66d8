"""The language group of `microcosm bench`, in its quick form, from an empty folder as from an installed package."""

from __future__ import annotations

import json
import subprocess
import sys


def test_the_quick_form_measures_ours_and_the_peer(tmp_path):
    command = [sys.executable, "-m", "app.bench", "language", "--quick", "1"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True)
    rows = {row["work"]: row for row in map(json.loads, finished.stdout.splitlines())}
    assert sum(work.startswith("create_completion") for work in rows) == 2
    assert sum(work.startswith("its own prefix match") for work in rows) == 3
    assert sum(work.startswith("ours") for work in rows) == 4
    assert all(row["value"] > 0 for work, row in rows.items() if work != "graphics card")
    assert rows["F32, among others against alone"]["value"] <= 1e-5
    assert "bit-identical: yes" in rows["F32, among others against alone"]["note"]
    assert rows["model work against that of the situations"]["value"] <= 1.01
    assert "4,032 situations for 1,000,000 agents" in rows["model work against that of the situations"]["note"]
