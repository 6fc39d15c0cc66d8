"""The journal of a run: what entered from outside, durable before it is used."""

from __future__ import annotations

from collections.abc import Sequence

from engine.errors import RunError
from engine.spec import InterventionSpec
from engine.store.catalog import CACHED, OWN, Catalog, Request, put_journal

INJECT = "inject"


class RunJournal:
    """The journal in a run's catalog; a killed worker finds in it all that it had learnt."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def find(self, step: int, call: int, kind: str, key: str) -> bytes | None:
        """Return a journalled value, or None."""
        return self.catalog.find_journal(step, call, kind, key)

    def append(
        self, step: int, call: int, kind: str, entries: Sequence[tuple[str, bytes]], *, cached: bool = False
    ) -> None:
        """Store values; they are on the disk when this returns.

        Raises:
            StorageFull: the disk took no more.
        """
        self.catalog.append_journal(step, call, kind, entries, CACHED if cached else OWN)


class ReadOnlyJournal(RunJournal):
    """The journal for a replay, which must find everything in it."""

    def append(
        self, step: int, call: int, kind: str, entries: Sequence[tuple[str, bytes]], *, cached: bool = False
    ) -> None:
        """Refuse: a replay learns nothing new.

        Raises:
            RunError: always.
        """
        raise RunError(f"the run's journal holds no {kind} for step {step}, so the run cannot be replayed beyond it")


class Injections:
    """Interventions that came from outside, each tied for ever to the step at which it first acted."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._steps = {int(s) for (s,) in catalog.select("select distinct step from journal where kind = ?", (INJECT,))}
        self._waiting: list[Request] = []

    def wait(self, requests: Sequence[Request]) -> None:
        """Let requests act at the next step boundary."""
        known = {request.id for request in self._waiting}
        self._waiting += [request for request in requests if request.id not in known]

    def __call__(self, at: int) -> list[InterventionSpec]:
        """Return the interventions that were injected on the state at step `at`: journalled ones, then new ones."""
        texts = [value for _, value in self.catalog.journal_of(at, INJECT)] if at in self._steps else []
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            entries = [(f"{request.id:09d}", request.argument.encode()) for request in waiting]
            with self.catalog.transaction() as connection:
                put_journal(connection, at, 0, INJECT, entries)
                connection.executemany("update control set taken = 1 where id = ?", [(r.id,) for r in waiting])
            self._steps.add(at)
            texts += [value for _, value in entries]
        return [InterventionSpec.model_validate_json(text) for text in texts]
