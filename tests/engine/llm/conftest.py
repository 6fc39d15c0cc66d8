from __future__ import annotations

import pytest
from llm_oracle import FreshPasses, build_random_mamba

from engine.llm import load_model
from engine.llm.random_model import build_random_model
from engine.spec import ModelSpec


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory):
    return build_random_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def mamba_path(tmp_path_factory):
    return build_random_mamba(tmp_path_factory.mktemp("models") / "mamba.gguf")


@pytest.fixture(scope="session")
def fresh(tiny_path):
    passes = FreshPasses(tiny_path)
    yield passes
    passes.close()


@pytest.fixture(scope="session")
def tiny(tiny_path):
    model = load_model(ModelSpec(file=str(tiny_path)), n_threads=1)
    yield model
    model.close()


@pytest.fixture
def load(tiny_path):
    """Load the tiny model (or another file) with settings of one's own; closed after the test."""
    loaded = []

    def load_with(path=tiny_path, *, n_ctx=None, **settings):
        loaded.append(load_model(ModelSpec(file=str(path), n_ctx=n_ctx), n_threads=1, **settings))
        return loaded[-1]

    yield load_with
    for model in loaded:
        model.close()
