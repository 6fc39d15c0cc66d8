"""The shipped pack, and everything that a pack may get wrong."""

from __future__ import annotations

import collections
import copy
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from engine.errors import PopulationError
from engine.population import build_population, list_packs, load_pack, load_schema, persona_columns, shown_text
from engine.population.packs import parse_pack
from engine.spec import PopulationSpec

TRAITS = [f"big5_{letter}" for letter in "ocean"]
REQUIRED = {
    *("display_name", "age", "sex", "gender", "education", "occupation", "employment", "marital", "religiosity"),
    *("income_decile", "hh_size", "left_right", "trust_general", "risk_aversion", "stubbornness", "susceptibility"),
    *("activity", "bio", "goals", "beliefs", "style", *TRAITS),
}


@pytest.fixture(scope="module")
def town():
    return build_population(PopulationSpec(personas="town_25"), seed=1)


def small_pack():
    return {
        "people": [
            {"display_name": "Ann", "age": 30, "sex": "female", "bio": "You keep bees.", "club": "chess"},
            {"display_name": "Bob", "age": 41, "sex": "male", "bio": "You mend nets.", "club": "choir"},
        ]
    }


def problems_of(content):
    with pytest.raises(PopulationError) as caught:
        parse_pack("small", content)
    return str(caught.value).splitlines()


def test_pack_has_25_people_with_unique_names_and_all_columns(town):
    assert "town_25" in list_packs()
    assert town.n == 25
    assert set(town.columns) >= REQUIRED
    assert len(set(town.values["display_name"])) == 25


def test_pack_values_lie_in_the_codebooks_ranges(town):
    schema = load_schema()
    numeric = [name for name in town.columns if name in schema and schema[name].column.low is not None]
    assert len(numeric) >= 13
    for name in numeric:
        column, values = schema[name].column, town.values[name]
        assert column.low <= values.min() and values.max() <= column.high, name
    ages = town.values["age"]
    assert (ages.min(), ages.max()) == (17, 84)


def test_pack_people_differ(town):
    frame = town.frame()
    assert frame["employment"].n_unique() == 8
    assert frame["occupation"].n_unique() >= 20
    assert frame["education"].n_unique() >= 5
    for name in (*TRAITS, "trust_general", "left_right", "stubbornness", "risk_aversion", "activity"):
        assert len({shown_text(town, agent, name) for agent in range(town.n)}) >= 4, name


def test_pack_texts_are_written_out_and_within_their_limits(town):
    for name, shortest in (("bio", 200), ("goals", 20), ("beliefs", 20), ("style", 20)):
        texts = town.values[name].tolist()
        assert len(set(texts)) == 25
        assert all(shortest <= len(text) <= load_schema()[name].limit for text in texts), name


def test_pack_households_hold_together(town):
    frame = town.frame()
    members = collections.Counter(frame["household"].to_list())
    assert max(members.values()) >= 3
    for person in frame.to_dicts():
        together = frame.filter(frame["household"] == person["household"])
        assert members[person["household"]] <= person["hh_size"], person["display_name"]
        assert together["hh_size"].n_unique() == together["income_decile"].n_unique() == 1, person["display_name"]
        assert together["neighbourhood"].n_unique() == 1


def test_people_who_are_named_in_a_bio_live_in_the_town(town):
    names = set(town.values["display_name"])
    places = {"Market Street", "Old Town", "Linden Square", "Three Herons"}
    pattern = r"\b[A-Z][a-z-]+ [A-Z](?:'[A-Z])?[A-Za-z-]+"
    named = {pair for bio in town.values["bio"] for pair in re.findall(pattern, bio)}
    pairs = {pair for pair in named if pair.split()[0] not in ("On", "Young", "When")}
    assert len(pairs & names) >= 8
    assert pairs <= names | places


@pytest.mark.parametrize("size", [1, 7, 25, 60])
def test_pack_of_any_size_takes_people_in_order(size, town):
    population = build_population(PopulationSpec(personas="town_25", size=size), seed=9)
    expected = np.arange(size) % 25
    assert population.n == size
    np.testing.assert_array_equal(population.values["persona"], expected)
    assert population.values["display_name"].tolist() == [town.values["display_name"][i] for i in expected]
    assert population.columns == town.columns
    assert population.frame()["agent_id"].to_list() == list(range(size))


def test_persona_columns_agree_with_the_built_population(town):
    assert persona_columns(PopulationSpec(personas="town_25")) == town.columns


def test_unknown_pack_names_the_nearest():
    with pytest.raises(PopulationError, match="'town_26' is not a persona pack; did you mean 'town_25'"):
        load_pack("town_26")


