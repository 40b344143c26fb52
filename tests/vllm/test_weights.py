"""New weights in a running vLLM engine: what it computes afterwards is what torch computes with them."""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of vLLM and what it imports
]

LENGTHS = (5, 127, 129, 300, 600)


@pytest.fixture(autouse=True)
def original_weights(request):
    """Puts the served weights back, so that tests do not depend on each other."""
    yield
    for name in ("served", "untied"):
        if name in request.fixturenames:
            served = request.getfixturevalue(name)
            served.engine.load_weights(served.model.state_dict().items(), 0)


def test_after_an_update_logprobs_are_those_of_the_new_weights(
    served, another, complete, difference, prompt, tolerance
):
    prompts = [prompt(length, length) for length in LENGTHS]
    complete(served.engine, prompts, max_tokens=40)  # fills the prefix cache with keys and values of the old weights
    new = another(served)
    served.engine.load_weights(new.state_dict().items(), 3)
    generations = complete(served.engine, prompts, max_tokens=40)
    for ids, generation in zip(prompts, generations, strict=True):
        assert generation.policy_version == 3
        assert difference(new, ids, generation) < tolerance
        assert difference(served.model, ids, generation) > 0.1  # the check can tell the two apart


def test_parameters_may_come_without_the_tied_head(served, another, complete, difference, prompt, tolerance):
    new = another(served)
    served.engine.load_weights(new.named_parameters(), 1)
    (generation,) = complete(served.engine, [prompt(200)], max_tokens=20)
    assert difference(new, prompt(200), generation) < tolerance


def test_many_updates(untied, another, complete, difference, prompt, tolerance):
    for version in range(1, 6):
        new = another(untied, seed=version)
        untied.engine.load_weights(new.state_dict().items(), version)
        (generation,) = complete(untied.engine, [prompt(150)], max_tokens=10)
        assert generation.policy_version == version and difference(new, prompt(150), generation) < tolerance


def test_requests_in_progress_start_again(untied, another, finish, difference, prompt, tolerance):
    from toolgym.agents.engines.base import GenerationRequest, SamplingParams

    prompts = {f"p{start}": prompt(200, start) for start in range(24)}  # more than there are slots
    for name, ids in prompts.items():
        untied.engine.submit(GenerationRequest(name, tuple(ids), SamplingParams(max_tokens=40, seed=1)))
    early = {}
    for _ in range(10):
        early |= {generation.request_id: generation for generation in untied.engine.step()}
    new = another(untied)
    untied.engine.load_weights(new.state_dict().items(), 8)
    late = finish(untied.engine)
    assert set(early) | set(late) == set(prompts) and not set(early) & set(late) and len(late) > 12
    for name, generation in late.items():
        assert generation.policy_version == 8 and difference(new, prompts[name], generation) < tolerance


def test_without_the_reset_old_keys_would_be_reused(untied, another, complete, difference, prompt, monkeypatch):
    ids = prompt(300, 11)
    complete(untied.engine, [ids], max_tokens=4)
    new = another(untied)
    with monkeypatch.context() as patch:
        patch.setattr(type(untied.engine), "_drop_cache", lambda engine: None)
        untied.engine.load_weights(new.state_dict().items(), 1)
    (generation,) = complete(untied.engine, [ids], max_tokens=20)
    assert difference(new, ids, generation) > 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model.layers.1.mlp.down_proj.weight"), "not given.*layers.1.mlp.down_proj"),
        (lambda state: state.pop("lm_head.weight"), "not given"),
        (lambda state: state.pop("model.layers.0.self_attn.k_proj.weight"), "not given.*k_proj"),
        (lambda state: state.update(extra=state["lm_head.weight"]), "no weight 'extra'"),
        (lambda state: state.update({"lm_head.weight": state["lm_head.weight"][:-1]}), "shape"),
    ],
)
def test_wrong_weights_are_refused(untied, another, change, message):
    from toolgym.tools.errors import InputError

    state = dict(another(untied).state_dict())
    change(state)
    with pytest.raises(InputError, match=message):
        untied.engine.load_weights(state.items(), 1)
    assert untied.engine.policy_version == 0


def test_bfloat16_weights(serve, another, complete, difference, prompt):
    import torch

    served = serve(dtype="bfloat16")
    new = another(served)
    served.engine.load_weights(new.state_dict().items(), 1)
    ids = prompt(200)
    rounded = another(served).to(torch.bfloat16).float()
    (generation,) = complete(served.engine, [ids], max_tokens=20)
    assert difference(rounded, ids, generation) < 0.5
    assert difference(served.model, ids, generation) > 0.5
