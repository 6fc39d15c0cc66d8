"""Second part: who the agents are, with a table of them and the card of one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import streamlit as st
import tomli_w
from pydantic import ValidationError

from app import session
from app.composer.mapping import show_mapping
from app.composer.survey import show_file, show_fit, show_variables
from app.drafts import Draft, problem_at
from app.forms import Problems, choice_field, number_field, safe, show_problems
from app.surveys import file_state
from engine.errors import MicrocosmError
from engine.loading import scenario_info
from engine.population import Population, build_population, list_packs, list_recipes, load_recipe, render_card
from engine.spec import PopulationSpec

PREVIEW_PEOPLE = 1000
SOURCES = {
    "recipe": "A recipe: drawn from distributions",
    "personas": "Written people from a pack",
    "file": "Respondents of a survey file",
    "columns": "Only the columns of this study",
}


def show_people(draft: Draft, problems: Problems) -> None:
    """Draw size, source and preview of the population."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _source(draft)
        if is_survey(draft):
            show_file(draft, problems)
        number_field(
            draft,
            "population.size",
            "People",
            draft.get("population.size"),
            whole=True,
            optional=True,
            help="How many agents; left empty, all people of the pack or the scenario's number. `population.size`",
        )
        show_problems(problems, "population.size")
        _inline_columns(draft)
        if not show_problems(_without_fields(problems), "population"):
            st.caption("The size and the seed decide who they are: the same study always has the same people.")
        st.caption("The page People shows all of them, lets you edit them, and matches shares and households.")
    with right:
        _preview(draft, problems)
    if is_survey(draft):
        show_mapping(draft, problems)


def _without_fields(problems: Problems) -> Problems:
    """Return the problems that stand at no field of their own."""
    fields = ("size", "file", "weight", "id", "encoding", "map", "keep")
    shown = tuple(f"population.{field}" for field in fields)
    return tuple(problem for problem in problems if not problem.key.startswith(shown))


def is_survey(draft: Draft) -> bool:
    """Tell whether the people come, or are about to come, from a survey file."""
    return _kind_of(draft.table("population")) == "file" or session.recall("wants_survey") == draft.name


def _kind_of(held: dict[str, Any]) -> str:
    return next((kind for kind in ("file", "personas", "recipe") if held.get(kind)), "columns")


def _source(draft: Draft) -> None:
    held = draft.table("population")
    now = "file" if is_survey(draft) else _kind_of(held)
    recipes, packs = list_recipes(draft.personas), list_packs(draft.personas)
    present = {"recipe": bool(recipes), "personas": bool(packs)}
    kinds = [kind for kind in SOURCES if present.get(kind, True)]
    key = session.field_key("population.source")

    def change() -> None:
        chosen = session.value_of(key)
        session.remember("wants_survey", draft.name if chosen == "file" else None)
        if chosen != "file":
            session.change_draft(lambda study: _set_source(study, chosen, recipes, packs))

    st.radio("Who are they?", kinds, index=kinds.index(now), format_func=SOURCES.get, key=key, on_change=change)
    if now == "recipe":
        choice_field(draft, "population.recipe", "Recipe", recipes, held.get("recipe"), help="`population.recipe`")
        if held.get("recipe") in recipes:
            recipe = load_recipe(held["recipe"], draft.personas)
            st.caption(safe(f"{recipe.help} Source: {recipe.source}"))
    if now == "personas":
        choice_field(draft, "population.personas", "Pack", packs, held.get("personas"), help="`population.personas`")


def _set_source(draft: Draft, kind: str, recipes: list[str], packs: list[str]) -> None:
    held = {key: value for key, value in (draft.table("population")).items() if key in ("size", "columns")}
    if kind == "recipe" and recipes:
        held["recipe"] = recipes[0]
    if kind == "personas" and packs:
        held["personas"] = packs[0]
        held.pop("size", None)
    draft.put("population", held)


