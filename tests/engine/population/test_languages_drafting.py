"""Sentences in another language, relations of packs as ties, and people drafted by a model."""

import numpy as np
import pytest

from engine import load_study
from engine.decision import Words
from engine.errors import PopulationError, StudyError
from engine.llm import ScriptedModel
from engine.population import (
    build_population,
    can_draft,
    draft_people,
    field_phrase,
    list_languages,
    list_packs,
    load_pack,
    load_schema,
    model_ability,
    render_card,
    write_pack,
)
from engine.population.drafting import text_problem
from engine.population.languages import load_language, shown_words
from engine.simulation import build_world
from engine.spec import PopulationSpec

PACKS = ("classroom", "firm", "parliament", "social_media_crowd", "town_25")


# -- languages --------------------------------------------------------------------------------------------------------
def test_german_says_every_column_of_the_codebook():
    german = load_language("de")
    assert set(german.columns) == set(load_schema()) and list_languages() == ["de", "en"]
    for name, known in load_schema().items():
        said = {field_phrase(name, known.column, text, "de") for text in shown_words(known) or ("abc",)}
        assert len(said) == len(shown_words(known) or ("abc",)), f"{name}: two texts are said alike"
        assert all(sentence.endswith((".", "abc.")) and "{" not in sentence for sentence in said), name


def test_a_person_in_german_and_in_english():
    people = build_population(PopulationSpec(personas="town_25", lang="de"), 1)
    fields = ["age", "gender", "education", "left_right", "neighbourhood", "bio"]
    german = render_card(people, 0, fields)
    assert german.startswith("Du bist zwischen 80 und 84 Jahre alt. Du bist eine Frau.")
    assert "neighbourhood: Old Town." in german and "You taught in the primary school" in german
    assert render_card(people, 0, fields, "en").startswith("You are between 80 and 84 years old. You are a woman.")


def test_a_study_names_its_language():
    study = load_study({"scenario": "persuasion", "population": {"personas": "town_25", "lang": "de"}})
    assert study.population.lang == "de" and build_world(study).persona.lang == "de"
    with pytest.raises(StudyError, match=r"'dee' is not a language of persona sentences; did you mean 'de'"):
        load_study({"scenario": "persuasion", "population": {"personas": "town_25", "lang": "dee"}})


def test_braces_of_a_persons_own_words_are_left_alone():
    column = load_schema()["party_id"].column
    assert field_phrase("party_id", column, "{0} {} %s", "de") == "Die Partei, der du am nächsten stehst: {0} {} %s."


# -- packs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PACKS)
def test_packs_state_relations_that_reach_everyone(name):
    pack = load_pack(name)
    relations = pack.relations
    assert set(PACKS) <= set(list_packs()) and relations is not None
    known = {person for pair in zip(relations.source, relations.target, strict=True) for person in pair}
    assert known == set(range(pack.n)), "somebody knows nobody"
    other, kind, weight = relations.of(0)[0]
    assert (0, kind, weight) in [(i, k, w) for i, k, w in relations.of(other)]


def test_relations_become_ties_and_repeat_with_the_pack():
    tables = {"scenario": "bounded_confidence", "population": {"personas": "classroom", "size": 34}}
    world = build_world(load_study(tables | {"network": {"kind": "relations", "kinds": ["desk"]}}))
    graph = world.network.layer()
    assert graph.n_ties == 16 and set(graph.degree()[:16]) == {1} and graph.degree()[16] == 0
    names = [*world.persona.values["display_name"]]
    assert names[graph.neighbours(17 + names.index("Finn Albers"))[0]] == "Pavel Dvorak"
    weighted = build_world(load_study(tables | {"network": {"kind": "relations", "weighted": True}})).network.layer()
    assert weighted.weights is not None and weighted.weights.max() > 1


@pytest.mark.parametrize(
    ("population", "network", "told"),
    [
        ({"recipe": "villagers"}, {"kind": "relations"}, "relations are those of a persona pack"),
        ({"personas": "firm"}, {"kind": "relations", "kinds": ["frend"]}, "'frend' is not a kind of relation"),
        (
            {"personas": "firm", "size": 40, "rake": {"targets": {"sex": {"female": 50, "male": 50}}}},
            {"kind": "relations"},
            "out of order",
        ),
    ],
)
def test_relations_that_are_not_there(population, network, told):
    from engine.errors import MicrocosmError

    with pytest.raises(MicrocosmError, match=told):
        build_world(load_study({"scenario": "bounded_confidence", "population": population, "network": network}))


