"""Figures: one SVG element, unique ids, no outside reference, the same bytes each time."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from engine.reports.figures import MAX_POINTS, Line, draw_bars, draw_distributions, draw_lines, thin_out

STEPS = np.arange(30)
WAVE = np.sin(STEPS / 5.0)


def draw(name="f0", label="a study"):
    lines = [Line(label, STEPS, WAVE, WAVE - 0.1, WAVE + 0.1, (WAVE + 0.05,)), Line("other", STEPS, -WAVE)]
    return draw_lines(name, lines, x_label="step", y_label="opinion", low=-1, high=1, marks=(3, 7))


def test_an_svg_stands_alone():
    svg = draw()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    assert "metadata" not in svg
    ids = re.findall(r'\bid="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("f0-") for name in ids)
    used = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)
    assert used
    assert {name for pair in used for name in pair if name} <= set(ids)
    assert not re.findall(r'(?:src|href)="(?!#)', svg)


def test_equal_numbers_give_equal_bytes():
    assert draw() == draw()
    assert draw() != draw(name="f1")


def test_text_in_a_figure_is_escaped_and_not_typeset():
    svg = draw(label="<script>alert(1)</script> $x_1$ {{ 7 * 7 }}")
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg
    assert "$x_1$" in svg
    ElementTree.fromstring(svg)


@pytest.mark.parametrize(
    "values", [np.zeros(5), np.full(5, np.nan), np.array([1e9, 2e9, 3e9, 2e9, 1e9]), np.ones(5) * 1e-12]
)
def test_odd_values_are_drawn(values):
    svg = draw_lines("f", [Line("x", np.arange(5), values)], x_label="step", y_label="y")
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_single_step_is_drawn():
    svg = draw_lines("f", [Line("x", np.array([0]), np.array([1.0]))], x_label="step", y_label="y")
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_long_runs_are_thinned():
    rows = thin_out(100_000)
    assert rows.size <= MAX_POINTS
    assert (rows[0], rows[-1]) == (0, 99_999)
    assert thin_out(3).tolist() == [0, 1, 2]
    long = np.arange(100_000)
    assert len(draw_lines("f", [Line("x", long, np.sin(long / 9.0))], x_label="step", y_label="y")) < 60_000


def test_distributions_and_bars():
    groups = [("step 0", np.array([0.9, 0.1])), ("step 9", np.array([0.2, 0.8]))]
    for as_bars in (True, False):
        drawn = draw_distributions("s", groups, ["susceptible", "<b>"], x_label="state", as_bars=as_bars)
        assert ElementTree.fromstring(drawn).tag.endswith("svg")
    bars = draw_bars("p", ["move", "ignore & <i>stay</i>"], np.array([0.25, 0.75]))
    assert ElementTree.fromstring(bars).tag.endswith("svg")
    assert "<i>" not in bars
