"""`microcosm fit`: knobs of a study fitted to a series that was observed."""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from app.commands.running import LANGUAGE_POLICIES
from app.commands.studies import folder_of_study, load_chosen
from app.terminal import complain, say, say_fields, say_json, say_table
from engine.analysis import read_series
from engine.errors import Problem, RunError, StudyError
from engine.experiment import SeriesFit, Trial, fit_series
from engine.llm import load_model
from engine.loading import dump_study
from engine.runs import open_workspace


def fit(arguments: Namespace) -> int:
    """Fit knobs to a series, print what was found, and write the fitted study where a file is named.

    Raises:
        StudyError: a knob or a measure that the scenario does not have.
        ReportError: the series cannot be read.
        RunError: the study file to write exists already.
    """
    study = load_chosen(arguments)
    knobs = dict(read_knob(text) for text in arguments.knobs)
    series = read_series(Path(arguments.series).expanduser(), period=arguments.period)
    out = None if arguments.out is None else Path(arguments.out).expanduser()
    if out is not None and out.exists():
        raise RunError(f"'{out}' exists already and is not overwritten; choose another name with -o")
    asks = any(part.policy in LANGUAGE_POLICIES for part in study.decisions.values())
    models = open_workspace(arguments.workspace).models
    found = fit_series(
        study,
        series,
        knobs,
        measure=arguments.measure,
        held_out=arguments.held_out,
        replicates=arguments.runs,
        trials=arguments.trials,
        model=load_model(study.model, models_folder=models) if asks else None,
        base=folder_of_study(arguments),
        on_trial=_tell,
    )
    if out is not None:
        with out.open("x", encoding="utf-8") as file:
            file.write(dump_study(found.study))
    _print(found, series.steps.tolist(), series.values.tolist(), arguments, out)
    return 0


def read_knob(text: str) -> tuple[str, tuple[float, float]]:
    """Return (name, (lowest, highest)) of `r0=1.2:5` or `params.r0=1.2:5`.

    Raises:
        StudyError: the text has another form.
    """
    name, _, ends = text.partition("=")
    low, _, high = ends.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = math.nan, math.nan
    if not name or not all(map(math.isfinite, found)):
        raise StudyError([Problem(f"--knob {text} is not of the form NAME=LOW:HIGH, for example r0=1.2:5", "fit")])
    return name.removeprefix("params."), found


def _tell(trial: Trial) -> None:
    knobs = ", ".join(f"{name} = {value:.4g}" for name, value in trial.knobs.items())
    complain(f"misfit {trial.misfit:.4g} at {knobs}")


def _print(found: SeriesFit, steps: list[int], observed: list[float], arguments: Namespace, out: Path | None) -> None:
    n_fitted = len(observed) - arguments.held_out
    if arguments.json:
        say_json(
            {
                "knobs": found.best.knobs,
                "measure": found.measure,
                "fitted": asdict(found.fitted),
                "held_out": None if found.held_out is None else asdict(found.held_out),
                "trials": len(found.trials),
                "steps": steps,
                "observed": observed,
                "simulated": found.best.series.tolist(),
                "study": out,
            }
        )
        return
    rows = [
        {
            "step": step,
            "observed": f"{seen:.6g}",
            "simulated": f"{value:.6g}",
            "part": "fitted" if place < n_fitted else "held out",
        }
        for place, (step, seen, value) in enumerate(zip(steps, observed, found.best.series.tolist(), strict=True))
    ]
    say_table(rows, ["step", "observed", "simulated", "part"])
    say_fields({name: f"{value:.6g}" for name, value in found.best.knobs.items()})
    for words, error in (("fitted", found.fitted), ("held out", found.held_out)):
        if error is not None:
            told = f"RMSE {error.rmse:.4g}, MAE {error.mae:.4g}, NRMSE {error.nrmse:.3f}"
            say(f"Error on the {error.n} values {words}: {told}.")
    if out is not None:
        say(f"Wrote {out}. Bands of a forecast: microcosm run {out} --replicates 20")
