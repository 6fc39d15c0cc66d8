"""The queue of an experiment on a page: how far it is, its rate, the time that is left, and rest or go on."""

from __future__ import annotations

import time

import streamlit as st

from app import session
from app.actions import attempt, n_workers, show_attempt
from app.composer.plan import duration
from app.consent import attempt_with_consent, consent_is_wanted
from app.forms import safe
from app.reading import SETTLED, all_runs
from engine.experiment import (
    QueueStatus,
    expand_arms,
    pause_experiment,
    queue_status,
    read_experiment,
    start_experiment,
)

TICK_S = 1.0
RESTING = ("paused", "interrupted", "cancelled", "failed")


def show_queue(experiment: str, n_drawn: int) -> None:
    """Draw the queue; it ticks while runs go on, and is one line when all are done.

    Args:
        experiment: Its id.
        n_drawn: Finished runs that the page shows; as soon as there are more, the page is drawn again.
    """
    goes_on = _goes_on(_status(experiment))
    st.fragment(_queue, run_every=TICK_S if goes_on else None)(experiment, n_drawn, goes_on)


def _status(experiment: str) -> QueueStatus:
    """Return the queue's status; runs whose files did not change are not read again."""
    known = {info.folder: info for info in all_runs(session.workspace()) if info.status in SETTLED}
    return queue_status(session.workspace(), experiment, known)


def _goes_on(status: QueueStatus) -> bool:
    return not status.is_finished and status.workers > 0


def _queue(experiment: str, n_drawn: int, went_on: bool) -> None:
    status = _status(experiment)
    if consent_is_wanted() or status.n_done > n_drawn or _goes_on(status) != went_on:
        st.rerun(scope="app")
    if status.n_done == status.n_runs:
        st.caption(safe(words_of(status, None)) + ".")
        return
    bar, buttons = st.columns([5, 1], vertical_alignment="center")
    with bar:
        st.progress(status.n_done / max(status.n_runs, 1), text=safe(words_of(status, _runs_per_minute(experiment))))
    with buttons:
        if _goes_on(status):
            st.button("Pause", key="pause_queue", icon=":material/pause:", on_click=attempt, args=(_pause, experiment))
        elif status.n_done < status.n_runs:
            st.button("Go on", key="go_on", icon=":material/play_arrow:", on_click=_go_on, args=(experiment,))
    show_attempt()
    for info in status.failed[:3]:
        st.error(safe(f"{info.arm or 'run'}, replicate {info.replicate}, failed: {info.message}"))


def words_of(status: QueueStatus, runs_per_minute: float | None) -> str:
    """Return how far a queue is in one line."""
    parts = [f"{status.n_done} of {status.n_runs} runs are done"]
    parts += [f"{n} {name}" for name, n in status.counts.items() if name in RESTING or name == "running"]
    if _goes_on(status):
        if runs_per_minute:
            parts.append(f"{runs_per_minute:.3g} runs a minute")
        if status.remaining_s is not None:
            parts.append(f"{duration(status.remaining_s)} left")
    return " · ".join(parts)


def _runs_per_minute(experiment: str) -> float | None:
    """Return how many runs ended a minute over the last two minutes, None while none has."""
    own = [info for info in all_runs(session.workspace()) if info.experiment_id == experiment and info.ended_at]
    now = time.time()
    ended = [float(info.ended_at or 0) for info in own if now - float(info.ended_at or 0) < 120]
    if not ended:
        return None
    began = min(float(info.started_at or now) for info in own if float(info.ended_at or 0) in ended)
    return 60 * len(ended) / max(now - began, 1.0)


def _pause(experiment: str) -> None:
    pause_experiment(session.workspace(), experiment)


def _go_on(experiment: str) -> None:
    """Take the rest of an experiment up again, after the consent that its arms need."""
    attempt(_ask_and_go_on, experiment)


def _ask_and_go_on(experiment: str) -> None:
    found = read_experiment(session.workspace(), experiment)
    attempt_with_consent(found.study, _take_up, experiment, base=found.base)


def _take_up(experiment: str) -> None:
    found = read_experiment(session.workspace(), experiment)
    arms = [arm for _, arm in expand_arms(found.study, session.workspace().personas, found.base)]
    start_experiment(found, n_workers(arms, len(found.folders)))
