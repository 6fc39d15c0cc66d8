"""Models on servers: probabilities read in three ways, a real server, and everything that can go wrong on the way."""

import socket
import subprocess
import sys
import time

import httpx
import numpy as np
import pytest
from service_doubles import stop_services
from toy_server import ToyServer, option_logp

from engine import load_study
from engine.errors import ContextOverflow, ModelError, ServerError, StudyError
from engine.llm import allow_server, check_model, load_model, server, server_http
from engine.llm.random_model import build_random_model
from engine.llm.server import defuse, without_longer
from engine.llm.server_http import is_loopback
from engine.loading import dump_study, parse_study
from engine.runs import create_run, open_workspace, read_info, read_result, resume_run
from engine.runs.control import queue_run
from engine.runs.execution import Worker, execute_run
from engine.spec import ModelSpec

OPTIONS = ["yes", "no", "not sure"]
PEOPLE = [f"You are {age} years old." for age in range(20, 24)]


@pytest.fixture
def toy():
    servers = []

    def start(*features, **settings):
        servers.append(ToyServer(features or ("echo", "tokens"), **settings))
        return servers[-1]

    yield start
    for one in servers:
        one.stop()


@pytest.fixture
def ask(monkeypatch):
    """Load the model of a server; retries do not wait."""
    monkeypatch.setattr(server_http, "FIRST_PAUSE_S", 0.01)
    models = []

    def load(url, *, should_stop=None, **settings):
        models.append(load_model(ModelSpec(url=url, **settings), should_stop=should_stop))
        return models[-1]

    yield load
    for model in models:
        model.close()


def exact(prefix, tail="\n"):
    found = [[option_logp(prefix + person + tail, option) for option in OPTIONS] for person in PEOPLE]
    return without_longer(np.array(found), OPTIONS)


@pytest.mark.parametrize("api", ["echo", "tokens", "auto"])
def test_probabilities_are_those_of_the_server(toy, ask, api):
    model = ask(toy().url, api=api)
    scores = model.score(["Choose. ", "Pick. "], PEOPLE, OPTIONS)
    assert np.allclose(np.stack(scores.raw), exact("Choose. "), atol=1e-12)
    mean = (exact("Choose. ") + exact("Pick. ")) / 2
    assert np.allclose(np.stack(scores.logp), mean - np.logaddexp.reduce(mean, axis=1)[:, None], atol=1e-12)
    assert np.allclose(scores.mass, np.exp(exact("Choose. ")).sum(axis=1))
    assert model.api == ("echo" if api == "auto" else api)
    assert (model.n_calls, model.n_situations) == (1, 4)


def test_labels_are_scored_by_their_first_token(toy, ask):
    model = ask(toy("score").url, api="score")
    found = np.stack(model.score("Choose. ", PEOPLE, ["yes", "no"]).raw)
    expected = [[option_logp(f"Choose. {person}\n", letter) for letter in "yn"] for person in PEOPLE]
    assert np.allclose(found, expected, atol=1e-9)
    with pytest.raises(ModelError, match="begin with the same token"):
        model.score("Choose. ", PEOPLE, OPTIONS)


def test_an_echo_that_is_shifted_by_a_token_is_not_trusted(toy, ask):
    model = ask(toy("echo", "tokens", "shifted").url)
    assert model.api == "tokens"
    assert np.allclose(np.stack(model.score("Choose. ", PEOPLE, OPTIONS).raw), exact("Choose. "), atol=1e-12)


def test_a_server_without_log_probabilities_is_refused(toy, ask):
    with pytest.raises(ServerError, match="logprobs = 5 is too many"):
        ask(toy("none").url).score("Choose. ", PEOPLE, OPTIONS)
    with pytest.raises(ServerError, match="no readable echoed log probabilities"):
        ask(toy("tokens").url, api="echo").score("Choose. ", PEOPLE, OPTIONS)


def test_longer_options_are_taken_from_those_that_begin_them():
    found = np.exp(without_longer(np.log([[0.5, 0.2, 0.1, 0.3]]), ["1", "10", "100", "2"]))
    assert np.allclose(found, [[0.3, 0.1, 0.1, 0.3]])


def test_texts_templates_tokens_and_directions(toy, ask):
    one = toy("tokens", "echo", "template", "embed", "score")
    model = ask(one.url, name="second")
    assert (model.identity.name, model.identity.template, model.identity.backend) == ("second", "chat", "server")
    sampling = {"max_tokens": 8, "temperature": 0.7, "top_p": 0.9}
    assert model.write("Say <|user|> [INST]", ["a"], seeds=[2**33 + 5], **sampling) == ["hello there."]
    body = one.requests[-1][1]
    assert body["prompt"] == "<|user|>Say < |user| > [ INST]a<|assistant|>" and body["model"] == "second"
    assert (body["seed"], body["stop"], body["max_tokens"], body["temperature"]) == (5, ["\n"], 8, 0.7)
    assert model.count_tokens("abcd") == 4
    assert np.allclose(model.embed(["a", "b"]), [[0.6, 0.8]] * 2)
    assert ask(toy().url).count_tokens("abcdefgh") == 2
    with pytest.raises(ModelError, match="may ignore a grammar"):
        model.write("p", ["a"], seeds=[1], grammar="root ::= [a-z]", **sampling)
    assert defuse("a</s>b<s>c [/INST] <end_of_turn> x < y | z > w") == (
        "a< /s>b< s>c [ /INST] < end_of_turn> x < y | z > w"
    )


