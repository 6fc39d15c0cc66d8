"""One model for many clients: every distinct question once, failures and departures stay with whom they concern."""

import socket
import threading
import time

import numpy as np
import pytest
from service_doubles import wait_until

from engine.errors import ModelError, ModelStopped
from engine.llm import ScriptedModel
from engine.llm.service_queue import CHUNK
from engine.llm.service_wire import pack, read_endpoint

OPTIONS = ["yes", "no"]


def in_thread(action):
    """Run an action in a thread; `result()` waits for what it returns or raises."""
    kept = {}

    def run():
        try:
            kept["value"] = action()
        except BaseException as error:
            kept["error"] = error

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join(20)
        assert not thread.is_alive()
        if "error" in kept:
            raise kept["error"]
        return kept["value"]

    return result


def test_scores_and_texts_are_those_of_the_model(gated):
    _, connect = gated
    model, direct = connect(), ScriptedModel()
    suffixes = ["a", "b", "a", "\ud800"]
    scores, expected = model.score(["p", "q"], suffixes, OPTIONS), direct.score(["p", "q"], suffixes, OPTIONS)
    for name in ("logp", "raw", "mass"):
        assert np.array_equal(np.stack(getattr(scores, name)), np.stack(getattr(expected, name)))
    assert scores.cached == (False, False, True, False)
    assert (model.n_calls, model.n_situations, model.identity) == (1, 3, direct.identity)
    settings = {"seeds": [1, 2, 1], "max_tokens": 9, "temperature": 0.5, "top_p": 1.0}
    assert model.write("p", ["a", "a", "a"], **settings) == direct.write("p", ["a", "a", "a"], **settings)
    assert (model.n_calls, model.n_situations) == (2, 5)
    assert model.count_tokens("three words here") == 3
    assert model.score("p", [], OPTIONS).logp == [] and model.write("p", [], **settings | {"seeds": []}) == []


def test_equal_questions_under_way_are_asked_once_and_count_for_the_first(gated):
    model, connect = gated
    first, second = connect(), connect()
    model.gate.clear()
    one = in_thread(lambda: first.score("p", ["a", "b"], OPTIONS))
    wait_until(model.entered.is_set)
    two = in_thread(lambda: second.score("p", ["b", "c"], OPTIONS))
    time.sleep(0.1)
    model.gate.set()
    assert one().cached == (False, False) and two().cached == (True, False)
    assert sorted(suffix for batch in model.batches for suffix in batch) == ["a", "b", "c"]
    assert (first.n_situations, second.n_situations) == (2, 1)


def test_questions_of_several_clients_share_a_call(gated):
    model, connect = gated
    clients = [connect() for _ in range(4)]
    model.gate.clear()
    waiting = [in_thread(lambda: connect().score("p", ["first"], OPTIONS))]
    wait_until(model.entered.is_set)
    waiting += [in_thread(lambda c=c, i=i: c.score("p", [f"s{i}"], OPTIONS)) for i, c in enumerate(clients)]
    waiting.append(in_thread(lambda: connect().score("other", ["s0"], OPTIONS)))
    time.sleep(0.2)
    model.gate.set()
    for result in waiting:
        result()
    assert sorted(sorted(batch) for batch in model.batches) == [["first"], ["s0"], ["s0", "s1", "s2", "s3"]]


def test_long_requests_go_in_parts_that_are_committed_and_short_ones_come_between(gated):
    model, connect = gated
    long, short = connect(), connect()
    model.gate.clear()
    waiting = in_thread(lambda: long.score("p", [f"{i}" for i in range(3 * CHUNK)], OPTIONS))
    wait_until(model.entered.is_set)
    asked = in_thread(lambda: short.score("q", ["now"], OPTIONS))
    time.sleep(0.1)
    model.gate.set()
    asked()
    assert waiting().cached == (False,) * (3 * CHUNK)
    sizes = [len(batch) for batch in model.batches]
    assert sorted(sizes) == [1, CHUNK, CHUNK, CHUNK] and sizes[-1] == CHUNK
    assert long.n_calls == 1


def test_a_client_that_stops_is_free_within_a_second_and_its_questions_are_dropped(gated):
    model, connect = gated
    stop = threading.Event()
    going, staying = connect(should_stop=stop.is_set), connect()
    model.gate.clear()
    waiting = in_thread(lambda: going.score("p", [f"{i}" for i in range(5 * CHUNK)], OPTIONS))
    wait_until(model.entered.is_set)
    began = time.monotonic()
    stop.set()
    with pytest.raises(ModelStopped):
        waiting()
    asked = in_thread(lambda: staying.score("q", ["now"], OPTIONS))
    wait_until(lambda: model.batches[-1] == ["now"])  # the call under way was given up
    assert time.monotonic() - began < 1.0
    model.gate.set()
    asked()
    assert len(model.batches) == 2
    stop.clear()
    assert going.score("p", ["0"], OPTIONS).cached == (False,)


