"""From a study's `[population]` to a population: recipe, persona pack or survey, and inline columns put together.

Where several define a column, an inline column wins over the pack or the survey and these over the recipe; the columns
that depend on it follow the winner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.draws import draw_uniform
from engine.errors import PopulationError, Problem
from engine.population.columns import Column
from engine.population.files import check_head, list_files, read_toml
from engine.population.households import (
    ADULT_FROM,
    build_households,
    check_households,
    household_ages,
    household_columns,
    settle_households,
)
from engine.population.languages import check_language
from engine.population.origins import Origin
from engine.population.packs import PersonaPack, load_pack
from engine.population.population import Population
from engine.population.raking import Raked
from engine.population.recipes import DrawnColumn, build_drawn, order_columns
from engine.population.respondents import Respondents, draw_rows, load_respondents, rake_respondents
from engine.population.schema import clashing_names, load_schema, name_problem
from engine.population.spreading import check_spread, spread_points, spread_values
from engine.population.stored import StoredDraw, find_draw, write_draw
from engine.population.tables import Partitions, build_partitions, draw_column, drawn_parent, given_parent
from engine.population.targets import check_targets, rake_people
from engine.population.text import quoted
from engine.population.typed import TypedColumn, type_values
from engine.spec import HouseholdSpec, PopulationSpec, RakeSpec

PERSONA = "persona"
CANDIDATES = 20_000
"""People drawn from a recipe before raking chooses among them; more where more agents are asked for."""
_RECIPE_HEAD = {"format", "title", "source", "help", "licence", "columns"}


@dataclass(frozen=True)
class Recipe:
    """A recipe as loaded.

    Attributes:
        name: Name in studies.
        title, help, source, licence: What it is and where its shares come from.
        tables: One table per column, as written.
    """

    name: str
    title: str
    help: str
    source: str
    licence: str
    tables: Mapping[str, Mapping[str, Any]]


@dataclass
class _Plan:
    """All columns of a population: those with given values, and those to draw in order."""

    pack: PersonaPack | None = None
    survey: Respondents | StoredDraw | None = None
    inline: dict[str, TypedColumn] = field(default_factory=dict)
    drawn: dict[str, DrawnColumn] = field(default_factory=dict)
    partitions: dict[str, Partitions] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    households: dict[str, Column] = field(default_factory=dict)
    adults: DrawnColumn | None = None
    spread: dict[str, Column] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Column]:
        """Type of each column by name, in the order in which the study names them."""
        held = dict(self.pack.columns) if self.pack else {}
        held.update(self.survey.columns if self.survey else {})
        held.update({name: replace(part.column, provenance="manual") for name, part in self.inline.items()})
        sampled = {**self.spread, **self.households, **{name: drawn.column for name, drawn in self.drawn.items()}}
        held.update({name: replace(column, provenance="sampled") for name, column in sampled.items()})
        return {name: held[name] for name in self.names if name in held}

    @property
    def given(self) -> list[str]:
        """Names of the columns whose values are given."""
        return [*(self.pack.parts if self.pack else {}), *(self.survey.columns if self.survey else {}), *self.inline]


def list_recipes(folder: Path | None = None) -> list[str]:
    """Return the names of the shipped recipes and of those in the user's own personas folder."""
    return list_files("recipes", folder)