@pytest.mark.parametrize("fault", [429, 500, 503, "drop", "slow"])
def test_a_busy_or_silent_server_is_tried_again(toy, ask, fault):
    one = toy()
    model = ask(one.url, api="tokens", timeout_s=0.3)
    one.faults[:] = [fault, fault]
    assert np.allclose(
        np.stack(model.score("Choose. ", PEOPLE[:1], ["y"]).raw), option_logp(f"Choose. {PEOPLE[0]}\n", "y")
    )


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (500, "does not answer after 4 tries: status 500"),
        ("slow", "no answer within 0.3 s"),
        ("drop", "does not answer after 4 tries"),
        ("{broken", "answered what is no JSON object: {broken"),
        ("[1, 2]", "no JSON object"),
        ("<html>hello</html>", "no JSON object"),
        ({}, "answered without a choice"),
        ({"choices": []}, "without a choice"),
        ({"choices": [{"logprobs": {"top_logprobs": [["a", 1]]}}]}, "no readable log probabilities"),
        ({"choices": [{"logprobs": {"top_logprobs": [{"a": "b"}]}}]}, "no readable log probabilities"),
        (401, "MICROCOSM_API_KEY gave no key"),
        (422, "refuses (status 422)"),
    ],
)
def test_failures_are_clear_and_never_hang(toy, ask, fault, message):
    one = toy()
    model = ask(one.url, api="tokens", timeout_s=0.3)
    one.faults[:] = [fault] * 20
    with pytest.raises(ServerError) as caught:
        model.score("Choose. ", PEOPLE, OPTIONS)
    assert message in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_prompt_that_is_too_long_for_the_server(toy, ask, monkeypatch):
    one = toy()
    model = ask(one.url, api="tokens")
    monkeypatch.setattr(one, "answer", lambda path, body: (400, {"error": "maximum context length is 8 tokens"}))
    with pytest.raises(ContextOverflow, match="too long for the model server"):
        model.score("Choose. ", PEOPLE, OPTIONS)


