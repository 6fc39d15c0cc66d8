"""Instruments: scores against answers worked out by hand, and item texts that the user brings."""

import numpy as np
import polars as pl
import pytest

from engine.errors import PopulationError
from engine.population import (
    build_population,
    import_texts,
    list_instruments,
    load_instrument,
    load_schema,
    score_answers,
)
from engine.spec import PopulationSpec


def answers_of(instrument, **given):
    """Return one row of answers; `default` for all items that are not named by i1, i2, ..."""
    row = [given.get(f"i{item.id}", given["default"]) for item in instrument.items]
    return np.array([row], float)


def scored(instrument, answers):
    return {name: float(values[0]) for name, values in score_answers(instrument, answers).values.items()}


@pytest.mark.parametrize("name", ["mini_ipip", "bfi_2_s", "pvq_21", "mfq_30"])
def test_shipped_instruments_state_source_and_licence_and_fill_schema_columns(name):
    instrument = load_instrument(name)
    assert name in list_instruments() and instrument.source and instrument.licence
    assert all(load_schema()[column].column.kind == "float" for column in instrument.scales.values())
    assert instrument.has_texts == (name == "mini_ipip"), "only the public-domain items ship with their words"


def test_mini_ipip_by_hand():
    # Donnellan et al. (2006): extraversion 1, 6R, 11, 16R; answers 5, 2, 4, 1 give (5 + 4 + 4 + 5) / 4 = 4.5.
    instrument = load_instrument("mini_ipip")
    found = scored(instrument, answers_of(instrument, default=3, i1=5, i6=2, i11=4, i16=1))
    assert found == {"big5_e": 4.5, "big5_a": 3.0, "big5_c": 3.0, "big5_n": 3.0, "big5_o": 3.0}
    # Neuroticism 4, 9R, 14, 19R: 4, 5, 2, 1 -> (4 + 1 + 2 + 5) / 4 = 3.
    assert scored(instrument, answers_of(instrument, default=1, i4=4, i9=5, i14=2, i19=1))["big5_n"] == 3.0
    turned = [int(item.id) for item in instrument.items if item.is_reversed]
    assert turned == [6, 7, 8, 9, 10, 15, 16, 17, 18, 19, 20]


def test_bfi_2_s_by_hand():
    # Soto and John (2017): negative emotionality 4, 9, 14R, 19R, 24R, 29.
    instrument = load_instrument("bfi_2_s")
    given = answers_of(instrument, default=3, i4=5, i9=4, i14=1, i19=2, i24=3, i29=4)
    assert scored(instrument, given)["big5_n"] == pytest.approx((5 + 4 + 5 + 4 + 3 + 4) / 6)
    for scale in instrument.scales:
        assert sum(item.scale == scale for item in instrument.items) == 6
        assert sum(item.scale == scale and item.is_reversed for item in instrument.items) == 3
    # Agreeing with everything gives the middle of every scale: three items of each are reversed.
    assert set(scored(instrument, answers_of(instrument, default=5)).values()) == {3.0}


def test_pvq_21_is_reversed_and_centred_on_the_person():
    # 1 is "very much like me". Items 2 and 17 are power; all others answered 3 -> 4 after reversing.
    instrument = load_instrument("pvq_21")
    found = scored(instrument, answers_of(instrument, default=3, i2=6, i17=5))
    mean = (19 * 4 + 1 + 2) / 21
    assert found["value_power"] == pytest.approx(1.5 - mean)
    assert found["value_benevolence"] == pytest.approx(4 - mean)
    # Whoever answers everything alike has no priorities: all values are 0.
    assert all(value == pytest.approx(0) for value in scored(instrument, answers_of(instrument, default=1)).values())
    weights = {"value_universalism": 3} | dict.fromkeys((f"value_{name}" for name in instrument.scales), 2)
    weights["value_universalism"] = 3
    assert sum(found[name] * weights[name] for name in found) == pytest.approx(0), "centred scores sum to 0 by items"


