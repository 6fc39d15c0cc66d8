"""Reports of experiments: arms, paired contrasts under common random numbers, and what is said about them."""

import re

import numpy as np
import pytest
from report_words import section, words_of

from engine import load_study
from engine.analysis import paired_contrast
from engine.reports.comparisons import compare_parts, merge_equal, show_signed, tabulate_arms, tabulate_contrasts
from engine.reports.contents import Figures
from engine.reports.reading import gather_studies
from engine.reports.sections import build_document
from engine.reports.validity import MONTE_CARLO
from engine.runs import create_run, create_runs, open_workspace
from engine.runs.execution import Worker, execute_run
from engine.store import read_measures

ARMS = {
    "title": "Ties",
    "scenario": "bounded_confidence",
    "seed": 3,
    "steps": 8,
    "replicates": 4,
    "population": {"size": 40},
    "network": {"kind": "watts_strogatz", "k": 4, "p_rewire": 0.1},
    "arms": [
        {"name": "as it is"},
        {"name": "shuffled", "set": {"network.shuffle": True}},
        {"name": "narrow", "set": {"params.epsilon": 0.05}},
    ],
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return open_workspace(tmp_path_factory.mktemp("arms"))


@pytest.fixture(scope="module")
def runs(workspace):
    folders = create_runs(workspace, load_study(ARMS))
    for folder in folders:
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    return folders


@pytest.fixture(scope="module")
def parts(runs):
    # Asked for in reverse: the order of the study counts, not that of the question.
    return gather_studies(runs[::-1])


@pytest.fixture(scope="module")
def document(runs):
    return build_document(runs)


def last_values(folders, measure):
    frames = [read_measures(folder).filter(measure=measure, segment="", step=8) for folder in folders]
    return np.array([frame["value"][0] for frame in frames])


def test_arms_stand_in_the_order_of_the_study(parts):
    assert [part.label for part in parts] == ["as it is", "shuffled", "narrow"]
    assert [part.counted_runs for part in parts] == [4, 4, 4]
    assert {part.seeds for part in parts} == {"3 to 6"}


def test_a_contrast_is_that_of_the_last_values(parts, runs):
    found = {(row["study"], row["measure"]): row for row in tabulate_contrasts(compare_parts(parts))}
    row = found["narrow minus as it is", "polarization"]
    first, other = last_values(runs[0::3], "polarization"), last_values(runs[2::3], "polarization")
    expected = paired_contrast(first, other)
    assert row["n_pairs"] == 4
    assert row["difference"] == show_signed(np.mean(other - first))
    assert float(row["error"]) == pytest.approx(np.std(other - first, ddof=1) / 2, rel=1e-3)
    reduction = (np.var(first, ddof=1) + np.var(other, ddof=1)) / np.var(other - first, ddof=1)
    assert float(row["reduction"]) == pytest.approx(reduction, rel=1e-3)
    effect = np.mean(other - first) / np.sqrt((np.var(first, ddof=1) + np.var(other, ddof=1)) / 2)
    assert float(row["effect"].replace("−", "-")) == pytest.approx(effect, rel=1e-3)
    assert row["needed"] == f"{expected.runs_needed(abs(expected.difference) / 2):,}"
    assert {study for study, _ in found} == {"shuffled minus as it is", "narrow minus as it is"}


def test_differences_by_rounding_are_none(parts):
    rows = {(row["study"], row["measure"]): row for row in tabulate_contrasts(compare_parts(parts))}
    row = rows["shuffled minus as it is", "mean_opinion"]
    assert (row["difference"], row["band"], row["reduction"], row["needed"]) == ("0", "0 to 0", "∞", "–")


def test_the_table_of_arms_holds_each_arm_once_per_outcome(parts, runs):
    rows = [row for row in tabulate_arms(parts) if row["measure"] == "polarization"]
    assert [row["study"] for row in rows] == ["as it is", "shuffled", "narrow"]
    for position, row in enumerate(rows):
        assert float(row["mean"]) == pytest.approx(last_values(runs[position::3], "polarization").mean(), rel=1e-3)
        assert row["n_runs"] == 4


def test_the_fixed_sentence_and_a_figure_stand_beside_the_contrast(document):
    results = section(document, "results").blocks
    assert MONTE_CARLO in words_of(results)
    assert MONTE_CARLO == "More runs shrink any p-value: report the effect and its Monte Carlo error."
    figures = [figure for block in results if isinstance(block, Figures) for figure in block.figures]
    shown = next(figure for figure in figures if figure.title == "polarization: difference by step")
    assert "Each of the 2: 40 agents, 4 pairs of runs, seeds 3 to 6." in shown.caption
    assert "band: 95% bootstrap interval" in shown.caption
    assert "narrow minus as it is" in shown.svg


def test_what_an_arm_changes_is_told_once(document):
    told = words_of(section(document, "study").blocks)
    assert "params.epsilon 0.05 0.2" in told
    assert "network.shuffle yes not set" in told
    assert any("watts_strogatz, shuffled" in line for line in told)
    methods = words_of(section(document, "methods").blocks)
    assert sum("Philox" in line for line in methods) == 1
    assert any("then shuffled" in line for line in methods)


def test_the_study_file_has_all_arms(document):
    codes = [block.text for block in section(document, "rerun").blocks if block.kind == "code"]
    assert sum("[[arms]]" in text for text in codes) == 1


def test_runs_of_arms_that_were_not_asked_for_are_listed(runs):
    blocks = section(build_document(runs[:2]), "runs").blocks
    lines = words_of(blocks)
    for folder in runs:
        assert any(folder.name in line for line in lines)
    assert sum("not asked for in this report" in line for line in lines) == 10


def test_a_failed_run_is_listed_with_its_reason(workspace):
    folder = create_run(workspace, load_study({"scenario": "persuasion", "population": {"size": 50}, "steps": 1}))
    with Worker(live=False) as worker:
        execute_run(folder, worker)
    good = create_run(workspace, load_study({"scenario": "sir", "population": {"size": 50}, "steps": 2}))
    with Worker(live=False) as worker:
        execute_run(good, worker)
    lines = words_of(section(build_document([good, folder]), "runs").blocks)
    assert any(folder.name in line and "failed" in line and "raise population.size" in line for line in lines)


def test_a_run_that_was_repeated_counts_once(workspace, parts):
    again = create_run(workspace, parts[0].study)
    other = create_run(workspace, parts[0].study)
    for folder in (again, other):
        with Worker(live=False) as worker:
            execute_run(folder, worker)
    part = gather_studies([again, other])[0]
    assert part.folders == [again]
    assert next(row.why for row in part.runs if row.info.folder == other).endswith(again.name)


def test_one_pair_has_a_difference_but_no_band(runs):
    rows = tabulate_contrasts(compare_parts(gather_studies([runs[0], runs[2]])))
    assert {(row["band"], row["error"], row["needed"]) for row in rows} == {("none", "none", "–")}
    assert all(re.match(r"[+−]?\d", row["difference"]) for row in rows)


def test_equal_descriptions_are_merged():
    assert merge_equal([("a", "3 runs"), ("b", "3 runs")]) == "Each of the 2: 3 runs"
    assert merge_equal([("a", "3 runs"), ("b", "4 runs")]) == "a: 3 runs; b: 4 runs"
