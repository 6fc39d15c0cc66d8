"""Third part: who is tied to whom, with a picture and the figures that matter."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import streamlit as st
from pydantic import ValidationError

from app import session
from app.composer.people import people_of
from app.composer.ties_fields import FIELDS
from app.composer.ties_likeness import show_likeness
from app.composer.ties_preview import Look, look_at
from app.composer.ties_weights import show_weights
from app.drafts import Draft, problem_at
from app.figures import PLOT_OPTIONS, plot_degrees, plot_network
from app.forms import Problems, choice_field, model_fields, safe, show_problems, switch_field, text_field
from engine import registry
from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.population import Column

MOST_OPEN = 2
"""Layers whose forms are all shown at once."""
WORDS = {
    "erdos_renyi": "Random ties (Erdős–Rényi)",
    "watts_strogatz": "Small world (Watts–Strogatz)",
    "barabasi_albert": "Hubs by preferential attachment (Barabási–Albert)",
    "stochastic_block": "Groups (stochastic block)",
    "configuration": "Given numbers of ties (configuration)",
    "ring": "Ring",
    "grid": "Grid",
    "caveman": "Cliques (caveman)",
    "complete": "Everyone with everyone",
    "homophily": "Birds of a feather (homophily)",
    "relations": "Who knows whom by the persona pack",
    "spatial": "Neighbours in space (random geometric)",
    "households": "Households",
    "groups": "Workplaces, classes and other places",
    "file": "A file of observed ties",
}


def show_ties(draft: Draft, problems: Problems) -> None:
    """Draw the layers' generators and the preview of one layer."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        prefix = show_layers(draft, problems)
    with right:
        _preview(draft, prefix, problems)


def choose_layer(draft: Draft) -> str:
    """Return the key of the layer that is shown; where there are several, one is chosen."""
    prefixes = layer_prefixes(draft)
    if len(prefixes) == 1:
        return prefixes[0]
    names = [f"{place + 1}: {draft.get(f'{prefix}.name') or 'without a name'}" for place, prefix in enumerate(prefixes)]
    held = session.value_of("preview_layer")
    if held is not None and held >= len(prefixes):
        session.set_value("preview_layer", len(prefixes) - 1)
    chosen = st.selectbox(
        f"Layer, of {len(prefixes)}", range(len(prefixes)), format_func=names.__getitem__, key="preview_layer"
    )
    return prefixes[chosen]


def show_layers(draft: Draft, problems: Problems) -> str:
    """Draw the forms of the layers and what adds and removes them; return the key of the layer that is shown.

    Up to `MOST_OPEN` layers have their forms one below the other; of more, only the chosen one has.
    """
    prefixes = layer_prefixes(draft)
    shown = choose_layer(draft)
    for place, prefix in enumerate(prefixes):
        if prefix == shown or len(prefixes) <= MOST_OPEN:
            _layer(draft, prefix, problems, place if len(prefixes) > 1 else None)
        elif problem_at(problems, prefix):
            st.markdown(f"**Layer {place + 1}**")
            show_problems(problems, prefix)
    st.button(
        "Add a layer of ties",
        key="add_layer",
        icon=":material/layers:",
        type="tertiary",
        on_click=lambda: _change_layers(_add_layer, len(prefixes)),
    )
    return shown


def _layer(draft: Draft, prefix: str, problems: Problems, place: int | None) -> None:
    """Draw the form of a layer; one among several has a heading, a name, and a button that removes it."""
    if place is not None:
        st.markdown(f"**Layer {place + 1}**")
        text_field(draft, f"{prefix}.name", "Name of the layer")
    _generator(draft, prefix, problems)
    if place is not None:
        st.button(
            "Remove this layer",
            key=f"drop_layer_{place}",
            icon=":material/layers_clear:",
            type="tertiary",
            on_click=lambda: _change_layers(partial(_drop_layer, place=place), max(place - 1, 0)),
        )


def _change_layers(change: Callable[[Draft], None], shown: int) -> None:
    """Change the layers of the draft, and show one of them."""
    session.change_draft(change)
    session.set_value("preview_layer", shown)


def layer_prefixes(draft: Draft) -> list[str]:
    """Return the dotted key of each layer: `network`, or `network.layers.0` and so on."""
    layers = draft.get("network.layers")
    return [f"network.layers.{place}" for place in range(len(layers))] if layers else ["network"]


