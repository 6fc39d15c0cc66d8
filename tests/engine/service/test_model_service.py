"""The service as a program of its own: started on demand and once, shared, killed, idle, orphaned."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from service_doubles import pid_of, wait_until

from engine.errors import ContextOverflow, ModelError, ModelStopped
from engine.llm import load_model
from engine.llm.client import connect_model
from engine.llm.service_queue import CHUNK
from engine.spec import ModelSpec

OPTIONS = ["yes", "no", "perhaps"]
PEOPLE = [f"You are {age} years old.\n" for age in range(20, 20 + CHUNK)]


def test_answers_are_those_of_the_model_and_are_kept(connect, cache, tiny_file):
    phases = []
    first = connect(announce=phases.append)
    scores = first.score(["Choose.\n", "Choose!\n"], PEOPLE, OPTIONS)
    assert phases[:2] == ["starting the model service", "loading model"] and phases[-1] == "running"
    direct = load_model(ModelSpec(file=str(tiny_file)))
    expected = direct.score(["Choose.\n", "Choose!\n"], PEOPLE, OPTIONS)
    sampling = {"max_tokens": 12, "temperature": 0.8, "top_p": 0.9}
    texts = first.write("Say:", PEOPLE[:3], seeds=[1, 2, 3], **sampling)
    assert texts == direct.write("Say:", PEOPLE[:3], seeds=[1, 2, 3], **sampling)
    assert first.count_tokens("two words") == direct.count_tokens("two words")
    direct.close()
    for name in ("logp", "raw", "mass"):
        assert np.array_equal(np.stack(getattr(scores, name)), np.stack(getattr(expected, name)))
    assert first.identity == direct.identity
    second = connect()
    again = second.score(["Choose.\n", "Choose!\n"], PEOPLE[::-1], OPTIONS)
    assert np.array_equal(np.stack(again.logp)[::-1], np.stack(scores.logp)) and all(again.cached)
    assert second.write("Say:", PEOPLE[:2], seeds=[1, 2], **sampling) == texts[:2]
    assert (second.n_calls, second.n_situations) == (0, 0)
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in cache.glob("service-*")}
    assert modes[".json"] == 0o600 and modes.get(".sock", 0o600) == 0o600


def test_many_clients_start_one_service(connect, cache):
    clients = [connect() for _ in range(4)]
    threads = [threading.Thread(target=lambda c=c: c.score("Choose.\n", PEOPLE[:4], OPTIONS)) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(client.n_situations for client in clients) == 4
    arguments = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert len([line for line in arguments if str(cache) in line and "engine.llm.service" in line]) == 1


def test_a_killed_service_is_restarted_and_goes_on_where_it_was(connect, cache):
    client = connect()
    everyone = [f"You are number {number}.\n" for number in range(8 * CHUNK)]
    seen = []

    def kill(phrase):
        seen.append(phrase)
        if ":" in phrase and "killed" not in seen:
            seen.append("killed")
            os.kill(pid_of(cache), signal.SIGKILL)

    client.announce = kill
    scores = client.score("Choose.\n", everyone, OPTIONS)
    assert "killed" in seen and len(scores.logp) == len(everyone)
    assert 0 < client.n_situations < len(everyone)  # what the killed one had committed was not asked again
    assert scores.cached.count(True) >= CHUNK


def test_a_question_that_kills_every_service_is_a_clear_error(connect, cache, monkeypatch):
    client = connect()
    assert client.identity
    client.announce = lambda phrase: phrase == "loading model" and os.kill(pid_of(cache), signal.SIGKILL)
    with pytest.raises(ModelError, match="ended 3 times over the same question"):
        client.score("Choose.\n", [f"You are number {number}.\n" for number in range(20_000)], OPTIONS)
    client.announce = None
    assert len(client.score("Choose.\n", PEOPLE[:2], OPTIONS).logp) == 2


def test_the_service_ends_after_its_last_client(connect, cache):
    client = connect()
    client.score("Choose.\n", PEOPLE[:2], OPTIONS)
    process = psutil.Process(pid_of(cache))
    time.sleep(1.0)
    assert process.is_running()  # the pause counts from the last client's end
    client.close()
    process.wait(10)
    assert not list(cache.glob("*.json")) and not list(cache.glob("*.sock"))
    assert all(client.score("Choose.\n", PEOPLE[:2], OPTIONS).cached)


def test_the_service_does_not_outlive_its_workspace(connect, cache):
    client = connect()
    client.score("Choose.\n", PEOPLE[:2], OPTIONS)
    process = psutil.Process(pid_of(cache))
    shutil.rmtree(cache)
    process.wait(10)
    with pytest.raises(ModelError):
        client.should_stop = lambda: cache.exists() and pytest.fail("no service may start in a folder that is gone")
        client._folder = cache / "gone" / "\0"
        client.score("Choose.\n", PEOPLE[:2], OPTIONS)


def test_stopping_reaches_the_model_within_a_second(connect):
    stop = threading.Event()
    client = connect(should_stop=stop.is_set)
    client.score("Choose.\n", PEOPLE[:2], OPTIONS)
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(ModelStopped):
        client.score("Choose.\n", [f"You are number {number}.\n" for number in range(20_000)], OPTIONS)
    assert time.monotonic() - began < 2.3  # a second after the request, with room for a busy machine
    stop.clear()
    began = time.monotonic()
    client.score("Pick.\n", PEOPLE[:2], OPTIONS)
    assert time.monotonic() - began < 4.0  # the rest of the 20,000 is not asked


def test_errors_of_the_model_keep_their_kind(connect, tmp_path):
    with pytest.raises(ModelError, match="no language model"):
        connect(tmp_path / "missing.gguf").score("p", ["s"], OPTIONS)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        connect(tmp_path / "broken.gguf").score("p", ["s"], OPTIONS)
    with pytest.raises(ContextOverflow, match="exceed the 4,096 tokens"):
        connect().score("p", ["word " * 9000], OPTIONS)


def test_in_a_long_folder_the_service_listens_on_loopback(tiny_file, cache):
    folder = cache / ("long" * 30)
    client = connect_model(ModelSpec(file=str(tiny_file)), folder)
    assert len(client.score("Choose.\n", PEOPLE[:2], OPTIONS).logp) == 2
    assert not list(folder.glob("*.sock"))
    process = psutil.Process(pid_of(folder))
    client.close()
    process.wait(10)


def test_a_service_that_cannot_start_says_so(connect, monkeypatch):
    monkeypatch.setenv("MICROCOSM_MODEL_IDLE_S", "soon")
    with pytest.raises(ModelError, match="MICROCOSM_MODEL_IDLE_S = 'soon' is not a number"):
        connect().score("p", ["s"], OPTIONS)
    monkeypatch.setenv("MICROCOSM_MODEL_IDLE_S", "0.5")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match="did not start"):
        connect().score("p", ["s"], OPTIONS)


def test_a_second_service_of_the_same_name_gives_way(cache, monkeypatch):
    from engine.llm import service

    monkeypatch.setattr(service, "LOCK_WAIT_S", 0.1)
    hold = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'ab'); fcntl.flock(f, 2); print(1, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(cache / "service-x.lock")], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        assert service.main(["--folder", str(cache), "--name", "x", "--spec", "{}"]) == service.EXIT_TAKEN
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    wait_until(lambda: holder.returncode is not None)
