from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FAKES = Path(__file__).resolve().parents[1] / "fakes"


@pytest.fixture(scope="session")
def toys():
    name = "toolgym_fakes_toy_env"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FAKES / "toy_env.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def codecs(tiny_models):
    """Codecs by name: plain text, and the two chat templates."""
    from toolgym.agents import Codec

    return {
        "text": Codec(tiny_models.make_tokenizer("qwen3", chat=False)),
        "qwen3": Codec(tiny_models.make_tokenizer("qwen3")),
        "llama": Codec(tiny_models.make_tokenizer("llama")),
    }


@pytest.fixture(scope="session")
def codec(codecs):
    return codecs["text"]


@pytest.fixture
def engine_of(tiny_models):
    """Makes an engine with a random model for a codec."""

    def make(codec, kind="qwen3", slots=8, seed=0, engine_options=None, **options):
        from toolgym.agents import TransformersEngine

        model = tiny_models.make_model(kind, codec.vocabulary_size, seed=seed, **options)
        return TransformersEngine(model, codec, slots=slots, **(engine_options or {}))

    return make
