"""Turn step records into rows: the recorder buffers columns and gives them out as one commit at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.network import Graph
from engine.policy.records import POLICY_NAMES, DecisionBatch, Situation, content_id, content_key
from engine.simulation import StepRecord, World
from engine.spec import Study
from engine.store.catalog import Segment
from engine.store.schema import check_column_names, duckdb_type, polars_type, table_columns
from engine.store.segments import Commit, write_segment

Array = NDArray[Any]
Dynamic = dict[str, list[list[str]]]

DENSE_SHARE = 1 / 3
"""From this share of changed agents on, a whole frame is smaller than its changes."""
KEYFRAME_FACTOR = 4
"""A key frame follows when so many rows per agent have passed since the last: bounds what `states_at` reads."""
FULL_DECISION_ROWS = 5_000_000
PANEL_SIZE = 200
COMPLETE_TIES_STORED = 50_000
_CHUNK = 500_000


class Recorder:
    """Buffers what steps leave behind until it is committed.

    Attributes:
        dynamic: (name, DuckDB type) of the study's own columns, by segment table.
        rows: Rows buffered.
    """

    def __init__(self, study: Study, n_agents: int, n_decisions: int) -> None:
        self.study = study
        self.rows = 0
        self.dynamic: Dynamic = {}
        self._states: list[tuple[int, Array, bool, dict[str, Array]]] = []
        self._decisions: list[tuple[int, int, str, dict[str, Array]]] = []
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._counted: list[pl.DataFrame] = []
        self._arrived: list[pl.DataFrame] = []
        self._measures: list[tuple[int, str, str, float | None]] = []
        self._digests: list[tuple[int, str]] = []
        self._since_keyframe = 0
        self._n_left = 0
        self._n_decision_rows = 0
        self._whole_next = False
        self._texts: set[int] = set()
        self.decisions = study.record.decisions
        if self.decisions == "auto" and n_agents * n_decisions * study.steps > FULL_DECISION_ROWS:
            self.decisions = "counts"
        panel = np.linspace(0, n_agents - 1, min(PANEL_SIZE, n_agents)).astype(np.int64)
        self._panel = np.unique(panel)

    # -- over a checkpoint -----------------------------------------------------------------------------------------

    def get_note(self, record: StepRecord) -> dict[str, Any]:
        """Return what a recorder that continues after this record must know; JSON."""
        return {
            "since_keyframe": self._since_keyframe,
            "n_left": self._n_left,
            "n_decision_rows": self._n_decision_rows,
            "decisions": self.decisions,
            "whole_next": not record.recorded,
        }

    def set_note(self, note: Mapping[str, Any], texts: set[int]) -> None:
        """Continue where another recorder made its note.

        Args:
            note: From `get_note`, or at least `n_left`: the next recorded frame is then a whole one.
            texts: Ids of the texts that are committed.
        """
        self._since_keyframe, self._n_left = note.get("since_keyframe", 0), note["n_left"]
        self._n_decision_rows = note.get("n_decision_rows", 0)
        self.decisions = note.get("decisions", self.decisions)
        self._whole_next = note.get("whole_next", True)
        self._texts = texts

    def learn_columns(self, world: World) -> None:
        """Take the study's own columns from its world.

        Raises:
            RunError: a column's name is taken by the recorder, or its dtype cannot be stored.
        """
        states = [[name, duckdb_type(world.population[name].dtype.str)] for name in world.state_columns]
        arrivals = [
            [name, series_type(series)] for name, series in self._arrivals(world, np.empty(0, np.int64)).items()
        ]
        self.dynamic = {"states": states, "arrivals": arrivals[2:]}
        check_column_names("states", [name for name, _ in states])
        check_column_names("arrivals", [name for name, _ in arrivals[2:]])

    # -- one step --------------------------------------------------------------------------------------------------

    def add(self, record: StepRecord) -> None:
        """Buffer one step."""
        step, world = record.step, record.world
        self._digests.append((step, record.digest))
        if record.recorded:
            self._add_measures(step, record.measures)
            self._add_states(record)
        for batch in record.decisions:
            self._add_decisions(step, batch)
        for situation in record.situations:
            self._add_situation(step, situation)
        for text_id, text in record.texts:
            self._add_text(step, text, text_id)
        self._extend(
            "messages",
            [
                (step, m.turn, m.message_id, m.agent_id, m.parent_id, m.channel, m.text, m.situation_id)
                for m in record.messages
            ],
        )
        self._extend(
            "events",
            [(step, e.kind, e.agent_id, json.dumps(e.detail, default=_plain, sort_keys=True)) for e in record.events],
        )
        self._add_ties(record)
        if step > 0 and record.entered.size:
            self._arrived.append(pl.DataFrame(self._arrivals(world, record.entered)))
            self.rows += int(record.entered.size)
        self._add_departures(step, world)

    def _extend(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if rows:
            self._rows.setdefault(table, []).extend(rows)
            self.rows += len(rows)

    def _add_measures(self, step: int, measures: Mapping[tuple[str, str], float]) -> None:
        for (measure, segment), value in measures.items():
            self._measures.append((step, measure, segment, None if math.isnan(value) else float(value)))

    def _add_states(self, record: StepRecord) -> None:
        if self.study.record.states == "none":
            return
        world, changed, n = record.world, record.changed, record.world.n_agents
        everyone: Array | None = None
        if self.study.record.states == "panel":
            everyone = np.union1d(self._panel, np.flatnonzero(world.entered > 0)[:PANEL_SIZE])
            changed = None if changed is None else np.intersect1d(changed, everyone)
            n = everyone.size
        whole = (
            changed is None
            or self._whole_next
            or changed.size > n * DENSE_SHARE
            or (changed.size > 0 and self._since_keyframe + changed.size > KEYFRAME_FACTOR * n)
        )
        if whole or changed is None:
            ids = np.arange(n, dtype=np.int32) if everyone is None else everyone.astype(np.int32)
            rows = slice(None) if everyone is None else everyone
            values = {name: world.population[name][rows].copy() for name in world.state_columns}
        else:
            if not changed.size:
                return
            ids = changed.astype(np.int32)
            values = {name: world.population[name][changed] for name in world.state_columns}
        self._whole_next = False
        self._since_keyframe = 0 if whole else self._since_keyframe + ids.size
        self._states.append((record.step, ids, bool(whole), values))
        self.rows += ids.size

    def _add_decisions(self, step: int, batch: DecisionBatch) -> None:
        if self.decisions == "auto" and self._n_decision_rows + batch.agents.size > FULL_DECISION_ROWS:
            self.decisions = "counts"
        if self.decisions == "none" or not batch.agents.size:
            return
        if self.decisions == "counts":
            self._counted.append(count_actions(step, batch))
            self.rows += self._counted[-1].height
            rows = np.flatnonzero(np.isin(batch.agents, self._panel))
        else:
            rows = np.arange(batch.agents.size)
        self._decisions.append((step, rows.size, batch.decision, decision_columns(batch, rows)))
        self._n_decision_rows += rows.size
        self.rows += rows.size

    def _add_situation(self, step: int, situation: Situation) -> None:
        pieces = [self._add_text(step, text) for text in (situation.prefix, situation.suffix)]
        row = (
            step,
            situation.situation_id,
            situation.decision,
            *pieces,
            list(situation.options),
            situation.logp.tolist(),
            situation.raw_logp.tolist(),
            situation.mass,
            situation.model,
            situation.source,
            situation.debiased_logp.tolist(),
        )
        self._extend("situation_parts", [row])

    def _add_text(self, step: int, text: str, text_id: int | None = None) -> int:
        known = content_id(content_key([text])) if text_id is None else text_id
        if known not in self._texts:
            self._texts.add(known)
            self._extend("texts", [(step, known, text)])
        return known

    def _add_ties(self, record: StepRecord) -> None:
        rows = []
        for position, tie in enumerate(record.ties):
            ends = (tie.source, tie.target)
            if not record.world.network.layers[tie.layer].directed:
                ends = (min(ends), max(ends))
            rows.append((record.step, position, tie.layer, *ends, tie.weight, tie.added))
        self._extend("tie_changes", rows)

    def _add_departures(self, step: int, world: World) -> None:
        n_left = int(np.count_nonzero(world.left >= 0))
        if n_left > self._n_left:
            gone = np.flatnonzero(world.left == step)
            self._extend("departures", [(step, agent) for agent in gone.tolist()])
            self._n_left = n_left

    def _arrivals(self, world: World, agents: Array) -> dict[str, pl.Series]:
        series = {
            "agent_id": pl.Series(agents.astype(np.int32)),
            "entered": pl.Series(world.entered[agents].astype(np.int32)),
        }
        for column in world.persona.frame(agents).drop("agent_id"):
            name = f"persona_{column.name}" if column.name.lower() in ("entered", "left") else column.name
            series[name] = column.cast(polars_type(series_type(column)))
        for name, column_type in world.state_columns.items():
            values = world.population[name][agents]
            start = pl.Series(values)
            if column_type.kind == "category":
                start = pl.Series(column_type.labels, dtype=pl.String).gather(values)
            series[f"initial_{name}"] = start.cast(polars_type(series_type(start)))
        return series

    # -- what goes out ---------------------------------------------------------------------------------------------

    def write_start(self, record: StepRecord, folder: Path) -> list[Segment]:
        """Write the agents and ties of step 0 in chunks, durably but not yet committed."""
        world, segments = record.world, []
        for start in range(0, world.n_agents, _CHUNK):
            agents = np.arange(start, min(start + _CHUNK, world.n_agents))
            segments.append(write_segment(folder, "arrivals", pl.DataFrame(self._arrivals(world, agents)), 0, 0))
        for layer, graph in world.network.layers.items():
            if is_stored(graph):
                segments += [write_segment(folder, "network_start", frame, 0, 0) for frame in edge_frames(layer, graph)]
            if graph.file_ids:
                segments.append(write_segment(folder, "file_ids", file_id_frame(layer, graph), 0, 0))
        return segments

    def take(self) -> Commit | None:
        """Return everything buffered as one commit and start afresh; None if there was no step."""
        if not self._digests:
            return None
        tables = {name: self._frame(name, rows) for name, rows in self._rows.items()}
        if self._states:
            tables["states"] = self._state_frame()
        if self._decisions:
            tables["decisions"] = decision_frame(self._decisions)
        if self._counted:
            tables["decision_counts"] = pl.concat(self._counted)
        if self._arrived:
            tables["arrivals"] = pl.concat(self._arrived)
        first, last = self._digests[0][0], self._digests[-1][0]
        content = Commit(first, last, tables, self._measures, self._digests)
        self._states, self._decisions, self._rows, self._counted, self._arrived = [], [], {}, [], []
        self._measures, self._digests, self.rows = [], [], 0
        return content

    def _frame(self, table: str, rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
        schema = {name: polars_type(kind) for name, kind in table_columns(table, self.dynamic)}
        return pl.DataFrame(rows, schema=schema, orient="row")

    def _state_frame(self) -> pl.DataFrame:
        sizes = [ids.size for _, ids, _, _ in self._states]
        columns: dict[str, Array] = {
            "step": np.repeat(np.array([step for step, _, _, _ in self._states], np.int32), sizes),
            "agent_id": np.concatenate([ids for _, ids, _, _ in self._states]),
            "keyframe": np.repeat(np.array([whole for _, _, whole, _ in self._states], bool), sizes),
        }
        for name, _ in self.dynamic["states"]:
            columns[name] = np.concatenate([values[name] for _, _, _, values in self._states])
        return pl.DataFrame(columns)


def is_stored(graph: Graph) -> bool:
    """Tell whether a layer's ties are written out: complete layers only while they are small."""
    return not graph.complete or graph.n_ties <= COMPLETE_TIES_STORED