def load_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Return a recipe; its distributions and tables are checked.

    Raises:
        PopulationError: unknown name, or one line per problem with the table's key.
    """
    recipe, problems = _read_recipe(name, folder)
    plan = _Plan()
    _plan_tables(plan, recipe.tables, problems, "columns", f"{name}.toml")
    _link(plan, problems, f"{name}.toml")
    _refuse(problems)
    return recipe


def _read_recipe(name: str, folder: Path | None) -> tuple[Recipe, list[str]]:
    content = read_toml("recipes", name, folder)
    problems: list[str] = []
    check_head(content, _RECIPE_HEAD, problems, f"{name}.toml")
    tables = content.get("columns")
    if not isinstance(tables, dict) or not tables or not all(isinstance(table, dict) for table in tables.values()):
        problems.append(f"the recipe has no [columns.NAME] tables; write at least one ({name}.toml)")
        tables = {}
    head = {key: str(content.get(key, "")) for key in ("title", "help", "source", "licence")}
    return Recipe(name, tables=tables, **head), problems


def _refuse(problems: list[str]) -> None:
    if problems:
        raise PopulationError("\n".join(dict.fromkeys(problems)))


def _plan_tables(plan: _Plan, tables: Mapping[str, Any], problems: list[str], prefix: str, file: str = "") -> None:
    """Add the columns of a recipe or of `[population.columns]` to the plan; a later one replaces an earlier one."""
    for name, given in tables.items():
        where = f"{prefix}.{name}"
        found: list[str] = []
        wrong = name_problem(name)
        if wrong:
            found.append(f"{wrong} @ {where}")
        elif isinstance(given, Mapping):
            drawn = build_drawn(name, given, found, where)
            if drawn is not None:
                plan.drawn[name] = drawn
                plan.inline.pop(name, None)
        else:
            _plan_values(plan, name, given, found, where)
        if name not in plan.names:
            plan.names.append(name)
        problems += [f"{line} ({file})" if file else line for line in found]


def _plan_values(plan: _Plan, name: str, given: Any, problems: list[str], where: str) -> None:
    if isinstance(given, list | tuple):
        if not given:
            problems.append(f"the list is empty; give one value per agent @ {where}")
            return
        found: list[str] = []
        part = type_values(name, given, found, lambda index: f"row {index}")
        problems += [f"{line} @ {where}" for line in found]
        if part is not None:
            plan.inline[name] = part
            plan.drawn.pop(name, None)
        return
    drawn = build_drawn(name, {"value": given}, problems, where)
    if drawn is not None:
        plan.drawn[name] = drawn
        plan.inline.pop(name, None)


def _link(plan: _Plan, problems: list[str], file: str = "") -> None:
    """Order the drawn columns and map their tables onto their parents."""
    found: list[str] = clashing_names(plan.names)
    plan.order = order_columns(plan.drawn, plan.names, found)
    given = {**(plan.pack.parts if plan.pack else {}), **plan.inline}
    parents = {name: given_parent(name, part.column, part.values) for name, part in given.items()}
    if plan.survey:
        asked = {parent for drawn in plan.drawn.values() for parent in drawn.given}
        for name in (asked & plan.survey.columns.keys()) - given.keys():
            parents[name] = given_parent(name, plan.survey.columns[name], plan.survey.sample(name))
    for name, column in {**plan.spread, **plan.households}.items():
        parents[name] = given_parent(name, column, np.arange(len(column.labels)))
    parents |= {name: drawn_parent(drawn) for name, drawn in plan.drawn.items()}
    for name in plan.order:
        plan.partitions[name] = build_partitions(plan.drawn[name], parents, found)
    problems += [f"{line} ({file})" if file else line for line in found]


def _make_plan(spec: PopulationSpec, folder: Path | None, base: Path | None, seed: int | None = None) -> _Plan:
    plan = _Plan()
    problems: list[str] = []
    if spec.recipe is not None:
        try:
            recipe, found = _read_recipe(spec.recipe, folder)
        except PopulationError as error:
            problems.append(str(Problem(str(error), "population.recipe")))
        else:
            problems += found
            _plan_tables(plan, recipe.tables, problems, "columns", f"{spec.recipe}.toml")
    if spec.personas is not None:
        try:
            plan.pack = load_pack(spec.personas, folder)
        except PopulationError as error:
            problems += [str(Problem(line, "population.personas")) for line in str(error).splitlines()]
        else:
            for name in plan.pack.parts:
                plan.drawn.pop(name, None)
            plan.names = list(dict.fromkeys([*plan.pack.parts, *plan.names]))
    check_language(spec.lang, problems)
    _plan_survey(plan, spec, folder, base, seed, problems)
    unreadable = bool(problems)
    _plan_tables(plan, spec.columns, problems, "population.columns")
    _plan_arrangement(plan, spec, problems)
    _check_groups(plan, spec, problems)
    if not unreadable:
        _link(plan, problems)
    _refuse(problems)
    return plan


def _plan_arrangement(plan: _Plan, spec: PopulationSpec, problems: list[str]) -> None:
    """Add households, spread traits and target shares to the plan."""
    if spec.households is not None:
        check_households(spec.households, problems)
        plan.households = household_columns()
        plan.adults = plan.drawn.pop("age", None)
        for name in plan.households:
            plan.drawn.pop(name, None)
        taken = [name for name in plan.households if name in plan.given]
        if taken:
            told = f"{', '.join(map(quoted, taken))} has given values, but households give it; leave it out"
            problems.append(f"{told} @ population.households")
        plan.names = list(dict.fromkeys([*plan.households, *plan.names]))
    if spec.spread is not None:
        known = {name: entry.column for name, entry in load_schema().items()}
        given = [*plan.given, *plan.households]
        check_spread(spec.spread, known | plan.columns, plan.drawn, given, problems)
        plan.spread = {name: known[name] for name in spec.spread.columns if name in known and name not in plan.drawn}
        plan.names = list(dict.fromkeys([*plan.names, *plan.spread]))
    if spec.rake is not None:
        check_targets(spec.rake, plan.columns, problems)
        if plan.inline:
            listed = ", ".join(map(quoted, plan.inline))
            problems.append(f"raking draws people anew, but {listed} lists a value per agent @ population.rake")
        if spec.households is not None:
            problems.append("raking would part people who live together; leave one out @ population.rake")
        in_order = plan.survey is not None and plan.survey.n_in_order is not None
        if in_order and not set(spec.rake.targets) <= set(plan.survey.columns if plan.survey else ()):
            problems.append("with draw = 'rows' only columns of the survey can have targets @ population.rake")


def _plan_survey(
    plan: _Plan, spec: PopulationSpec, folder: Path | None, base: Path | None, seed: int | None, problems: list[str]
) -> None:
    """Add the respondents of a survey file to the plan: the stored ones where the folder holds them."""
    if spec.file is None:
        given = [key for key in ("weight", "id", "encoding", "map", "keep", "score") if getattr(spec, key)]
        problems += [f"'{key}' belongs to a survey file; name it with file @ population.{key}" for key in given]
        return
    if spec.personas is not None:
        problems.append("a persona pack and a survey file cannot both say who the people are @ population.file")
        return
    try:
        plan.survey = find_draw(spec, folder, seed) or load_respondents(spec, base, folder)
    except PopulationError as error:
        problems += str(error).splitlines()
        return
    for name in plan.survey.columns:
        plan.drawn.pop(name, None)
    plan.names = list(dict.fromkeys([*plan.survey.columns, *plan.names]))


def persona_columns(spec: PopulationSpec, folder: Path | None = None, base: Path | None = None) -> dict[str, Column]:
    """Return the type of each column that the population will have, without drawing any value.

    Args:
        spec: The study's population.
        folder: The user's own personas folder, or a run's folder of inputs.
        base: Folder that the survey file's path starts from.

    Raises:
        PopulationError: one line per problem.
    """
    plan = _make_plan(spec, folder, base)
    groups = {name: _group_column(name) for name in spec.groups}
    return {**plan.columns, **({PERSONA: _persona_column(plan.pack)} if plan.pack else {}), **groups}


def _group_column(name: str) -> Column:
    return Column("boolean", "bool", help=f"Whether the person is in the group {name}.", provenance="manual")


def _check_groups(plan: _Plan, spec: PopulationSpec, problems: list[str]) -> None:
    for name in spec.groups:
        wrong = name_problem(name)
        if not wrong and name in (*plan.names, PERSONA):
            wrong = f"{quoted(name)} is a column already; give the group another name"
        if wrong:
            problems.append(f"{wrong} @ population.groups.{name}")
    problems += clashing_names([*plan.names, *spec.groups])


def _add_groups(population: Population, spec: PopulationSpec) -> None:
    """Add one yes/no column per group picked by hand."""
    for name, ids in spec.groups.items():
        strange = [agent for agent in ids if not 0 <= agent < population.n]
        if strange:
            told = f"agent {strange[0]} does not exist; ids run from 0 to {population.n - 1}"
            raise PopulationError(f"{told} @ population.groups.{name}")
        member = np.zeros(population.n, bool)
        member[list(ids)] = True
        population.add(name, _group_column(name), member)


def people_origins(spec: PopulationSpec, folder: Path | None = None, base: Path | None = None) -> dict[str, Origin]:
    """Return the survey's variable behind each column that has one; arguments as for `persona_columns`."""
    plan = _make_plan(spec, folder, base)
    return dict(plan.survey.origins) if plan.survey else {}


