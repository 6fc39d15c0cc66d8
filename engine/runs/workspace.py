"""The workspace: the one folder in which studies, runs, models and exports live."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RunError
from engine.store.disk import storage_errors

ENVIRONMENT_NAME = "MICROCOSM_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """Folders of a workspace."""

    path: Path

    @property
    def studies(self) -> Path:
        """Saved study files."""
        return self.path / "studies"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.path / "runs"

    @property
    def models(self) -> Path:
        """Language model files."""
        return self.path / "models"

    @property
    def personas(self) -> Path:
        """The user's own persona packs and recipes."""
        return self.path / "personas"

    @property
    def exports(self) -> Path:
        """What was exported."""
        return self.path / "exports"

    @property
    def experiments(self) -> Path:
        """One folder per experiment: its study with all arms; the runs lie with the others."""
        return self.path / "experiments"

    @property
    def cache(self) -> Path:
        """What can be computed again."""
        return self.path / "cache"


def open_workspace(path: str | Path | None = None) -> Workspace:
    """Return a workspace, its folders made where they are missing.

    Args:
        path: Its folder; None takes $MICROCOSM_WORKSPACE, else `~/Microcosm`.

    Raises:
        RunError: the folder cannot be made or written.
        StorageFull: the disk is full.
    """
    chosen = path if path is not None else os.environ.get(ENVIRONMENT_NAME) or Path.home() / "Microcosm"
    workspace = Workspace(Path(chosen).expanduser().absolute())
    try:
        with storage_errors(workspace.path.parent):
            for folder in ("studies", "runs", "models", "personas", "exports", "cache"):
                (workspace.path / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"the workspace {workspace.path} cannot be used: {error}; name another one") from error
    return workspace


def workspace_of(folder: Path) -> Workspace:
    """Return the workspace that a run's folder lies in."""
    return Workspace(folder.absolute().parent.parent)