def edge_frames(layer: str, graph: Graph) -> Iterator[pl.DataFrame]:
    """Yield a layer's ties in chunks as rows of `network_start`."""
    for source, target, weight in graph.edge_chunks(_CHUNK * 4):
        if source.size:
            yield pl.DataFrame(
                {
                    "layer": pl.repeat(layer, source.size, dtype=pl.Categorical, eager=True),
                    "source": source.astype(np.int32),
                    "target": target.astype(np.int32),
                    "weight": weight,
                }
            )


def file_id_frame(layer: str, graph: Graph) -> pl.DataFrame:
    """Return a layer's rows of `file_ids`: what its file calls each agent."""
    agents = pl.Series("agent_id", np.arange(len(graph.file_ids), dtype=np.int32))
    names = pl.Series("file_id", graph.file_ids, dtype=pl.String)
    return pl.DataFrame([agents, names]).select(pl.lit(layer).alias("layer"), "agent_id", "file_id")


def decision_columns(batch: DecisionBatch, rows: Array) -> dict[str, Array]:
    """Return copies of some rows of a batch: the scenario may go on to change the arrays that it was given."""
    return {
        "turn": batch.turn[rows].astype(np.int32),
        "agent_id": batch.agents[rows].astype(np.int32),
        "action": batch.actions[rows].astype(np.int64),
        "p": batch.p[rows].astype(np.float32),
        "situation_id": batch.situations[rows].astype(np.int64),
        "policy": batch.policy[rows],
    }