@pytest.mark.parametrize(
    ("relation", "told"),
    [
        ({"between": ["A", "Z"]}, "'Z' is nobody in this pack"),
        ({"between": ["A", "A"]}, "cannot be related to itself"),
        ({"between": ["A"]}, "is not two people"),
        ({"between": ["A", "B"], "weight": 0}, "weight = 0 is not a number above 0"),
        ({"between": ["A", "B"], "wait": 1}, "did you mean 'weight'"),
    ],
)
def test_bad_relations_are_named(relation, told, tmp_path):
    people = [{"display_name": "A", "age": 3}, {"display_name": "B", "age": 4}]
    with pytest.raises(PopulationError, match=told):
        write_pack("mine", {"people": people, "relations": [relation]}, tmp_path)
    assert not list(tmp_path.rglob("*.toml")), "nothing is written where there is a problem"
    write_pack("mine", {"people": people, "relations": [{"between": [1, 2], "kind": "kin"}]}, tmp_path)
    assert load_pack("mine", tmp_path).relations.kinds == ("kin",)
    with pytest.raises(PopulationError, match="comes with Microcosm"):
        write_pack("firm", {"people": people}, tmp_path)


# -- drafting ---------------------------------------------------------------------------------------------------------
class Author(ScriptedModel):
    """A stand-in that prefers one option, and writes a fixed text."""

    def __init__(self, text="You have worked here for a very long time."):
        super().__init__()
        self.text, self.suffixes = text, []

    def score(self, prefixes, suffixes, options, *, lead=""):
        self.suffixes += suffixes
        scores = super().score(prefixes, suffixes, options)
        for row in scores.logp:
            row[:] = np.where(np.arange(len(options)) == 3 % len(options), 0.0, -50.0)
        return scores

    def write(self, prefix, suffixes, **options):
        return [self.text] * len(suffixes)


def test_every_field_is_one_that_its_column_allows():
    fields = [name for name in load_schema() if can_draft(name)]
    drafted = draft_people(ScriptedModel(), "Night-shift nurses", 8, fields, seed=2)
    again = draft_people(ScriptedModel(), "Night-shift nurses", 8, fields, seed=2)
    assert drafted.people == again.people
    for name in fields:
        column = load_schema()[name].column
        for person in drafted.people:
            if column.kind == "category":
                assert person[name] in column.labels
            elif column.kind != "text":
                assert column.low <= person[name] <= column.high, name


def test_the_models_choice_is_taken_and_known_to_the_next_question():
    author = Author()
    drafted = draft_people(author, "Nurses", 2, ("age", "gender", "bio"))
    edges = load_schema()["age"].column.presentation
    assert isinstance(edges, Words) and all(25 <= person["age"] <= 29 for person in drafted.people)
    assert all(person["gender"] == "other" and person["bio"] == author.text for person in drafted.people)
    assert author.suffixes[-1].startswith("You are between 25 and 29 years old.") and drafted.unusable == ()


@pytest.mark.parametrize("text", [None, "", "You.", "She has worked here for a very long time."])
def test_texts_that_are_not_usable_are_listed_and_left_empty(text):
    drafted = draft_people(Author(text), "Nurses", 2, ("age", "bio"))
    assert [person["bio"] for person in drafted.people] == ["", ""] and len(drafted.unusable) == 2
    assert drafted.unusable[1].startswith("Person 2: bio: ") and text_problem(text or "")


def test_a_drafted_pack_is_marked_as_the_models(tmp_path):
    drafted = draft_people(Author(), "Nurses", 3, ("age", "bio"))
    write_pack("nurses", {"provenance": "model", "people": [dict(p) for p in drafted.people]}, tmp_path)
    people = build_population(PopulationSpec(personas="nurses"), 1, folder=tmp_path)
    assert {people.columns[name].provenance for name in ("age", "bio", "display_name")} == {"model"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(("", 3), "describe the people"), (("x", 0), "1 to 200 at a time"), (("x", 2, ("agee",)), "did you mean 'age'")],
)
def test_what_cannot_be_drafted_is_refused(arguments, told):
    with pytest.raises(PopulationError, match=told):
        draft_people(ScriptedModel(), *arguments)


def test_the_demonstration_model_says_what_it_cannot_do():
    class Pocket(Author):
        def __init__(self):
            super().__init__()
            self.identity = type(self.identity)(**{**self.identity.__dict__, "is_pocket": True})

    drafted = draft_people(Pocket(), "Nurses", 2, ("age", "bio"))
    assert drafted.unusable == ("bio of everyone: the demonstration model writes no lives; left empty",)
    assert "writes no lives" in model_ability(Pocket().identity)
