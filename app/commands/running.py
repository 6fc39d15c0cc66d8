"""`microcosm run` and the verbs that act on one run: resume, pause, cancel, replay, inject, fork."""

from __future__ import annotations

import dataclasses
import time
import tomllib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.commands.studies import folder_of_study, load_chosen
from app.progress import ProgressLines
from app.terminal import as_duration, complain, say, say_fields, say_json
from engine.errors import Problem, RunError, StudyError
from engine.experiment import create_experiment, expand_arms, start_experiment
from engine.llm import allow_server, check_model
from engine.loading import dump_study, load_study
from engine.runs import (
    RunInfo,
    Workspace,
    cancel_run,
    create_runs,
    find_run,
    fork_run,
    inputs_of,
    open_workspace,
    pause_run,
    read_info,
    read_result,
    read_study,
    replay_run,
    resume_run,
    start_worker,
)
from engine.runs import inject as inject_run
from engine.spec import InterventionSpec, Study

ENDED = {"done", "cancelled", "failed", "interrupted", "paused", "waiting"}
TIMES = {"at", "every", "when"}
LANGUAGE_POLICIES = {"language", "mixture", "surrogate"}
POLL_S = 0.05
PAUSE_S = 10.0
MAX_WORKERS = 64
MAX_SILENCE_S = 60.0


def run(arguments: Namespace) -> int:
    """Create the runs of a study, wait for all of them, print each one's result; 0 when all are done.

    A study with arms goes on where it stopped: runs that are done are not made again.
    """
    study = load_chosen(arguments)
    workspace = open_workspace(arguments.workspace)
    base = folder_of_study(arguments)
    if not 1 <= arguments.workers <= MAX_WORKERS:
        raise RunError(f"--workers {arguments.workers} is not in [1, {MAX_WORKERS}]")
    for _, arm in expand_arms(study):
        if any(part.policy in LANGUAGE_POLICIES for part in arm.decisions.values()):
            _take_consent(arguments, workspace, arm)
            check_model(arm.model, workspace.models)
    if study.arms:
        experiment = create_experiment(workspace, study, base=base)
        folders = list(experiment.folders.values())
        start_experiment(experiment, arguments.workers)
    else:
        folders = create_runs(workspace, study, base=base)
        for first in range(min(arguments.workers, len(folders))):
            start_worker(folders[first :: arguments.workers])
    return _wait_and_print(folders, as_json=arguments.json)


def _take_consent(arguments: Namespace, workspace: Workspace, study: Study) -> None:
    """Remember that texts may go to a study's model server on another computer, where the person says so."""
    if arguments.allow_remote and study.model.url is not None:
        allow_server(workspace.path, study.model.url)


def resume(arguments: Namespace) -> int:
    """Go on with a run, wait for it and print its result."""
    folder = _find(arguments)
    _take_consent(arguments, open_workspace(arguments.workspace), read_study(folder))
    resume_run(folder)
    return _wait_and_print([folder], as_json=arguments.json)


def pause(arguments: Namespace) -> int:
    """Ask a run to pause at its next step."""
    folder = _find(arguments)
    pause_run(folder)
    return _print_request(arguments, folder, "pause", f"go on with: microcosm resume {folder.name}")


def cancel(arguments: Namespace) -> int:
    """Ask a run to end for good."""
    folder = _find(arguments)
    cancel_run(folder)
    return _print_request(arguments, folder, "cancel", "what it recorded stays")


def replay(arguments: Namespace) -> int:
    """Compute a run again and print both digests; 1 where they differ."""
    folder = _find(arguments)
    info, started = read_info(folder), time.monotonic()
    with ProgressLines() as progress:

        def show(step: int, last: int) -> None:
            rate = step / max(time.monotonic() - started, 1e-3)
            shown = {"status": "running", "phase": "replaying", "step": step, "steps": last, "steps_per_s": rate}
            progress.show(dataclasses.replace(info, **shown, remaining_s=(last - step) / rate if rate else None))

        outcome = replay_run(folder, on_step=show)
    if arguments.json:
        say_json({"run_id": folder.name, **_fields(outcome)})
    else:
        verdict = "identical" if outcome.identical else "within 1e-9" if outcome.within_tolerance else "different"
        difference = "-" if outcome.first_difference is None else f"step {outcome.first_difference}"
        say_fields(
            {
                "recorded": outcome.digest,
                "replayed": outcome.replayed,
                "verdict": verdict,
                "first difference": difference,
            }
        )
    if not (outcome.identical or outcome.within_tolerance):
        complain(f"microcosm replay: {folder.name} differs from step {outcome.first_difference} on")
    return 0 if outcome.digest == outcome.replayed else 1


def inject(arguments: Namespace) -> int:
    """Give a running run new interventions, which act from its next step on."""
    folder = _find(arguments)
    interventions = read_interventions(Path(arguments.file), folder)
    inject_run(folder, interventions)
    names = ", ".join(spec.name for spec in interventions)
    return _print_request(arguments, folder, "inject", f"interventions: {names}")


