"""Execute one run: prepare, step, commit, finish. The worker calls this once per run."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import MicrocosmError, ModelStopped, ServerError, StorageFull
from engine.llm import LanguageModel
from engine.loading import default_study
from engine.network import layout_nodes
from engine.runs.checkpoints import Checkpoint, find_checkpoint
from engine.runs.committing import Committer
from engine.runs.history import recompute_fork
from engine.runs.inputs import inputs_of
from engine.runs.journal import INJECT, Injections
from engine.runs.live import LiveWriter, Shown, choose_shown, read_layout, write_layout, write_meta
from engine.runs.locking import RunLock
from engine.runs.model import ModelOnDemand
from engine.runs.progress import Progress, peak_rss_bytes
from engine.runs.records import read_study
from engine.runs.seats import ANSWER, SeatedJournal
from engine.runs.whole import WholeWriter
from engine.runs.workspace import workspace_of
from engine.simulation import StepRecord, World, simulate
from engine.spec import Study
from engine.store.catalog import Catalog, Segment
from engine.store.consolidation import consolidate
from engine.store.database import DATABASE_NAME
from engine.store.disk import is_disk_full, storage_errors
from engine.store.recording import Recorder, describe_columns, describe_layers
from engine.store.segments import remove_strays, rewind

COMMIT_ROWS = 250_000
COMMIT_S = 1.0
POLL_S = 0.05
FRAME_S = 1 / 60
CHECKPOINT_STEPS = 50
CHECKPOINT_S = 30.0
WARM_UP_FROM = 100_000
"""Agents x steps from which a run is preceded by a tiny one, so that compilation is not timed."""
RESERVE_NAME, RESERVE_BYTES = ".reserve", 262_144
"""Given back when the disk is full, so that the catalog can still say so."""


@dataclass
class Worker:
    """What the runs of one worker share; a context manager that lets go of the models.

    Attributes:
        live: Whether to draw a layout and show frames.
        stopping: Whether the system asked the worker to end.
        models: Loaded language models, by study and folder.
        warmed: Scenarios whose kernels are compiled.
    """

    live: bool = True
    stopping: bool = False
    models: dict[str, ModelOnDemand] | None = None
    warmed: set[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for model in (self.models or {}).values():
            model.close()
        self.models = None

    def model(self, study: Study, folder: Path) -> ModelOnDemand:
        """Return the study's model, the same for all runs that name it alike."""
        if self.models is None:
            self.models = {}
        workspace = workspace_of(folder)
        key = f"{workspace.path} {study.model.model_dump_json()}"
        return self.models.setdefault(key, ModelOnDemand(study.model, workspace.models, workspace.cache))


def execute_run(folder: Path, worker: Worker) -> str:
    """Execute a queued or interrupted run until it ends or rests, and return its status.

    A run that rests or has ended is left alone.

    Raises:
        RunLocked: another worker holds it.
        RunNotFound: the folder is no run.
    """
    with Catalog(folder) as catalog, RunLock(folder):
        status = str(catalog.read_status()["status"])
        if status not in ("queued", "running", "waiting"):
            return status
        return Execution(folder, catalog, worker).run()