def _persona_column(pack: PersonaPack) -> Column:
    words = "Position of the person in the pack; agents beyond its length repeat it in order."
    return Column("integer", "int64", low=0, high=pack.n - 1, help=words)


def _size(spec: PopulationSpec, plan: _Plan, default_size: int) -> int:
    lengths = {name: int(part.values.size) for name, part in plan.inline.items()}
    size = spec.size
    if size is None and plan.survey is not None:
        size = plan.survey.n_in_order
    if size is None:
        size = next(iter(lengths.values()), plan.pack.n if plan.pack else default_size)
    problems = [
        f"{length} values were given for {size} agents; the list needs one per agent @ population.columns.{name}"
        for name, length in lengths.items()
        if length != size
    ]
    if size < 1:
        problems.append(f"a population of {quoted(size)} agents is empty; give at least 1 @ population.size")
    _refuse(problems)
    return size


def store_respondents(
    target: Path,
    spec: PopulationSpec,
    seed: int,
    default_size: int = 1000,
    folder: Path | None = None,
    base: Path | None = None,
) -> None:
    """Write the respondents that a study draws into a file.

    Args:
        target: The file to write; called `stored.STORED_NAME`, it serves `build_population` instead of the survey where
            its folder is given as `folder`.
        spec: The population, with a survey file.
        seed: Its seed.
        default_size: Size where the study gives none.
        folder: As for `build_population`.
        base: As for `build_population`.

    Raises:
        PopulationError: one line per problem.
    """
    plan = _make_plan(spec, folder, base)
    write_draw(target, spec, load_respondents(spec, base, folder), _size(spec, plan, default_size), seed)