def fork(arguments: Namespace) -> int:
    """Start a run that shares another's past up to a step, wait for it and print its result."""
    workspace = open_workspace(arguments.workspace)
    parent = find_run(workspace, arguments.run)
    interventions = read_interventions(Path(arguments.file), parent) if arguments.file else ()
    folder = fork_run(workspace, parent, arguments.at, overrides=arguments.overrides, interventions=interventions)
    _take_consent(arguments, workspace, read_study(folder))
    start_worker([folder])
    return _wait_and_print([folder], as_json=arguments.json)


def read_interventions(path: Path, folder: Path) -> tuple[InterventionSpec, ...]:
    """Return the `[[interventions]]` of a TOML file, checked against the study of the run that they will act in.

    One without `at`, `every` and `when` acts at once.

    Raises:
        StudyError: the file is no TOML, has other tables, or an intervention has problems.
        RunError: the file cannot be read.
    """
    try:
        table = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read '{path}': {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError([Problem(f"not TOML: {error}", file=path.name)]) from error
    given = table.get("interventions")
    if set(table) != {"interventions"} or not isinstance(given, list) or not given:
        held = ", ".join(table) or "nothing"
        raise StudyError([Problem(f"holds {held}; one or more [[interventions]] and nothing else", file=path.name)])
    untimed = [isinstance(one, dict) and not TIMES & set(one) for one in given]
    timed = [{**one, "at": 0} if now else one for one, now in zip(given, untimed, strict=True)]
    whole = {**tomllib.loads(dump_study(read_study(folder))), "interventions": timed}
    checked = load_study(whole, file=path.name, personas=inputs_of(folder)).interventions
    return tuple(
        spec.model_copy(update={"at": None}) if now else spec for spec, now in zip(checked, untimed, strict=True)
    )


def watch_runs(folders: Sequence[Path]) -> list[RunInfo]:
    """Wait until every run has ended or paused, showing progress, and return their last states.

    An interruption by the keyboard pauses the runs that have not ended and is passed on.

    Raises:
        RunError: no worker takes the next run up.
    """
    waiting = list(folders)
    last_sign = time.monotonic()
    with ProgressLines() as progress:
        try:
            while waiting:
                info = read_info(waiting[0])
                if info.status != "queued":
                    progress.show(info)
                    last_sign = time.monotonic()
                elif time.monotonic() - last_sign > MAX_SILENCE_S:
                    raise RunError(f"no worker took up run {info.run_id}; {folders[0] / 'worker.log'} may say why")
                if info.status in ENDED:
                    waiting.pop(0)
                else:
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            _pause_all(waiting)
            raise
    return [read_info(folder) for folder in folders]


def _pause_all(folders: Sequence[Path]) -> None:
    for folder in reversed(folders):  # the queued ones first, so that the worker finds nothing more to take up
        try:
            pause_run(folder, wait_s=PAUSE_S if folder == folders[0] else 0.0)
        except RunError as error:
            complain(str(error))
            continue
        complain(f"run {folder.name} is pausing; go on with: microcosm resume {folder.name}")


def _wait_and_print(folders: Sequence[Path], *, as_json: bool) -> int:
    infos = watch_runs(folders)
    for info in infos:
        if as_json:
            say_json(read_result(Path(info.folder)).to_json())
        else:
            _print_result(info)
    for info in infos:
        if info.status == "waiting" and not as_json:
            complain(f"{info.message}\nanswer with: microcosm answer {info.run_id} ANSWER")
    failed = [info for info in infos if info.status not in {"done", "paused", "waiting"}]
    for info in failed:
        complain(f"microcosm: run {info.run_id} {info.status} at step {info.step}: {info.message or 'no reason given'}")
    return 1 if failed else 0


def _print_result(info: Any) -> None:
    result = read_result(Path(info.folder))
    arm = f"  arm {info.arm}, replicate {info.replicate}" if info.arm else ""
    size = f"{result.steps} steps, {result.n_agents} agents, {as_duration(result.wall_s)}"
    say(f"{info.run_id}  {info.status}{arm}  {size}")
    if info.status == "failed":
        return
    say_fields({f"  {name}": value for name, value in sorted(result.measures.items())})
    say(f"  {result.database}")


def _print_request(arguments: Namespace, folder: Path, request: str, remark: str) -> int:
    info = read_info(folder)
    if arguments.json:
        say_json({"run_id": info.run_id, "request": request, "status": info.status, "step": info.step})
    else:
        say(f"{request} asked of {info.run_id}, now {info.status} at step {info.step}; {remark}")
    return 0


def _find(arguments: Namespace) -> Path:
    workspace: Workspace = open_workspace(arguments.workspace)
    return find_run(workspace, arguments.run)


def _fields(outcome: Any) -> dict[str, Any]:
    names = ("identical", "within_tolerance", "first_difference", "digest", "replayed")
    return {name: getattr(outcome, name) for name in names}