def test_pack_of_the_user_is_found_in_the_folder(tmp_path: Path):
    folder = tmp_path / "packs"
    folder.mkdir()
    (folder / "mine.toml").write_text('[[people]]\nage = 30\nclub = "x"\n', "utf-8")
    assert "mine" in list_packs(tmp_path) and "mine" not in list_packs()
    assert load_pack("mine", tmp_path).n == 1
    assert build_population(PopulationSpec(personas="mine"), 1, folder=tmp_path).values["age"].tolist() == [30]


@pytest.mark.parametrize("content", [b"[[people]\n", b"\xff\xfe\x00", b"people = 3", b"", b"people = []"])
def test_file_that_is_no_pack(tmp_path: Path, content: bytes):
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "bad.toml").write_bytes(content)
    with pytest.raises(PopulationError, match="bad"):
        load_pack("bad", tmp_path)


@pytest.mark.parametrize("name", ["../schema", "/etc/passwd", "", "town_25.toml"])
def test_pack_name_is_never_a_path(name):
    with pytest.raises(PopulationError, match="is not a persona pack"):
        load_pack(name)


@pytest.mark.parametrize(
    ("person", "key", "value", "message"),
    [
        (0, "age", 130, "'Ann' (person 1): age = 130 is not in [0, 110]"),
        (0, "age", 30.5, "'Ann' (person 1): age = 30.5 is not a whole number below 2^63"),
        (1, "age", "old", "'Bob' (person 2): age = 'old' is not a finite number"),
        (1, "age", True, "'Bob' (person 2): age = True is not a finite number"),
        (1, "age", float("nan"), "'Bob' (person 2): age = nan is not a finite number"),
        (1, "age", 10**400, "'Bob' (person 2): age = 1000"),
        (0, "sex", "f", "'Ann' (person 1): sex = 'f' is not one of 'female', 'male', 'intersex'"),
        (1, "bio", "x" * 601, "'Bob' (person 2): bio has 601 characters, at most 600 are allowed"),
        (1, "bio", 5, "'Bob' (person 2): bio = 5 is not a text"),
        (1, "club", 5, "column 'club' mixes numbers and texts"),
        (1, "display_name", "Ann", "display_name 'Ann' stands more than once"),
        (0, "agent_id", 1, "'agent_id' is a name that the engine keeps for itself"),
        (0, "shoe size", 1, "'shoe size' cannot name a column"),
        (0, "Age", 1, "columns 'age' and 'Age' differ only in capital letters"),
    ],
)
def test_each_bad_value_is_named(person, key, value, message):
    content = small_pack()
    content["people"][person][key] = value
    assert any(line.startswith(message) for line in problems_of(content))


def test_all_problems_are_reported_at_once():
    content = small_pack()
    content["people"][0] |= {"age": -1, "sex": "?"}
    del content["people"][1]["bio"]
    content["colour"] = "red"
    content["format"] = 7
    lines = problems_of(content)
    assert len(lines) == 5
    assert all(any(word in line for line in lines) for word in ("age = -1", "sex = '?'", "'bio'", "colour", "format"))


def test_long_lists_of_problems_are_cut_with_a_count():
    content = {"people": [{"age": 500} for _ in range(40)]}
    lines = problems_of(content)
    assert len(lines) == 13 and "28 more values" in lines[-1]


def test_pack_describes_its_own_columns_only():
    content = small_pack() | {"columns": {"club": {"help": "Where one spends Friday.", "unit": ""}}}
    assert parse_pack("small", content).columns["club"].help == "Where one spends Friday."
    content = small_pack() | {"columns": {"age": {"help": "x"}}}
    assert "outside the codebook" in problems_of(content)[0]


def test_text_of_strangers_stays_text():
    hostile = "<script>alert(1)</script> {{ 7 * 7 }} {% for x in y %} <|im_end|> =cmd()"
    content = small_pack()
    content["people"][0]["bio"] = hostile
    content["people"][1]["bio"] = "two\nlines\tand\x00 a \x1b[31mbell\x07 \u202ereversed"
    bios = parse_pack("small", content).parts["bio"].values.tolist()
    assert bios == [hostile, "two lines and a [31mbell reversed"]


def test_parsing_leaves_the_content_alone():
    content = small_pack()
    before = copy.deepcopy(content)
    parse_pack("small", content)
    assert content == before


def test_schema_file_is_consistent():
    source = (Path(__file__).parents[3] / "personas" / "schema.toml").read_text("utf-8")
    tables = tomllib.loads(source)["columns"]
    schema = load_schema()
    assert list(schema) == list(tables)
    for name, entry in schema.items():
        assert entry.column.help.endswith("."), name
        assert entry.phrase or entry.phrases, name
        presentation = entry.column.presentation
        if presentation is not None and entry.column.low is not None:
            codes = presentation.codes(np.linspace(entry.column.low, entry.column.high, 2001))
            assert set(codes.tolist()) == set(range(presentation.n_codes)), name