def _inline_columns(draft: Draft) -> None:
    held: dict[str, Any] = draft.table("population.columns")
    words = f"Columns of this study ({len(held)})" if held else "Add columns of this study"
    with st.expander(words, icon=":material/view_column:"):
        st.caption("TOML: a list of values, one value for all, or a distribution as in a recipe.")
        key = session.field_key("population.columns.text")
        st.text_area(
            "Columns",
            value=tomli_w.dumps(held) if held else "",
            key=key,
            height=150,
            label_visibility="collapsed",
            placeholder='age = { kind = "integer", distribution = "uniform", low = 18, high = 90 }',
        )
        st.button("Take over", key="take_columns", on_click=lambda: _take_columns(session.value_of(key, "")))
        if session.recall("columns_error"):
            st.markdown(f":red[{safe(session.recall('columns_error'))}]")


def _take_columns(text: str) -> None:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        session.remember("columns_error", f"this is not TOML: {error}")
        return
    session.remember("columns_error", "")
    session.change_draft(lambda draft: draft.put("population.columns", found or None))


def _preview(draft: Draft, problems: Problems) -> None:
    if is_survey(draft) and not draft.get("population.file"):
        st.caption("Upload a survey on the left: its respondents become the people, drawn by weight.")
        return
    try:
        population = people_of(draft)
    except (MicrocosmError, ValidationError, TypeError) as error:
        st.caption("The preview appears when the settings hold together.")
        if isinstance(error, MicrocosmError) and not problem_at(problems, "population"):
            st.markdown(f":red[{safe(error)}]")
        if draft.get("population.file"):
            show_variables(draft)
        return
    if draft.get("population.file"):
        shown = st.segmented_control(
            "Show", ["People", "Variables", "Fit"], default="People", key="survey_shown", label_visibility="collapsed",
            required=True,
        )  # fmt: skip
        if shown == "Variables":
            show_variables(draft)
            return
        if shown == "Fit":
            show_fit(draft, population, problems)
            return
    if not population.columns:
        st.caption(
            "These agents have no traits: only what the scenario itself gives them. "
            "Choose a recipe or a pack on the left to give them age, education, words of their own."
        )
        return
    st.markdown(f"**The first {min(population.n, PREVIEW_PEOPLE)} people**")
    st.dataframe(population.frame().head(PREVIEW_PEOPLE), hide_index=True, height=250, alt="Preview of the population")
    with st.container(border=True):
        _card(population)


def _card(population: Population) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        agent = st.number_input("One person, by number", 0, population.n - 1, 0, key="preview_person", width=180)
    fields = [name for name in population.columns if name not in ("state", "source_row")]
    st.text(render_card(population, int(agent), fields))


def seed_of(draft: Draft) -> int:
    """Return the seed of the population as far as the draft has one."""
    seed = draft.get("seeds.population", draft.get("seed", 0))
    return seed if isinstance(seed, int) and seed >= 0 else 0


def people_of(draft: Draft) -> Population:
    """Return the first people of a draft's population.

    Raises:
        PopulationError: the settings do not hold together.
        ValidationError: they are not even of the right form.
    """
    scenario = scenario_info(str(draft.get("scenario")))
    size = int(scenario.defaults.get("population", {}).get("size") or 1000)
    table = json.dumps(draft.table("population"), default=str)
    base = draft.path.parent
    state = file_state(base / str(draft.get("population.file"))) if draft.get("population.file") else (0, 0)
    return preview_population(table, seed_of(draft), size, str(draft.personas), str(base), state)


@st.cache_data(max_entries=16, show_spinner=False)
def preview_population(
    table: str, seed: int, default_size: int, folder: str, base: str, state: tuple[int, int]
) -> Population:
    """Build at most a few hundred of the people that a `[population]` table describes.

    Args:
        table: The table as JSON.
        seed: Seed of the population.
        default_size: Number of people where the table names none.
        folder: The user's own personas folder.
        base: Folder that the path of a survey starts from.
        state: Tells versions of the survey file apart.
    """
    del state
    spec = PopulationSpec(**json.loads(table))
    if not spec.personas and not _has_lists(spec):
        spec = first_part(spec, min(spec.size or default_size, PREVIEW_PEOPLE))
    return build_population(spec, seed, default_size, Path(folder), Path(base))


def first_part(spec: PopulationSpec, size: int) -> PopulationSpec:
    """Return a population of fewer people, with those members of its groups who are among them."""
    groups = {name: tuple(agent for agent in ids if agent < size) for name, ids in spec.groups.items()}
    return spec.model_copy(update={"size": size, "groups": groups})


def _has_lists(spec: PopulationSpec) -> bool:
    return any(isinstance(column, list) for column in spec.columns.values())
