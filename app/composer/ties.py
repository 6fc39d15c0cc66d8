"""Third part: who is tied to whom, with a picture and the figures that matter."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from pydantic import ValidationError
from scipy import sparse
from scipy.sparse import csgraph

from app import session
from app.composer.people import people_of, seed_of
from app.drafts import Draft, problem_at
from app.figures import PLOT_OPTIONS, plot_degrees, plot_network
from app.forms import Problems, choice_field, model_fields, safe, show_problems, switch_field, text_field
from app.frames import spread_ring
from engine import registry
from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.network import Graph, build_network, layout_nodes
from engine.population import Population
from engine.spec import LayerSpec

PREVIEW_AGENTS = 1000
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
    prefixes = layer_prefixes(draft)
    with left:
        for number, prefix in enumerate(prefixes):
            if len(prefixes) > 1:
                st.markdown(f"**Layer {number + 1}**")
                text_field(draft, f"{prefix}.name", "Name of the layer")
            _generator(draft, prefix, problems)
            if len(prefixes) > 1:
                st.button(
                    "Remove this layer",
                    key=f"drop_layer_{number}",
                    on_click=session.change_draft,
                    args=(partial(_drop_layer, place=number),),
                )
        st.button(
            "Add a layer of ties",
            key="add_layer",
            icon=":material/layers:",
            type="tertiary",
            on_click=session.change_draft,
            args=(_add_layer,),
        )
    with right:
        chosen = 0
        if len(prefixes) > 1:
            names = [str(draft.get(f"{prefix}.name") or f"layer {i + 1}") for i, prefix in enumerate(prefixes)]
            chosen = names.index(st.selectbox("Show", names, key="preview_layer"))
        _preview(draft, prefixes[chosen], problems)


def layer_prefixes(draft: Draft) -> list[str]:
    """Return the dotted key of each layer: `network`, or `network.layers.0` and so on."""
    layers = draft.get("network.layers")
    return [f"network.layers.{place}" for place in range(len(layers))] if layers else ["network"]


def _generator(draft: Draft, prefix: str, problems: Problems) -> None:
    kinds = list(registry.networks)
    kind = draft.get(f"{prefix}.kind", "complete")
    key = session.field_key(f"{prefix}.kind")

    def change() -> None:
        name = draft.get(f"{prefix}.name")
        fresh = {"kind": session.value_of(key)} | ({"name": name} if name else {})
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
        choices = {"column": like_columns(draft)} if kind == "homophily" else {}
        model_fields(generator.params, prefix, draft, problems, per_row=2, choices=choices)
        switch_field(
            draft,
            f"{prefix}.shuffle",
            "Shuffle the ties (a null control)",
            help=f"Everyone keeps the number of ties, and nothing else of the network is kept. `{prefix}.shuffle`",
        )
        show_problems(problems, f"{prefix}.shuffle")


def like_columns(draft: Draft) -> list[str]:
    """Return the columns in which tied agents can be alike: the people's categories and numbers."""
    try:
        people = people_of(draft)
    except (MicrocosmError, ValidationError, TypeError):
        return []
    return [name for name, column in people.columns.items() if column.kind != "text" and name != "source_row"]


def _add_layer(draft: Draft) -> None:
    held = draft.get("network") or {"kind": "complete"}
    layers = held.get("layers") or [{"name": "ties", **held}]
    draft.put("network", {"layers": [*layers, {"name": f"layer {len(layers) + 1}", "kind": "ring"}]})


def _drop_layer(draft: Draft, place: int) -> None:
    layers = [layer for index, layer in enumerate(draft.get("network.layers")) if index != place]
    draft.put("network", layers[0] if len(layers) == 1 else {"layers": layers})


def _preview(draft: Draft, prefix: str, problems: Problems) -> None:
    scenario = scenario_info(str(draft.get("scenario")))
    size = draft.get("population.size") or scenario.defaults.get("population", {}).get("size") or 100
    if not isinstance(size, int) or size < 1:
        return
    table = {key: value for key, value in (draft.table(prefix)).items() if key != "layers"}
    try:
        people = people_of(draft)
        key = json.dumps([table, draft.table("population")], default=str)
        base = str(draft.path.parent)
        found = preview_network(key, min(size, people.n, PREVIEW_AGENTS), seed_of(draft), base, people)
    except (MicrocosmError, ValidationError, ValueError, TypeError) as error:
        st.caption("The picture appears when the settings on the left hold together.")
        if isinstance(error, MicrocosmError) and not problem_at(problems, prefix):
            st.markdown(f":red[{safe(error)}]")
        return
    _figures(found, size)


