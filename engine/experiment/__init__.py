"""Experiments: one study in several arms, each run many times under the same chance, in a queue that goes on alone."""

from engine.experiment.controls import CONTROLS, add_arms, null_control
from engine.experiment.fitting import SeriesFit, Trial, fit_series
from engine.experiment.plan import (
    Experiment,
    PlannedRun,
    create_experiment,
    plan_runs,
    read_experiment,
)
from engine.experiment.queue import (
    QueueStatus,
    pause_experiment,
    queue_status,
    run_experiment,
    start_experiment,
)
from engine.loading import expand_arms

__all__ = [
    "CONTROLS",
    "Experiment",
    "PlannedRun",
    "QueueStatus",
    "SeriesFit",
    "Trial",
    "add_arms",
    "create_experiment",
    "expand_arms",
    "fit_series",
    "null_control",
    "pause_experiment",
    "plan_runs",
    "queue_status",
    "read_experiment",
    "run_experiment",
    "start_experiment",
]
