"""The record of an experiment: one study with its arms, beside the runs that carry its id.

An experiment's id follows from its study, whatever the number of replicates: whoever asks for the same comparison
again, or for more replicates of it, goes on with what is there.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunNotFound
from engine.loading import dump_study, expand_arms, parse_study, study_hash
from engine.registry import nearest
from engine.runs.inputs import inputs_of, keep_inputs
from engine.runs.workspace import Workspace
from engine.spec import Study
from engine.store.disk import storage_errors, sync_folder, write_durably

STUDY_NAME, RECORD_NAME = "study.toml", "experiment.json"


@dataclass(frozen=True)
class ExperimentRecord:
    """What is written down of an experiment.

    Attributes:
        experiment_id: Its name.
        folder: Where the record lies.
        study: The study with its arms.
        replicates: Runs of each arm that were asked for.
        base: Folder that relative paths of the study start from, or None.
        created_at: Seconds since 1970.
    """

    experiment_id: str
    folder: Path
    study: Study
    replicates: int
    base: Path | None
    created_at: float


def experiment_id_of(study: Study, base: Path | None = None, personas: Path | None = None) -> str:
    """Return the id of a study's experiment; the base counts where the study names files of ties or of a survey."""
    digest = hashlib.blake2b(study_hash(study.model_copy(update={"replicates": 1})).encode(), digest_size=5)
    if base is not None and any(_names_files(arm) for _, arm in expand_arms(study, personas, base)):
        digest.update(str(base.absolute()).encode())
    return f"exp-{digest.hexdigest()}"


def _names_files(study: Study) -> bool:
    return study.population.file is not None or any(layer.kind == "file" for layer in study.layers)


def write_experiment(workspace: Workspace, study: Study, replicates: int, base: Path | None = None) -> ExperimentRecord:
    """Write an experiment down, or the larger number of replicates of one that is there, and return its record.

    Raises:
        StorageFull: the disk is full.
    """
    experiment_id = experiment_id_of(study, base, workspace.personas)
    folder = workspace.experiments / experiment_id
    created_at, before = time.time(), 0
    if (folder / RECORD_NAME).is_file():
        known = read_experiment_record(workspace, experiment_id)
        created_at, before, base = known.created_at, known.replicates, known.base
    replicates = max(replicates, before)
    whole = study.model_copy(update={"replicates": replicates})
    content = {"created_at": created_at, "replicates": replicates, "base": str(base.absolute()) if base else None}
    if replicates != before:
        with storage_errors(workspace.path):
            folder.mkdir(parents=True, exist_ok=True)
            keep_inputs(folder, workspace, study, 0, base)
            texts = {STUDY_NAME: dump_study(whole), RECORD_NAME: json.dumps(content)}
            for name, text in texts.items():
                write_durably(folder / name, lambda path, text=text: _write_text(path, text))  # type: ignore[misc]
            sync_folder(folder)
    return ExperimentRecord(experiment_id, folder, whole, replicates, base, created_at)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def read_experiment_record(workspace: Workspace, key: str) -> ExperimentRecord:
    """Return the record of an experiment, by its id or a unique beginning of it.

    Raises:
        RunNotFound: none or several answer to the key.
    """
    ids = list_experiments(workspace)
    matching = [key] if key in ids else [name for name in ids if key and name.startswith(key)]
    if len(matching) != 1:
        count = f"fits {len(matching)} experiments; give more of the id" if matching else "is not an experiment here"
        raise RunNotFound(f"'{key}' {count}{'' if matching else nearest(key, ids)}")
    folder = workspace.experiments / matching[0]
    content = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
    text = (folder / STUDY_NAME).read_text(encoding="utf-8")
    base = Path(content["base"]) if content["base"] else None
    study = parse_study(text, file=f"{folder.name}/{STUDY_NAME}", personas=inputs_of(folder), base=base)
    return ExperimentRecord(matching[0], folder, study, int(content["replicates"]), base, float(content["created_at"]))


def list_experiments(workspace: Workspace) -> list[str]:
    """Return the ids of the workspace's experiments, newest first."""
    home = workspace.experiments
    found = [path for path in (home.iterdir() if home.is_dir() else ()) if (path / RECORD_NAME).is_file()]
    return [path.name for path in sorted(found, key=lambda path: -path.stat().st_ctime)]
