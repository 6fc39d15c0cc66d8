"""Ties from a file: upload it beside the study, say what its columns mean, take its attributes for the people."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from pydantic import ValidationError

from app import session
from app.composer.people import people_of
from app.drafts import Draft
from app.forms import Problems, safe, show_problems
from app.surveys import survey_file_name
from engine.errors import MicrocosmError, NetworkError
from engine.loading import scenario_info
from engine.network import Graph, read_node_columns
from engine.network.files import CSV_SUFFIXES, SUFFIXES, read_named, read_table
from engine.network.formats import is_matrix
from engine.network.matching import find_agents
from engine.population import Population
from engine.population.schema import name_problem

MOST_UPLOADED = 200_000_000
NUMBERS = "their numbers, 0 to n - 1"
NO_WEIGHT = "every tie counts the same"
MOST_LIST_COLUMNS = 6
"""A list with more columns is rather a survey: it is taken only where someone says so."""


def show_import(draft: Draft, prefix: str, problems: Problems) -> None:
    """Draw the upload, the choice among files that are there, and what the chosen one holds."""
    folder = draft.path.parent
    left, right = st.columns([2, 3], gap="large")
    with left:
        _upload(folder)
        files = list_networks(folder)
        if not files:
            st.caption("No file of ties is here yet. CSV needs a header with one column for each end of a tie.")
            return
        wanted = session.recall("ties_file") or draft.get(f"{prefix}.path") or likely_file(folder, files)
        name = st.selectbox(
            "File", files, index=files.index(wanted) if wanted in files else 0, key="ties_file_chosen",
            help="Files in the study's folder.",
        )  # fmt: skip
    with right:
        try:
            _chosen(draft, prefix, folder / name)
        except MicrocosmError as error:
            st.markdown(f":red[:material/error: {safe(error)}]")
        show_problems(problems, prefix)


def _upload(folder: Path) -> None:
    given = st.file_uploader(
        "Upload ties",
        type=[suffix.lstrip(".") for suffix in SUFFIXES],
        key="ties_upload",
        help="CSV list or matrix, GraphML, GEXF or Pajek; at most 200 MB. The file stays beside the study.",
    )
    if given is None or session.recall("ties_uploaded") == given.file_id:
        return
    if given.size > MOST_UPLOADED:
        st.markdown(":red[:material/error: The file has more than 200 MB. Put it into the studies folder yourself.]")
        return
    try:
        kept = keep_network(folder, given.name, given.getvalue())
    except MicrocosmError as error:
        st.markdown(f":red[:material/error: {safe(error)}]")
        return
    session.remember("ties_uploaded", given.file_id)
    session.remember("ties_file", kept)
    session.set_value("ties_file_chosen", kept)


def keep_network(folder: Path, given: str, content: bytes) -> str:
    """Write an uploaded file of ties into a folder and return its name there; the same file is kept once.

    Raises:
        NetworkError: it cannot be read as a network; then nothing is kept.
    """
    name = survey_file_name(given)
    stem, _, suffix = name.rpartition(".")
    if f".{suffix}" not in SUFFIXES:
        raise NetworkError(f"{name}: files of ties end in {', '.join(SUFFIXES)}; rename or convert it")
    number = 1
    while (path := folder / (name if number == 1 else f"{stem}_{number}.{suffix}")).exists():
        if path.stat().st_size == len(content) and path.read_bytes() == content:
            return path.name
        number += 1
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.stem}.part.{suffix}")
    temporary.write_bytes(content)
    try:
        if is_list(temporary):
            header = list_columns(temporary)
            if len(header) < 2:
                raise NetworkError(f"{name}: needs a header with two columns or more, one for each end of a tie")
            read_table(temporary, header[:2])
        else:
            read_named(temporary, directed=True, signed=True)
    except (NetworkError, OSError) as error:
        temporary.unlink()
        raise NetworkError(str(error).replace(temporary.name, name)) from None
    temporary.replace(path)
    return path.name


def list_networks(folder: Path) -> list[str]:
    """Return the names of the files of ties in a folder, sorted."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def likely_file(folder: Path, files: list[str]) -> str:
    """Return the file that most likely holds ties: a wide table, such as a survey, only where there is no other."""
    return next((name for name in files if not is_wide(folder / name)), files[0])


def is_wide(path: Path) -> bool:
    """Tell whether a CSV file has more columns than lists of ties have."""
    try:
        return is_list(path) and len(list_columns(path)) > MOST_LIST_COLUMNS
    except (NetworkError, OSError):
        return False


def is_list(path: Path) -> bool:
    """Tell whether a file is a CSV list of ties and no matrix."""
    return path.suffix.lower() in CSV_SUFFIXES and not is_matrix(path, ("source", "target"))


def list_columns(path: Path) -> list[str]:
    """Return the header of a CSV list.

    Raises:
        NetworkError: another encoding than UTF-8.
    """
    with path.open("rb") as file:
        head = file.readline(1_000_000)
    try:
        line = head.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise NetworkError(f"{path.name}: row 1 is not UTF-8; save the file with the encoding UTF-8") from None
    mark = max(",;\t", key=line.count)
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark), []) if cell.strip()]