def _figures(found: dict[str, Any], size: int) -> None:
    cells = st.columns(4)
    cells[0].metric("Ties", f"{found['n_ties']:,}")
    cells[1].metric("Mean ties of an agent", f"{found['mean_degree']:.1f}")
    cells[2].metric("Components", f"{found['components']:,}", help="Parts of the network without a tie between them")
    clustering = found["clustering"]
    cells[3].metric(
        "Clustering",
        "–" if clustering is None else f"{clustering:.3f}",
        help="How often two neighbours of an agent are tied to each other, averaged over agents",
    )
    if found["n"] < size:
        st.caption(f"A preview with {found['n']:,} of the {size:,} agents.")
    dark = session.is_dark()
    picture, degrees = st.columns([3, 2])
    with picture:
        st.plotly_chart(
            plot_network(found["xy"], found["ties"], dark=dark, height=330),
            key="preview_network",
            config={**PLOT_OPTIONS, "displayModeBar": False},
            alt="Picture of the network",
        )
    with degrees:
        st.plotly_chart(
            plot_degrees(found["degrees"], dark=dark, height=330),
            key="preview_degrees",
            config={**PLOT_OPTIONS, "displayModeBar": False},
            alt="How many agents have how many ties",
        )


@st.cache_data(max_entries=16, show_spinner="Drawing the network")
def preview_network(key: str, n: int, seed: int, base: str, _people: Population) -> dict[str, Any]:
    """Build one layer for n agents and return its layout, degrees and figures.

    Args:
        key: The layer's table and the population's, as JSON; the cache goes by it.
        n: Number of agents.
        seed: Seed of the network.
        base: Folder that the path of a file of ties starts from.
        _people: At least n people, for networks that go by traits; not part of the cache's key.
    """
    held = json.loads(key)[0]
    name, kind, shuffle = held.pop("name", "ties"), held.pop("kind", "complete"), held.pop("shuffle", False)
    registry.discover()
    layer = LayerSpec(name=name, kind=kind, shuffle=shuffle, params=held)
    graph = build_network([layer], n, seed, Path(base), first_people(_people, n)).layer()
    ids, xy, ties = layout_nodes(graph, seed, 2000)
    components, clustering = (1, 1.0 if graph.n > 2 else None) if graph.complete else graph_figures(graph)
    return {
        "n": len(ids),
        "xy": spread_ring(xy),
        "ties": ties.astype(np.int64),
        "degrees": graph.degree(),
        "n_ties": int(graph.n_ties),
        "mean_degree": float(graph.degree().mean()),
        "components": components,
        "clustering": clustering,
    }


def first_people(people: Population, n: int) -> Population:
    """Return the first n people."""
    if people.n == n:
        return people
    part = Population(n)
    for name, column in people.columns.items():
        part.add(name, column, people.values[name][:n])
    return part


def graph_figures(graph: Graph) -> tuple[int, float | None]:
    """Return the number of components and the mean local clustering (None without two ties anywhere).

    Source: Watts and Strogatz (1998), Nature 393; agents with fewer than two ties count as 0.
    """
    ones = np.ones(len(graph.indices))
    rows = sparse.csr_matrix((ones, graph.indices.astype(np.int64), graph.indptr), shape=(graph.n, graph.n))
    components = int(csgraph.connected_components(rows, directed=False, return_labels=False))
    rows = rows.maximum(rows.T)
    degree = np.asarray(rows.sum(axis=1)).ravel()
    closed = np.asarray((rows @ rows).multiply(rows).sum(axis=1)).ravel()
    pairs = degree * (degree - 1)
    if not pairs.any():
        return components, None
    return components, float(np.divide(closed, pairs, out=np.zeros_like(closed), where=pairs > 0).mean())