def build_population(
    spec: PopulationSpec, seed: int, default_size: int = 1000, folder: Path | None = None, base: Path | None = None
) -> Population:
    """Return the population that a study describes.

    Args:
        spec: Recipe, persona pack, survey file, inline columns, or several of them.
        seed: Seed of the population; agent i's values depend on it and on i, never on the size.
        default_size: Size where neither the study nor a list nor a pack gives one.
        folder: The user's own personas folder, or a run's folder of inputs.
        base: Folder that the survey file's path starts from.

    Raises:
        PopulationError: one line per problem.
    """
    plan = _make_plan(spec, folder, base, seed)
    population = Population(_size(spec, plan, default_size))
    agents = np.arange(population.n, dtype=np.int64)
    rows = agents % plan.pack.n if plan.pack else agents
    if spec.rake is not None and not _is_raked_in_survey(spec.rake, plan):
        values, rows = _draw_raked(plan, spec, agents, seed)
    else:
        values = _values_of(plan, spec, agents, seed)
    for name, column in plan.columns.items():
        population.add(name, column, values[name])
    if plan.pack:
        population.add(PERSONA, _persona_column(plan.pack), rows)
        population.relations = plan.pack.relations
    _add_groups(population, spec)
    population.lang = spec.lang
    population.origins = dict(plan.survey.origins) if plan.survey else {}
    return population


def _is_raked_in_survey(spec: RakeSpec, plan: _Plan) -> bool:
    """Tell whether the survey's own weights meet the targets, so that its draws need no more raking."""
    return plan.survey is not None and set(spec.targets) <= set(plan.survey.columns)


