"""Shares that people shall have, households, spread traits, and the language of the sentences."""

from __future__ import annotations

import csv
import io
from functools import partial

import polars as pl
import streamlit as st

from app import session
from app.actions import attempt
from app.composer.people_tables import first_keys, show_tables
from app.drafts import Draft
from app.forms import Problems, choice_field, number_field, safe, show_problems, title_of
from engine.errors import PopulationError
from engine.population import Column, Population, list_languages, load_schema

DEFAULT_SIZES = {"1": 41.0, "2": 33.0, "3": 12.0, "4": 10.0, "5": 4.0}


def show_shares(draft: Draft, people: Population | None, problem: str) -> None:
    """Draw the ways to shape people, with the study's problems beside them."""
    _, problems = draft.check()
    if problem and not any(found.key.startswith("population") for found in problems):
        st.markdown(f":red[:material/error: {safe(problem)}]")
    columns = dict(people.columns) if people is not None else {n: e.column for n, e in load_schema().items()}
    st.caption("Each part changes who the people are, at once and in the study: open one to use it.")
    left, right = st.columns(2, gap="large")
    with left:
        _targets(draft, people, columns, problems)
        _households(draft, problems)
    with right:
        show_tables(draft, people, columns, problems)
        _spread(draft, columns, problems)
        _language(draft, problems)
    st.caption("What was reached and what was not matched stands under Fit.")


# -- target shares ----------------------------------------------------------------------------------------------------
def _targets(draft: Draft, people: Population | None, columns: dict[str, Column], problems: Problems) -> None:
    held = draft.table("population.rake.targets")
    with st.expander(f"Target shares ({len(held)})", icon=":material/percent:", expanded=bool(held)):
        st.caption("One table per column, as in a census: shares that sum to 1 or 100. People are then drawn to match.")
        free = [name for name, column in columns.items() if column.kind != "text" and name not in held]
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen = st.selectbox("Column", free, key="rake_column", format_func=title_of)
            st.button(
                "Add",
                key="rake_add",
                icon=":material/add:",
                disabled=not free,
                on_click=lambda: session.change_draft(
                    partial(_put_target, name=str(chosen), row=first_shares(str(chosen), columns, people))
                ),
            )
        for name, row in held.items():
            _one_target(name, row if isinstance(row, dict) else {})
            show_problems(problems, f"population.rake.targets.{name}")
        _paste()
        if held:
            show_problems(tuple(p for p in problems if p.key in ("population.rake", "population.rake.targets")),
                          "population.rake")  # fmt: skip


def _put_target(draft: Draft, name: str, row: dict[str, float] | None) -> None:
    targets = {key: value for key, value in draft.table("population.rake.targets").items() if key != name}
    targets |= {name: row} if row else {}
    draft.put("population.rake", {**draft.table("population.rake"), "targets": targets} if targets else None)


def first_shares(name: str, columns: dict[str, Column], people: Population | None) -> dict[str, float]:
    """Return shares to start from: those that the people have now, in percent."""
    column = columns[name]
    if column.kind in ("integer", "float"):
        labels = first_keys(name, column)
        return {label: round(100 / len(labels), 3) for label in labels}
    labels = ["no", "yes"] if column.kind == "boolean" else list(column.labels)
    if people is None or name not in people.values:
        return {label: round(100 / len(labels), 3) for label in labels}
    codes = people.values[name].astype(int)
    return {label: round(100 * float((codes == place).mean()), 3) for place, label in enumerate(labels)}


def _one_target(name: str, row: dict[str, float]) -> None:
    st.markdown(f"**{safe(title_of(name))}**")
    frame = pl.DataFrame({"value": [*row], "share": [float(share) for share in row.values()]},
                         schema={"value": pl.String, "share": pl.Float64})  # fmt: skip
    edited = st.data_editor(
        frame,
        num_rows="dynamic",
        hide_index=True,
        key=session.field_key(f"rake_grid_{name}"),
        column_config={
            "value": st.column_config.TextColumn("Value or interval", help="A category, <30, 30..60, >=60, or *"),
            "share": st.column_config.NumberColumn("Share", min_value=0.0, format="%.4g"),
        },
    )
    changed = read_target(edited)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Sum {sum(changed.values()):.6g}")
        st.button(
            "Keep",
            key=f"rake_keep_{name}",
            disabled=changed == row,
            on_click=session.change_draft,
            args=(partial(_put_target, name=name, row=changed),),
        )
        st.button(
            "Remove",
            key=f"rake_drop_{name}",
            type="tertiary",
            on_click=session.change_draft,
            args=(partial(_put_target, name=name, row=None),),
        )


def read_target(edited: pl.DataFrame) -> dict[str, float]:
    """Return the shares of a grid, rows without a value left out."""
    return {
        str(value).strip(): float(share or 0.0) for value, share in edited.iter_rows() if value and str(value).strip()
    }


def _paste() -> None:
    with st.popover("Paste a table", icon=":material/content_paste:"):
        key = session.field_key("rake_paste")
        st.text_area(
            "Column, value, share: one row each",
            key=key,
            height=140,
            placeholder="gender\twoman\t50.7\ngender\tman\t49.3\nage\t<30\t21",
        )
        st.button(
            "Take over",
            key="rake_take",
            on_click=lambda: attempt(_take_table, str(session.value_of(key) or "")),
        )