class Execution:
    """One run in the hands of a worker."""

    def __init__(self, folder: Path, catalog: Catalog, worker: Worker) -> None:
        self.folder, self.catalog, self.worker = folder, catalog, worker
        self.known = catalog.read_status()
        self.injections = Injections(catalog)
        self.progress = Progress(catalog, self.known)
        self.shown: Shown | None = None
        self.frames: LiveWriter | None = None
        self.whole: WholeWriter | None = None
        self._began = time.time()
        self._committed_at = self._checkpointed_at = time.monotonic()
        self._polled_at = self._frame_at = self._setup_began = 0.0
        self._checkpointed_step = -1
        self._hits_before = 0
        self._phase_s = {name: float(self.known.get(name) or 0.0) for name in ("setup_s", "compile_s", "consolidate_s")}
        self._start_segments: list[Segment] = []
        self._wanted: tuple[str, str] | None = None
        self._latest: tuple[Recorder, StepRecord] | None = None

    # -- from start to end -----------------------------------------------------------------------------------------

    def run(self) -> str:
        """Execute the run and return the status in which it ends."""
        try:
            with Committer(self.catalog) as committer:
                self.committer = committer
                status, message = self._advance()
            return self._finish(status, message)
        except Exception as error:
            full = isinstance(error, StorageFull) or is_disk_full(error)
            if not isinstance(error, MicrocosmError):
                traceback.print_exc(file=sys.stderr)
            if full:
                (self.folder / RESERVE_NAME).unlink(missing_ok=True)
            known = isinstance(error, MicrocosmError)
            message = str(error) if known else f"an unexpected {type(error).__name__}: {error} (see worker.log)"
            return self._finish("interrupted" if isinstance(error, ServerError) else "failed", message)
        finally:
            if self.frames is not None:
                self.frames.close()

    def _advance(self) -> tuple[str, str]:
        self._say(status="running", phase="starting", message="", ended_at=None, consolidated=False)
        if self.known.get("started_at") is None:
            self._say(started_at=self._began)
        (self.folder / DATABASE_NAME).unlink(missing_ok=True)
        with storage_errors(self.folder):
            (self.folder / RESERVE_NAME).write_bytes(bytes(RESERVE_BYTES))
        remove_strays(self.catalog)
        study = read_study(self.folder)
        start = self._find_start()
        rewind(self.catalog, start.step if start else -1)
        with self._timed("compile_s"):
            self._warm_up(study)
        self._say(phase="setting up")
        self._setup_began = time.perf_counter()
        self.injections.wait([request for request in self.catalog.requests() if request.verb == INJECT])
        model = self.worker.model(study, self.folder)
        model.announce = lambda phase: self._say(phase=phase, model=model.describe() or self.known.get("model"))
        model.should_stop = self._must_stop
        base = self.known.get("base")
        records: Any = simulate(
            study,
            replicate=int(self.known["replicate"]),
            model=cast(LanguageModel, model),
            journal=SeatedJournal(self.catalog, before=self._publish, must_stop=self._must_stop, rest=self._rest),
            state=start.state if start else None,
            digest=start.digest if start else None,
            control=self.injections,
            base=Path(base) if base else None,
            models_folder=workspace_of(self.folder).models,
            personas=inputs_of(self.folder),
        )
        outcome = self._follow(records, study, start)
        self._say(model=model.describe() or self.known.get("model"))
        status, message = outcome
        return status, message or "; ".join(model.notices)

    def _follow(self, records: Generator[StepRecord], study: Study, start: Checkpoint | None) -> tuple[str, str]:
        record: StepRecord | None = None
        status, message = "done", ""
        recorder: Recorder | None = None
        try:
            with contextlib.closing(records):
                for record in records:
                    first = recorder is None
                    recorder = recorder or self._open(study, record, start)
                    recorder.add(record)
                    self._latest = (recorder, record)
                    status, message = self._requested()
                    self._commit_if_due(recorder, record, status)
                    if first:
                        self._begin_clock(record)
                    self._show(record)
                    self.progress.note(record.step, record.world.n_agents)
                    if status != "done":
                        break
        except Exception as error:
            if record is not None and recorder is not None and not is_disk_full(error.__cause__ or error):
                self._submit(recorder, record, checkpoint=False)
                self.committer.wait()
            if isinstance(error, ModelStopped) and self._wanted is not None:
                return self._wanted  # in the middle of a step, which a resumed run does again from its journal
            raise
        if record is not None and recorder is not None:
            self._submit(recorder, record, checkpoint=status == "paused")
            self.committer.wait()
            self.progress.stop(record.step)
            message = message or (f"ended at step {record.step}: {record.stopped}" if record.stopped else "")
        return status, message

    def _finish(self, status: str, message: str) -> str:
        last, now = self.catalog.last_step(), time.time()
        final: dict[str, Any] = {"status": status, "message": message, "step": max(last, 0), "remaining_s": None}
        final |= {"digest": self.catalog.digest_at(last) or "", **self.progress.totals()}
        if status != "paused":
            final["ended_at"] = now
        try:
            if status in ("done", "cancelled") and last >= 0:
                self._say(phase="consolidating")
                with self._timed("consolidate_s"):
                    consolidate(self.folder, status=final)
        except Exception as error:
            if not is_disk_full(error) and not isinstance(error, StorageFull):
                raise
            (self.folder / RESERVE_NAME).unlink(missing_ok=True)
            final |= {"status": "failed", "message": f"{error}"}
        (self.folder / RESERVE_NAME).unlink(missing_ok=True)
        peak = max(peak_rss_bytes(), int(self.known.get("peak_rss_bytes") or 0))
        wall = float(self.known.get("wall_s") or 0.0) + time.time() - self._began
        self._say(**final, **self._phase_s, phase="", peak_rss_bytes=peak, wall_s=wall)
        return str(final["status"])

    def _say(self, **values: Any) -> None:
        self.catalog.write_status(**values)

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Add what the block takes to the seconds of a phase, over all workers of the run."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._phase_s[phase] += time.perf_counter() - began

    # -- before the first step -------------------------------------------------------------------------------------

    def _find_start(self) -> Checkpoint | None:
        start = find_checkpoint(self.catalog)
        forked_at = self.known.get("forked_at")
        if forked_at is not None and (start is None or start.step < forked_at):
            self._say(phase="recomputing")
            start = recompute_fork(self.catalog, start)
        return start

    def _warm_up(self, study: Study) -> None:
        """Compile the scenario's kernels on a tiny default study, once per worker."""
        if self.worker.warmed is None:
            self.worker.warmed = set()
        size = study.population.size or 0
        if study.scenario in self.worker.warmed or size * study.steps < WARM_UP_FROM:
            return
        self._say(phase="compiling")
        self.worker.warmed.add(study.scenario)
        # What a tiny study cannot do says nothing about the real one, which reports its own errors.
        with contextlib.suppress(MicrocosmError):
            tiny = default_study(study.scenario)
            size = min(50, tiny.population.size or 50)
            tiny = tiny.model_copy(
                update={"population": tiny.population.model_copy(update={"size": size}), "steps": 2, "decisions": {}}
            )
            for _ in simulate(tiny):
                pass

    def _open(self, study: Study, record: StepRecord, start: Checkpoint | None) -> Recorder:
        """Make the recorder when the world is there; write the agents and ties of step 0."""
        world = record.world
        recorder = Recorder(study, world.n_agents, len(world.info.decisions))
        recorder.learn_columns(world)
        meaning: dict[str, Any] = {"dynamic": recorder.dynamic, "columns": describe_columns(world)}
        if start is None:
            meaning["layers"] = describe_layers(world)
            with storage_errors(self.folder):
                self._start_segments = recorder.write_start(record, self.folder)
        else:
            recorder.set_note(start.note, self._known_texts())
            self._hits_before = int(start.note.get("cache_hits", 0))
            self._checkpointed_step = start.step
        self._say(**meaning, n_agents=world.n_agents)
        return recorder

    def _known_texts(self) -> set[int]:
        paths = [self.folder / segment.path for segment in self.catalog.segments("texts")]
        return {text_id for path in paths for text_id in pl.read_parquet(path, columns=["text_id"])["text_id"]}

    def _begin_clock(self, record: StepRecord) -> None:
        """Make the first step durable, draw the layout if someone may look, and start to time the steps."""
        self.committer.wait()
        if self.worker.live:
            self._open_frames(record.world)
        self._say(phase="running", step=record.step)
        self._committed_at = self._checkpointed_at = time.monotonic()
        self._phase_s["setup_s"] += time.perf_counter() - self._setup_began
        self.progress.start(record.step)

    def _open_frames(self, world: World) -> None:
        layout = read_layout(self.folder)
        if layout is None:
            self._say(phase="layout")
            graph = world.network.layer()
            ids, xy, ties = layout_nodes(graph, world.study.seed, groups=_groups(world))
            write_layout(self.folder, ids, xy, ties)
            shown_ids = ids
        else:
            shown_ids = layout["ids"]
        self.shown = choose_shown(shown_ids, world.state_columns, world.population)
        write_meta(self.folder, self.shown, world.n_agents)
        self.frames = LiveWriter(self.folder, shown_ids.size, list(self.shown.columns))
        if shown_ids.size < world.n_agents:
            self.whole = WholeWriter(self.folder, self.shown)

    # -- at each step ----------------------------------------------------------------------------------------------

    def _requested(self) -> tuple[str, str]:
        """Return the status that someone asked for, "done" where nobody did, and why."""
        if self._wanted is not None:
            return self._wanted
        if self.worker.stopping:
            return "paused", "the worker was asked to end; resume the run to go on"
        now = time.monotonic()
        if now - self._polled_at < POLL_S:
            return "done", ""
        self._polled_at = now
        requests = self.catalog.requests()
        wanted = [request for request in requests if request.verb not in (INJECT, ANSWER)]
        self.injections.wait([request for request in requests if request.verb == INJECT])
        if not wanted:
            return "done", ""
        self.catalog.take(wanted)
        verbs = {request.verb for request in wanted}
        return ("cancelled", "cancelled") if "cancel" in verbs else ("paused", "")

    def _must_stop(self) -> bool:
        """Tell a question to the language model, which may take long, whether someone wants the run to end or rest."""
        if self._wanted is None:
            status, message = self._requested()
            self._wanted = (status, message) if status != "done" else None
        return self._wanted is not None

    def _publish(self) -> None:
        """Make all steps so far durable, for a person who is asked in the middle of the next one."""
        if self._latest is not None:
            self._submit(*self._latest, checkpoint=False)
            self.committer.wait()
            self._say(step=self._latest[1].step)

    def _rest(self, reason: str) -> None:
        """Let the run rest at the question that it has come to."""
        self._wanted = ("paused", reason)

    def _commit_if_due(self, recorder: Recorder, record: StepRecord, status: str) -> None:
        if status != "done":
            return  # the loop ends here, and its end commits
        now = time.monotonic()
        checkpoint = self._checkpoint_due(record, now)
        full = recorder.rows >= COMMIT_ROWS or now - self._committed_at >= COMMIT_S
        if record.step == 0 or checkpoint or full:
            self._submit(recorder, record, checkpoint)

    def _checkpoint_due(self, record: StepRecord, now: float) -> bool:
        every = record.world.study.record.checkpoint_every
        if every is not None:
            return record.step > 0 and record.step % every == 0
        steps, seconds = record.step - max(self._checkpointed_step, 0), now - self._checkpointed_at
        if not record.recorded or record.step == 0:
            return False
        pause = max(1.0, 20 * self.committer.checkpoint_s)
        return seconds >= CHECKPOINT_S or (steps >= CHECKPOINT_STEPS and seconds >= pause)

    def _submit(self, recorder: Recorder, record: StepRecord, checkpoint: bool) -> None:
        content = recorder.take()
        if content is None:
            return
        hits = self._hits_before + record.world.counts["cache_hits"]
        taken: Checkpoint | None = None
        if checkpoint:
            note = {**recorder.get_note(record), "cache_hits": hits}
            taken = Checkpoint(record.step, record.world.get_state(), record.digest, note)
            self._checkpointed_step, self._checkpointed_at = record.step, time.monotonic()
        status = {"digest": record.digest, "cache_hits": hits, **self.progress.totals()}
        self.committer.submit(replace(content, status=status, written=self._start_segments), taken)
        self._start_segments = []
        self._committed_at = time.monotonic()

    def _show(self, record: StepRecord) -> None:
        if self.frames is None or self.shown is None:
            return
        now = time.monotonic()
        last = record.step == record.world.study.steps or bool(record.stopped)
        if self.whole is not None:
            self.whole.write(record.step, record.world.population, record.world.left, last=last)
        if now - self._frame_at >= FRAME_S or last:
            self.frames.write(record.step, self.shown.encode(record.world.population))
            self._frame_at = now


def _groups(world: World) -> NDArray[np.int64] | None:
    """Return each agent's group for drawing the picture's part of them: the first state column of categories."""
    for name, column in world.state_columns.items():
        if column.kind in ("category", "boolean"):
            return np.asarray(world.population[name], np.int64)
    return None
