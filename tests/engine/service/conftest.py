"""Model services that end with the test, in folders of their own."""

from __future__ import annotations

import threading

import pytest
from service_doubles import Gated, stop_services, wait_until

from engine.llm import client, service
from engine.llm.random_model import build_random_model
from engine.llm.service import Service
from engine.spec import ModelSpec


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    return build_random_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder whose services end half a second after their last client, or with the test."""
    monkeypatch.setenv("MICROCOSM_MODEL_IDLE_S", "0.5")
    folder = tmp_path / "cache"
    folder.mkdir()
    yield folder
    stop_services(folder)


@pytest.fixture
def connect(tiny_file, cache):
    """Connect to the service of the tiny model; closed after the test."""
    models = []

    def connect_to(file=tiny_file, **settings):
        models.append(client.connect_model(ModelSpec(file=str(file)), cache, **settings))
        return models[-1]

    yield connect_to
    for model in models:
        model.close()


@pytest.fixture
def gated(cache, monkeypatch):
    """A service in this process around a gated model; gives (model, connect)."""
    model, spec, clients = Gated(), ModelSpec(file="scripted"), []

    def load(spec, *, models_folder=None, should_stop=None):
        model.should_stop = should_stop
        return model

    monkeypatch.setattr(service, "load_model", load)
    monkeypatch.setattr(client, "resolve_model", lambda spec, folder: spec)
    running = Service(spec, cache, client.service_name(spec), idle_s=60)
    thread = threading.Thread(target=running.serve)
    thread.start()
    wait_until(lambda: list(cache.glob("*.json")))

    def connect_to(**settings):
        clients.append(client.connect_model(spec, cache, **settings))
        return clients[-1]

    connect_to.service = running
    yield model, connect_to
    model.gate.set()
    for one in clients:
        one.close()
    running.stopping = True
    thread.join(10)
