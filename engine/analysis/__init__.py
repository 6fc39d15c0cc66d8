"""Runs side by side: tables of runs, measures stacked over runs, and bands over runs."""

from engine.analysis.bands import Band, bootstrap_band
from engine.analysis.tables import MeasureStack, read_run_table, stack_measures

__all__ = ["Band", "MeasureStack", "bootstrap_band", "read_run_table", "stack_measures"]