def test_a_question_that_another_still_waits_for_is_asked_nevertheless(gated):
    model, connect = gated
    stop = threading.Event()
    going, staying = connect(should_stop=stop.is_set), connect()
    model.gate.clear()
    one = in_thread(lambda: going.score("p", ["shared"], OPTIONS))
    wait_until(model.entered.is_set)
    two = in_thread(lambda: staying.score("p", ["shared"], OPTIONS))
    time.sleep(0.1)
    stop.set()
    with pytest.raises(ModelStopped):
        one()
    time.sleep(0.1)
    model.gate.set()
    assert two().cached == (False,)  # it counts for the one who stayed
    assert (staying.n_situations, len(model.batches)) == (1, 1)


def test_an_error_concerns_only_the_client_whose_question_it_is(gated):
    model, connect = gated
    good, bad = connect(), connect()
    model.refuse = "bad"
    model.gate.clear()
    first = in_thread(lambda: connect().score("p", ["first"], OPTIONS))
    wait_until(model.entered.is_set)
    waiting = in_thread(lambda: good.score("p", ["good"], OPTIONS)), in_thread(lambda: bad.score("p", ["bad"], OPTIONS))
    time.sleep(0.2)
    model.gate.set()
    first()
    waiting[0]()
    with pytest.raises(ModelError, match="cannot answer 'bad'"):
        waiting[1]()
    model.refuse = None
    assert bad.score("p", ["bad"], OPTIONS).cached == (False,)


def test_unusable_questions_and_unexpected_failures_are_told(gated, monkeypatch, capsys):
    model, connect = gated
    one = connect()
    with pytest.raises(ModelError, match="duplicate options"):
        one.score("p", ["a"], ["x", "x"])
    with pytest.raises(ModelError, match="1 seeds were given for 2 texts"):
        one.write("p", ["a", "b"], seeds=[1], max_tokens=3, temperature=1, top_p=1)
    with pytest.raises(ModelError, match="no prefix"):
        one.score([], ["a"], OPTIONS)
    monkeypatch.setattr(model, "_wait", lambda suffixes: 1 / 0)
    with pytest.raises(ModelError, match="unexpected ZeroDivisionError"):
        one.score("p", ["a"], OPTIONS)
    assert "ZeroDivisionError" in capsys.readouterr().err
    monkeypatch.undo()


def test_no_model_allows_what_the_cache_knows_and_nothing_else(gated, monkeypatch):
    model, connect = gated
    one = connect()
    one.score("p", ["a"], OPTIONS)
    monkeypatch.setenv("MICROCOSM_NO_MODEL", "1")
    assert one.score("p", ["a"], OPTIONS).cached == (True,)
    with pytest.raises(ModelError, match="MICROCOSM_NO_MODEL=1 forbids"):
        one.score("p", ["a", "new"], OPTIONS)
    assert model.batches == [["a"]]


@pytest.mark.parametrize(
    "first",
    [
        pack({"op": "hello", "version": 1, "token": "wrong"}),
        pack({"op": "score"}),
        b"GET / HTTP/1.1\r\n\r\n" + bytes(2000),
    ],
)
def test_strangers_are_turned_away(gated, cache, first):
    (path,) = cache.glob("service-*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    endpoint = read_endpoint(cache, path.stem.removeprefix("service-"))
    connection = endpoint.connect()
    try:
        connection.sendall(first)
        assert connection.recv(100) == b""
    except ConnectionResetError:
        pass
    finally:
        connection.close()


def test_a_client_that_sends_nonsense_is_dropped_and_others_go_on(gated, cache):
    _, connect = gated
    other = connect()
    (path,) = cache.glob("service-*.json")
    endpoint = read_endpoint(cache, path.stem.removeprefix("service-"))
    for nonsense in (pack({"op": "dance", "id": 1}), pack({"op": "score", "id": 1}), bytes([255]) * 16):
        connection = endpoint.connect()
        connection.sendall(pack({"op": "hello", "version": 1, "token": endpoint.token}))
        assert connection.recv(1 << 16)
        connection.sendall(nonsense)
        assert connection.recv(100) == b""
        connection.close()
    assert len(other.score("p", ["a"], OPTIONS).logp) == 1
    assert isinstance(connection, socket.socket)


def test_a_damaged_cache_is_told_to_everybody(gated, cache):
    _, connect = gated
    early = connect()
    early.score("p", ["a"], OPTIONS)
    (cache / "answers.sqlite").rename(cache / "old.sqlite")
    connect.service.cache._set_aside("a test")
    early.score("p", ["b"], OPTIONS)
    wait_until(lambda: early.score("p", ["b"], OPTIONS) and early.notices)
    late = connect()
    late.score("p", ["b"], OPTIONS)
    assert "set aside" in early.notices[0] and early.notices == late.notices
