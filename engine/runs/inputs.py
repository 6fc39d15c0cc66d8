"""What a run reads from outside its study, kept in its folder: it can then be resumed, forked and replayed anywhere.

Kept are the user's own recipe and persona pack, files of ties, and of a survey file the respondents that were drawn.
The whole survey is copied only where the study says that its licence allows it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.population import find_own_file, find_survey_file, store_respondents
from engine.population.files import Shelf
from engine.population.stored import STORED_NAME
from engine.runs.workspace import Workspace, workspace_of
from engine.spec import Study
from engine.store.disk import sync_folder, write_durably

INPUTS_NAME, TIES_NAME = "inputs", "ties"
MAX_COPIED_BYTES = 64 * 1024**2
"""Largest survey file that is copied whole; of a larger one the drawn respondents are kept like of any other."""


def inputs_of(folder: Path) -> Path:
    """Return where a run finds recipes, packs and respondents: its own inputs, else the workspace's personas folder."""
    own = folder / INPUTS_NAME
    return own if own.is_dir() else workspace_of(folder).personas


def keep_inputs(folder: Path, workspace: Workspace, study: Study, replicate: int, base: Path | None) -> None:
    """Copy into a new run's folder what it will need, if anything.

    Args:
        folder: The run's folder.
        workspace: Where the user's own packs and recipes are.
        study: The run's study.
        replicate: Number of the replicate.
        base: Folder that relative paths of the study start from.

    Raises:
        PopulationError: the survey file is gone or has problems.
    """
    population, personas, inputs = study.population, workspace.personas, folder / INPUTS_NAME
    named: tuple[tuple[Shelf, str | None], ...] = (("recipes", population.recipe), ("packs", population.personas))
    for shelf, name in named:
        own = None if name is None else find_own_file(shelf, name, personas)
        if own is not None:
            _copy(own, inputs / shelf)
    _keep_ties(inputs / TIES_NAME, study, base)
    kept = inputs / STORED_NAME
    if population.file is None or kept.is_file():
        return
    seed = study.seed_of("population", replicate)
    inputs.mkdir(exist_ok=True)
    write_durably(kept, lambda path: store_respondents(path, population, seed, folder=personas, base=base))
    if population.redistribute:
        survey = find_survey_file(population.file, base, personas)
        if survey.stat().st_size <= MAX_COPIED_BYTES:
            _copy(survey, inputs / "surveys")
    sync_folder(inputs)


def _keep_ties(kept: Path, study: Study, base: Path | None) -> None:
    """Copy the files of observed ties, each under the path that the study names; shipped ones are always there."""
    for layer in study.layers:
        name = str(layer.params.get("path", "")) if layer.kind == "file" else ""
        inside = name and not Path(name).is_absolute() and ".." not in Path(name).parts
        source = (base or Path()) / name
        if inside and source.is_file() and source.stat().st_size <= MAX_COPIED_BYTES:
            _copy(source, (kept / name).parent)


def base_of(folder: Path, base: Path | None) -> Path | None:
    """Return where relative paths of a run's study start: its own copies of files of ties, else the study's folder."""
    kept = folder / INPUTS_NAME / TIES_NAME
    return kept if kept.is_dir() else base


def copy_inputs(parent: Path, folder: Path) -> None:
    """Give a fork the inputs of its parent."""
    if (parent / INPUTS_NAME).is_dir():
        shutil.copytree(parent / INPUTS_NAME, folder / INPUTS_NAME)
        sync_folder(folder / INPUTS_NAME)


def _copy(file: Path, shelf: Path) -> None:
    def write(path: Path) -> None:
        shutil.copyfile(file, path)

    shelf.mkdir(parents=True, exist_ok=True)
    write_durably(shelf / file.name, write)
    sync_folder(shelf)
