"""The cache of answers: exact, first value wins, damaged files are set aside, the oldest answers make room."""

import dataclasses
import sqlite3

import numpy as np
import pytest

from engine.errors import ModelError
from engine.llm import ScriptedModel
from engine.llm.cache import CACHE_NAME, AnswerCache, score_keys, text_keys
from engine.llm.service_queue import decode_scores, encode_scores

IDENTITY = ScriptedModel().identity


@pytest.fixture
def answers(tmp_path):
    caches = []

    def open_cache(**settings):
        caches.append(AnswerCache(tmp_path, **settings))
        return caches[-1]

    yield open_cache
    for cache in caches:
        cache.close()


def test_values_come_back_to_the_last_bit_after_reopening(answers):
    logp, raw = np.log([0.1, 0.2, 0.7]), np.array([-0.0, -1e-300, -np.inf])
    value = encode_scores(logp, raw, 0.1 + 0.2)
    assert answers().commit({b"k" * 32: value}) == {b"k" * 32: value}
    found = answers().find([b"k" * 32, b"x" * 32, b"k" * 32])
    assert list(found) == [b"k" * 32]
    again = decode_scores(found[b"k" * 32], 3)
    assert again[0].tobytes() == logp.tobytes() and again[1].tobytes() == raw.tobytes() and again[2] == 0.1 + 0.2


def test_the_first_value_of_a_key_stays_whoever_writes_later(answers):
    first, second = answers(), answers()
    assert first.commit({b"a": b"1", b"b": b"2"}) == {b"a": b"1", b"b": b"2"}
    assert second.commit({b"a": b"9", b"c": b"3"}) == {b"a": b"1", b"c": b"3"}
    assert first.find([b"a", b"b", b"c"]) == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_only_the_owner_can_read_it(answers):
    assert answers().path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"not a database at all" * 50, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_set_aside_with_a_notice(answers, tmp_path, content):
    (tmp_path / CACHE_NAME).write_bytes(content)
    cache = answers()
    assert "set aside as answers.damaged-" in cache.notices[0]
    assert cache.commit({b"a": b"1"}) == {b"a": b"1"}
    (aside,) = tmp_path.glob("answers.damaged-*.sqlite")
    assert aside.read_bytes() == content


def test_one_changed_byte_of_an_answer_sets_the_file_aside(answers, tmp_path):
    cache = answers()
    cache.commit({b"a": b"value", b"b": b"other"})
    with sqlite3.connect(tmp_path / CACHE_NAME) as connection:
        connection.execute("update answers set value = cast(x'00' || substr(value, 2) as blob) where key = ?", (b"a",))
    connection.close()
    assert cache.find([b"a"]) == {}
    assert "checksum" in cache.notices[0]
    assert cache.commit({b"a": b"new"}) == {b"a": b"new"}


def test_a_later_format_is_not_read(answers, tmp_path):
    with sqlite3.connect(tmp_path / CACHE_NAME) as connection:
        connection.execute("pragma user_version=99")
    connection.close()
    assert "format 99" in answers().notices[0]


def test_a_cache_that_cannot_be_made_is_a_clear_error(tmp_path):
    with pytest.raises(ModelError, match="cannot be opened"):
        AnswerCache(tmp_path / "missing")


def test_the_answers_used_longest_ago_make_room(answers, monkeypatch):
    from engine.llm import cache as module

    now = 1_000_000.0
    monkeypatch.setattr(module.time, "time", lambda: now)
    cache = answers(most_bytes=100_000)
    for day in range(5):
        now += 86_400
        cache.commit({f"{day}-{number}".encode(): bytes(500) for number in range(100)})
    now += 86_400
    assert len(cache.find([f"0-{number}".encode() for number in range(100)])) == 100  # used again: now the newest
    cache.trim()
    kept = {day: len(cache.find([f"{day}-{number}".encode() for number in range(100)])) for day in range(5)}
    assert kept[0] == 100 and kept[1] == 0 and kept[4] > 0
    n_pages, page = (
        cache._connection.execute(f"pragma {name}").fetchall()[0][0] for name in ("page_count", "page_size")
    )
    free = cache._connection.execute("pragma freelist_count").fetchall()[0][0]
    assert (n_pages - free) * page <= 100_000


def test_a_key_covers_all_that_an_answer_depends_on():
    def key(model=IDENTITY, variants=("p", "q"), suffix="s", options=("a", "b"), lead=""):
        return score_keys(model, variants, [suffix], options, lead)[0]

    others = [
        key(dataclasses.replace(IDENTITY, sha256="0" * 64)),
        key(variants=("p",)),
        key(variants=("q", "p")),
        key(variants=("p", "qs"), suffix=""),
        key(suffix="t"),
        key(options=("b", "a")),
        key(options=("ab",)),
        key(lead="I "),
        text_keys(IDENTITY, "p", ["s"], [1], ["8", "0.8"])[0],
        text_keys(IDENTITY, "p", ["s"], [2], ["8", "0.8"])[0],
        text_keys(IDENTITY, "p", ["s"], [1], ["8", "0.9"])[0],
    ]
    assert len({key(), *others}) == len(others) + 1
    assert key() == key()
