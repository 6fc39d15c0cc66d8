"""Give a run that was made without anybody watching a picture: places, ties and what its columns mean."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.network import Graph, build_network, layout_nodes
from engine.runs import read_info, read_study
from engine.runs.live import LAYOUT_NAME, META_NAME, choose_shown, write_layout, write_meta
from engine.store import read_edges, read_states

ENDED = frozenset({"done", "cancelled", "failed", "interrupted", "paused"})
_ONE_AT_A_TIME = threading.Lock()


def ensure_picture(folder: Path) -> None:
    """Write layout and column meanings of a run that no longer goes on, where its worker drew none.

    Ties are those of step 0. Nothing happens where something is there already, or where no state is recorded.
    """
    with _ONE_AT_A_TIME:
        if (folder / LAYOUT_NAME).is_file() and (folder / META_NAME).is_file():
            return
        info = read_info(folder)
        if info.status not in ENDED or info.step < 0:
            return
        try:
            states = read_states(folder, 0, labels=False)
        except MicrocosmError:  # the study records no states: there is nothing to show
            return
        study = read_study(folder)
        n = int(states["agent_id"].max() or 0) + 1  # type: ignore[arg-type]
        ids, xy, ties = layout_nodes(_graph(folder, n), study.seed)
        columns = {
            name: column
            for name, column in scenario_info(study.scenario).columns.items()
            if name in states.columns and column.kind != "text"
        }
        values = {name: np.nan_to_num(states[name].to_numpy().astype(np.float64)) for name in columns}
        write_meta(folder, choose_shown(ids, columns, values), n)
        write_layout(folder, ids, xy, ties)


def _graph(folder: Path, n: int) -> Graph:
    """Return the first layer at step 0: from the study where its shape matters for drawing, else from the ties."""
    study = read_study(folder)
    first = study.layers[0] if study.layers else None
    if first is not None and first.kind in ("complete", "ring", "grid"):
        return build_network([first], n, study.seed_of("network", 0), None).layer()
    edges = read_edges(folder, 0)
    if first is not None and edges.height:
        edges = edges.filter(edges["layer"] == edges["layer"][0])
    return Graph.from_edges(n, edges["source"].to_numpy(), edges["target"].to_numpy())
