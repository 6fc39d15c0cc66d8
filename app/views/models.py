"""Models: which language models are at hand, what they need, fetching one, and trying one out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from app import session
from app.actions import attempt, show_attempt
from app.forms import safe
from app.model_work import Fetch, forget_fetch, list_fetches, run_models, start_fetch, stop_fetch
from app.notices import LANGUAGE_NOTICE, show_model_notice
from app.terminal import as_duration, as_size
from engine.errors import MicrocosmError
from engine.llm.devices import BUILDS, REBUILD
from engine.llm.models import list_models

TICK_S = 1.0
FIRST_QUESTION = "Your neighbour asks whether you will help to clean the park on Saturday. Do you help?"
FACTS = {"n_params": "parameters", "n_layers": "layers", "context": "context", "licence": "licence", "template": "chat"}


def show() -> None:
    """Draw the page."""
    workspace = session.workspace()
    files = tuple((name, _stamp(workspace.models / name)) for name in list_models(workspace.models))
    try:
        with st.spinner("Reading the model files"):
            rows = _rows(str(workspace.path), files)
    except MicrocosmError as error:
        st.error(safe(error))
        rows = []
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Language models")
        chosen = _table(rows)
        if chosen is not None:
            _facts(chosen)
    with right:
        st.subheader("Fetch another")
        _fetch_form()
        _fetches()
    if chosen is not None and not chosen["problem"]:
        st.divider()
        _playground(str(chosen["model"]))


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@st.cache_data(show_spinner=False, max_entries=8)
def _rows(workspace: str, files: tuple[tuple[str, tuple[int, int]], ...]) -> list[dict[str, Any]]:
    return run_models(session.workspace(), "list")


@st.cache_data(show_spinner=False, max_entries=32)
def _info(workspace: str, model: str, size_bytes: int) -> dict[str, Any]:
    return run_models(session.workspace(), "info", model)[0]


def _table(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Draw the list and return the chosen row."""
    if not rows:
        st.caption(safe(f"No model file yet. Fetch one, or put GGUF files into {session.workspace().models}."))
        return None
    shown = [
        {
            "model": row["model"],
            "kind": row.get("architecture", ""),
            "format": row.get("quantization", ""),
            "size": as_size(row["size_bytes"]),
            "needs": as_size(row["memory_bytes"]),
            "fits here": "cannot be read" if row["problem"] else "yes" if row["fits"] else "no",
        }
        for row in rows
    ]
    picked = st.dataframe(
        shown,
        hide_index=True,
        key="model_table",
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
        height=min(38 + 35 * len(shown), 260),
        alt="Model files with architecture, size and memory need",
    )
    numbers = picked.selection.rows if picked is not None else []
    row = rows[numbers[0]] if numbers and numbers[0] < len(rows) else rows[0]
    if row["problem"]:
        st.error(safe(row["problem"]))
    return row


def _facts(row: dict[str, Any]) -> None:
    if row["problem"]:
        return
    st.markdown(f"**{safe(row['name'])}**")
    if row["description"]:
        st.caption(safe(row["description"]))
    show_model_notice(str(row["model"]))
    words = [f"{word}: {_word(row[name])}" for name, word in FACTS.items() if row[name] not in ("", None)]
    st.caption(safe(" · ".join(words)))
    try:
        with st.spinner("Computing its checksum"):
            info = _info(str(session.workspace().path), str(row["model"]), int(row["size_bytes"]))
    except MicrocosmError as error:
        st.error(safe(error))
        return
    card = info["gpu"]
    layers = "all layers" if info["gpu_layers_suggested"] == -1 else f"{info['gpu_layers_suggested']} layers"
    where = f"{layers} fit on {card}" if card else "no graphics card that this build of llama.cpp can use"
    st.caption(
        safe(
            f"Memory: needs {as_size(info['memory_bytes'])} (context {as_size(info['context_bytes'])}); "
            f"{as_size(info['memory_available_bytes'])} is available; {where}."
        )
    )
    st.code(f"sha256 {info['sha256']}", language=None, wrap_lines=True)
    with st.expander("Use a graphics card", icon=":material/memory:"):
        st.caption(
            "llama.cpp is compiled for one kind of card; install its maker's build tools, then run in a terminal:"
        )
        st.code("\n".join(f"{options} {REBUILD}  # {card}" for card, options in BUILDS.items()), language="sh")
        st.caption("`microcosm doctor` says which devices the installed build can use.")