def decision_frame(batches: Sequence[tuple[int, int, str, Mapping[str, Array]]]) -> pl.DataFrame:
    """Return batches (step, rows, decision, columns) as rows of `decisions`."""
    sizes = [size for _, size, _, _ in batches]
    names = sorted({name for _, _, name, _ in batches})
    columns = {key: np.concatenate([held[key] for _, _, _, held in batches]) for key in batches[0][3]}
    return pl.DataFrame(
        {
            "step": np.repeat(np.array([step for step, _, _, _ in batches], np.int32), sizes),
            "turn": columns["turn"],
            "agent_id": columns["agent_id"],
            "decision": pl.Series(names, dtype=pl.String).gather(
                np.repeat([names.index(name) for _, _, name, _ in batches], sizes)
            ),
            "action": columns["action"],
            "p": columns["p"],
            "situation_id": columns["situation_id"],
            "policy": pl.Series(POLICY_NAMES, dtype=pl.String).gather(columns["policy"]),
        }
    )


def count_actions(step: int, batch: DecisionBatch) -> pl.DataFrame:
    """Return a batch as rows of `decision_counts`, sorted."""
    pairs = pl.DataFrame({"situation_id": batch.situations, "action": batch.actions.astype(np.int64)})
    counted = pairs.group_by("situation_id", "action").agg(pl.len().cast(pl.Int64).alias("n"))
    return counted.sort("situation_id", "action").select(
        pl.lit(step, pl.Int32).alias("step"),
        pl.lit(batch.decision).alias("decision"),
        pl.col("situation_id").cast(pl.Int64),
        "action",
        "n",
    )


def series_type(series: pl.Series) -> str:
    """Return the DuckDB type of a persona column: what SQL users expect, not the narrowest."""
    if series.dtype == pl.Boolean:
        return "BOOLEAN"
    if series.dtype.is_integer():
        return "BIGINT"
    return "DOUBLE" if series.dtype.is_float() else "VARCHAR"


def describe_columns(world: World) -> list[list[Any]]:
    """Return the rows of the table `columns`: what every recorded number means."""
    rows: list[list[Any]] = []
    for table, prefix, columns in (
        ("states", "", world.state_columns),
        ("agents", "initial_", world.state_columns),
        ("agents", "", world.persona.columns),
    ):
        rows += [
            [table, prefix + name, c.kind, list(c.labels), c.unit, c.help, c.low, c.high] for name, c in columns.items()
        ]
    rows += [["measures", m.name, "float", [], m.unit, m.help, m.low, m.high] for m in world.info.measures]
    return rows


def describe_layers(world: World) -> list[list[Any]]:
    """Return the rows of the table `layers`."""
    return [
        [name, graph.directed, graph.complete, graph.n_ties, is_stored(graph)]
        for name, graph in world.network.layers.items()
    ]


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)