def _values_of(plan: _Plan, spec: PopulationSpec, agents: NDArray[np.int64], seed: int) -> dict[str, NDArray[Any]]:
    """Return one value per agent and column, before raking."""
    values: dict[str, NDArray[Any]] = {name: part.values for name, part in plan.inline.items()}
    if plan.pack:
        rows = agents % plan.pack.n
        values = {**{name: part.values[rows] for name, part in plan.pack.parts.items()}, **values}
    if plan.survey:
        values = {**plan.survey.draw(agents, seed), **values}
    points = spread_points(spec.spread, agents, seed) if spec.spread else {}
    values |= {name: spread_values(column, points[name]) for name, column in plan.spread.items()}
    if spec.households is not None:
        values |= _household_values(plan, spec.households, agents, seed)
    for name in plan.order:
        values[name] = draw_column(plan.drawn[name], plan.partitions[name], values, agents, seed, points.get(name))
    if spec.households is not None:
        settle_households(values, {name: drawn.column for name, drawn in plan.drawn.items()})
    return values


def _household_values(
    plan: _Plan, spec: HouseholdSpec, agents: NDArray[np.int64], seed: int
) -> dict[str, NDArray[Any]]:
    found = build_households(spec, agents.size, seed)
    if plan.adults is not None and not plan.adults.given:
        adults = draw_column(plan.adults, {}, {}, agents, seed).astype(np.int64)
    else:
        adults = np.zeros(agents.size, np.int64)
    # Whom the recipe's ages make a child, and everyone without a recipe, is an adult of any age.
    others = np.floor(18 + 68 * draw_uniform(seed, "population.households.adult", 0, 0, agents)).astype(np.int64)
    ages = household_ages(found, np.where(adults >= ADULT_FROM, adults, others), seed)
    size = np.minimum(found.size, int(plan.households["hh_size"].high or found.size.max()))
    return {"household_id": found.household, "household_role": found.role, "hh_size": size, "age": ages}


def raked_weights(
    spec: PopulationSpec, n: int, seed: int, folder: Path | None = None, base: Path | None = None
) -> Raked:
    """Return the raking behind a population of n agents: of the survey's respondents, or of the candidates.

    Args:
        spec: A population with target shares.
        n: Number of agents.
        seed: Seed of the population.
        folder: As for `build_population`.
        base: As for `build_population`.

    Raises:
        PopulationError: one line per problem, among them shares that cannot be reached.
    """
    plan = _make_plan(spec, folder, base, seed)
    rake = spec.rake or RakeSpec()
    if _is_raked_in_survey(rake, plan) and spec.file is not None:
        untouched = load_respondents(spec.model_copy(update={"rake": None}), base, folder)
        return rake_respondents(rake, untouched.mapped, untouched.weights, untouched.usable)
    return _rake_candidates(plan, spec, n, seed)[1]


def _rake_candidates(plan: _Plan, spec: PopulationSpec, n: int, seed: int) -> tuple[dict[str, NDArray[Any]], Raked]:
    """Return people to choose among and their raked weights."""
    n_candidates = plan.pack.n if plan.pack else max(CANDIDATES, 1 << (n - 1).bit_length())
    candidates = np.arange(n_candidates, dtype=np.int64)
    values = _values_of(plan, spec, candidates, seed)
    people = {name: (column, values[name]) for name, column in plan.columns.items()}
    return values, rake_people(spec.rake or RakeSpec(), people, np.ones(n_candidates))


def _draw_raked(
    plan: _Plan, spec: PopulationSpec, agents: NDArray[np.int64], seed: int
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the values of agents drawn by raked weights from candidates, and the row of each in the pack."""
    values, raked = _rake_candidates(plan, spec, agents.size, seed)
    rows = draw_rows(raked.weights, draw_uniform(seed, "population.rake", 0, 0, agents))
    return {name: array[rows] for name, array in values.items()}, rows
