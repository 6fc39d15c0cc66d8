"""One contrast on the compare page: difference, band, effect size, and what pairing and more runs are worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from app import session
from app.charts import show_chart
from app.comparing import State, curve_frame, difference_curve, nearest_pair, parting
from app.figures import plot_curves
from app.forms import safe, title_of
from app.notices import RUNS_NOTICE
from engine.analysis import Contrast, pair_outcomes, paired_contrast
from engine.contract import ScenarioInfo
from engine.errors import MicrocosmError
from engine.runs import RunInfo

SAME_VARIANCE = 1.1
"""Ratios of variances up to this, and down to its inverse, are called about the same."""
FITS = 36
"""Characters of a name that a field shows."""
ONE_PAIR = "One pair of runs gives a difference but no band: run at least 2 replicates of each arm."


def number(value: float | None) -> str:
    """Return a number with four digits, a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.4g}"


def chosen_pair(groups: Sequence[str]) -> tuple[str, str] | None:
    """Return the two groups that are contrasted, or None where there are not two."""
    if len(groups) < 2:
        return None
    a, b = session.value_of("contrast_a"), session.value_of("contrast_b")
    a = a if a in groups else groups[0]
    b = b if b in groups and b != a else next(name for name in groups if name != a)
    return a, b


def show_contrast(table: pl.DataFrame, groups: Sequence[str], scenario: ScenarioInfo) -> None:
    """Draw the contrast of two groups.

    Args:
        table: One outcome per run, from `outcomes`.
        groups: Names of the groups.
        scenario: The runs' scenario.
    """
    del scenario
    st.markdown("**What changes**")
    pair = chosen_pair(groups)
    if pair is None:
        st.caption(
            "A contrast takes two groups. Give the study two arms in the composer, fork a run with a change, "
            "or choose runs that differ in something."
        )
        return
    _choose_pair(groups, pair)
    results = st.container()
    margin, width = _ask_precision()
    with results:
        try:
            found = _contrast(table, pair, margin)
        except MicrocosmError as error:
            st.info(safe(error))
            return
        if found is None:
            st.caption("The contrast appears as soon as one replicate is done in both arms.")
            return
        _numbers(found, width)
    st.caption(safe(RUNS_NOTICE))


def _choose_pair(groups: Sequence[str], pair: tuple[str, str]) -> None:
    for key, value in zip(("contrast_a", "contrast_b"), pair, strict=True):
        session.set_value(key, value)
    left, right = st.columns(2)
    left.selectbox("Compared with", list(groups), key="contrast_a")
    right.selectbox("Arm", list(groups), key="contrast_b")
    if max(map(len, pair)) > FITS:  # more than the fields show
        st.caption(safe(f"{pair[1]}, compared with {pair[0]}"))


def _ask_precision() -> tuple[float | None, float | None]:
    """Return the margin of equivalence and the wanted half width of the band; None where they are left empty."""
    left, right = st.columns(2)
    margin = left.number_input(
        "Margin of equivalence",
        min_value=0.0,
        value=None,
        key="margin",
        format="%g",
        placeholder="none",
        help="Largest difference that counts as none, chosen before looking: tests equivalence.",
    )
    width = right.number_input(
        "Wanted half width of the band, ±",
        min_value=0.0,
        value=None,
        key="half_width",
        format="%g",
        placeholder="half of the present one",
        help="The number of runs needed follows from it. Empty: half of the present one.",
    )
    return margin, width


def _contrast(table: pl.DataFrame, pair: tuple[str, str], margin: float | None) -> Contrast | None:
    pairs = pair_outcomes(table, *pair)
    if pairs.replicates.size == 0:
        return None
    if pairs.left_out:
        st.caption(f"{pairs.left_out} replicates are left out: not done in both arms, or without a value.")
    if pairs.replicates.size == 1:
        return paired_contrast(pairs.a, pairs.b, level=None)
    return paired_contrast(pairs.a, pairs.b, margin=margin or None)


