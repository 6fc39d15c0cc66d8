"""Frames of the picture: bytes that mean what was recorded, places, and routes that stay inside the workspace."""

import time

import numpy as np
import polars as pl
import pytest

from app.channel import Channel
from app.frames import Recordings, encode, load_layout, load_meta, read_recording, spread_ring, value_range
from app.reading import read_query
from engine import store
from engine.loading import load_study
from engine.runs import create_run, open_workspace, read_info, start_worker


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workspace = open_workspace(tmp_path_factory.mktemp("frames") / "workspace")
    study = {"scenario": "sir", "steps": 25, "population": {"size": 60}, "network": {"kind": "erdos_renyi"}}
    folder = create_run(workspace, load_study(study))
    start_worker([folder])
    end = time.monotonic() + 60
    while read_info(folder).status not in ("done", "failed") and time.monotonic() < end:
        time.sleep(0.05)
    assert read_info(folder).status == "done"
    return workspace, folder


def test_a_recording_is_the_state_at_every_step(run):
    _, folder = run
    layout, column = load_layout(folder), load_meta(folder)["columns"][0]
    recording = read_recording(folder, column, layout.ids)
    assert recording.steps[0] == 0
    assert recording.steps[-1] == read_info(folder).step
    for step in (0, 3, int(recording.steps[-1])):
        states = store.read_states(folder, step, labels=False)
        expected = states.sort("agent_id")["state"].to_numpy()[layout.ids]
        assert np.array_equal(recording.codes[recording.row(step)], expected)
    assert recording.row(-5) == 0
    assert recording.row(10_000) == len(recording.steps) - 1


def test_recordings_are_read_once_per_commit(run, monkeypatch):
    _, folder = run
    layout, column = load_layout(folder), load_meta(folder)["columns"][0]
    held = Recordings()
    first = held.get(folder, column, layout.ids, 25)
    monkeypatch.setattr("app.frames.read_recording", lambda *_: pytest.fail("read twice"))
    assert held.get(folder, column, layout.ids, 25) is first


def test_layout_travels_as_header_places_ids_and_ties(run):
    _, folder = run
    layout = load_layout(folder)
    content = layout.to_bytes()
    n, m = np.frombuffer(content, "<u4", 2)
    assert (n, m) == (60, len(layout.ties))
    assert len(content) == 8 + 4 * (2 * n + n + 2 * m)
    assert np.array_equal(np.frombuffer(content, "<u4", n, 8 + 8 * int(n)), layout.ids)


def test_codes_of_categories_booleans_and_numbers():
    assert encode(pl.Series([0, 2, None], dtype=pl.Int8), None).tolist() == [0, 2, 0]
    assert encode(pl.Series([True, False]), None).tolist() == [1, 0]
    assert encode(pl.Series([0.0, 0.5, 1.0, 9.0, float("nan")]), (0.0, 1.0)).tolist() == [0, 128, 255, 255, 0]
    assert value_range(pl.Series([3.0, 7.0]), {"low": 0, "high": None}) == (0.0, 7.0)
    assert value_range(pl.Series([2.0, 2.0]), {"low": 2, "high": None}) == (2.0, 3.0)


def test_only_a_crowded_circle_becomes_a_ring():
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    ring = spread_ring(circle)
    assert np.allclose(np.arctan2(ring[:, 1], ring[:, 0]), np.arctan2(circle[:, 1], circle[:, 0]), atol=1e-5)
    assert np.hypot(*ring.T).std() > 0.05
    assert np.hypot(*ring.T).max() <= 1.0001
    assert spread_ring(circle[:100]) is not None
    assert np.array_equal(spread_ring(circle[::5]), circle[::5])
    cloud = np.random.default_rng(0).uniform(-1, 1, (500, 2)).astype(np.float32)
    assert np.array_equal(spread_ring(cloud), cloud)


def test_queries_read_a_run_without_its_measures(run):
    _, folder = run
    assert read_query(folder, "select count(*) as n from agents")["n"][0] == 60


@pytest.mark.parametrize("name", ["..", "../..", "/etc", "", "a/b", ".hidden", "nothing-here", "x" * 300])
def test_channels_open_only_runs_of_the_workspace(run, name):
    workspace, folder = run
    channel = Channel(workspace.path)
    assert channel.folder(name) is None
    assert channel.folder(folder.name) == folder