def _generator(draft: Draft, prefix: str, problems: Problems) -> None:
    kinds = list(registry.networks)
    kind = draft.get(f"{prefix}.kind", "complete")
    key = session.field_key(f"{prefix}.kind")

    def change() -> None:
        kept = {name: draft.get(f"{prefix}.{name}") for name in ("name", "agent_columns")}
        fresh = {"kind": session.value_of(key)} | {name: value for name, value in kept.items() if value}
        session.change_draft(lambda held: held.put(prefix, fresh))

    choice_field(
        draft,
        f"{prefix}.kind",
        "Kind of network",
        kinds,
        kind,
        words=lambda name: WORDS.get(name, name),
        help=f"`{prefix}.kind`",
        on_change=change,
    )
    show_problems(problems, f"{prefix}.kind")
    if kind in registry.networks:
        generator = registry.networks.get(kind)
        st.caption(safe(generator.help))
        if kind == "homophily":
            show_likeness(draft, prefix, columns_of(draft), problems)
        elif kind in FIELDS:
            FIELDS[kind](draft, prefix, generator.params, columns_of(draft), problems)
        else:
            model_fields(generator.params, prefix, draft, problems, per_row=2)
        switch_field(
            draft,
            f"{prefix}.shuffle",
            "Shuffle the ties (a null control)",
            help=f"Everyone keeps the number of ties, and nothing else of the network is kept. `{prefix}.shuffle`",
        )
        show_problems(problems, f"{prefix}.shuffle")
        signed = scenario_info(str(draft.get("scenario"))).signed_ties
        show_weights(draft, prefix, columns_of(draft), problems, may_be_signed=signed)


def columns_of(draft: Draft) -> dict[str, Column]:
    """Return the columns of a draft's people; none while they cannot be built."""
    try:
        return dict(people_of(draft).columns)
    except (MicrocosmError, ValidationError, TypeError):
        return {}


def _add_layer(draft: Draft) -> None:
    held = draft.get("network") or {"kind": "complete"}
    layers = held.get("layers") or [{"name": "ties", **held}]
    draft.put("network", {"layers": [*layers, {"name": f"layer {len(layers) + 1}", "kind": "ring"}]})


def _drop_layer(draft: Draft, place: int) -> None:
    layers = [layer for index, layer in enumerate(draft.get("network.layers")) if index != place]
    draft.put("network", layers[0] if len(layers) == 1 else {"layers": layers})


def _preview(draft: Draft, prefix: str, problems: Problems) -> None:
    try:
        look = look_at(draft, prefix)
    except (MicrocosmError, ValidationError, ValueError, TypeError) as error:
        st.caption("The picture appears when the settings on the left hold together.")
        if isinstance(error, MicrocosmError) and not problem_at(problems, prefix):
            st.markdown(f":red[{safe(error)}]")
        return
    show_figures(look)
    show_pictures(look)
    st.page_link("views/network.py", label="All about these ties, and edits by hand", icon=":material/share:")


def show_figures(look: Look) -> None:
    """Draw the four figures that matter most, and what part of the study they are taken from."""
    cells = st.columns(4)
    found = look.figures
    cells[0].metric("Ties", f"{found['ties']:,.0f}")
    cells[1].metric("Mean ties of an agent", f"{found['mean degree']:.1f}")
    cells[2].metric("Components", f"{found['components']:,.0f}", help="Parts of the network without a tie between them")
    cells[3].metric(
        "Clustering",
        f"{found['clustering']:.3f}",
        help="How often two neighbours of an agent are tied to each other, averaged over agents",
    )
    if not look.whole:
        st.caption(
            f"A preview: the network is drawn among the first {look.graph.n:,} of the {look.size:,} agents. A run "
            "draws it among all of them."
        )


def show_pictures(look: Look) -> None:
    """Draw the picture and the distribution of degrees."""
    dark = session.is_dark()
    picture, degrees = st.columns([3, 2])
    with picture:
        st.plotly_chart(
            plot_network(look.xy, look.ties, dark=dark, height=330),
            key="preview_network",
            config={**PLOT_OPTIONS, "displayModeBar": False},
            alt="Picture of the network",
        )
    with degrees:
        st.plotly_chart(
            plot_degrees(look.graph.degree(), dark=dark, height=330),
            key="preview_degrees",
            config={**PLOT_OPTIONS, "displayModeBar": False},
            alt="How many agents have how many ties",
        )