def _chosen(draft: Draft, prefix: str, path: Path) -> None:
    people = _people(draft)
    table: dict[str, Any] = {"kind": "file", "path": path.name}
    if is_list(path):
        if is_wide(path):
            n = len(list_columns(path))
            st.caption(f"{safe(path.name)} has {n} columns and looks like a survey of people, not like a list of ties.")
        table |= _list_form(path)
    else:
        graph, names, _ = read_named(path, directed=True, signed=True)
        told = f"{graph.n:,} agents, {graph.n_ties:,} ties" + (", with weights" if graph.weights is not None else "")
        st.markdown(f"**{safe(path.name)}**: {told}")
        st.caption(safe(f"Its names: {', '.join(names[:6])}{' and so on' if len(names) > 6 else ''}"))
        if graph.is_signed:
            table |= _signed(draft)
    held = list(people.columns) if people is not None else []
    match = st.selectbox(
        "The file names people by", [NUMBERS, *held], key=f"match_{path.name}",
        help="Their numbers in the study, or the values of one column of the people.",
    )  # fmt: skip
    if match != NUMBERS:
        table["match"] = match
    st.button(
        "Use these ties",
        key="use_ties",
        type="primary",
        icon=":material/share:",
        on_click=session.change_draft,
        args=(partial(put_file, prefix=prefix, table=table, path=path),),
    )
    if not is_list(path):
        _attributes(draft, path, people, None if match == NUMBERS else match)


def _signed(draft: Draft) -> dict[str, Any]:
    """Say that some ties of the file are negative; returns what the layer says of it."""
    if scenario_info(str(draft.get("scenario"))).signed_ties:
        st.caption("Some of its weights are negative: the layer takes them as ties between opponents.")
        return {"signed": True}
    st.caption("Some of its weights are negative, and this scenario has no use for negative ties.")
    return {}


def _list_form(path: Path) -> dict[str, Any]:
    header = list_columns(path)
    lower = [name.lower() for name in header]

    def guess(words: tuple[str, ...], fallback: int) -> int:
        return next((place for place, name in enumerate(lower) if name in words), min(fallback, len(header) - 1))

    cells = st.columns(3)
    source = cells[0].selectbox(
        "One end", header, index=guess(("source", "from", "ego", "sender"), 0), key=f"source_{path.name}"
    )
    target = cells[1].selectbox(
        "Other end", header, index=guess(("target", "to", "alter", "receiver"), 1), key=f"target_{path.name}"
    )
    weights = [NO_WEIGHT, *[name for name in header if name not in (source, target)]]
    first = next((place for place, name in enumerate(weights) if name.lower() in ("weight", "strength")), 0)
    weight = cells[2].selectbox("Weight", weights, index=first, key=f"weight_{path.name}")
    directed = st.toggle(
        "Ties go one way", key=f"directed_{path.name}", help="The first end observes the second, but not the reverse."
    )
    chosen: dict[str, Any] = {"source": source, "target": target}
    chosen |= {"weight": weight} if weight != NO_WEIGHT else {}
    return chosen | ({"directed": True} if directed else {})


def put_file(draft: Draft, prefix: str, table: dict[str, Any], path: Path) -> None:
    """Put a file of ties in place of a layer; one that numbers its agents also says how many there are."""
    held = draft.table(prefix)
    kept = {key: held[key] for key in ("name", "agent_columns") if held.get(key)}
    if "match" not in table and not is_list(path):
        graph: Graph = read_named(path, directed=True, signed=True)[0]
        draft.put("population.size", graph.n)
    draft.put(prefix, kept | table)


def _people(draft: Draft) -> Population | None:
    try:
        return people_of(draft)
    except (MicrocosmError, ValidationError, TypeError):
        return None


def _attributes(draft: Draft, path: Path, people: Population | None, match: str | None) -> None:
    columns = read_node_columns(path)
    chosen = st.multiselect(
        "Attributes that become columns of the people",
        list(columns),
        key=f"attributes_{path.name}",
        placeholder="Choose attributes",
    )
    if st.button("Take these columns", key="take_attributes", disabled=not chosen, icon=":material/view_column:"):
        try:
            found = node_columns({name: columns[name] for name in chosen}, columns["node_id"], people, match)
        except MicrocosmError as error:
            st.markdown(f":red[:material/error: {safe(error)}]")
            return
        session.change_draft(partial(put_columns, columns=found))
        st.rerun()


def node_columns(
    chosen: Mapping[str, list[Any]], names: list[Any], people: Population | None, match: str | None
) -> dict[str, list[Any]]:
    """Return node attributes as columns with one value per agent, in the order of agents.

    Args:
        chosen: Values by attribute, one per node.
        names: What the file calls each node.
        people: The people, where nodes are matched.
        match: Column of the people that names the nodes; None takes node i for agent i.

    Raises:
        NetworkError: an attribute without a value for somebody, or a name that no column can have.
    """
    order = np.arange(len(names))
    if match is not None and people is not None:
        agents = find_agents(people.columns[match], match, people.values[match])
        place = {str(name): node for node, name in enumerate(names)}
        absent = [name for name in agents if name not in place]
        if absent:
            raise NetworkError(f"the file has no node '{absent[0][:40]}' ({len(absent)} people are not in it)")
        order = np.empty(people.n, np.int64)
        for name, agent in agents.items():
            order[agent] = place[name]
    found = {}
    for name, values in chosen.items():
        told = name if not name_problem(name) else "".join(c if c.isalnum() else "_" for c in name.lower())
        if name_problem(told):
            raise NetworkError(name_problem(told))
        column = [values[node] for node in order.tolist()]
        empty = [place for place, value in enumerate(column) if value is None]
        if empty:
            raise NetworkError(
                f"'{name}' has no value for agent {empty[0]} ({len(empty)} in all); give all nodes one, or leave it out"
            )
        found[told] = [str(value) if not isinstance(value, bool | int | float) else value for value in column]
    return found


def put_columns(draft: Draft, columns: Mapping[str, list[Any]]) -> None:
    """Store lists of values as columns of the people; their length is the number of agents."""
    held = dict(draft.table("population"))
    size = len(next(iter(columns.values())))
    draft.put("population", held | {"size": size, "columns": {**(held.get("columns") or {}), **columns}})