def _numbers(found: Contrast, width: float | None) -> None:
    if found.n_runs < 2:
        st.metric("Difference", number(found.difference))
        st.info(ONE_PAIR)
        return
    goal = width or (found.high - found.low) / 4
    precise = f"pairs for a band of ± {number(goal)}" if found.sd > 0 else "all pairs differ by the same"
    try:
        needed = f"{found.runs_needed(goal):,}" if goal > 0 else "–"
    except MicrocosmError as error:
        needed = "–"
        st.caption(safe(error))
    cells = {
        "Difference": (number(found.difference), f"{found.level:.0%} band {number(found.low)} to {number(found.high)}"),
        "Effect size": (number(found.effect_size), "in standard deviations over runs"),
        "Monte Carlo error": (number(found.monte_carlo_error), f"over {found.n_runs} pairs of runs"),
        "Variance reduction": (_times(found.variance_reduction), pairing_words(found.variance_reduction)),
        "Runs needed": (needed, precise),
        "p value": (p_words(found.p_value), "paired t test, two-sided"),
    }
    for row in (list(cells.items())[:3], list(cells.items())[3:]):
        for cell, (label, (value, words)) in zip(st.columns(3, gap="small"), row, strict=True):
            with cell, st.container(gap=None):
                st.metric(label, value)
                st.caption(safe(words))
    test = found.equivalence
    if test is not None:
        verdict = "equivalent" if test.equivalent else "not shown to be equivalent"
        words = (
            f"Within ± {number(test.margin)}: {verdict} (two one-sided t tests, p = {number(test.p_value)}; "
            f"interval {number(test.low)} to {number(test.high)})."
        )
        st.markdown(safe(words))


def pairing_words(ratio: float) -> str:
    """Return what a variance reduction says: how much pairing by the same chance helped, or that it did not."""
    if math.isnan(ratio):
        return "no pair tells: an arm does not vary"
    if math.isinf(ratio):
        return "all pairs differ by the same"
    if ratio > SAME_VARIANCE:
        return f"by the same chance in both arms: without pairs, {number(ratio)} times the runs"
    if ratio < 1 / SAME_VARIANCE:
        return "below 1: what chance does in one arm it undoes in the other, so unpaired runs would say more"
    return "about 1: the same chance in both arms neither helps nor harms here"


def p_words(value: float) -> str:
    """Return a p value, as a bound where it is tiny."""
    return "< 0.001" if value < 0.001 else number(value)


def _times(ratio: float) -> str:
    return "–" if math.isnan(ratio) else f"{number(ratio)} ×"


def show_difference(
    state: State, measure: str, scenario: ScenarioInfo, pairs: Mapping[int, tuple[RunInfo, RunInfo]]
) -> None:
    """Draw the difference of two groups by step, and where a pair of runs parts.

    Args:
        state: The two groups, the one that is compared with first.
        measure: The measure.
        scenario: The runs' scenario.
        pairs: Pairs of runs by replicate.
    """
    marks: list[tuple[int, str]] = []
    if pairs:
        marks = _parting(state, pairs, scenario.unit)
    try:
        curve = difference_curve(state, measure)
    except MicrocosmError as error:
        st.info(safe(error))
        return
    show_chart(
        plot_curves([curve], unit=scenario.unit, dark=session.is_dark(), zero=True, marks=marks),
        key="difference_curve",
        name=f"{measure}_difference",
        alt=f"Difference of {title_of(measure)} by {scenario.unit} with its band over pairs of runs",
        frame=curve_frame([curve]),
        behind=lambda _, step, value: nearest_pair(state, measure, step, value),
        sql="-- in both runs of a pair; the difference is taken pair by pair, then mean and bootstrap over pairs\n"
        f"select step, value from measures where measure = '{measure}' and segment = '' order by step",
    )


def _parting(state: State, pairs: Mapping[int, tuple[RunInfo, RunInfo]], unit: str) -> list[tuple[int, str]]:
    left, right = st.columns([1, 4], vertical_alignment="center")
    with left:
        chosen = st.selectbox("Pair of replicate", list(pairs), key="parting_pair")
    one, other = pairs[chosen]
    step = parting(str(one.folder), str(other.folder), state)
    with right:
        if step is None:
            st.markdown(f"The two runs of replicate {chosen} are equal in all that both have done.")
            return []
        until = f"equal up to {safe(unit)} {step - 1} and differ" if step else "different from the start,"
        rest = f"from {safe(unit)} {step} on" if step else f"{safe(unit)} 0"
        st.markdown(f"The two runs of replicate {chosen} are {until} {rest}.")
    return [(step, "first difference")]
