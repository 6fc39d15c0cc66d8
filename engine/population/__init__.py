"""Populations: typed columns per agent from recipes, persona packs and the study itself."""

from engine.population.building import (
    Recipe,
    build_population,
    list_recipes,
    load_recipe,
    people_origins,
    persona_columns,
    store_respondents,
)
from engine.population.cards import field_phrase, render_card, shown_text
from engine.population.codebook import ENCODINGS, Survey, Variable
from engine.population.columns import Column
from engine.population.drafting import DraftedPeople, can_draft, draft_people, model_ability
from engine.population.files import find_own_file
from engine.population.fit import DrawReport, FitReport, describe_draw, describe_fit
from engine.population.instruments import Instrument, import_texts, list_instruments, load_instrument, score_answers
from engine.population.languages import list_languages
from engine.population.origins import Origin, describe_people
from engine.population.packs import PersonaPack, list_packs, load_pack, pack_tables, write_pack
from engine.population.population import Population
from engine.population.relations import Relations
from engine.population.respondents import find_survey_file
from engine.population.schema import SchemaColumn, load_schema
from engine.population.suggestions import suggest_mapping
from engine.population.survey_writer import render_codebook, write_survey
from engine.population.surveys import read_survey
from engine.population.text import clean_text

__all__ = [
    "ENCODINGS",
    "Column",
    "DraftedPeople",
    "DrawReport",
    "FitReport",
    "Instrument",
    "Origin",
    "PersonaPack",
    "Population",
    "Recipe",
    "Relations",
    "SchemaColumn",
    "Survey",
    "Variable",
    "build_population",
    "can_draft",
    "clean_text",
    "describe_draw",
    "describe_fit",
    "describe_people",
    "draft_people",
    "field_phrase",
    "find_own_file",
    "find_survey_file",
    "import_texts",
    "list_instruments",
    "list_languages",
    "list_packs",
    "list_recipes",
    "load_instrument",
    "load_pack",
    "load_recipe",
    "load_schema",
    "model_ability",
    "pack_tables",
    "people_origins",
    "persona_columns",
    "read_survey",
    "render_card",
    "render_codebook",
    "score_answers",
    "shown_text",
    "store_respondents",
    "suggest_mapping",
    "write_pack",
    "write_survey",
]