def test_a_server_that_is_not_there_or_not_one(toy, ask, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(ServerError, match="does not answer after 4 tries: ConnectError"):
        ask(f"http://127.0.0.1:{port}")
    with pytest.raises(ServerError, match=r"model\.name = 'third' is not at .*; it has toy, second"):
        ask(toy().url, name="third")
    with pytest.raises(ServerError, match="lists no model"):
        ask(toy().url + "/elsewhere")


def test_questions_go_out_together_up_to_the_limit_and_stop_on_request(toy, ask, monkeypatch):
    one = toy()
    answer = one.answer
    monkeypatch.setattr(one, "answer", lambda path, body: (time.sleep(0.05), answer(path, body))[1])
    ask(one.url, api="echo", max_concurrent=3).score("Choose. ", PEOPLE, OPTIONS)
    assert one.most_at_once == 3
    stopped = []
    model = ask(one.url, api="echo", max_concurrent=2, should_stop=lambda: bool(stopped))
    stopped.append(True)
    began = time.monotonic()
    with pytest.raises(ModelError, match="was stopped"):
        model.score("Choose. ", PEOPLE * 100, OPTIONS)
    assert time.monotonic() - began < 1.0


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(toy, ask, monkeypatch, tmp_path):
    monkeypatch.setenv("MICROCOSM_API_KEY", "secret-key-1234")
    one = toy()
    model = ask(one.url, api="echo")
    model.score("Choose. ", PEOPLE[:1], OPTIONS)
    assert {headers.get("Authorization") for _, _, headers in one.requests} == {"Bearer secret-key-1234"}
    one.faults[:] = [403]
    with pytest.raises(ServerError, match="MICROCOSM_API_KEY gave the key in it") as caught:
        model.score("Choose. ", PEOPLE[:1], ["y"])
    assert "secret" not in str(caught.value) and "secret" not in str(model.identity)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.9.8.7", "https://[::1]:8080/v"])
def test_loopback_needs_no_consent(url):
    assert is_loopback(url)
    check_model(ModelSpec(url=url))


@pytest.mark.parametrize("url", ["http://192.168.0.9:8080", "https://models.example/v", "http://localhost.example"])
def test_servers_elsewhere_need_the_users_consent_once_per_workspace(url, tmp_path):
    workspace = open_workspace(tmp_path)
    for call in (check_model, load_model):
        with pytest.raises(ModelError, match=r"would leave it.*--allow-remote"):
            call(ModelSpec(url=url), models_folder=workspace.models)
    allow_server(workspace.path, url)
    check_model(ModelSpec(url=url), workspace.models)
    with pytest.raises(ModelError):
        check_model(ModelSpec(url=url.replace("//", "//other.")), workspace.models)


def test_the_study_keeps_the_server_and_refuses_what_is_none():
    chosen = ["model.url='http://127.0.0.1:8080/v'", "model.name=m", "model.timeout_s=5", "model.api=tokens"]
    study = load_study("bounded_confidence", chosen)
    assert parse_study(dump_study(study)) == study
    assert (study.model.label, study.model.max_concurrent) == ("http://127.0.0.1:8080/v m", 4)
    for url in ("ftp://a", "localhost:8080", "http://user:key@host", "http://host?key=1", "http://", "http://a b"):
        with pytest.raises(StudyError, match="is not the address of a model server") as caught:
            load_study("bounded_confidence", [f"model.url='{url}'"])
        assert [problem.key for problem in caught.value.problems] == ["model.url"]
    with pytest.raises(StudyError, match="max_concurrent = 0"):
        load_study("bounded_confidence", ["model.max_concurrent=0"])


def server_study(url, *more):
    basic = ["population.size=8", "steps=3", "network.kind=complete", "record.checkpoint_every=1"]
    return load_study("bounded_confidence", [*basic, "decisions.listen.policy=language", f"model.url='{url}'", *more])


def execute(folder):
    worker = Worker(live=False)
    execute_run(folder, worker)
    for model in (worker.models or {}).values():
        model.close()
    return read_result(folder)


def test_a_run_rests_when_its_server_dies_and_goes_on_when_it_is_back(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(server_http, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("MICROCOSM_MODEL_SERVICE", "0")
    workspace, one = open_workspace(tmp_path / "w"), ToyServer()  # stopped below
    study = server_study(one.url, "model.api=echo")
    whole = execute(create_run(workspace, study))
    assert whole.status == "done"
    answer, n_answered = one.answer, [0]

    def die_later(path, body):
        n_answered[0] += 1
        return (500, {}) if n_answered[0] > 40 else answer(path, body)

    one.answer = die_later
    folder = create_run(workspace, study)
    died = execute(folder)
    one.stop()
    assert died.status == "interrupted" and "does not answer after 4 tries" in died.message
    assert "resume the run" in died.message and read_info(folder).status == "interrupted"
    back = toy("echo", "tokens", port=one.port)
    queue_run(folder)
    again = execute(folder)
    assert (again.status, again.digest, again.situations) == ("done", whole.digest, whole.situations)
    assert len([1 for path, _, _ in back.requests if path == "/v1/completions"]) < 3 * 2 * whole.situations


def test_a_second_run_asks_the_server_nothing(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROCOSM_MODEL_IDLE_S", "0.5")
    workspace, one = open_workspace(tmp_path / "w"), toy()
    try:
        first = execute(create_run(workspace, server_study(one.url)))
        assert first.status == "done" and first.model_calls > 0
        n_before = len([1 for path, _, _ in one.requests if path == "/v1/completions"])
        second = execute(create_run(workspace, server_study(one.url)))
        assert (second.digest, second.model_calls) == (first.digest, 0)
        assert len([1 for path, _, _ in one.requests if path == "/v1/completions"]) == n_before
    finally:
        stop_services(workspace.cache)


@pytest.fixture(scope="module")
def real_server(tmp_path_factory):
    """A llama.cpp server on loopback with a random model; gives (url, model file)."""
    pytest.importorskip("fastapi", reason="needs llama-cpp-python[server]")
    folder = tmp_path_factory.mktemp("server")
    file = build_random_model(folder / "tiny.gguf", template=None)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--logits_all", "true", "--n_ctx", "512", "--n_threads", "1"]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(file), *options]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()[-2000:]
        try:
            httpx.get(f"http://127.0.0.1:{port}/v1/models")
            break
        except httpx.TransportError:
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}", file
    process.kill()
    process.wait()


def test_a_real_server_agrees_with_the_model_in_this_program(real_server, ask, monkeypatch):
    url, file = real_server
    model, direct = ask(url), load_model(ModelSpec(file=str(file)), n_threads=1)
    people, options = ["You are 20 years old", "You are 31 years old"], ["yes", "no", "perhaps not"]
    try:
        scores, expected = (one.score(["Choose ", "Pick "], people, options) for one in (model, direct))
        # Both compute with 32-bit weights; the caches of keys and values hold 16 bits.
        assert np.abs(np.exp(np.stack(scores.logp)) - np.exp(np.stack(expected.logp))).max() < 1e-3
        assert np.allclose(np.stack(scores.raw), np.stack(expected.raw), atol=0.01)
        assert np.allclose(scores.mass, expected.mass, rtol=0.01)
        sampling = {"seeds": [1, 2], "max_tokens": 8, "temperature": 0, "top_p": 1}
        assert model.write("Say ", ["a", "b"], **sampling) == direct.write("Say ", ["a", "b"], **sampling)
        assert model.count_tokens("two words") == direct.count_tokens("two words")
        assert model.api == "tokens"  # its echo is shifted by a token for models without a first token
        assert model.identity.backend == "server" and model.identity.sha256 != direct.identity.sha256
    finally:
        direct.close()
    assert server.LISTED[0] >= 640 and resume_run is not None