def _word(value: Any) -> str:
    return (
        "yes" if value is True else "no" if value is False else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _fetch_form() -> None:
    with st.form("fetch", border=False):
        what = st.text_input(
            "Model on the hub, or an address",
            key="fetch_what",
            placeholder="OWNER/REPOSITORY/FILE.gguf",
            help="A file of a Hugging Face repository, or an https address that ends in .gguf. Only this asks the web.",
        )
        sha256 = st.text_input(
            "sha256, if you know it", key="fetch_sha", help="The hub's own checksum is compared where it gives one."
        )
        if st.form_submit_button("Fetch", icon=":material/download:") and what.strip():
            attempt(start_fetch, session.workspace(), what.strip(), sha256.strip())
    show_attempt()


def _fetches() -> None:
    goes_on = any(fetch.is_running for fetch in list_fetches(session.workspace()))
    st.fragment(_draw_fetches, run_every=TICK_S if goes_on else None)(goes_on)


def _draw_fetches(went_on: bool) -> None:
    fetches = list_fetches(session.workspace())
    if any(fetch.is_running for fetch in fetches) != went_on:
        st.rerun(scope="app")
    if not fetches:
        st.caption("Nothing is being fetched. A broken fetch goes on where it stopped.")
    for number, fetch in enumerate(fetches[:5]):
        _draw_fetch(number, fetch)


def _draw_fetch(number: int, fetch: Fetch) -> None:
    if fetch.is_running:
        share = fetch.done_bytes / fetch.total_bytes if fetch.total_bytes else 0.0
        left = f", {as_duration(fetch.remaining_s)} left" if fetch.remaining_s is not None else ""
        of = f" of {as_size(fetch.total_bytes)}" if fetch.total_bytes else ""
        rate = f"{as_size(fetch.done_bytes)}{of}, {as_size(fetch.bytes_per_s)}/s{left}"
        st.progress(min(share, 1.0), text=safe(f"{fetch.what}: {rate}"))
        st.button("Stop", key=f"stop_fetch_{number}", on_click=stop_fetch, args=(fetch,))
    elif fetch.path:
        st.success(safe(f"{Path(fetch.path).name} is ready."))
        st.button("Put away", key=f"forget_fetch_{number}", on_click=forget_fetch, args=(fetch,))
    else:
        st.error(safe(f"{fetch.what}: {fetch.problem}"))
        with st.container(horizontal=True):
            st.button("Go on", key=f"again_{number}", on_click=_again, args=(fetch,))
            st.button("Put away", key=f"forget_fetch_{number}", on_click=forget_fetch, args=(fetch,))


def _again(fetch: Fetch) -> None:
    forget_fetch(fetch)
    attempt(start_fetch, session.workspace(), fetch.what)


def _playground(model: str) -> None:
    st.subheader("Try it")
    asking, answering = st.columns([3, 2], gap="large")
    with asking:
        prompt = st.text_area("What the model reads", FIRST_QUESTION, height=120, key="play_prompt", max_chars=8000)
        options = st.text_area("The answers it may give, one a line", "yes\nno", height=100, key="play_options")
        with st.container(horizontal=True):
            ask = st.button("Ask", key="play_ask", type="primary", icon=":material/psychology:")
            speed = st.button("Measure its speed", key="play_speed", icon=":material/speed:")
    with answering:
        if ask:
            given = [f"--option={line.strip()}" for line in options.splitlines() if line.strip()]
            _try(model, "play_answer", "--no-speed", f"--ask={prompt}", *given)
        if speed:
            _try(model, "play_rates")
        held = session.recall("play_answer")
        if held is not None and held["model_file"] == model:
            _answers(held)
        rates = session.recall("play_rates")
        if rates is not None and rates["model_file"] == model:
            _rates(rates)
        if held is None and rates is None:
            st.caption("Ask, and each answer's probability stands here, read from the model and not from its text.")


def _try(model: str, place: str, *words: str) -> None:
    try:
        with st.spinner("Loading the model and asking it"):
            result = run_models(session.workspace(), "test", model, *words)[0]
    except MicrocosmError as error:
        st.error(safe(error))
        return
    session.remember(place, result | {"model_file": model})


def _answers(held: dict[str, Any]) -> None:
    for row in held["answers"]:
        st.progress(row["p"], text=safe(f"{row['option']}: {row['p']:.1%}"))
    mass = held["answers"][0]["mass"]
    st.caption(
        safe(
            f"Before scaling to 100 %, these answers had {mass:.2%} of all that {held['model']} might have said. "
            + LANGUAGE_NOTICE
        )
    )


def _rates(rates: dict[str, Any]) -> None:
    st.caption(
        safe(
            f"{rates['decisions_per_s']:,.0f} decisions a second ({rates['shared_tokens']} shared and "
            f"{rates['own_tokens']} own tokens, two answers), {rates['read_tokens_per_s']:,.0f} tokens read and "
            f"{rates['written_tokens_per_s']:,.0f} written a second; loaded in {rates['load_s']:.2f} s."
        )
    )
    if rates["text"]:
        st.caption(safe(f"It wrote: {rates['text']}"))


if __name__ == "__main__":
    show()
