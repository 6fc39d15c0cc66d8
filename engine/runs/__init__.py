"""Run studies: workspace, worker, live frames, and everything one can ask of a run."""

from engine.runs.control import cancel_run, inject, pause_run, queue_run, resume_run
from engine.runs.creation import create_run, create_runs
from engine.runs.estimate import Estimate, estimate_study
from engine.runs.experiments import (
    ExperimentRecord,
    experiment_id_of,
    list_experiments,
    read_experiment_record,
    write_experiment,
)
from engine.runs.export import export_run
from engine.runs.fork import fork_run
from engine.runs.inputs import inputs_of
from engine.runs.launch import run_study, share_runs, start_worker
from engine.runs.otree import read_otree, write_otree
from engine.runs.recomputing import recompute_decisions
from engine.runs.records import (
    RunInfo,
    RunResult,
    find_run,
    list_runs,
    read_info,
    read_result,
    read_study,
)
from engine.runs.replay import ReplayResult, replay_run
from engine.runs.seats import answer_run, read_question
from engine.runs.workspace import Workspace, open_workspace

__all__ = [
    "Estimate",
    "ExperimentRecord",
    "ReplayResult",
    "RunInfo",
    "RunResult",
    "Workspace",
    "answer_run",
    "cancel_run",
    "create_run",
    "create_runs",
    "estimate_study",
    "experiment_id_of",
    "export_run",
    "find_run",
    "fork_run",
    "inject",
    "inputs_of",
    "list_experiments",
    "list_runs",
    "open_workspace",
    "pause_run",
    "queue_run",
    "read_experiment_record",
    "read_info",
    "read_otree",
    "read_question",
    "read_result",
    "read_study",
    "recompute_decisions",
    "replay_run",
    "resume_run",
    "run_study",
    "share_runs",
    "start_worker",
    "write_experiment",
    "write_otree",
]
