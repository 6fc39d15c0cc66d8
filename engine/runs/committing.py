"""Commit in the background: while one segment is being written, the simulation fills the next."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType

from engine.runs.checkpoints import Checkpoint, thin_checkpoints, write_checkpoint
from engine.store.catalog import Catalog
from engine.store.segments import Commit, commit, merge_segments


class Committer:
    """Writes commits one after another on a thread of its own, at most one behind; use in a `with` block.

    Attributes:
        checkpoint_s: What the last checkpoint took to write.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._pending: Future[None] | None = None
        self.checkpoint_s = 0.0

    def __enter__(self) -> Committer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)

    def submit(self, content: Commit, checkpoint: Checkpoint | None = None) -> None:
        """Hand over a commit, after the one before it is done.

        Raises:
            StorageFull: the disk refused the commit before.
        """
        self.wait()
        self._pending = self._pool.submit(self._write, content, checkpoint)

    def wait(self) -> None:
        """Wait until everything handed over is durable.

        Raises:
            StorageFull: the disk refused it.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, content: Commit, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None:
            began = time.perf_counter()
            content = replace(content, checkpoint=write_checkpoint(self._catalog.folder, checkpoint))
            self.checkpoint_s = time.perf_counter() - began
        commit(self._catalog, content)
        for name in content.tables:
            while merge_segments(self._catalog, name):
                pass
        if checkpoint is not None:
            thin_checkpoints(self._catalog)
