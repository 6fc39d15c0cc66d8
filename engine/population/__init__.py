"""Populations: typed columns per agent from recipes, persona packs and the study itself."""

from engine.population.building import Recipe, build_population, list_recipes, load_recipe, persona_columns
from engine.population.cards import field_phrase, render_card, shown_text
from engine.population.columns import Column
from engine.population.packs import PersonaPack, list_packs, load_pack
from engine.population.population import Population
from engine.population.schema import SchemaColumn, load_schema
from engine.population.text import clean_text

__all__ = [
    "Column",
    "PersonaPack",
    "Population",
    "Recipe",
    "SchemaColumn",
    "build_population",
    "clean_text",
    "field_phrase",
    "list_packs",
    "list_recipes",
    "load_pack",
    "load_recipe",
    "load_schema",
    "persona_columns",
    "render_card",
    "shown_text",
]