def _take_table(text: str) -> None:
    session.change_draft(partial(_merge_targets, targets=read_table(text)))


def _merge_targets(draft: Draft, targets: dict[str, dict[str, float]]) -> None:
    held = draft.table("population.rake")
    draft.put("population.rake", {**held, "targets": {**draft.table("population.rake.targets"), **targets}})


def read_table(text: str) -> dict[str, dict[str, float]]:
    """Return the shares of a pasted table with the columns column, value and share; a row of headings is skipped.

    Raises:
        PopulationError: a row of another form, named by its number.
    """
    separator = "\t" if "\t" in text else ";" if ";" in text else ","
    targets: dict[str, dict[str, float]] = {}
    for number, cells in enumerate(csv.reader(io.StringIO(text), delimiter=separator), start=1):
        if not any(cell.strip() for cell in cells):
            continue
        given = [cell.strip() for cell in cells]
        written = given[2].rstrip("%").strip() if len(given) == 3 else ""
        try:
            share = float(written.replace(",", ".") if separator != "," else written)
        except ValueError:
            if number == 1:
                continue
            raise PopulationError(
                f"row {number} is not column, value, share: '{separator.join(given)[:60]}'; nothing was taken over"
            ) from None
        if given[1] in targets.setdefault(given[0], {}):
            raise PopulationError(f"row {number}: '{given[1]}' of {given[0]} stands twice; nothing was taken over")
        targets[given[0]][given[1]] = share
    if not targets:
        raise PopulationError("the table has no row of column, value and share")
    return targets


# -- households -------------------------------------------------------------------------------------------------------
def _households(draft: Draft, problems: Problems) -> None:
    held = draft.table("population.households")
    with st.expander("Households", icon=":material/cottage:", expanded=bool(held)):
        key = session.field_key("households_on")
        st.toggle(
            "People live together in households",
            value=bool(held),
            key=key,
            on_change=lambda: session.change_draft(partial(_switch_households, on=bool(session.value_of(key)))),
            help="Gives household_id, household_role, hh_size, and an age that fits. `population.households`",
        )
        if not held:
            return
        sizes = held.get("sizes", {})
        frame = pl.DataFrame({"size": [*sizes], "share": [float(share) for share in sizes.values()]},
                             schema={"size": pl.String, "share": pl.Float64})  # fmt: skip
        edited = st.data_editor(
            frame,
            num_rows="dynamic",
            hide_index=True,
            key=session.field_key("households_grid"),
            column_config={
                "size": st.column_config.TextColumn("People"),
                "share": st.column_config.NumberColumn("Share of households", min_value=0.0, format="%.4g"),
            },
        )
        changed = read_target(edited)
        st.button(
            "Keep",
            key="households_keep",
            disabled=changed == sizes,
            on_click=session.change_draft,
            args=(partial(Draft.put, key="population.households.sizes", value=changed),),
        )
        left, right = st.columns(2)
        with left:
            couples = held.get("couples", 0.75)
            number_field(draft, "population.households.couples", "Led by a couple", couples, whole=False)
        with right:
            number_field(
                draft, "population.households.single_parents", "Led by one parent",
                held.get("single_parents", 0.12), whole=False,
            )  # fmt: skip
        show_problems(problems, "population.households")


def _switch_households(draft: Draft, on: bool) -> None:
    draft.put("population.households", {"sizes": dict(DEFAULT_SIZES)} if on else None)


# -- spread and language ----------------------------------------------------------------------------------------------
def _spread(draft: Draft, columns: dict[str, Column], problems: Problems) -> None:
    held = draft.table("population.spread")
    with st.expander("Spread traits evenly", icon=":material/grid_on:", expanded=bool(held)):
        st.caption("For exploring a model: people cover all combinations of these traits instead of resembling anyone.")
        known = {name: entry.column for name, entry in load_schema().items()} | columns
        able = [name for name, column in known.items() if column.kind != "text"]
        chosen = [name for name in held.get("columns", []) if name in able]
        key = session.field_key("spread_columns")
        st.multiselect(
            "Traits",
            able,
            default=chosen,
            key=key,
            format_func=title_of,
            max_selections=50,
            on_change=lambda: session.change_draft(
                partial(_put_spread, names=list(session.value_of(key) or []), method=held.get("method", "sobol"))
            ),
            help="`population.spread.columns`",
        )
        if held:
            method = held.get("method", "sobol")
            choice_field(draft, "population.spread.method", "Sequence", ["sobol", "halton"], method)
        show_problems(problems, "population.spread")


def _put_spread(draft: Draft, names: list[str], method: str) -> None:
    draft.put("population.spread", {"columns": names, "method": method} if names else None)


def _language(draft: Draft, problems: Problems) -> None:
    with st.expander("Language of the sentences", icon=":material/translate:"):
        choice_field(
            draft,
            "population.lang",
            "Language",
            list_languages(),
            draft.get("population.lang", "en"),
            help="Sentences about a person in cards and prompts; a scenario's own questions stay English. "
            "`population.lang`",
        )
        show_problems(problems, "population.lang")
