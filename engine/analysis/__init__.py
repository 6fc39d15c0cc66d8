"""Runs side by side: tables of runs, measures stacked over runs, bands over runs, and contrasts between arms."""

from engine.analysis.bands import Band, bootstrap_band
from engine.analysis.contrast import (
    Contrast,
    Equivalence,
    adjust_p_values,
    bootstrap_interval,
    contrast_table,
    equivalence_test,
    paired_contrast,
    runs_needed,
)
from engine.analysis.divergence import DifferenceBand, difference_band, first_divergence
from engine.analysis.forecasting import ForecastError, Series, forecast_error, read_series
from engine.analysis.observed import Observed, mapped_states, observe, read_observed, write_observed
from engine.analysis.outcomes import REDUCTIONS, Pairs, outcome_table, pair_outcomes
from engine.analysis.survival import Survival, event_times, logrank_test, survival_curve
from engine.analysis.tables import MeasureStack, read_run_table, stack_measure, stack_measures

__all__ = [
    "REDUCTIONS",
    "Band",
    "Contrast",
    "DifferenceBand",
    "Equivalence",
    "ForecastError",
    "MeasureStack",
    "Observed",
    "Pairs",
    "Series",
    "Survival",
    "adjust_p_values",
    "bootstrap_band",
    "bootstrap_interval",
    "contrast_table",
    "difference_band",
    "equivalence_test",
    "event_times",
    "first_divergence",
    "forecast_error",
    "logrank_test",
    "mapped_states",
    "observe",
    "outcome_table",
    "pair_outcomes",
    "paired_contrast",
    "read_observed",
    "read_run_table",
    "read_series",
    "runs_needed",
    "stack_measure",
    "stack_measures",
    "survival_curve",
    "write_observed",
]