def test_mfq_30_leaves_out_who_does_not_read():
    instrument = load_instrument("mfq_30")
    good = answers_of(instrument, default=4, i6=1, i22=5, i1=0, i7=1, i12=2, i17=3, i23=4, i28=5)
    found = scored(instrument, good)
    assert found["moral_care"] == pytest.approx((0 + 1 + 2 + 3 + 4 + 5) / 6)
    assert found["moral_loyalty"] == 4
    for wrong in ({"i6": 3}, {"i22": 2}):
        scores = score_answers(instrument, answers_of(instrument, default=4, **({"i6": 0, "i22": 5} | wrong)))
        assert scores.inattentive.tolist() == [True]
        assert all(np.isnan(values[0]) for values in scores.values.values())


def test_missing_items_are_left_out_of_the_mean_up_to_a_share():
    instrument = load_instrument("mini_ipip")
    one = scored(instrument, answers_of(instrument, default=3, i1=np.nan, i6=1, i11=5, i16=1))
    assert one["big5_e"] == pytest.approx(5)
    two = scored(instrument, answers_of(instrument, default=3, i1=np.nan, i11=np.nan))
    assert np.isnan(two["big5_e"]) and two["big5_a"] == 3


def test_answers_outside_the_range_are_refused():
    instrument = load_instrument("pvq_21")
    with pytest.raises(PopulationError, match=r"item 3 of pvq_21 = 77 in row 1 is not in \[1, 6\]"):
        score_answers(instrument, answers_of(instrument, default=2, i3=77))
    with pytest.raises(PopulationError, match="has 21 items"):
        score_answers(instrument, np.zeros((2, 5)))


def test_own_item_texts(tmp_path):
    assert import_texts("bfi_2_s", "\n".join(f"{n}. words {n}" for n in range(1, 31)), tmp_path) == 30
    held = load_instrument("bfi_2_s", tmp_path)
    assert held.has_texts and held.items[29].text == "words 30"
    assert import_texts("bfi_2_s", "\n".join("abcdefghijklmnopqrstuvwxyzABCD"), tmp_path) == 30, "one line per item"
    with pytest.raises(PopulationError, match="'31' is not an item of bfi_2_s"):
        import_texts("bfi_2_s", "31. more", tmp_path)
    with pytest.raises(PopulationError, match="2 lines were given, bfi_2_s has 30 items"):
        import_texts("bfi_2_s", "a\nb", tmp_path)
    assert "bfi_2_s_texts" not in list_instruments(tmp_path)


def write_answers(path):
    rng = np.random.default_rng(2)
    answers = {f"q{n}": rng.integers(1, 6, 50).astype(float) for n in range(1, 21)}
    answers["q1"][:2], answers["q11"][:2] = np.nan, np.nan
    pl.DataFrame(answers).fill_nan(None).write_csv(path)
    return answers


def test_survey_answers_become_columns(tmp_path):
    answers = write_answers(tmp_path / "s.csv")
    study = {"file": "s.csv", "draw": "rows", "score": {"big5": {"instrument": "mini_ipip", "prefix": "q"}}}
    people = build_population(PopulationSpec(**study), 1, base=tmp_path)
    assert people.n == 48, "two respondents left half of extraversion open"
    by_hand = (answers["q1"] + 6 - answers["q6"] + answers["q11"] + 6 - answers["q16"]) / 4
    assert np.allclose(people.values["big5_e"], by_hand[2:])
    assert people.columns["big5_e"].provenance == "survey" and "Mini-IPIP" in people.columns["big5_e"].scale


@pytest.mark.parametrize(
    ("score", "told"),
    [
        ({"instrument": "mini_ipp", "prefix": "q"}, "did you mean 'mini_ipip'"),
        ({"instrument": "mini_ipip"}, "has no variable; give a prefix"),
        ({"instrument": "mini_ipip", "prefix": "w"}, "'w1' is not a variable of s.csv"),
        ({"instrument": "mini_ipip", "prefix": "q", "items": {"99": "x"}}, "'99' is not an item"),
        ({"instrument": "mfq_30", "prefix": "q"}, "is not a variable of s.csv"),
    ],
)
def test_what_cannot_be_scored_is_said_at_its_key(score, told, tmp_path):
    write_answers(tmp_path / "s.csv")
    with pytest.raises(PopulationError) as error:
        build_population(PopulationSpec(file="s.csv", score={"big5": score}), 1, base=tmp_path)
    assert told in str(error.value) and "population.score.big5" in str(error.value)
