"""Ties by hand: choose agents in the picture, tie them, cut their ties, name them a group; every edit in the study."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from pydantic import ValidationError

from app import session
from app.components.ties_canvas import ties_canvas
from app.composer.ties_near import MOST_EDITED, near_look
from app.composer.ties_preview import Look, read_agents
from app.drafts import Draft
from app.figures import CATEGORICAL, RAMP, colour
from app.forms import Problems, safe, show_problems, title_of
from engine.errors import MicrocosmError
from engine.population.schema import name_problem

MOST_TIED = 12
CANVAS = 480
NEAR_CANVAS = 400
SHOWN_EDITS = 12
MOST_LISTED = 100


def show_editing(draft: Draft, prefix: str, look: Look, problems: Problems) -> None:
    """Draw the picture to choose in, and what can be done with those who are chosen."""
    left, right = st.columns([5, 3], gap="large")
    with right:
        column = _colour_column(look)
    with left:
        look = _part(draft, prefix, look)
        chosen = [agent for agent in session.recall("ties_chosen", []) if agent < look.graph.n]
        _canvas(look, chosen, column)
    with right:
        _choose_by_number(chosen, look)
        if look.whole:
            _tie_and_cut(draft, prefix, look, chosen)
        else:
            st.caption(
                f"The picture holds {look.graph.n:,} of {look.size:,} agents, so its ties are not those of a run: ties "
                f"are edited by hand up to {MOST_EDITED:,} agents. Groups can be named."
            )
        _name_group(draft, chosen)
        _held_edits(draft, prefix)
        _held_groups(draft)
        for key in (f"{prefix}.add", f"{prefix}.cut", "population.groups"):
            show_problems(problems, key)


def _part(draft: Draft, prefix: str, look: Look) -> Look:
    """Return a neighbourhood of a network that is too large to be shown whole, else the look as it is."""
    if look.whole or look.size > MOST_EDITED:
        return look
    try:
        return near_look(draft, prefix, look)
    except (MicrocosmError, ValidationError, TypeError) as error:
        st.markdown(f":red[:material/error: {safe(error)}]")
        return look


def _colour_column(look: Look) -> str:
    names = ["", "community", *[name for name, column in look.people.columns.items() if column.kind != "text"]]
    return str(st.selectbox("Colour", names, format_func=lambda name: title_of(name) or "all alike", key="ties_colour"))


def _canvas(look: Look, chosen: list[int], column: str) -> None:
    colours, legend = node_colours(look, column)
    degree = look.graph.degree()[look.ids]
    widest = max(float(degree.max()), 1.0)
    least = float(np.clip(60 / np.sqrt(len(look.ids)), 1.6, 5))
    sizes = least * (1 + 1.2 * np.sqrt(degree / widest))
    sizes[np.isin(look.ids, look.focus)] *= 1.5
    foes = np.flatnonzero(foes_among(look))
    held = ties_canvas(
        look.ids,
        look.xy,
        look.ties,
        foes=foes,
        colours=colours,
        sizes=sizes.tolist(),
        legend=legend,
        selected=chosen,
        token=look.token,
        height=NEAR_CANVAS if look.focus else CANVAS,
        alt=f"Network of {look.graph.n} agents with {look.graph.n_ties} ties",
        on_choose=lambda: None,
        key="ties_canvas",
    )
    picked = getattr(held, "chosen", None)
    if picked is not None:
        found = [int(agent) for agent in picked["ids"]]
        if found != chosen:
            session.remember("ties_chosen", found)
            st.rerun()
    dashed = " Dashed ties are negative." if foes.size else ""
    st.caption(
        f"Click agents or draw a lasso to choose them; drag one to move it.{dashed} Places are not part of the study."
    )


def foes_among(look: Look) -> NDArray[np.bool_]:
    """Return which of the shown ties are negative, boolean (e,)."""
    found = np.zeros(len(look.ties), np.bool_)
    weights = look.graph.weights
    if weights is None or not look.graph.is_signed:
        return found
    for place, (first, second) in enumerate(look.ids[look.ties].tolist()):
        for source, target in ((first, second), (second, first)):
            if look.graph.has_tie(source, target):
                row = look.graph.indptr[source] + np.searchsorted(look.graph.neighbours(source), target)
                found[place] |= bool(weights[row] < 0)
    return found


def node_colours(look: Look, column: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return one colour per shown agent and the legend, by a column, the community, or nothing."""
    if not column:
        return [CATEGORICAL[0]] * len(look.ids), []
    if column == "community" and column not in look.people.columns:
        sizes = np.bincount(look.communities)
        rank = np.empty(sizes.size, np.int64)
        rank[np.argsort(-sizes, kind="stable")] = np.arange(sizes.size)
        places = rank[look.communities[look.ids]]
        shown = min(sizes.size, len(CATEGORICAL) - 1)
        legend = [(f"community {k + 1} ({count:,})", colour(k)) for k, count in enumerate(np.sort(sizes)[::-1][:shown])]
        more = [("smaller ones", "#9AA5A9")] if sizes.size > shown else []
        return [colour(k) if k < shown else "#9AA5A9" for k in places.tolist()], legend + more
    held, values = look.people.columns[column], look.people.values[column][look.ids]
    if held.kind in ("category", "boolean"):
        labels = list(held.labels) if held.kind == "category" else ["no", "yes"]
        codes = values.astype(np.int64)
        present = np.unique(codes).tolist()
        return [colour(code) for code in codes.tolist()], [(labels[code], colour(code)) for code in present[:12]]
    numbers = values.astype(np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    share = (numbers - low) / (high - low) if high > low else np.zeros(numbers.size)
    ends = np.array(RAMP, np.float64)
    places = np.linspace(0, 1, len(RAMP))
    mixed = np.stack([np.interp(share, places, ends[:, part]) for part in range(3)], axis=1).round().astype(int)
    legend = [(f"{low:g}", _rgb(RAMP[0])), (f"{high:g}", _rgb(RAMP[-1]))]
    return [_rgb(part) for part in mixed.tolist()], legend


def _rgb(parts: Sequence[float]) -> str:
    return f"rgb({', '.join(str(int(part)) for part in parts)})"


def _choose_by_number(chosen: list[int], look: Look) -> None:
    key = f"chosen_text_{hash(tuple(chosen))}"

    def take() -> None:
        found = read_agents(str(session.value_of(key) or ""), look)
        if isinstance(found, str):
            session.remember("ties_wrong", found)
        else:
            session.remember("ties_wrong", "")
            session.remember("ties_chosen", found)

    st.text_input(
        "Chosen agents",
        value=", ".join(map(str, chosen)) if len(chosen) <= MOST_LISTED else "",
        key=key,
        on_change=take,
        placeholder="0, 5, 9 or a condition: age > 60",
        help="Numbers, or a condition on the people's columns, as an alternative to clicking.",
    )
    if len(chosen) > MOST_LISTED:
        st.caption(f"{len(chosen):,} agents are chosen.")
    if session.recall("ties_wrong"):
        st.markdown(f":red[:material/error: {safe(session.recall('ties_wrong'))}]")


def _tie_and_cut(draft: Draft, prefix: str, look: Look, chosen: list[int]) -> None:
    pairs = list(itertools.combinations(chosen, 2)) if 2 <= len(chosen) <= MOST_TIED else []
    tied = [pair for pair in pairs if look.graph.has_tie(*pair) or look.graph.has_tie(pair[1], pair[0])]
    free = [pair for pair in pairs if pair not in tied]
    weight = None
    if draft.get(f"{prefix}.signed"):
        is_foe = st.toggle("New ties are negative", key="tie_as_foes", help="Between opponents: their weight is -1.")
        weight = -1.0 if is_foe else None
    add, cut = st.columns(2)
    add.button(
        f"Tie ({len(free)})" if free else "Tie",
        key="tie_chosen",
        icon=":material/add_link:",
        disabled=not free or look.graph.complete,
        help=f"Tie the chosen agents with each other (2 to {MOST_TIED}). `{prefix}.add`",
        on_click=session.change_draft,
        args=(partial(put_edits, prefix=prefix, add=free, cut=[], weight=weight),),
        width="stretch",
    )
    cut.button(
        f"Cut ({len(tied)})" if tied else "Cut",
        key="cut_chosen",
        icon=":material/link_off:",
        disabled=not tied,
        help=f"Cut the ties among the chosen agents. `{prefix}.cut`",
        on_click=session.change_draft,
        args=(partial(put_edits, prefix=prefix, add=[], cut=tied),),
        width="stretch",
    )


def put_edits(
    draft: Draft, prefix: str, add: list[tuple[int, int]], cut: list[tuple[int, int]], weight: float | None = None
) -> None:
    """Take ties by hand into a layer; a tie that was cut before and is added now is no edit any more, and reverse.

    With a weight for the added ties, those that were cut before stay cut and are added anew.
    """
    table = dict(draft.table(prefix))
    if not table:
        table = {"kind": "complete"}
    for key, other, new in (("add", "cut", add), ("cut", "add", cut)):
        wanted = {frozenset(pair) for pair in new if weight is None}
        undone = {frozenset(map(int, tie[:2])) for tie in table.get(other) or []} & wanted
        table[other] = [tie for tie in table.get(other) or [] if frozenset(map(int, tie[:2])) not in undone]
        ends = [[int(a), int(b)] for a, b in new if frozenset((a, b)) not in undone]
        fresh = [[*pair, weight] for pair in ends] if weight is not None and key == "add" else ends
        table[key] = [*(table.get(key) or []), *fresh]
    draft.put(prefix, {key: value for key, value in table.items() if key not in ("add", "cut") or value})


def _name_group(draft: Draft, chosen: list[int]) -> None:
    with st.form("name_group", clear_on_submit=True, border=False):
        words, button = st.columns([3, 2], vertical_alignment="bottom")
        name = words.text_input("Name the chosen agents", key="group_name", placeholder="inner_circle")
        named = button.form_submit_button("Make a group", icon=":material/group_add:", disabled=not chosen)
    if named:
        wrong = name_problem(name.strip())
        if wrong:
            st.markdown(f":red[:material/error: {safe(wrong)}]")
            return
        session.change_draft(partial(put_group, name=name.strip(), ids=chosen))
        st.rerun()


def put_group(draft: Draft, name: str, ids: list[int]) -> None:
    """Store a group: a yes/no column of the people, for conditions of interventions and networks."""
    draft.put("population.groups", {**draft.table("population.groups"), name: sorted(ids)})


def drop_group(draft: Draft, name: str) -> None:
    """Forget a group."""
    rest = {key: ids for key, ids in draft.table("population.groups").items() if key != name}
    draft.put("population.groups", rest or None)


def _held_edits(draft: Draft, prefix: str) -> None:
    edits = [(key, place, tie) for key in ("add", "cut") for place, tie in enumerate(draft.rows(f"{prefix}.{key}"))]
    if not edits:
        return
    with st.expander(f"Ties by hand ({len(edits)})", expanded=len(edits) <= SHOWN_EDITS, icon=":material/edit:"):
        for key, place, tie in edits[:SHOWN_EDITS]:
            words, button = st.columns([5, 1], vertical_alignment="center")
            words.markdown(
                ("Tied " if key == "add" else "Cut ")
                + safe(" and ".join(str(end) for end in tie[:2]))
                + (f", weight {tie[2]:g}" if len(tie) > 2 else "")
            )
            button.button(
                "", key=f"undo_{key}_{place}", icon=":material/undo:", help="Take this edit back", type="tertiary",
                on_click=session.change_draft, args=(partial(drop_edit, prefix=prefix, key=key, place=place),),
            )  # fmt: skip
        if len(edits) > SHOWN_EDITS:
            st.caption(f"and {len(edits) - SHOWN_EDITS} more")
        st.button("Take all back", key="drop_edits", on_click=session.change_draft, args=(partial(drop_edits, prefix),))


def drop_edit(draft: Draft, prefix: str, key: str, place: int) -> None:
    """Take one tie by hand back."""
    rows = [tie for index, tie in enumerate(draft.rows(f"{prefix}.{key}")) if index != place]
    draft.put(f"{prefix}.{key}", rows or None)


def drop_edits(prefix: str, draft: Draft) -> None:
    """Take all ties by hand of a layer back."""
    draft.put(prefix, {key: value for key, value in draft.table(prefix).items() if key not in ("add", "cut")})


def _held_groups(draft: Draft) -> None:
    groups = draft.table("population.groups")
    if not groups:
        return
    st.markdown("**Groups**")
    for name, ids in groups.items():
        words, choose, drop = st.columns([4, 1, 1], vertical_alignment="center")
        words.markdown(f"**{safe(name)}**: {len(ids):,} agents")
        choose.button(
            "", key=f"choose_group_{name}", icon=":material/visibility:", help="Show them", type="tertiary",
            on_click=session.remember, args=("ties_chosen", [int(agent) for agent in ids]),
        )  # fmt: skip
        drop.button(
            "", key=f"drop_group_{name}", icon=":material/delete:", help="Forget this group", type="tertiary",
            on_click=session.change_draft, args=(partial(drop_group, name=name),),
        )  # fmt: skip
    st.caption(
        "Conditions of interventions, networks and filters can use them, for example: inner\\_circle and age > 40"
    )
